"""The journal: what it says it wrote is on the disk, whoever asks, and a damaged file is named, never a traceback."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simian import Cut, Kill
from simian.crash_points import Recording
from simian.errors import JournalError
from simian.journal import SCHEMA, UPGRADES, Journal, mark_of

WHO = (1, "now")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def begun(path: Path, *runs: str) -> Journal:
    journal = Journal(path)
    for number, run in enumerate(runs):
        journal.begin(run, at=100.0 + number, owner=WHO, request={"seed": 7}, world={"driver": "memory"})
    return journal


def intend(journal: Journal, run: str, count: int, at: float = 5.0) -> None:
    journal.intend(run, [(n, f"stage {n}", Kill(f"web-{n}"), {"seen": "up"}) for n in range(1, count + 1)], at)


WRITES: list[tuple[str, Callable[[Journal], object], str, object]] = [
    ("keep", lambda j: j.keep("r", plan={"a": 1}), "SELECT plan FROM runs", '{"a": 1}'),
    ("keep text", lambda j: j.keep("r", guardian_start_time="12"), "SELECT guardian_start_time FROM runs", "12"),
    ("enter", lambda j: j.enter("r", "inject", 3.0), "SELECT phase FROM phases", "inject"),
    ("intend", lambda j: intend(j, "r", 2), "SELECT count(*) FROM faults WHERE state='intended'", 2),
    ("mark", lambda j: (intend(j, "r", 1), j.mark("r", 1, "injected", injected=9.0)), "SELECT injected FROM faults", 9),
    ("note", lambda j: (intend(j, "r", 1), j.note_fault("r", 1, exposure=4)), "SELECT exposure FROM faults", 4),
    ("lock", lambda j: j.lock("r", [("node", "a")]), "SELECT run FROM locks", "r"),
    ("observe", lambda j: j.observe("r", [(1.0, "slice", {})]), "SELECT count(*) FROM observations", 1),
    (
        "end",
        lambda j: j.end("r", at=9.0, outcome="completed", verdict="held", recovery="clean", reasons=[]),
        "SELECT verdict FROM runs",
        "held",
    ),
    ("mark_fed", lambda j: j.mark_fed("r"), "SELECT fed FROM runs", 1),
]


@pytest.mark.parametrize(("name", "write", "query", "expected"), WRITES, ids=[row[0] for row in WRITES])
def test_each_write_is_durable_before_it_returns(
    name: str, write: Callable[[Journal], object], query: str, expected: object, path: Path
) -> None:
    journal = begun(path, "r")
    write(journal)
    other = sqlite3.connect(path)
    assert other.execute(query).fetchone()[0] == expected
    other.close()
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL: a power cut loses nothing"
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_stage_is_intended_whole_or_not_at_all(path: Path) -> None:
    journal = begun(path, "r")
    intend(journal, "r", 1)
    with pytest.raises(JournalError):
        journal.intend("r", [(2, "s", Kill("b"), {}), (1, "s", Kill("a"), {})], 6.0)
    assert [row["n"] for row in journal.fault_rows("r")] == [1]
    intend_more = [(2, "s", Kill("b"), {})]
    journal.intend("r", intend_more, 7.0)
    assert [row["n"] for row in journal.fault_rows("r")] == [1, 2], "a write that failed leaves no transaction open"


def test_what_is_open_comes_newest_first_with_all_that_undo_needs(path: Path) -> None:
    journal = begun(path, "r", "other")
    intend(journal, "r", 5)
    intend(journal, "other", 1)
    journal.mark("r", 2, "injected", injected=6.0)
    journal.mark("r", 3, "undone", undone=7.0)
    journal.mark("r", 4, "doubtful", doubtful_until=99.5, error="no answer")
    journal.mark("r", 5, "stuck", error="will not")
    found = Journal(path).still_open("r")
    assert [(e.n, e.state, e.doubtful_until) for e in found] == [
        (5, "stuck", None),
        (4, "doubtful", 99.5),
        (2, "injected", None),
        (1, "intended", None),
    ]
    assert found[1].fault == Kill("web-4")
    assert found[1].mark == mark_of("r", 4) == "simian.r.4"
    assert [row["run"] for row in journal.with_open_faults()] == ["other", "r"], "newest run first"


def test_a_fault_comes_back_as_the_value_it_was(path: Path) -> None:
    journal = begun(path, "r")
    fault = Cut(
        "a--b", how="blackhole", was={"link": "a--b", "enabled": True, "marks": [], "foreign": ["x"], "proxy": {}}
    )
    journal.intend("r", [(1, "s", fault, {})], 1.0)
    assert Journal(path).still_open("r")[0].fault == fault


# --- runs


def test_a_run_is_unfinished_until_it_has_ended(path: Path) -> None:
    journal = begun(path, "a", "b")
    assert [row["run"] for row in journal.unfinished()] == ["a", "b"]
    journal.enter("a", "plan", 1.0)
    journal.enter("a", "preflight", 2.0)
    journal.end("a", at=3.0, outcome="completed", verdict="held", recovery="clean", reasons=["why"])
    assert [row["run"] for row in journal.unfinished()] == ["b"]
    assert [(p["phase"], p["started"], p["ended"]) for p in journal.phases("a")] == [
        ("plan", 1.0, 2.0),
        ("preflight", 2.0, 3.0),
    ]
    assert journal.run_row("a")["reasons"] == '["why"]'
    assert journal.unfed() == ["a"]
    journal.mark_fed("a")
    assert journal.unfed() == []


def test_a_run_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match="has no run 'nobody'"):
        Journal(path).run_row("nobody")


def test_runs_that_injected_lately_are_counted_once(path: Path) -> None:
    journal = begun(path, "old", "new", "never")
    for run, at in (("old", 100.0), ("new", 200.0)):
        intend(journal, run, 2)
        journal.mark(run, 1, "injected", injected=at)
        journal.mark(run, 2, "injected", injected=at)
    intend(journal, "never", 1)
    assert [journal.injecting_since(moment) for moment in (0.0, 100.0, 100.1, 200.1)] == [2, 2, 1, 0]


def test_observations_come_in_order_and_go_when_the_history_has_them(path: Path) -> None:
    journal = begun(path, "r")
    journal.observe("r", [(2.0, "reading", {"value": 2}), (1.0, "slice", {"rows": []})])
    journal.observe("r", [])
    assert list(journal.observations("r")) == [(1.0, "slice", {"rows": []}), (2.0, "reading", {"value": 2})]
    journal.mark_fed("r")
    assert list(journal.observations("r")) == []


# --- locks


def test_two_runs_never_hold_the_same_target(path: Path) -> None:
    one, two = begun(path, "one", "two"), Journal(path)
    assert one.lock("one", [("node", "a"), ("node", "b"), ("node", "a")]) == []
    assert two.lock("two", [("node", "c"), ("node", "b")]) == ["b (node) is held by run one"]
    assert two.lock("two", [("link", "b"), ("node", "c")]) == [], "another layer, and nothing was half taken"
    one.end("one", at=9.0, outcome="completed", verdict="held", recovery="clean", reasons=[])
    assert two.lock("two", [("node", "b")]) == []


def test_a_stuck_run_keeps_its_locks(path: Path) -> None:
    journal = begun(path, "one", "two")
    journal.lock("one", [("node", "a")])
    journal.end("one", at=9.0, outcome="completed", verdict="held", recovery="stuck", reasons=[])
    assert journal.lock("two", [("node", "a")]) == ["a (node) is held by run one"]


# --- many at once


WRITER = """
import sys
from pathlib import Path
from simian import Kill
from simian.journal import Journal
journal, run = Journal(Path(sys.argv[1])), sys.argv[2]
journal.begin(run, at=1.0, owner=(1, "x"), request={}, world={})
for n in range(1, 26):
    journal.intend(run, [(n, "s", Kill(f"web-{n}"), {})], float(n))
    journal.mark(run, n, "injected", injected=float(n))
print("all written")
"""


def test_four_processes_write_at_once_and_nothing_is_lost(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"run-{k}"], stdout=subprocess.PIPE, text=True)
        for k in range(4)
    ]
    assert [writer.communicate(timeout=120)[0] for writer in writers] == ["all written\n"] * 4
    journal = Journal(path)
    for k in range(4):
        assert [(row["n"], row["state"]) for row in journal.fault_rows(f"run-{k}")] == [
            (n, "injected") for n in range(1, 26)
        ]


def test_threads_share_one_journal(path: Path) -> None:
    journal, failed = begun(path, "r"), []
    intend(journal, "r", 40)

    def work(first: int) -> None:
        try:
            for n in range(first, 41, 4):
                journal.mark("r", n, "undone", undone=1.0)
        except JournalError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert journal.still_open("r") == []


def test_a_writer_that_holds_the_file_too_long_is_an_error_that_names_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simian.journal.BUSY_LIMIT_S", 0.05)
    journal = begun(path, "r")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"journal\.db cannot be written: database is locked"):
        journal.enter("r", "plan", 1.0)
    other.execute("ROLLBACK")
    other.close()
    journal.enter("r", "plan", 1.0)


# --- damage


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt, and no database at all" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


def _truncated(path: Path) -> None:
    Journal(path).close()
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize("damage", [_not_sqlite, _folder, _truncated])
def test_a_damaged_journal_is_named_with_what_to_do(damage: Callable[[Path], Any], path: Path) -> None:
    path.parent.mkdir()
    damage(path)

    def use() -> None:
        journal = Journal(path)
        journal.begin("r", at=1.0, owner=WHO, request={}, world={})
        journal.still_open("r")

    with pytest.raises(JournalError) as caught:
        use()
    assert str(path) in str(caught.value)


def test_a_state_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(JournalError, match=r"state/journal\.db cannot be used"):
        Journal(tmp_path / "state" / "journal.db")


def test_a_journal_of_a_newer_simian_is_left_alone(path: Path) -> None:
    Journal(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    db.close()
    with pytest.raises(JournalError, match=f"has schema {SCHEMA + 1}, this simian knows {SCHEMA}"):
        Journal(path)


@pytest.mark.parametrize("schema", UPGRADES)
def test_two_who_open_an_older_journal_at_once_bring_it_up_to_date_once(path: Path, schema: int) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as first, ThreadPoolExecutor() as pool:
        first.execute("ALTER TABLE runs DROP COLUMN figures")
        first.execute(f"PRAGMA user_version={schema}")
        first.execute("BEGIN IMMEDIATE")
        second = pool.submit(Journal, path)
        with pytest.raises(TimeoutError):  # it has seen the old schema, and waits for its turn
            second.result(timeout=0.5)
        first.execute("ALTER TABLE runs ADD COLUMN figures TEXT")
        first.execute(f"PRAGMA user_version={SCHEMA}")
        first.execute("COMMIT")
        second.result(timeout=20).begin("r", at=1.0, owner=WHO, request={}, world={})


def test_a_fault_that_this_version_does_not_know_is_an_error_that_names_the_file(path: Path) -> None:
    journal = begun(path, "r")
    intend(journal, "r", 1)
    db = sqlite3.connect(path)
    db.execute("""UPDATE faults SET fault='{"kind": "meteor", "version": 1}'""")
    db.commit()
    db.close()
    with pytest.raises(JournalError, match=r"journal\.db"):
        journal.still_open("r")


def test_each_write_is_two_crash_points(path: Path) -> None:
    recording = Recording()
    journal = Journal(path, recording)
    journal.begin("r", at=1.0, owner=WHO, request={}, world={})
    journal.keep("r", plan={})
    intend(journal, "r", 1)
    journal.mark("r", 1, "undone", undone=1.0)
    named = ["begin", "keep_plan", "intend", "mark_undone"]
    assert recording.names == [f"journal.{name}:{when}" for name in named for when in ("before", "after")]
