"""How the runs of each monkey and experiment ended of late: all that a page needs, by looks into an index alone."""

import random
from typing import Any

import pytest
from sqlalchemy import event

from simian.history import History

from ..report import records

MONKEYS = ("chaos", "kong", "never run")
EXPERIMENTS = ("a store is lost", "a zone is lost", "never run")
NAMES = {"monkey": MONKEYS, "experiment": EXPERIMENTS}


@pytest.fixture
def runs(history: History) -> list[dict[str, Any]]:
    die = random.Random(3)
    stored = [
        {
            "run": f"r{number:02}",
            "monkey": die.choice(("chaos", "kong", "gorilla")),
            "experiment": die.choice((None, *EXPERIMENTS[:2])),
            "verdict": die.choice(("held", "broken", "unknown")),
            "outcome": die.choice(("completed", "aborted", "refused")),
            "started": records.moment(die.randrange(20)),  # some in the same moment
        }
        for number in range(80)
    ]
    for run in stored:
        history.store(run)
    return stored


@pytest.mark.parametrize("of", ["monkey", "experiment"])
def test_the_newest_runs_of_each_come_newest_first(history: History, runs: list[dict[str, Any]], of: Any) -> None:
    found = history.lately(of, NAMES[of], 5)
    for name in NAMES[of]:
        all_of = [run for run in runs if run[of] == name]
        newest = sorted(all_of, key=lambda run: (run["started"], run["run"]), reverse=True)[:5]
        keys = ("run", "started", "outcome", "verdict")
        assert found[name] == [{key: run[key] for key in keys} for run in newest]
    assert list(found) == list(NAMES[of])


def test_names_that_are_many_are_asked_for_all_the_same(history: History, runs: list[dict[str, Any]]) -> None:
    found = history.lately("experiment", [*(f"other {number}" for number in range(700)), "a zone is lost"], 3)
    assert len(found) == 701
    assert len(found["a zone is lost"]) == 3


def test_no_name_is_no_question(history: History) -> None:
    assert history.lately("monkey", [], 5) == {}


@pytest.mark.parametrize("of", ["monkey", "experiment"])
def test_one_question_that_reads_no_run_but_those_it_shows(history: History, of: Any) -> None:
    asked: list[tuple[str, Any]] = []
    engine = history._engine
    event.listen(engine, "before_cursor_execute", lambda c, cursor, sql, values, *more: asked.append((sql, values)))
    history.lately(of, NAMES[of], 5)
    ((sql, values),) = [(sql, values) for sql, values in asked if "runs" in sql]
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    looks = [step for step in plan if "runs" in step]
    assert looks
    assert all(f"USING INDEX ix_runs_{of}" in step for step in looks), plan
    assert not [step for step in plan if "ORDER BY" in step], plan
