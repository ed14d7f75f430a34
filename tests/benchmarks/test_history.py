"""Looking back over many runs: what is measured is what simian would have stored, and the peers are asked the same."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian.history import open_history

COUNT, READINGS = 240, 3
TABLES = ("runs", "faults", "readings", "daily", "subjects", "places", "phases")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one."""
    import million

    return million.built(tmp_path_factory.mktemp("built"), COUNT, READINGS)


@pytest.fixture(scope="module", autouse=True)
def _importable_early(request: pytest.FixtureRequest) -> Any:
    from .conftest import BENCHMARKS

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


def contents(file: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(file)) as connection:
        rows = {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in TABLES}
        indexes = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
        return {**rows, "indexes": indexes}


def test_runs_that_were_put_there_are_as_if_they_had_been_stored(file: Path, tmp_path: Path) -> None:
    import million

    with open_history(tmp_path / "stored.db") as history:
        for number in range(COUNT):
            history.store(million.record(number, COUNT, READINGS))
    put, stored = contents(file), contents(tmp_path / "stored.db")
    assert [name for name in put if put[name] != stored[name]] == []
    assert len(put["readings"]) == COUNT * READINGS


def test_what_is_there_already_is_not_made_again(file: Path) -> None:
    import million

    made = file.stat().st_mtime_ns
    assert million.built(file.parent, COUNT, READINGS) == file
    assert file.stat().st_mtime_ns == made


def test_peers_find_the_same_runs(file: Path) -> None:
    import history

    die = Random(5)
    with open_history(file) as past, closing(sqlite3.connect(file)) as raw:
        looks = history.Looks(file, COUNT, past, raw)
        for asks in (history.one_filter, history.several_filters):
            for wanted in (asks(die) for _ in range(40)):
                page: Any = looks.page(wanted)
                for raw_way in (looks.raw_page, looks.raw_command):
                    found: Any = raw_way(wanted)
                    assert [row["run"] for row in page.rows] == [row[0] for row in found][: history.ROWS]
                assert page == looks.command(wanted)
        deep = {"after": history.cursor(100, COUNT)}
        page = looks.page(deep)
        offset: Any = looks.offset(deep)
        assert page.rows[0]["run"] == "many-000000099"
        assert [row["run"] for row in page.rows] == [row[1] for row in offset][: history.ROWS]


def test_sums_are_what_counting_gives(file: Path) -> None:
    import history

    with open_history(file) as past, closing(sqlite3.connect(file)) as raw:
        looks = history.Looks(file, COUNT, past, raw)
        rates: Any = looks.rates("1970-01-01")
        counted: Any = looks.raw_rates("1970-01-01")
        told = {(rate.name, word): 0 for rate in rates for word in ("held", "broken", "unknown")}
        for rate in rates:
            for word in ("held", "broken", "unknown"):
                told[rate.name, word] += getattr(rate, word)
        by_counting = {key: 0 for key in told}
        for _, monkey, verdict, number in counted:
            by_counting[monkey, verdict] += number
        assert told == by_counting
        assert sum(told.values()) == COUNT
        worse: Any = looks.worse(None)
        by_hand: Any = looks.raw_worse(None)
        assert {each.experiment for each in worse} == {row[0] for row in by_hand}
        assert worse


def test_it_runs_and_has_a_row_for_each_goal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import history
    import peers

    monkeypatch.setattr(history, "BUILD", tmp_path)
    report = peers.Report(1, quick=True)
    history.measure(report)
    assert all(row.ours > 0 for row in report.rows)
    assert {row.goal for row in report.rows} == {"-", "ours <= 5", "ours <= 100"}
