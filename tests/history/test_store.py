"""What is stored comes back whole; storing again replaces."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from simian.errors import UsageError
from simian.history import History, open_history
from simian.history.tables import PARTS as TABLES
from simian.history.tables import runs

from ..report import evacuations, records

PARTS = (
    "phases", "faults", "steady_state", "weaknesses", "readings", "traffic", "arrivals", "caches", "moments",
    "backlog",
)  # fmt: skip


def through_json(record: records.Record) -> records.Record:
    loaded: records.Record = json.loads(json.dumps(record))
    return loaded


ALL = {**records.ALL, **evacuations.ALL}


@pytest.mark.parametrize("name", ALL)
def test_each_kind_of_run_comes_back_as_it_was_stored(history: History, name: str) -> None:
    record = through_json(ALL[name]())
    history.store(record)
    assert history.get(record["run"]) == record


def test_it_is_still_there_when_opened_again(tmp_path: Path) -> None:
    record = through_json(records.held_gorilla())
    with open_history(tmp_path / "h.db") as first:
        first.store(record)
    with open_history(str(tmp_path / "h.db")) as second:
        assert second.get("last") == record


def test_storing_twice_is_storing_once(history: History) -> None:
    record = through_json(records.held_gorilla())
    history.store(record)
    history.store(record)
    assert len(history.page().rows) == 1
    assert history.get(record["run"]) == record


def test_a_stuck_run_that_was_mended_is_told_anew_and_nothing_of_the_old_is_left(history: History) -> None:
    stuck = through_json(records.stuck_latency())
    history.store(stuck)
    mended = stuck | {"recovery": "clean", "faults": [stuck["faults"][1]], "readings": [], "traffic": []}
    history.store(mended)
    assert history.get(stuck["run"]) == mended


ODD_VALUES: list[Any] = [
    None,
    True,
    2**63,
    -(2**80),
    1.5,
    math.inf,
    "",
    "a\0b",
    "half \ud800 a pair",
    "é漢🐒",
    [1],
    {"a": None},
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=ascii)
@pytest.mark.parametrize(
    "key", ["seed", "note", "hypothesis", "exposure_assumed", "topology_hash", "ended", "extra", "plan"]
)
def test_a_value_its_column_cannot_hold_comes_back_all_the_same(history: History, key: str, value: Any) -> None:
    record = records.refused_latency() | {key: value}
    history.store(record)
    assert history.get(record["run"]) == record
    assert type(history.get(record["run"])[key]) is type(value)


@pytest.mark.parametrize("value", ODD_VALUES, ids=ascii)
@pytest.mark.parametrize(
    ("part", "key"), [("readings", "value"), ("readings", "at"), ("faults", "exposure"), ("checks", "x")]
)
def test_so_does_one_inside_a_list(history: History, part: str, key: str, value: Any) -> None:
    record = records.refused_latency() | {part: [{"check": "c"}, {"check": "c", key: value}]}
    history.store(record)
    assert history.get(record["run"])[part] == record[part]


@pytest.mark.parametrize("value", [None, 7, math.inf, "half \ud800 a pair", True])
def test_so_does_one_amid_thousands_of_usual_ones(history: History, value: Any) -> None:
    usual = [{"check": "c", "at": at / 8, "value": 0.5, "silent": False, "detail": ""} for at in range(2500)]
    usual[1700] |= {"value": value, "detail": value}
    record = records.refused_latency() | {"readings": usual}
    history.store(record)
    assert history.get(record["run"])["readings"] == usual
    assert type(history.get(record["run"])["readings"][1700]["value"]) is (float if value == 7 else type(value))


def test_a_time_written_in_another_way_keeps_its_text_and_its_place_in_the_order(history: History) -> None:
    history.store(records.refused_latency() | {"run": "a", "started": "2026-11-21T12:30:00+02:00"})
    history.store(records.refused_latency() | {"run": "b", "started": "2026-11-21T10:29:59.000000Z"})
    assert [row["run"] for row in history.page().rows] == ["a", "b"]
    assert history.get("a")["started"] == "2026-11-21T12:30:00+02:00"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["check", "at", "value", "silent", "detail", "phase", "started", "id", "kind", "evidence", "more", "number"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.sampled_from(PARTS),
    items=st.lists(st.dictionaries(KEYS | st.text(max_size=4), JSON, max_size=6), max_size=4),
)
def test_any_list_of_objects_comes_back(history: History, part: str, items: list[Any]) -> None:
    record = through_json(records.refused_latency()) | {part: items}
    history.store(record)
    assert history.get(record["run"]) == record


@pytest.mark.parametrize(("broken", "error"), [({"started": None}, TypeError), ({"started": "yesterday"}, ValueError)])
def test_a_record_without_a_start_is_refused_and_the_old_one_kept(
    history: History, broken: dict[str, Any], error: type[Exception]
) -> None:
    record = through_json(records.held_gorilla())
    history.store(record)
    with pytest.raises(error):
        history.store(record | broken)
    assert history.get(record["run"]) == record


def test_a_run_is_found_by_the_beginning_of_its_id(history: History) -> None:
    for run in ("k7f3", "k7f4", "k7f", "zz"):
        history.store(records.refused_latency() | {"run": run})
    assert history.get("z")["run"] == "zz"
    assert history.get("k7f4")["run"] == "k7f4"
    assert history.get("k7f")["run"] == "k7f"  # whole, though others go on from there
    assert history.has("k7f3")
    assert not history.has("k7")


@pytest.mark.parametrize("run", ["", "k7"])
def test_a_beginning_of_several_runs_is_an_error_that_names_them(history: History, run: str) -> None:
    for found in ("k7f3", "k7f4"):
        history.store(records.refused_latency() | {"run": found})
    with pytest.raises(UsageError, match="k7f3, k7f4"):
        history.get(run)


@pytest.mark.parametrize("run", ["nobody", "%", "_", "'; drop table runs; --", "\U0010ffff"])
def test_a_run_that_is_not_there_is_an_error_that_says_where_to_look(history: History, run: str) -> None:
    history.store(records.held_gorilla())
    with pytest.raises(UsageError, match="simian history"):
        history.get(run)


def test_the_last_run_is_the_one_that_started_last(history: History) -> None:
    with pytest.raises(UsageError, match="empty"):
        history.get("last")
    for run, second in (("b", 2), ("c", 3), ("a", 1)):
        history.store(records.refused_latency() | {"run": run, "started": records.moment(second)})
    assert history.get("last")["run"] == "c"


def test_runs_before_a_moment_are_taken_away_with_all_that_belongs_to_them(history: History) -> None:
    for day in range(1, 131):
        whole = records.ALL["held gorilla"]() | {
            "run": f"r{day:03}",
            "started": f"2026-{1 + day // 28:02}-{1 + day % 28:02}T00:00:00.000000Z",
        }
        history.store(whole)
    assert history.prune("2026-04-01T00:00:00.000000Z") == 83
    assert history.prune("2026-04-01T00:00:00.000000Z") == 0
    assert len(history.page(limit=200).rows) == 47
    with history._engine.connect() as connection:
        for table in TABLES.values():
            orphans = select(table.c.number).where(table.c.number.not_in(select(runs.c.number)))
            assert connection.execute(orphans).first() is None
    assert history.rates("2026-01-01T00:00:00.000000Z"), "sums by day stay"
