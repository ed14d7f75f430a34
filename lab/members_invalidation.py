"""Keeping the other region's caches from being stale: announce writes here, delete there what they outdate.

A writer posts to its own region's queue and the other region pulls across the link, so a cut delays and loses nothing.
"""

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Protocol
from zlib import crc32

from .http import HttpError
from .members_caches import Caches, packed
from .members_store import Found, StoreClient, StoreDown
from .sqs import NoSuchQueue, Received
from .trace import Trace

QUEUE = "invalidations"
WAITING_LIMIT = 10_000
MAX_RECEIVES = 300
DOUBTFUL_RECEIVES = 10  # of a write that failed, and was perhaps made all the same
_BATCH = 10
_POLL_S = 5
_HIDDEN_S = 1
_SOON_S = 0.25  # an announcement is often a little ahead of the write itself
_TIE_RECEIVES = 5  # another value of the same time: it has won, or what was announced is still on its way
_PAUSE_S = 0.3
_UNSETTLED_PAUSE_S = 0.5
_log = logging.getLogger(__name__)


class Queue(Protocol):
    """What ``simian_lab.sqs.Sqs`` and ``simian_lab.sqs_amazon.AmazonSqs`` can do."""

    async def create(self) -> None: ...
    async def send(self, bodies: list[str]) -> None: ...
    async def receive(self, *, wait_s: int, hidden_s: int) -> list[Received]: ...
    async def delete(self, receipts: list[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Announcement:
    """A key was written at that time. ``mark`` tells two values of the same time apart; not ``sure``: perhaps."""

    key: str
    timestamp_us: int
    mark: int
    sure: bool

    @classmethod
    def of(cls, key: str, item: bytes, timestamp_us: int, *, sure: bool) -> "Announcement":
        """Of a write, as it would be kept in a cache."""
        return cls(key, timestamp_us, crc32(item), sure)

    @classmethod
    def read(cls, body: str) -> "Announcement":
        """From a message. Raises ValueError, KeyError, TypeError."""
        shape = json.loads(body)
        return cls(str(shape["key"]), int(shape["timestamp_us"]), int(shape["mark"]), bool(shape["sure"]))

    def is_in(self, found: Found) -> bool:
        """Whether the store has this write, or one that has won over it for sure."""
        if found.timestamp_us != self.timestamp_us:
            return found.timestamp_us > self.timestamp_us
        return crc32(packed(found.value, found.timestamp_us)) == self.mark


class Announcer:
    """Posts changed keys to the region's own queue, from a bounded list in memory, until they are taken."""

    def __init__(self, queue: Queue, name: str) -> None:
        self._queue, self._name = queue, name
        self._waiting: deque[str] = deque()
        self._some = asyncio.Event()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many announcements the queue has not taken yet."""
        return len(self._waiting)

    def announce(self, announcement: Announcement, trace: Trace) -> None:
        """Tell the other region. Past the limit the oldest is dropped."""
        if len(self._waiting) >= WAITING_LIMIT:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(json.dumps(asdict(announcement)))
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


async def _pause(queue: Queue, error: HttpError) -> None:
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

    def __init__(
        self, queue: Queue, caches: Caches, store: StoreClient, node: str, *, late_after_s: float = 0.0
    ) -> None:
        """``late_after_s``: what was announced so long ago is thrown away; 0: nothing is."""
        self._queue, self._caches, self._store, self._node = queue, caches, store, node
        self._late_after_s = late_after_s
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
                if len(done) < len(received):
                    # They come again: asked for without a pause, what waits for a store that is behind keeps it so.
                    await asyncio.sleep(_UNSETTLED_PAUSE_S)
            except HttpError as error:
                await _pause(self._queue, error)

    async def _invalidate(self, received: Received) -> bool:
        """Take what one write outdates out of the caches; whether that settles it.

        While the write itself has not been replicated to this region, the next reader would fill the caches with the
        old value: then the message stays, and comes again. After ``MAX_RECEIVES`` it is let go: such a write was lost,
        or the caches' own expiry ends what is stale soon after. One that was perhaps never made is let go much sooner.
        """
        try:
            announced = Announcement.read(received.body)
        except (ValueError, KeyError, TypeError):
            _log.warning("an announcement that makes no sense was thrown away: %r", received.body[:200])
            return True
        if self._late_after_s and time.time() - announced.timestamp_us / 1e6 > self._late_after_s:
            return True
        for pause_s in (_SOON_S, 0.0) if received.receives == 1 else (0.0,):
            if await self._settled(announced, received.receives):
                return True
            await asyncio.sleep(pause_s)
        if received.receives < (MAX_RECEIVES if announced.sure else DOUBTFUL_RECEIVES):
            return False
        self._caches.drop(announced.key, Trace(self._node))
        return True

    async def _settled(self, announced: Announcement, receives: int) -> bool:
        """Whether the store has what was announced; then nothing older is in the caches."""
        trace = Trace(self._node)
        try:
            found = await self._store.get(announced.key, trace)
        except (StoreDown, HttpError):
            return False
        is_tie = found.timestamp_us == announced.timestamp_us
        if not announced.is_in(found) and not (is_tie and receives >= _TIE_RECEIVES):
            return False
        # What is as new stays: it was read, written or warmed since.
        self._caches.outdate(announced.key, packed(found.value, found.timestamp_us), trace)
        return True
