"""Keeping the other region's caches from being stale: announce writes here, delete there what they outdate.

A writer posts to its own region's queue and the other region pulls across the link, so a cut delays and loses nothing.
"""

import asyncio
import json
import logging
from collections import deque

from .http import HttpError
from .members_caches import Caches, packed
from .members_store import StoreClient, StoreDown
from .sqs import NoSuchQueue, Received, Sqs
from .trace import Trace

QUEUE = "invalidations"
WAITING_LIMIT = 10_000
MAX_RECEIVES = 300
_BATCH = 10
_POLL_S = 5
_HIDDEN_S = 1
_SOON_S = 0.25  # an announcement is often a little ahead of the write itself
_PAUSE_S = 0.3
_log = logging.getLogger(__name__)


class Announcer:
    """Posts changed keys to the region's own queue, from a bounded list in memory, until they are taken."""

    def __init__(self, queue: Sqs, name: str) -> None:
        self._queue, self._name = queue, name
        self._waiting: deque[str] = deque()
        self._some = asyncio.Event()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many announcements the queue has not taken yet."""
        return len(self._waiting)

    def announce(self, key: str, timestamp_us: int, trace: Trace) -> None:
        """Say that a key was written at that time (0: perhaps). Past the limit the oldest is dropped."""
        if len(self._waiting) >= WAITING_LIMIT:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(json.dumps({"key": key, "timestamp_us": timestamp_us}))
        self._some.set()
        trace.started(self._name)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not batch:
                self._some.clear()
                continue
            try:
                await self._queue.send(batch)
            except HttpError as error:
                self._waiting.extendleft(reversed(batch))
                await _pause(self._queue, error)


async def _pause(queue: Sqs, error: HttpError) -> None:
    """After a failure: make the queue if that is what is missing, and wait a little."""
    if isinstance(error, NoSuchQueue):
        try:
            await queue.create()
            return
        except HttpError as another:
            _log.debug("the queue cannot be made: %s", another)
    await asyncio.sleep(_PAUSE_S)


class Invalidator:
    """Pulls the other region's announcements and takes what they outdate out of all caches of this region."""

    def __init__(self, queue: Sqs, caches: Caches, store: StoreClient, node: str) -> None:
        self._queue, self._caches, self._store, self._node = queue, caches, store, node
        self.done = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                received = await self._queue.receive(wait_s=_POLL_S, hidden_s=_HIDDEN_S)
                settled = await asyncio.gather(*map(self._invalidate, received))
                done = [each.receipt for each, is_settled in zip(received, settled, strict=True) if is_settled]
                if done:
                    await self._queue.delete(done)
                    self.done += len(done)
            except HttpError as error:
                await _pause(self._queue, error)

    async def _invalidate(self, received: Received) -> bool:
        """Take what one write outdates out of the caches; whether that settles it.

        While the write itself has not been replicated to this region, the next reader would fill the caches with the
        old value: then the message stays, and comes again. After ``MAX_RECEIVES`` it is let go: such a write was lost,
        or the caches' own expiry ends what is stale soon after.
        """
        try:
            shape = json.loads(received.body)
            key, timestamp_us = str(shape["key"]), int(shape["timestamp_us"])
        except (ValueError, KeyError, TypeError):
            _log.warning("an announcement that makes no sense was thrown away: %r", received.body[:200])
            return True
        for pause_s in (_SOON_S, 0.0) if received.receives == 1 else (0.0,):
            if await self._settled(key, timestamp_us):
                return True
            await asyncio.sleep(pause_s)
        if received.receives < MAX_RECEIVES:
            return False
        self._caches.drop(key, Trace(self._node))
        return True

    async def _settled(self, key: str, timestamp_us: int) -> bool:
        """Whether the store has what was announced; then nothing older is in the caches."""
        trace = Trace(self._node)
        try:
            found = await self._store.get(key, trace)
        except (StoreDown, HttpError):
            return False
        if found.timestamp_us < timestamp_us:
            return False
        # What is as new stays: it was read, written or warmed since.
        self._caches.outdate(key, packed(found.value, found.timestamp_us), trace)
        return True
