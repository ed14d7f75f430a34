"""A run's readings into the history, beside raw sqlite3 with the same file, tables and pragmas; pages of many runs.

    python benchmarks/journal.py [--rounds 5] [--json FILE] [--quick]

The peer is handed rows that are tuples already; ours are the dicts of a record. CPU time, so that a slow disk is not
measured. Pages are those of the command line and of the dashboard, by every filter and deep within the list.
"""

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peers import Goal, Report, alone, compared, interleaved, run

from simian.history import History, open_history

READINGS, QUICK_READINGS = 100_000, 5_000
RUNS, QUICK_RUNS = 1_000_000, 5_000
STARTED = "2026-11-22T10:00:00.000000Z"
STORED = Goal(200_000, most=False, of="ours", why="Where sqlite3 alone hardly stores so many, only the ratio tells.")
KINDS = (
    ("completed", "held"), ("completed", "broken"), ("completed", "unknown"),
    ("aborted", "unknown"), ("refused", "unknown"), ("crashed", "unknown"),
)  # fmt: skip
MONKEYS = ("chaos", "gorilla", "kong", "latency", "split-brain")


def readings(count: int) -> list[dict[str, Any]]:
    """As a run records them."""
    return [
        {"check": "users", "at": 1.7e9 + i / 10, "value": 0.99, "silent": False, "detail": "served"}
        for i in range(count)
    ]


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for it."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def raw(file: Path) -> sqlite3.Connection:
    """The peer's connection, with the pragmas of ours."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def store_rates(history: History, file: Path, count: int, rounds: int) -> list[list[float]]:
    """Readings a CPU second, ours and raw."""
    items, names = readings(count), itertools.count()
    connection = raw(file)

    def ours() -> float:
        record = {"run": f"ours-{next(names)}", "started": STARTED, "readings": items}
        return count / cpu_s(lambda: history.store(record))

    def peer() -> float:
        connection.execute("INSERT INTO runs (run, started, more) VALUES (?, 0, '{}')", (f"raw-{next(names)}",))
        number = connection.execute("SELECT max(number) FROM runs").fetchone()[0]
        rows = [(number, i, *item.values(), "{}") for i, item in enumerate(items)]
        return count / cpu_s(lambda: insert(connection, rows))

    try:
        return interleaved(rounds, ours, peer)
    finally:
        connection.close()


def insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """All in one transaction, as ours are."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def many_runs(count: int) -> Iterator[tuple[Any, ...]]:
    """Runs of all monkeys and ends; the last 100 only are crashed ones, so that some filters find next to nothing."""
    for i in range(count):
        outcome, verdict = KINDS[5] if i >= count - 100 else KINDS[i % 5]
        yield f"many-{i:09}", MONKEYS[i // 5 % 5], outcome, verdict, 1_700_000_000_000_000 + i * 1_000_000


def fill(file: Path, count: int) -> None:
    """Put those runs there, past our code: it is not what is measured."""
    connection = raw(file)
    connection.execute("BEGIN")
    columns = "run, monkey, outcome, verdict, started, more"
    connection.executemany(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, '{{}}')", many_runs(count))
    connection.execute("COMMIT")
    connection.close()


def filters() -> Iterator[dict[str, Any]]:
    """Every combination of the page's filters."""
    monkeys, outcomes = (None, *MONKEYS), (None, "completed", "aborted", "refused", "crashed")
    for monkey, outcome, verdict in itertools.product(monkeys, outcomes, (None, "held", "broken", "unknown")):
        yield {"monkey": monkey, "outcome": outcome, "verdict": verdict}


def page_ms(history: History) -> list[tuple[float, str]]:
    """Each filter's first and second page in ms, with the filter's text; slowest last."""
    taken = []
    for wanted in filters():
        after = None
        for _ in range(2):
            begin = time.perf_counter()
            page = history.page(**wanted, after=after)
            taken.append((1000 * (time.perf_counter() - begin), str(wanted)))
            after = page.next
    return sorted(taken)


def measure(report: Report) -> None:
    """Readings first, then pages."""
    count, runs = (QUICK_READINGS, QUICK_RUNS) if report.quick else (READINGS, RUNS)
    report.peers["sqlite3"] = sqlite3.sqlite_version
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.db"
        with open_history(file) as history:
            ours, peer = store_rates(history, file, count, report.rounds)
            rate = compared("readings a CPU second", "", ours, peer, "sqlite3", Goal(0.6, most=False))
            report.rows += [rate, compared("readings a CPU second, alone", "", ours, None, "", STORED)]
            fill(file, runs)
            page_ms(history)  # statements are compiled once
            pages = [page_ms(history) for _ in range(report.rounds)]
            p95 = [taken[int(0.95 * len(taken))][0] for taken in pages]
            report.rows.append(alone(f"page of {runs:,} runs, p95 over all filters", "ms", p95, 5.0))
            worst = [taken[-1][0] for taken in pages]
            report.rows.append(compared(f"slowest such page ({pages[-1][-1][1]})", "ms", worst, None, "", None))


if __name__ == "__main__":
    run("journal", __doc__, measure)
