"""Who did what at the daemon's socket: written down after the deed, as a database that is away must stop nobody."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from simian.cli.context import System
from simian.errors import HistoryError
from simian.history import open_schedules

MOST_WAITING = 1_000
WRITE_LIMIT_S = 2.0  # who asked is answered then, whatever the database does
Tell = Callable[[Mapping[str, Any], str], None]  # a row that is not written yet, and why


def unwritten(row: Mapping[str, Any], why: str) -> str:
    """One sentence on a row that the database has not taken."""
    return f"not in the audit: {row['who']} from {row['origin']}: {row['what']}: {why}"


class Audit:
    """The rows that others cannot write; those that the database does not take wait for it. For several threads."""

    def __init__(self, system: System, tell: Tell) -> None:
        self._system, self._tell = system, tell
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self._lock, self._why = threading.Lock(), ""

    def note(self, who: str, origin: str, what: str, detail: Mapping[str, Any]) -> None:
        """One more."""
        at = round(self._system.clock.now() * 1e6)
        row = {"at": at, "who": who, "origin": origin, "what": what, "detail": dict(detail)}
        self._waiting.append(row)
        writing = threading.Thread(target=self.write, daemon=True)
        writing.start()
        writing.join(WRITE_LIMIT_S)
        if row in tuple(self._waiting):
            self._tell(row, self._why or "the database does not answer")

    def write(self) -> None:
        """Write what waits, if the database takes it."""
        if not self._waiting or not self._lock.acquire(timeout=WRITE_LIMIT_S):
            return
        try:
            self._why = ""
            with open_schedules(self._system.history_place) as store:
                while self._waiting:
                    store.note(**self._waiting[0])
                    self._waiting.popleft()
        except HistoryError as error:
            self._why = str(error)
        finally:
            self._lock.release()
