"""Keeping the other region's caches from being stale: announce writes here, delete there what was announced.

A writer posts to its own region's queue and the other region pulls across the link, so a cut delays and loses nothing.
"""

import asyncio
import json
import logging
from collections import deque

from .http import HttpError
from .members_caches import Caches
from .members_store import StoreClient, StoreDown
from .sqs import NoSuchQueue, Received, Sqs
from .trace import Trace

QUEUE = "invalidations"
WAITING_LIMIT = 10_000
MAX_RECEIVES = 150
_BATCH = 10
_POLL_S = 5
_HIDDEN_S = 2
_PAUSE_S = 0.3
_AGAIN_S = 0.3
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
    """Pulls the other region's announcements and deletes their keys from all caches of this region."""

    def __init__(self, queue: Sqs, caches: Caches, store: StoreClient, node: str) -> None:
        self._queue, self._caches, self._store, self._node = queue, caches, store, node
        self._again: set[asyncio.Task[None]] = set()
        self.done = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                received = await self._queue.receive(wait_s=_POLL_S, hidden_s=_HIDDEN_S)
                done = [each.receipt for each in received if await self._invalidate(each)]
                if done:
                    await self._queue.delete(done)
                    self.done += len(done)
            except HttpError as error:
                await _pause(self._queue, error)

    async def _invalidate(self, received: Received) -> bool:
        """Delete one key; whether that settles it.

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
        trace = Trace(self._node)
        try:
            settled = (await self._store.get(key, trace)).timestamp_us >= timestamp_us
        except (StoreDown, HttpError):
            settled = False
        self._caches.drop(key, trace)
        if settled:
            self._drop_again(key)
        return settled or received.receives >= MAX_RECEIVES

    def _drop_again(self, key: str) -> None:
        """A reader that had read the old value just before may still fill it in: so once more, a little later."""

        async def later() -> None:
            await asyncio.sleep(_AGAIN_S)
            self._caches.drop(key, Trace(self._node))

        task = asyncio.get_running_loop().create_task(later())
        self._again.add(task)
        task.add_done_callback(self._again.discard)
