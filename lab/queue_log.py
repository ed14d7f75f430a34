"""The messages of the queue on disk, in SQLite.

A commit reaches the operating system, not the platter: messages survive the death of the process, not of the machine.
"""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

from .options import HEALTHY

MAX_MESSAGES = 1_000_000
_TABLES = """
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, visibility_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, message_id TEXT NOT NULL, body TEXT NOT NULL,
    attributes TEXT NOT NULL, sent REAL NOT NULL, visible REAL NOT NULL, receives INTEGER NOT NULL DEFAULT 0,
    receipt TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible, id);
"""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be sent."""

    body: str
    attributes: dict[str, Any]
    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received; ``sent`` is seconds since the epoch."""

    message_id: str
    body: str
    attributes: dict[str, Any]
    sent: float
    receives: int
    receipt: str


class MessageLog:
    """Queues and their messages; each call is one transaction."""

    def __init__(self, path: Path, retention_s: float = HEALTHY.retention_s) -> None:
        self._retention_s = retention_s
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _TABLES)
        self._visibility_s: dict[str, int] = dict(self._db.execute("SELECT name, visibility_s FROM queues"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def create(self, queue: str, visibility_s: int) -> None:
        """Make a queue; content when it is there."""
        self._db.execute("INSERT OR IGNORE INTO queues VALUES (?, ?)", (queue, visibility_s))
        self._visibility_s.setdefault(queue, visibility_s)

    def visibility_s(self, queue: str) -> int | None:
        """How long a received message stays hidden by default; ``None``: there is no such queue."""
        return self._visibility_s.get(queue)

    def add(self, queue: str, messages: list[NewMessage]) -> list[str]:
        """Keep messages; their ids. Past ``MAX_MESSAGES`` rows the oldest make room."""
        now = time()
        ids = [str(uuid4()) for _ in messages]
        rows = [
            (queue, at, message.body, json.dumps(message.attributes), now, now + message.delay_s)
            for at, message in zip(ids, messages, strict=True)
        ]
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO messages (queue, message_id, body, attributes, sent, visible) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._db.execute("DELETE FROM messages WHERE id <= (SELECT max(id) FROM messages) - ?", (MAX_MESSAGES,))
        return ids

    def receive(self, queue: str, count: int, hidden_s: float) -> list[Message]:
        """Up to ``count`` visible messages, the longest visible first; hidden for ``hidden_s`` from now."""
        now = time()
        rows = self._db.execute(
            "SELECT id, message_id, body, attributes, sent, receives FROM messages"
            " WHERE queue = ? AND visible <= ? AND sent > ? ORDER BY visible, id LIMIT ?",
            (queue, now, now - self._retention_s, count),
        ).fetchall()
        found = [
            Message(at, body, json.loads(attributes), sent, receives + 1, f"{row}.{secrets.token_hex(8)}")
            for row, at, body, attributes, sent, receives in rows
        ]
        if found:
            with self._db:
                self._db.execute("BEGIN")
                hide = "UPDATE messages SET visible = ?, receives = receives + 1, receipt = ? WHERE id = ?"
                hidden = [(now + hidden_s, message.receipt, row[0]) for message, row in zip(found, rows, strict=True)]
                self._db.executemany(hide, hidden)
        return found

    def next_visible_s(self, queue: str) -> float:
        """Seconds until the next hidden message shows; a minute when there is none."""
        row = self._db.execute("SELECT min(visible) FROM messages WHERE queue = ?", (queue,)).fetchone()
        return 60.0 if row[0] is None else float(row[0]) - time()

    def delete(self, queue: str, receipt: str) -> bool:
        """Remove a received message; false: that is not the receipt of its last receiving, or it is gone."""
        row, dot, _ = receipt.partition(".")
        if not dot or not row.isdecimal():
            return False
        gone = "DELETE FROM messages WHERE id = ? AND queue = ? AND receipt = ?"
        return self._db.execute(gone, (int(row), queue, receipt)).rowcount > 0

    def purge(self, queue: str) -> None:
        """Remove all messages of a queue."""
        self._db.execute("DELETE FROM messages WHERE queue = ?", (queue,))

    def counts(self, queue: str) -> tuple[int, int, int]:
        """How many are visible, received and hidden, not yet visible for the first time."""
        rows = dict(
            self._db.execute(
                "SELECT CASE WHEN visible <= ? THEN 'visible' WHEN receives THEN 'hidden' ELSE 'delayed' END, count(*)"
                " FROM messages WHERE queue = ? GROUP BY 1",
                (time(), queue),
            )
        )
        return rows.get("visible", 0), rows.get("hidden", 0), rows.get("delayed", 0)
