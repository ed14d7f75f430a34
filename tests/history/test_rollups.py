"""Sums kept as runs are stored are what counting the runs would give."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from simian.history import History, open_history
from simian.history.rollups import regions_of

from ..report import records

HOMES = {"members-east-a": "east", "members-west-a": "west", "queue-north": "north"}
EXPERIMENTS = (None, "a store is lost", "a zone is lost")


def a_run(die: random.Random, name: str) -> dict[str, Any]:
    return {
        "run": name,
        "monkey": die.choice(("chaos", "kong", None)),
        "experiment": die.choice(EXPERIMENTS),
        "verdict": die.choice(("held", "broken", "unknown")),
        "outcome": "completed",
        "recovery": "clean",
        "started": records.moment(die.randrange(5 * 86400)),
        "figures": {"regions": HOMES},
        "faults": [{"id": 1, "target": die.choice(list(HOMES))}],
    }


def counted(runs: list[dict[str, Any]], experiment: str) -> Counter[tuple[str, str, str]]:
    return Counter(
        (run["started"][:10], run["monkey"] or "", run["verdict"])
        for run in runs
        if not experiment or run["experiment"] == experiment
    )


def told(history: History, experiment: str) -> Counter[tuple[str, str, str]]:
    return Counter(
        {
            (rate.day, rate.name, word): getattr(rate, word)
            for rate in history.rates("1970-01-01", experiment=experiment)
            for word in ("held", "broken", "unknown")
            if getattr(rate, word)
        }
    )


@pytest.mark.parametrize("experiment", ["", "a zone is lost"])
def test_sums_are_those_of_the_runs_also_when_some_are_told_anew(history: History, experiment: str) -> None:
    die = random.Random(7)
    runs = {f"r{number}": a_run(die, f"r{number}") for number in range(60)}
    for run in runs.values():
        history.store(run)
    for name in die.sample(sorted(runs), 20):
        runs[name] = a_run(die, name)
        history.store(runs[name])
    assert told(history, experiment) == counted(list(runs.values()), experiment)


def test_pages_of_a_region_have_its_runs_and_no_other(history: History) -> None:
    die = random.Random(11)
    runs = [a_run(die, f"r{number:02}") for number in range(80)]
    for run in runs:
        history.store(run)
    for region in ("east", "west", "north"):
        for filters in ({}, {"verdict": "held"}, {"monkey": "kong", "verdict": "broken"}):
            wanted = [
                run
                for run in runs
                if HOMES[run["faults"][0]["target"]] == region and all(run[key] == filters[key] for key in filters)
            ]
            expected = [
                run["run"] for run in sorted(wanted, key=lambda run: (run["started"], run["run"]), reverse=True)
            ]
            assert paged(history, region=region, **filters) == expected


def paged(history: History, **wanted: Any) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        rows, after = history.page(**wanted, limit=7, after=after)
        found += [row["run"] for row in rows]
        if after is None:
            return found


@pytest.mark.parametrize(
    ("record", "regions"),
    [
        ({}, []),
        ({"figures": {"left": "east"}}, ["east"]),
        ({"options": {"region": "west"}}, ["west"]),
        ({"figures": {"regions": HOMES}, "faults": [{"target": "members-east-a--queue-north"}]}, ["east", "north"]),
        ({"figures": {"regions": HOMES}, "faults": [{"target": "members-west--members-east-a"}]}, ["east", "west"]),
        ({"figures": {"regions": HOMES}, "faults": [{"target": "north"}, {"target": "no such"}]}, ["north"]),
        ({"figures": [], "options": "x", "faults": [3]}, []),
        ({"options": {"region": "\ud800"}}, []),
    ],
)
def test_a_run_is_in_the_regions_that_it_hurt(record: dict[str, Any], regions: list[str]) -> None:
    assert regions_of(record) == regions


def test_what_held_and_broke_since_is_worse_and_nothing_else_is(history: History) -> None:
    told = {
        "got worse": "held held broken unknown broken",
        "mended": "held broken held",
        "never held": "broken broken",
        "always held": "held held",
        "cannot be told": "held unknown",
    }
    for name, verdicts in told.items():
        for day, verdict in enumerate(verdicts.split()):
            run = {
                "run": f"{name[:3]}{day}",
                "experiment": name,
                "verdict": verdict,
                "started": records.moment(day * 86400),
            }
            history.store(run)
    (found,) = history.worse()
    assert found[:2] == ("got worse", "got1")
    assert (found.broke, found.last) == ("got2", "got4")
    assert found.broke_at == records.moment(2 * 86400)


def test_runs_of_an_earlier_simian_are_counted_by_the_migration(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", "simian.history:migrations")
    engine = create_engine(f"sqlite:///{tmp_path / 'h.db'}")
    die = random.Random(3)
    runs = [a_run(die, f"r{number}") for number in range(30)]
    with open_history(tmp_path / "now.db") as now:
        for run in runs:
            now.store(run)
        expected = [told(now, name or "") for name in EXPERIMENTS]
        places = [paged(now, region=region) for region in ("east", "west", "north")]
        worse = now.worse()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text(f"ATTACH '{tmp_path / 'now.db'}' AS now"))
        for table in ("runs", "faults"):
            columns = ", ".join(f'"{row[1]}"' for row in connection.execute(text(f"PRAGMA table_info({table})")))
            connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM now.{table}"))
    engine.dispose()
    with open_history(tmp_path / "h.db") as history:
        assert [told(history, name or "") for name in EXPERIMENTS] == expected
        assert [paged(history, region=region) for region in ("east", "west", "north")] == places
        assert history.worse() == worse
