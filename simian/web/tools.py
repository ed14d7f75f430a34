"""What all that answers works with."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from simian.errors import SimianError
from simian.web.access import Door, Sessions, Visitor
from simian.web.books import Books
from simian.web.daemon import Daemon
from simian.web.hub import Hub
from simian.web.limits import Buckets
from simian.web.once import Once
from simian.web.settings import Settings

FRESH_S = 2.0  # a topology is asked of every node; pages of many browsers share one
log = logging.getLogger(__name__)


class Tools:
    """One of each for the process."""

    def __init__(self, settings: Settings, daemon: Daemon | None = None) -> None:
        self.settings = settings
        self.daemon = daemon or Daemon(settings.socket)
        self.books, self.hub = Books(settings.history), Hub(self.daemon)
        self.once = Once(self.books)
        self.sessions = Sessions()
        self.door = Door(settings, self.sessions)
        self.wrong_tokens = Buckets(a_second=1 / 12, burst=10)
        self._seen: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def seen(self, what: str) -> Any:
        """The daemon's ``topology``, ``traffic``, ``monkeys`` or ``experiments``, no older than two seconds."""
        async with self._asking.setdefault(what, asyncio.Lock()):
            since, found = self._seen.get(what, (0.0, None))
            if found is None or time.monotonic() - since > FRESH_S:
                found = await self.daemon.ask(what)
                self._seen[what] = (time.monotonic(), found)
            return found

    async def change(self, visitor: Visitor, do: str, about: str = "", **keys: object) -> Any:
        """Have the daemon do it, which notes in the audit what it does for whom; what it refuses is noted here."""
        try:
            return await self.daemon.ask(do, by=visitor.who, origin=visitor.where, **keys)
        except SimianError as error:
            await self.note(visitor, do, {"name": about, **keys, "failed": str(error)})
            raise

    async def note(self, visitor: Visitor, what: str, detail: Mapping[str, object]) -> None:
        """A row for the audit. What has been done is not undone by a database that is away: then the log has it."""
        row = (round(time.time() * 1e6), visitor.who, visitor.where, what, dict(detail))
        try:
            await self.books.schedules(lambda store: store.note(*row))
        except SimianError as error:
            log.error("audit: %s from %s: %s %s (not kept: %s)", visitor.who, visitor.where, what, detail, error)
