"""The caches of a region as a members node sees them: read from the nearest, written to all, never in the way."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .calls import Callee, Caller, Health
from .http import HttpError
from .memcache import Memcache
from .trace import Trace

TRY_S = 0.1
DEEP_TRY_S = 2.0
EXPIRES_S = 300
READ_TRIES = 2
STALE_LIMIT = 10_000
FRESH_S = 0.5  # what took longer must not get into the caches: it may be outdated by now
AGAIN_S = FRESH_S + 0.7  # when nobody can be about to keep any more what was read before; and what calls take
_CATCH_UP_S = 0.5
_LOOK_S = 0.2
_PUT_TRIES = 100  # each that fails means that another's has succeeded, and each success is of a newer write
TASK_LIMIT = 2_000


def packed(value: Any, timestamp_us: int) -> bytes:
    """A value and its time as they are kept in a cache."""
    return json.dumps({"value": value, "timestamp_us": timestamp_us}, separators=(",", ":"), sort_keys=True).encode()


def _rank(item: bytes) -> tuple[int, str]:
    """The larger wins, as in the store: the later, of two at the same time the larger value. Nonsense never wins."""
    try:
        shape = json.loads(item)
        value, timestamp_us = shape["value"], int(shape["timestamp_us"])
    except (ValueError, KeyError, TypeError):
        return -1, ""
    return timestamp_us, "" if value is None else json.dumps(value, separators=(",", ":"), sort_keys=True)


Act = Callable[[Memcache], Awaitable[None]]


async def _put(memcache: Memcache, key: str, item: bytes) -> None:
    for _ in range(_PUT_TRIES):
        there = await memcache.gets(key)
        if there is None:
            done = await memcache.add(key, item, EXPIRES_S)
        else:
            done = _rank(there.value) >= _rank(item) or await memcache.cas(key, item, EXPIRES_S, there.cas)
        if done:
            return
    await memcache.delete(key)  # others are busy with it: the next reader fetches what has come of it


async def _outdate(memcache: Memcache, key: str, item: bytes) -> None:
    there = await memcache.get(key)
    if there is not None and _rank(there) < _rank(item):
        await memcache.delete(key)


@dataclass(slots=True)
class _Zonal:
    """One cache. ``stale``: keys that could not be written there, oldest first; they are deleted when it is back."""

    callee: Callee
    memcache: Memcache
    stale: dict[str, None] = field(default_factory=dict)


class Caches:
    """All caches of the region, the nearest first. Any failure reads as a miss."""

    def __init__(self, caller: Caller, node: str, callees: Sequence[Callee]) -> None:
        self._caller, self._node = caller, node
        self._zonal = {each.name: _Zonal(each, Memcache(each.host, each.port, timeout_s=TRY_S)) for each in callees}
        self._callees = list(callees)
        self._health = Health()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: deque[tuple[float, str, Act]] = deque()
        self.stale_dropped = self.hits = self.misses = 0

    async def get(self, key: str, trace: Trace) -> bytes | None:
        """The value, from the nearest cache that answers; all are written alike, so a miss there is a miss."""
        for callee in self._health.ordered(self._callees)[:READ_TRIES]:
            try:
                await self._hold_back(trace, callee, TRY_S)
                value = await self._zonal[callee.name].memcache.get(key)
            except HttpError:
                self._health.bad(callee.name)
                trace.failed(callee.name)
                continue
            self._health.good(callee.name)
            trace.looked(callee.name, value is not None)
            self.hits, self.misses = self.hits + (value is not None), self.misses + (value is None)
            return value
        self.misses += 1
        return None

    async def probe(self, trace: Trace) -> bool:
        """Whether the nearest cache answers, however slowly."""
        nearest = self._callees[0]
        memcache = Memcache(nearest.host, nearest.port, timeout_s=DEEP_TRY_S)
        try:
            await self._hold_back(trace, nearest, DEEP_TRY_S)
            await memcache.get("deep")
        except HttpError:
            trace.failed(nearest.name)
            return False
        finally:
            await memcache.aclose()
        trace.called(nearest.name)
        return True

    async def _hold_back(self, trace: Trace, callee: Callee, timeout_s: float) -> None:
        if await self._caller.hold_back(trace, callee, timeout_s) is not None:
            raise HttpError("injected fault")

    def fill(self, key: str, value: bytes, trace: Trace) -> None:
        """Keep what was read from the store, unless something newer is there already; not waited for."""
        for zonal in self._zonal.values():
            if zonal.memcache.offer(key, value, EXPIRES_S):
                trace.started(zonal.callee.name)

    def put(self, key: str, item: bytes, trace: Trace) -> None:
        """Keep what was written, unless something newer is there; not waited for."""
        self._to_all(key, trace, lambda memcache: _put(memcache, key, item))

    def drop(self, key: str, trace: Trace) -> None:
        """Ensure that it is gone, and that nobody keeps what was read before; not waited for."""
        self._now_and_again(key, trace, lambda memcache: memcache.delete(key))

    def outdate(self, key: str, item: bytes, trace: Trace) -> None:
        """Ensure that nothing older than this is there, or will be; not waited for."""
        self._now_and_again(key, trace, lambda memcache: _outdate(memcache, key, item))

    def _now_and_again(self, key: str, trace: Trace, act: Act) -> None:
        self._to_all(key, trace, act)
        self._again.append((asyncio.get_running_loop().time() + AGAIN_S, key, act))
        if len(self._again) > STALE_LIMIT:
            self._act_again()

    def _act_again(self) -> None:
        _, key, act = self._again.popleft()
        self._to_all(key, Trace(self._node), act)

    async def look_again(self) -> None:
        """Until cancelled: do again what is to be done twice, when its time has come."""
        while True:
            now = asyncio.get_running_loop().time()
            while self._again and self._again[0][0] <= now:
                self._act_again()
            await asyncio.sleep(_LOOK_S)

    def _to_all(self, key: str, trace: Trace, act: Act) -> None:
        for zonal in self._zonal.values():
            trace.started(zonal.callee.name)
            if len(self._tasks) >= TASK_LIMIT or key in zonal.stale:
                self._note_stale(zonal, key)
                continue
            task = asyncio.get_running_loop().create_task(self._act(zonal, key, act))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _act(self, zonal: _Zonal, key: str, act: Act) -> None:
        try:
            await self._hold_back(Trace(self._node), zonal.callee, TRY_S)
            await act(zonal.memcache)
        except HttpError:
            self._note_stale(zonal, key)

    def _note_stale(self, zonal: _Zonal, key: str) -> None:
        if len(zonal.stale) >= STALE_LIMIT:
            zonal.stale.pop(next(iter(zonal.stale)))  # it expires by itself, later
            self.stale_dropped += 1
        zonal.stale[key] = None

    async def catch_up(self) -> None:
        """Until cancelled: keep connected, and delete what could not be written as soon as a cache is back."""
        while True:
            await asyncio.gather(*(self._catch_up(zonal) for zonal in self._zonal.values()))
            await asyncio.sleep(_CATCH_UP_S)

    @staticmethod
    async def _catch_up(zonal: _Zonal) -> None:
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await zonal.memcache.connect()
            for key in list(zonal.stale):
                await zonal.memcache.delete(key)
                zonal.stale.pop(key, None)
        except (HttpError, TimeoutError):
            return  # what is left is tried again

    async def aclose(self) -> None:
        """Close the connections."""
        for zonal in self._zonal.values():
            await zonal.memcache.aclose()
