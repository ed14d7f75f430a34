"""The journal: write-ahead records of runs and of the faults in place. Local, SQLite, one committed step at a time.

Undo never depends on anything but this file (or the guardian's copy in memory). Each write is one transaction with
``synchronous=FULL``; each is a pair of crash points, ``journal.<write>:before`` and ``:after``.
Times are seconds since the epoch.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simian.crash_points import CrashPoint, no_crash
from simian.errors import JournalError

if TYPE_CHECKING:  # a command that only looks back asks for no fault, and would import all kinds of them
    from simian.fault import Fault

SCHEMA = 2
BUSY_LIMIT_S = 5.0
UNUSABLE = (sqlite3.Error, UnicodeError)  # the latter: SQLite quotes what is damaged, and that is no text any more
OPEN_STATES = ("intended", "injected", "doubtful", "stuck")

TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL, pid INTEGER NOT NULL, start_time TEXT NOT NULL,
    guardian_pid INTEGER, guardian_start_time TEXT, request TEXT NOT NULL, world TEXT NOT NULL, plan TEXT,
    snapshot TEXT, outcome TEXT, verdict TEXT, recovery TEXT, reasons TEXT NOT NULL DEFAULT '[]',
    steady_state TEXT NOT NULL DEFAULT '[]', notes TEXT NOT NULL DEFAULT '[]', figures TEXT,
    fed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS phases (run TEXT NOT NULL, phase TEXT NOT NULL, started REAL NOT NULL, ended REAL);
CREATE TABLE IF NOT EXISTS faults (
    run TEXT NOT NULL, n INTEGER NOT NULL, stage TEXT NOT NULL, fault TEXT NOT NULL, state TEXT NOT NULL,
    intended REAL NOT NULL, injected REAL, undone REAL, doubtful_until REAL, control TEXT, evidence TEXT,
    exposure INTEGER, error TEXT, PRIMARY KEY (run, n));
CREATE TABLE IF NOT EXISTS locks (layer TEXT NOT NULL, target TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (layer, target));
CREATE TABLE IF NOT EXISTS observations (run TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS observations_of_run ON observations (run, at);
CREATE INDEX IF NOT EXISTS faults_by_state ON faults (state);
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (ended);
"""

UPGRADES = {0: TABLES, 1: "ALTER TABLE runs ADD COLUMN figures TEXT;"}  # from each earlier schema


def mark_of(run: str, n: int) -> str:
    """The name that fault ``n`` of a run carries in the world."""
    return f"simian.{run}.{n}"


@dataclass(frozen=True)
class Entry:
    """One fault of a run, as the journal has it."""

    run: str
    n: int
    stage: str
    fault: "Fault"
    state: str
    doubtful_until: float | None = None

    @property
    def mark(self) -> str:
        """The name it carries in the world."""
        return mark_of(self.run, self.n)


class Journal:
    """The journal of one system. Safe to use from several threads and processes at once."""

    def __init__(self, path: Path, crash: CrashPoint = no_crash) -> None:
        self.path, self._crash, self._lock = path, crash, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except (*UNUSABLE, OSError) as error:
            raise JournalError(
                f"the journal {path} cannot be used: {error}; mend or move the file away, then run "
                '"simian recover --orphans"'
            ) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if self._schema() != SCHEMA:
            self._db.execute("BEGIN IMMEDIATE")
            # Asked again, as another may have been quicker; not by executescript, which would commit first.
            for statement in UPGRADES.get(self._schema(), "").split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={SCHEMA}")
            self._db.execute("COMMIT")

    def _schema(self) -> int:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (*UPGRADES, SCHEMA):
            raise JournalError(f"the journal {self.path} has schema {version}, this simian knows {SCHEMA}")
        return version

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _writing(self, name: str) -> Iterator[sqlite3.Connection]:
        self._crash(f"journal.{name}:before")
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except UNUSABLE as error:
                raise JournalError(f"the journal {self.path} cannot be written: {error}") from error
        self._crash(f"journal.{name}:after")

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except UNUSABLE as error:
                raise JournalError(f"the journal {self.path} cannot be read: {error}") from error

    # --- runs

    def begin(self, run: str, *, at: float, owner: tuple[int, str], request: object, world: object) -> None:
        """A run's first row: who it is, what was asked, and the world's settings that recovery will use."""
        with self._writing("begin") as db:
            db.execute(
                "INSERT INTO runs (run, started, pid, start_time, request, world) VALUES (?,?,?,?,?,?)",
                (run, at, *owner, json.dumps(request), json.dumps(world)),
            )

    def fence(self, run: str, *, at: float, why: str) -> bool:
        """Make sure that no run of this name ever begins, as a name begins only once; False: it has already."""
        values = (run, at, at, 0, "", "{}", "{}", "refused", "unknown", "clean", json.dumps([why]))
        with self._writing("fence") as db:
            columns = "run, started, ended, pid, start_time, request, world, outcome, verdict, recovery, reasons, fed"
            marks = ",".join("?" * len(values))
            made = db.execute(f"INSERT OR IGNORE INTO runs ({columns}) VALUES ({marks}, 1)", values)
        return made.rowcount == 1 or self.is_fence(run)

    def is_fence(self, run: str) -> bool:
        """Whether this row is one that ``fence`` wrote."""
        return bool(self.run_row(run)["pid"] == 0)

    def keep(self, run: str, **facts: object) -> None:
        """Write facts of a run (columns of ``runs``; values other than text and numbers as JSON)."""
        columns = ", ".join(f"{name}=?" for name in facts)
        plain = (str, int, float, type(None))
        values = [value if isinstance(value, plain) else json.dumps(value, default=str) for value in facts.values()]
        with self._writing("keep_" + next(iter(facts))) as db:
            # Columns are keywords of our own calls; values are bound.
            db.execute(f"UPDATE runs SET {columns} WHERE run=?", (*values, run))  # nosec B608

    def end(self, run: str, *, at: float, outcome: str, verdict: str, recovery: str, reasons: Sequence[str]) -> None:
        """Close a run: its three facts and reasons; its locks are freed unless something is stuck."""
        with self._writing("end") as db:
            db.execute(
                "UPDATE runs SET ended=?, outcome=?, verdict=?, recovery=?, reasons=? WHERE run=?",
                (at, outcome, verdict, recovery, json.dumps(list(reasons)), run),
            )
            db.execute("UPDATE phases SET ended=? WHERE run=? AND ended IS NULL", (at, run))
            if recovery == "clean":
                db.execute("DELETE FROM locks WHERE run=?", (run,))

    def enter(self, run: str, phase: str, at: float) -> None:
        """A phase begins, and with that the one before ends."""
        with self._writing("enter") as db:
            db.execute("UPDATE phases SET ended=? WHERE run=? AND ended IS NULL", (at, run))
            db.execute("INSERT INTO phases (run, phase, started) VALUES (?,?,?)", (run, phase, at))

    def run_row(self, run: str) -> dict[str, Any]:
        """The row of a run. Raises JournalError where there is none."""
        rows = self._rows("SELECT * FROM runs WHERE run=?", run)
        if not rows:
            raise JournalError(f"the journal {self.path} has no run {run!r}")
        return dict(rows[0])

    def unfinished(self) -> list[dict[str, Any]]:
        """Rows of the runs that have not ended, oldest first: alive or dead."""
        return [dict(row) for row in self._rows("SELECT * FROM runs WHERE ended IS NULL ORDER BY started")]

    def with_open_faults(self) -> list[dict[str, Any]]:
        """Rows of the runs that have open or doubtful faults, newest first."""
        marks = ",".join("?" * len(OPEN_STATES))
        # As many marks as states; all values are bound.
        hurt = f"SELECT run FROM faults WHERE state IN ({marks})"  # nosec B608
        rows = self._rows(f"SELECT * FROM runs WHERE run IN ({hurt}) ORDER BY started DESC, rowid DESC", *OPEN_STATES)  # nosec B608
        return [dict(row) for row in rows]

    def injecting_since(self, moment: float) -> int:
        """How many runs have put faults in place since then."""
        rows = self._rows("SELECT COUNT(DISTINCT run) AS runs FROM faults WHERE injected >= ?", moment)
        return int(rows[0]["runs"])

    def unfed(self) -> list[str]:
        """Runs that have ended and are not in the history yet, oldest first."""
        rows = self._rows("SELECT run FROM runs WHERE ended IS NOT NULL AND fed=0 ORDER BY started")
        return [row["run"] for row in rows]

    # --- faults

    def intend(self, run: str, entries: Iterable[tuple[int, str, "Fault", Mapping[str, Any]]], at: float) -> None:
        """Write down, before acting, the faults ``(n, stage, fault, control)`` of a stage: all or none."""
        rows = [(run, n, stage, json.dumps(f.to_json()), at, json.dumps(control)) for n, stage, f, control in entries]
        with self._writing("intend") as db:
            columns = "(run, n, stage, fault, state, intended, control)"
            # Columns are named in the line above; values are bound.
            db.executemany(f"INSERT INTO faults {columns} VALUES (?,?,?,?,'intended',?,?)", rows)  # nosec B608

    def mark(self, run: str, n: int, state: str, **facts: object) -> None:
        """A fault's new state, with times, evidence, exposure or error (columns of ``faults``)."""
        columns = "".join(f", {name}=?" for name in facts)
        values = [json.dumps(value) if isinstance(value, dict) else value for value in facts.values()]
        with self._writing(f"mark_{state}") as db:
            # Columns are keywords of our own calls; values are bound.
            db.execute(f"UPDATE faults SET state=?{columns} WHERE run=? AND n=?", (state, *values, run, n))  # nosec B608

    def note_fault(self, run: str, n: int, **facts: object) -> None:
        """Evidence or exposure of a fault; its state stays."""
        columns = ", ".join(f"{name}=?" for name in facts)
        values = [json.dumps(value) if isinstance(value, dict) else value for value in facts.values()]
        with self._writing("note_fault") as db:
            # Columns are keywords of our own calls; values are bound.
            db.execute(f"UPDATE faults SET {columns} WHERE run=? AND n=?", (*values, run, n))  # nosec B608

    def still_open(self, run: str) -> list[Entry]:
        """The faults of a run that are not known to be undone, newest first."""
        marks = ",".join("?" * len(OPEN_STATES))
        # As many marks as states; all values are bound.
        rows = self._rows(f"SELECT * FROM faults WHERE run=? AND state IN ({marks}) ORDER BY n DESC", run, *OPEN_STATES)  # nosec B608
        return [self._entry(row) for row in rows]

    def _entry(self, row: sqlite3.Row) -> Entry:
        from simian.fault import fault_from_json

        try:
            fault = fault_from_json(json.loads(row["fault"]))
        except (ValueError, TypeError) as error:
            raise JournalError(
                f"fault {row['n']} of run {row['run']} in the journal {self.path} cannot be read by this simian "
                f"({error}); recover with the one that wrote it"
            ) from error
        return Entry(row["run"], row["n"], row["stage"], fault, row["state"], row["doubtful_until"])

    def fault_rows(self, run: str) -> list[dict[str, Any]]:
        """Every fault of a run with all that was noted of it, in order."""
        return [dict(row) for row in self._rows("SELECT * FROM faults WHERE run=? ORDER BY n", run)]

    # --- locks, phases, observations

    def lock(self, run: str, targets: Iterable[tuple[str, str]]) -> list[str]:
        """Take every (layer, target) for a run, or none; returns what is in the way, a line each."""
        wanted = sorted(set(targets))
        with self._writing("lock") as db:
            held = {(row["layer"], row["target"]): row["run"] for row in db.execute("SELECT * FROM locks")}
            in_the_way = [(target, layer, held[layer, target]) for layer, target in wanted if (layer, target) in held]
            taken = [f"{target} ({layer}) is held by run {holder}" for target, layer, holder in in_the_way]
            if not taken:
                db.executemany("INSERT INTO locks VALUES (?,?,?)", [(*target, run) for target in wanted])
        return taken

    def in_the_way(self, run: str, targets: Iterable[tuple[str, str]]) -> list[str]:
        """Which of these (layer, target) another run holds, a line each; takes nothing."""
        held = {
            (row["layer"], row["target"]): row["run"] for row in self._rows("SELECT * FROM locks WHERE run!=?", run)
        }
        wanted = sorted(set(targets))
        return [f"{target} ({layer}) is held by run {held[layer, target]}" for layer, target in wanted
                if (layer, target) in held]  # fmt: skip

    def observe(self, run: str, rows: Sequence[tuple[float, str, Mapping[str, Any]]]) -> None:
        """Write observations ``(at, kind, data)`` in one transaction."""
        if not rows:
            return
        with self._writing("observe") as db:
            values = [(run, at, kind, json.dumps(data)) for at, kind, data in rows]
            db.executemany("INSERT INTO observations VALUES (?,?,?,?)", values)

    def observations(self, run: str) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """What was observed in a run, in order of time."""
        for row in self._rows("SELECT * FROM observations WHERE run=? ORDER BY at", run):
            yield row["at"], row["kind"], json.loads(row["data"])

    def phases(self, run: str) -> list[dict[str, Any]]:
        """The phases of a run, in order."""
        return [dict(row) for row in self._rows("SELECT * FROM phases WHERE run=? ORDER BY started, rowid", run)]

    def mark_fed(self, run: str) -> None:
        """The history has this run: its observations need not be kept here any more."""
        with self._writing("mark_fed") as db:
            db.execute("UPDATE runs SET fed=1 WHERE run=?", (run,))
            db.execute("DELETE FROM observations WHERE run=?", (run,))
