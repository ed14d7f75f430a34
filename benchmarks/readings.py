"""A run's readings into the history and out again, beside raw sqlite3, SQLAlchemy Core, and its ORM's `add_all`.

    python benchmarks/readings.py [--rounds 5] [--json FILE] [--quick]

Written is a record with so many readings, as a run hands it over: dicts, of which any may hold what no column can. All
peers write into the same tables, in one transaction; sqlite3 is handed tuples that are ready, Core the same dicts, the
ORM one object each. Read is the whole record as dicts; sqlite3 makes the dicts of its rows, too. CPU time, so that a
slow disk is not measured. A series is what a page draws of a day of users, from the record to its JSON; the peer is
Python's own reading of that record's JSON, the least anybody could do with it.
"""

import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy
from peers import Goal, Report, Row, compared, interleaved, run
from sqlalchemy import insert, select
from sqlalchemy.orm import Session, registry

from simian.histogram import Histogram
from simian.history import History, open_history
from simian.history.database import WRITES, address, connect
from simian.history.moment import to_us
from simian.history.tables import readings, runs
from simian.report.model import read
from simian.web.series import series_of

READINGS, QUICK_READINGS = 100_000, 2_000
SECONDS, QUICK_SECONDS = 86_400, 300  # of users' traffic, in each of two regions
STARTED = "2026-11-22T10:00:00.000000Z"
STORED = Goal(200_000, most=False, of="ours", why="Where sqlite3 alone hardly stores so many, only the ratio tells.")
COLUMNS = ("check", "at", "value", "silent", "detail")


class Reading:
    """What the ORM maps to the table."""


registry().map_imperatively(Reading, readings)


def measured(count: int) -> list[dict[str, Any]]:
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


class Writers:
    """Each way to store a run with its readings. All give readings a CPU second."""

    def __init__(self, file: Path, history: History, connection: sqlite3.Connection, count: int) -> None:
        self.history, self.raw, self.engine = history, connection, connect(address(file)).execution_options(**WRITES)
        self.items, self._names = measured(count), itertools.count()

    def ours(self) -> float:
        """A record is stored."""
        record = {"run": f"ours-{next(self._names)}", "started": STARTED, "readings": self.items}
        return self._rate(lambda: self.history.store(record), len(self.items))

    def sqlite3(self) -> float:
        """By the library of the language."""
        number = self._run()
        rows = [(number, position, *item.values(), "{}") for position, item in enumerate(self.items)]

        def write() -> None:
            self.raw.execute("BEGIN IMMEDIATE")
            self.raw.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self.raw.execute("COMMIT")

        return self._rate(write, len(rows))

    def core(self) -> float:
        """By SQLAlchemy Core."""
        number = self._run()
        rows = [{"number": number, "position": i, **item, "more": {}} for i, item in enumerate(self.items)]

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(insert(readings), rows)

        return self._rate(write, len(rows))

    def add_all(self) -> float:
        """By the ORM."""
        number = self._run()

        def write() -> None:
            with Session(self.engine) as session, session.begin():
                session.add_all(_object(number, position, item) for position, item in enumerate(self.items))

        return self._rate(write, len(self.items))

    def _run(self) -> int:
        name = f"peer-{next(self._names)}"
        self.raw.execute("INSERT INTO runs (run, started, more) VALUES (?, ?, '{}')", (name, to_us(STARTED)))
        return int(self.raw.execute("SELECT number FROM runs WHERE run = ?", (name,)).fetchone()[0])

    @staticmethod
    def _rate(write: Callable[[], object], count: int) -> float:
        return count / cpu_s(write)


def _object(number: int, position: int, item: dict[str, Any]) -> Reading:
    one = Reading()
    for name, value in {"number": number, "position": position, **item, "more": {}}.items():
        setattr(one, name, value)
    return one


def written(writers: Writers, rounds: int) -> list[Row]:
    """Rows of what is stored."""
    ways = (writers.ours, writers.sqlite3, writers.core, writers.add_all)
    ours, *peers = interleaved(rounds, *ways)
    goals = (("sqlite3", 0.6), ("Core", 2.0), ("add_all", 20.0))
    rows = [
        compared("stored a CPU second", "", ours, peer, name, Goal(ratio, most=False))
        for peer, (name, ratio) in zip(peers, goals, strict=True)
    ]
    return [*rows, compared("stored a CPU second, alone", "", ours, None, "", STORED)]


def read_back(writers: Writers, rounds: int) -> list[Row]:
    """Rows of a run's record, whole, from the database."""
    name = f"read-{len(writers.items)}"
    writers.history.store({"run": name, "started": STARTED, "readings": writers.items})
    with writers.engine.connect() as connection:
        number = connection.execute(select(runs.c.number).where(runs.c.run == name)).scalar_one()

    def ours() -> float:
        return Writers._rate(lambda: writers.history.get(name), len(writers.items))

    def peer() -> float:
        return Writers._rate(lambda: raw_items(writers.raw, number), len(writers.items))

    assert writers.history.get(name)["readings"] == raw_items(writers.raw, number) == writers.items
    return [compared("read a CPU second", "", *interleaved(rounds, ours, peer), "sqlite3", None)]


def raw_items(connection: sqlite3.Connection, number: int) -> list[dict[str, Any]]:
    """The same dicts, by hand."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    rows = connection.execute(f"SELECT {names} FROM readings WHERE number = ? ORDER BY position", (number,))
    return [
        {"check": check, "at": at, "value": value, "silent": bool(silent), "detail": detail}
        for check, at, value, silent, detail in rows
    ]


def a_day(seconds: int) -> dict[str, Any]:
    """The record of a run of so long, with two regions' users."""
    die = Random(7)
    traffic = [_second(die, second, home) for second in range(seconds) for home in ("east", "west")]
    phases = [{"phase": "observe", "started": STARTED, "ended": None}]
    ended = {"outcome": "completed", "verdict": "held", "recovery": "clean"}
    return {"run": "day", "started": STARTED, **ended, "phases": phases, "traffic": traffic}


def _second(die: Random, second: int, home: str) -> dict[str, Any]:
    latency = Histogram()
    for _ in range(20):
        latency.record(die.lognormvariate(3.0, 0.5))
    failed = die.randrange(2)
    return {
        "at": to_us(STARTED) / 1e6 + second, "seconds": 1.0, "home": home, "served": {home: 100 - failed},
        "ended": 100, "ok": 100 - failed, "failed": failed, "first_failed": failed, "shed": 0,
        "latency": latency.to_json(),
    }  # fmt: skip


def series(rounds: int, seconds: int) -> list[Row]:
    """Rows of what a page draws."""
    record = a_day(seconds)
    text = json.dumps(record)
    assert series_of(read(record))["at"]

    def ours() -> float:
        return 1000 * cpu_s(lambda: json.dumps(series_of(read(record))))

    def peer() -> float:
        return 1000 * cpu_s(lambda: json.loads(text))

    what = f"series of {seconds / 3600:.3g} h, {len(record['traffic']):,} rows"
    return [compared(what, "ms", *interleaved(rounds, ours, peer), "json.loads", None)]


def measure(report: Report) -> None:
    """In, out, and drawn."""
    count, seconds = (QUICK_READINGS, QUICK_SECONDS) if report.quick else (READINGS, SECONDS)
    report.peers.update(sqlite3=sqlite3.sqlite_version, sqlalchemy=sqlalchemy.__version__)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.db"
        with open_history(file) as history, closing(raw(file)) as connection:
            writers = Writers(file, history, connection, count)
            report.rows += written(writers, report.rounds)
            report.rows += read_back(writers, report.rounds)
            writers.engine.dispose()
    report.rows += series(report.rounds, seconds)


if __name__ == "__main__":
    run("readings", __doc__, measure)
