"""One replica on disk, in SQLite: rows by last write wins, a digest to compare replicas by, and hints for others.

A commit reaches the operating system, not the platter: what was acknowledged survives the death of the process; the
death of a machine is what the other replicas are for.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

BUCKETS = 1024
HINTS_LIMIT = 200_000
_CHUNK = 20_000
_TABLES = """
CREATE TABLE IF NOT EXISTS kv (
    key TEXT PRIMARY KEY, value TEXT, timestamp_us INTEGER NOT NULL, tombstone INTEGER NOT NULL,
    bucket INTEGER NOT NULL, fingerprint INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kv_by_bucket ON kv (bucket);
CREATE INDEX IF NOT EXISTS kv_by_time ON kv (timestamp_us);
CREATE TABLE IF NOT EXISTS hints (
    peer TEXT NOT NULL, id INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (peer, id)) WITHOUT ROWID;
"""
_UPSERT = """
INSERT INTO kv VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, timestamp_us = excluded.timestamp_us, tombstone = excluded.tombstone,
    fingerprint = excluded.fingerprint
"""


class Row(NamedTuple):
    """A key's value at a time. ``value`` is JSON text, ``None`` for a tombstone."""

    key: str
    value: str | None
    timestamp_us: int
    tombstone: bool = False

    @property
    def rank(self) -> tuple[int, bool, str]:
        """The larger wins: the later; of two at the same time a deletion, else the larger value, so all agree."""
        return self.timestamp_us, self.tombstone, self.value or ""

    @property
    def fingerprint(self) -> int:
        """63 bits over all of it."""
        text = f"{self.key}\0{self.timestamp_us}\0{int(self.tombstone)}\0{self.value or ''}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def newest(rows: Iterable[Row | None]) -> Row | None:
    """The row that wins, if there is any."""
    return max((row for row in rows if row is not None), key=lambda row: row.rank, default=None)


def row_of(shape: Sequence[object]) -> Row:
    """A row that came over the wire. Raises ValueError for anything else."""
    match shape:
        case [str(key), str() | None as value, int(timestamp_us), bool(tombstone)]:
            return Row(key, value, timestamp_us, tombstone)
    raise ValueError("a row is [key, JSON text or null, timestamp_us, tombstone]")


def bucket_of(key: str) -> int:
    """The bucket of the digest that a key falls into."""
    return crc32(key.encode()) % BUCKETS


class Replica:
    """The rows of one node, and the hints it keeps for its peers. ``load`` before anything else."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-2000;" + _TABLES)
        self.digest = [0] * BUCKETS
        self.keys = 0
        self.hints: dict[str, int] = {}
        self.hints_dropped: dict[str, int] = {}
        self._last_hint = 0

    async def load(self) -> None:
        """Work out the digest, giving way to others now and then."""
        cursor = self._db.execute("SELECT bucket, fingerprint FROM kv")
        while rows := cursor.fetchmany(_CHUNK):
            for bucket, fingerprint in rows:
                self.digest[bucket] ^= fingerprint
            self.keys += len(rows)
            await asyncio.sleep(0)
        self.hints = dict(self._db.execute("SELECT peer, count(*) FROM hints GROUP BY peer"))
        self._last_hint = self._db.execute("SELECT coalesce(max(id), 0) FROM hints").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, key: str) -> Row | None:
        """The row of a key, tombstones too."""
        found = self._db.execute("SELECT value, timestamp_us, tombstone FROM kv WHERE key = ?", (key,)).fetchone()
        return Row(key, found[0], found[1], bool(found[2])) if found else None

    def apply(self, rows: Iterable[Row], hints_for: Sequence[str] = ()) -> list[Row]:
        """Keep each row that is newer than what is there, and hints of all for these peers: one transaction.

        Returns what is newer here, and stays.
        """
        told = list(rows)
        with self._db:
            self._db.execute("BEGIN")
            newer = [before for row in told if (before := self._apply_one(row)) is not None]
            for peer in hints_for:
                self._hint(peer, [row.key for row in told])
        return newer

    def _apply_one(self, row: Row) -> Row | None:
        """The row that is there, if it is newer."""
        before = self.get(row.key)
        if before is not None and before.rank >= row.rank:
            return before if before.rank > row.rank else None
        bucket, fingerprint = bucket_of(row.key), row.fingerprint
        self._db.execute(_UPSERT, (*row, bucket, fingerprint))
        self.digest[bucket] ^= fingerprint ^ (before.fingerprint if before is not None else 0)
        self.keys += before is None
        return None

    def bucket(self, bucket: int) -> list[Row]:
        """All rows of one bucket of the digest."""
        rows = self._db.execute("SELECT key, value, timestamp_us, tombstone FROM kv WHERE bucket = ?", (bucket,))
        return [Row(key, value, timestamp_us, bool(tombstone)) for key, value, timestamp_us, tombstone in rows]

    def recent(self, limit: int) -> list[str]:
        """Keys, the one written last first."""
        found = self._db.execute("SELECT key FROM kv ORDER BY timestamp_us DESC LIMIT ?", (limit,))
        return [key for (key,) in found]

    def hint(self, peer: str, keys: list[str]) -> None:
        """Note that a peer is to be told of these keys."""
        with self._db:
            self._db.execute("BEGIN")
            self._hint(peer, keys)

    def _hint(self, peer: str, keys: list[str]) -> None:
        room = max(0, HINTS_LIMIT - self.hints.get(peer, 0))
        kept = keys[:room]
        first = self._last_hint + 1
        rows = [(peer, number, key) for number, key in enumerate(kept, first)]
        self._db.executemany("INSERT INTO hints VALUES (?, ?, ?)", rows)
        self._last_hint += len(kept)
        self.hints[peer] = self.hints.get(peer, 0) + len(kept)
        if len(kept) < len(keys):
            self.hints_dropped[peer] = self.hints_dropped.get(peer, 0) + len(keys) - len(kept)

    def hinted(self, peer: str, after: int, limit: int) -> list[tuple[int, str]]:
        """Number and key of the hints for a peer beyond number ``after``, in order."""
        found = self._db.execute(
            "SELECT id, key FROM hints WHERE peer = ? AND id > ? ORDER BY id LIMIT ?", (peer, after, limit)
        )
        return found.fetchall()

    def hints_done(self, peer: str, numbers: list[int]) -> None:
        """The peer has been told of these."""
        with self._db:
            self._db.execute("BEGIN")
            gone = self._db.executemany("DELETE FROM hints WHERE peer = ? AND id = ?", [(peer, at) for at in numbers])
        self.hints[peer] = self.hints.get(peer, 0) - gone.rowcount
