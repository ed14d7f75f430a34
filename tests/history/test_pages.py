"""Pages of past runs: newest first, no gap, no double, whatever is stored meanwhile."""

import base64
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from simian.errors import HistoryError, UsageError
from simian.history import History, open_history, read_page, store
from simian.history.cursor import write_cursor
from simian.history.page import query
from simian.history.schema import VERSION_TABLE

from ..report import records

MONKEYS = ("chaos", "gorilla", "latency", None)
VERDICTS = ("held", "broken", "unknown")
FILTERS: list[dict[str, str]] = [
    {},
    {"monkey": "chaos"},
    {"verdict": "broken"},
    {"outcome": "crashed"},
    {"monkey": "gorilla", "verdict": "held"},
    {"monkey": "kong", "outcome": "aborted"},
    {"outcome": "aborted", "verdict": "held"},  # there never is such a run
    {"monkey": "kong", "outcome": "crashed", "verdict": "unknown"},
]
OUTCOMES = ("refused", "aborted", "completed", "crashed")


def a_run(die: random.Random, name: str) -> records.Record:
    return {
        "run": name,
        "monkey": die.choice(MONKEYS),
        "verdict": die.choice(VERDICTS),
        "outcome": die.choice(OUTCOMES),
        "recovery": "clean",
        "seed": die.randrange(1 << 70),
        "started": records.moment(die.randrange(40)),  # many start in the same microsecond
    }


def filled(history: History, die: random.Random, many: int) -> list[records.Record]:
    stored = [a_run(die, f"{die.getrandbits(40):010x}") for _ in range(many)]
    for record in stored:
        history.store(record)
    return stored


def newest_first(stored: list[records.Record]) -> list[str]:
    return [each["run"] for each in sorted(stored, key=lambda each: (each["started"], each["run"]), reverse=True)]


def pages(history: History, **wanted: Any) -> Iterator[list[str]]:
    after = None
    while True:
        rows, after = history.page(after=after, **wanted)
        yield [row["run"] for row in rows]
        if after is None:
            return


def test_pages_give_every_run_once_in_order(history: History) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    die = random.Random(seed)
    stored = filled(history, die, 90)
    for limit in (1, 7, 30, 90, 1000):
        seen = list(pages(history, limit=limit))
        assert [run for page in seen for run in page] == newest_first(stored)
        assert all(len(page) == limit for page in seen[:-1])
        assert seen[-1]  # no empty last page


def test_runs_stored_while_somebody_pages_make_no_gap_and_no_double(history: History) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    die = random.Random(seed)
    stored = filled(history, die, 60)
    seen: list[str] = []
    for page in pages(history, limit=5):
        seen += page
        filled(history, die, 3)
    assert len(seen) == len(set(seen))
    before = {each["run"] for each in stored}
    assert [run for run in seen if run in before] == newest_first(stored)


@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize("wanted", FILTERS[1:])
def test_filters_hold_on_every_page(history: History, wanted: dict[str, str], limit: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    stored = filled(history, random.Random(seed), 60)
    right = [each for each in stored if all(each[key] == value for key, value in wanted.items())]
    assert [run for page in pages(history, limit=limit, **wanted) for run in page] == newest_first(right)


def odd(die: random.Random, record: records.Record) -> records.Record:
    """Some with values that no column holds, or that are not told in the one form of the column."""
    more: list[records.Record] = [
        {},
        {"monkey": "a\0b"},
        {"seed": -(1 << 63)},
        {"started": "2026-11-22"},
        {"verdict": 7},
    ]
    return record | die.choice(more)


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_page_by_sqlite3_alone_is_the_page(
    history: History, wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    die = random.Random(seed)
    for number in range(60):
        history.store(odd(die, a_run(die, f"{number:02}{die.choice('aZé_')}")))
    monkeypatch.setattr(store, "open_history", lambda _: pytest.fail("opened with SQLAlchemy"))
    for limit in (1, 3, 1000):
        bounds = [None, records.moment(die.randrange(40)), datetime.fromtimestamp(records.START + 20, UTC)]
        asked: dict[str, Any] = {**wanted, "limit": limit, "since": die.choice(bounds), "until": die.choice(bounds)}
        after = None
        while True:
            page = read_page(history.name, **asked, after=after)
            assert page == history.page(**asked, after=after)
            after = page.next
            if after is None:
                break


@pytest.mark.parametrize("words", ["x' OR '1'='1", "'; DROP TABLE runs;--", "x' UNION SELECT 1--", "%", "?"])
def test_what_is_asked_for_is_bound_and_never_read_as_sql(history: History, words: str) -> None:
    history.store(records.held_gorilla())
    for key in ("monkey", "region"):
        wanted: dict[str, Any] = {key: words}
        assert history.page(**wanted).rows == []
        assert read_page(history.name, **wanted).rows == []
    assert len(history.page().rows) == 1


def test_nothing_is_left_beside_a_file_that_was_read(tmp_path: Path) -> None:
    open_history(tmp_path / "h.db").close()
    assert read_page(tmp_path / "h.db") == ([], None)
    assert [path.name for path in tmp_path.iterdir()] == ["h.db"]


def test_what_sqlite3_alone_cannot_read_is_read_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "not here yet" / "h?.db"
    assert read_page(file) == ([], None)
    with open_history(file) as history:
        history.store(records.held_gorilla())
    found = read_page(str(file))
    assert len(found.rows) == 1
    plain = file.rename(tmp_path / "h.db")
    assert read_page(f"sqlite:///{plain}") == found


@pytest.mark.parametrize("spoilt", ["a diary", "another simian's", "somebody else's"])
def test_what_is_wrong_with_a_history_is_told_as_ever(tmp_path: Path, spoilt: str) -> None:
    file = tmp_path / "h.db"
    if spoilt == "a diary":
        file.write_text("dear diary\n" * 100)
    else:
        with closing(sqlite3.connect(file)) as other:
            other.execute(
                "CREATE TABLE runs (a)"
                if spoilt == "somebody else's"
                else f"CREATE TABLE {VERSION_TABLE} (version_num)"
            )
            if spoilt == "another simian's":
                other.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('9999')")
            other.commit()
    with pytest.raises(HistoryError) as ever:
        open_history(file)
    with pytest.raises(HistoryError) as told:
        read_page(file)
    assert str(told.value) == str(ever.value)


def test_since_is_included_and_until_is_not(history: History) -> None:
    for second in range(5):
        history.store(records.refused_latency() | {"run": f"r{second}", "started": records.moment(second)})
    rows = history.page(since=records.moment(1), until=records.moment(3)).rows
    assert [row["run"] for row in rows] == ["r2", "r1"]
    cet = datetime.fromtimestamp(records.START + 3, timezone(timedelta(hours=1)))
    assert [row["run"] for row in history.page(since=cet).rows] == ["r4", "r3"]
    assert history.page(until="2026-11-21").rows == []


def test_a_row_has_the_keys_of_the_command_lines_contract(history: History) -> None:
    history.store({"run": "r", "started": records.moment(0), "seed": 1 << 70, "plan": {"stages": []}})
    assert history.page().rows == [
        {
            "run": "r",
            "monkey": None,
            "started": records.moment(0),
            "outcome": None,
            "verdict": None,
            "recovery": None,
            "seed": 1 << 70,
        }
    ]


def test_an_empty_history_is_one_empty_page(history: History) -> None:
    assert history.page() == ([], None)


GOOD = write_cursor(records.moment(0), "k7f3")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "k7f3",
        GOOD[:-1],
        GOOD + "A",
        GOOD.swapcase(),
        "é",
        "\0",
        base64.urlsafe_b64encode(b"x" * 40).decode(),
        "=" * 9,
    ],
)
def test_a_cursor_that_is_not_ours_is_an_error(history: History, text: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        history.page(after=text)


def test_every_wrong_filter_is_named_at_once(history: History) -> None:
    with pytest.raises(UsageError) as caught:
        history.page(verdict="passed", outcome="done", since="tomorrow", until="2026-13-01", limit=0, after="x")
    told = caught.value.problems
    assert len(told) == 6
    for word in (
        "held, broken, unknown",
        "refused, aborted",
        "'tomorrow'",
        "'2026-13-01'",
        "limit cannot be 0",
        "cursor",
    ):
        assert any(word in problem for problem in told), word


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_page_is_read_from_an_index_in_order(history: History, wanted: dict[str, str]) -> None:
    sql, values, _ = query(after=GOOD, **wanted)
    with history._engine.connect() as connection:
        plan = " ".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values))
    index = "_".join(["ix_runs", *sorted(wanted), "started_run"])
    assert f"USING INDEX {index}" in plan
    assert "B-TREE" not in plan  # it would sort
