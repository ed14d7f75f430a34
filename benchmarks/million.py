"""A history of many runs, put there past our own code as quickly as SQLite takes it: looking back is what is measured.

The rows are those that storing the same records would have made. Sums by day and places are made by the migration that
whoever has a long history goes through.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from simian.history import open_history
from simian.history.moment import from_us, to_us
from simian.history.rows import Shape
from simian.history.schema import NEWEST
from simian.history.tables import faults, runs

BEFORE = "0005"  # the last schema without sums
END_US = to_us(datetime.now(UTC).strftime("%Y-%m-01"))  # pass rates are asked for from today back
SPAN_US = 3 * 365 * 86_400_000_000
KINDS = (
    *(("completed", "held"),) * 12, *(("completed", "broken"),) * 3, *(("completed", "unknown"),) * 2,
    ("aborted", "unknown"), ("aborted", "broken"), ("refused", "unknown"),
)  # fmt: skip
RARE, RARE_RUNS = ("crashed", "unknown"), 100  # the oldest only, so that some filters find next to nothing, far away
MONKEYS = ("chaos", "gorilla", "kong", "latency", "split-brain", "janitor")
EXPERIMENTS = tuple(f"experiment {number}" for number in range(60))
REGIONS = ("east", "north", "west")
HOMES = {f"store-{region}-{zone}": region for region in REGIONS for zone in "abc"}
NODES = tuple(HOMES)
BATCH = 10_000
_RUN, _FAULT = Shape(runs), Shape(faults, "number", "position")


def record(number: int, count: int, many_readings: int) -> dict[str, Any]:
    """The run of this number, of so many, as the history would be given it."""
    die = int.from_bytes(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8).digest(), "big")
    began = started_us(number, count)
    outcome, verdict = RARE if number < RARE_RUNS else KINDS[die % len(KINDS)]
    node = NODES[die // 100 % len(NODES)]
    target = f"{node}--{NODES[die // 1_000 % len(NODES)]}" if die // 10_000 % 5 == 0 else node
    return {
        "run": f"many-{number:09}", "monkey": MONKEYS[die // 20 % len(MONKEYS)], "outcome": outcome,
        "experiment": EXPERIMENTS[die // 200 % len(EXPERIMENTS)] if die // 100_000 % 2 else None,
        "verdict": verdict, "recovery": "clean", "seed": die % 2**32, "started": from_us(began),
        "ended": from_us(began + 60_000_000), "system": "shop", "simian": "1", "figures": {"regions": HOMES},
        "faults": [{"id": 1, "kind": "kill", "target": target, "state": "undone", "injected": from_us(began)}],
        "readings": [
            {"check": "users", "at": began / 1e6 + position / 10, "value": 0.99, "silent": False, "detail": "served"}
            for position in range(many_readings)
        ],
    }  # fmt: skip


def started_us(number: int, count: int) -> int:
    """When the run of this number began: they are evenly spread over the same three years, however many there are."""
    return END_US - SPAN_US + number * SPAN_US // count


def built(folder: Path, count: int, many_readings: int) -> Path:
    """The database of so many runs in this folder; it is made where it is not there yet, which takes minutes."""
    what = f"history-{count}x{many_readings}"
    made_by = hashlib.sha256(Path(__file__).read_bytes() + f"{NEWEST} {END_US}".encode()).hexdigest()[:8]
    file = folder / f"{what}-{made_by}.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{what}-*.db*"):
            old.unlink()
        begin, half = time.monotonic(), folder / "half.db"
        before_sums(half, count, many_readings)
        print(f"{count:,} runs with {many_readings} readings each are there after {time.monotonic() - begin:.0f} s")
        open_history(half).close()
        half.rename(file)
        print(f"and their sums after {time.monotonic() - begin:.0f} s, in {file.stat().st_size / 1e9:.1f} GB")
    return file


def before_sums(file: Path, count: int, many_readings: int) -> None:
    """Those runs in a new file, as a simian would have left it that knew no sums."""
    for left in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        left.unlink(missing_ok=True)
    engine = create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", "simian.history:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
    engine.dispose()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):
            connection.execute(f"PRAGMA {pragma}")
        _fill(connection, count, many_readings)
        connection.execute("PRAGMA journal_mode=WAL")


def _fill(connection: sqlite3.Connection, count: int, many_readings: int) -> None:
    wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'runs' AND sql IS NOT NULL"
    indexes = connection.execute(wanted).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("BEGIN")
    numbers = iter(range(count))
    while batch := list(islice(numbers, BATCH)):
        _insert(connection, [record(number, count, 0) for number in batch], batch[0] + 1)
    if many_readings:
        connection.execute(_READINGS, (many_readings - 1,))
    connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)


def _insert(connection: sqlite3.Connection, records: list[dict[str, Any]], first: int) -> None:
    rows = [_RUN.row({key: value for key, value in each.items() if key not in _LISTS}) for each in records]
    connection.executemany(_into("runs", _RUN.columns), rows)
    hits = [_FAULT.row(each["faults"][0], number, 0) for number, each in enumerate(records, first)]
    connection.executemany(_into("faults", _FAULT.columns), hits)


def _into(table: str, columns: Iterable[str]) -> str:
    names = tuple(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


_LISTS = ("faults", "readings")
# In the order of their key, and made by SQLite itself: a hundred million of them take two minutes.
_READINGS = (
    'INSERT INTO readings (number, position, "check", at, value, silent, detail, more) '
    "WITH RECURSIVE positions (position) AS (SELECT 0 UNION ALL SELECT position + 1 FROM positions WHERE position < ?) "
    "SELECT number, position, 'users', started / 1e6 + position / 10.0, 0.99, 0, 'served', '{}' "
    "FROM (SELECT number, started FROM runs ORDER BY number) CROSS JOIN positions"
)
