"""What it takes to write down a fault before it is put in place, beside raw sqlite3 with the same row and care.

    python benchmarks/journal.py [--rounds 5] [--json FILE] [--quick]

An injection waits for its intent, which is on the disk (`synchronous=FULL`) before anything is touched: so long it
adds. The peer has the same tables in a file of its own beside ours, and is handed tuples that are ready; ours are
faults. The disk is that of temporary files. Faults are of one node each; a zone's are in one transaction.
"""

import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from peers import Goal, Report, Row, compared, interleaved, run

from simian.faults.node import Kill
from simian.journal import Journal

INTENTS, QUICK_INTENTS = 500, 20  # in each round
ZONE = 20  # faults at once
AT = 1.7e9
NO_MORE_MS = {"p50": Goal(1.0, of="ours"), "p99": Goal(5.0, of="ours")}
SHARES = {"p50": 0.5, "p99": 0.99}
INSERT = "INSERT INTO faults (run, n, stage, fault, state, intended, control) VALUES (?, ?, ?, ?, 'intended', ?, ?)"


def raw(file: Path) -> sqlite3.Connection:
    """The peer's connection to a journal with our tables, with the care of ours."""
    Journal(file).close()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


class Writers:
    """Both ways to write intents of so many faults at once; each gives the ms that each of ``count`` took."""

    def __init__(self, folder: Path, count: int, together: int) -> None:
        self._count, self._names = count, itertools.count()
        self._faults = [(n, "blow", Kill(f"members-east-{n}"), {"was": "running"}) for n in range(together)]
        self._texts = [(json.dumps(fault.to_json()), json.dumps(control)) for _, _, fault, control in self._faults]
        self._journal, self._raw = Journal(folder / f"ours-{together}.db"), raw(folder / f"peer-{together}.db")

    def ours(self) -> list[float]:
        """As a runner does."""
        return self._taken_ms(lambda run_: self._journal.intend(run_, self._faults, AT))

    def peer(self) -> list[float]:
        """By the library of the language."""

        def write(run_: str) -> None:
            self._raw.execute("BEGIN IMMEDIATE")
            rows = [(run_, n, "blow", fault, AT, control) for n, (fault, control) in enumerate(self._texts)]
            self._raw.executemany(INSERT, rows)
            self._raw.execute("COMMIT")

        return self._taken_ms(write)

    def _taken_ms(self, write: Callable[[str], None]) -> list[float]:
        taken = []
        for name in [f"run-{next(self._names)}" for _ in range(self._count)]:
            begin = time.perf_counter()
            write(name)
            taken.append(1000 * (time.perf_counter() - begin))
        return sorted(taken)

    def kept(self) -> tuple[int, int]:
        """How many faults the files hold, ours and the peer's."""
        counted = "SELECT count(*) FROM faults"
        with closing(sqlite3.connect(self._journal.path)) as ours:
            return ours.execute(counted).fetchone()[0], self._raw.execute(counted).fetchone()[0]

    def close(self) -> None:
        """Both."""
        self._journal.close()
        self._raw.close()


def rows(what: str, taken: list[list[list[float]]], goals: dict[str, Goal]) -> Iterator[Row]:
    """Of one way to be asked."""
    for word, share in SHARES.items():
        ours, peer = ([one[int(share * len(one))] for one in each] for each in taken)
        yield compared(f"{what}, {word}", "ms", ours, peer, "sqlite3", goals.get(word))


def measure(report: Report) -> None:
    """One fault, then a zone of them."""
    count = QUICK_INTENTS if report.quick else INTENTS
    report.peers["sqlite3"] = sqlite3.sqlite_version
    asked: tuple[tuple[str, int, dict[str, Any]], ...] = (
        ("intent of one fault", 1, NO_MORE_MS),
        (f"intent of {ZONE} faults", ZONE, {}),
    )
    with tempfile.TemporaryDirectory() as folder:
        for what, together, goals in asked:
            with closing(Writers(Path(folder), count, together)) as writers:
                report.rows += rows(what, interleaved(report.rounds, writers.ours, writers.peer), goals)
                assert writers.kept() == (report.rounds * count * together,) * 2


if __name__ == "__main__":
    run("journal", __doc__, measure)
