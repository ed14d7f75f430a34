"""The caches of a region as a members node sees them: read from the nearest, written to all, never in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from .calls import Callee, Caller, Health
from .http import HttpError
from .memcache import Memcache
from .trace import Trace

TRY_S = 0.1
DEEP_TRY_S = 2.0
EXPIRES_S = 300
READ_TRIES = 2
STALE_LIMIT = 10_000
_CATCH_UP_S = 0.5
TASK_LIMIT = 2_000


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

    def put(self, key: str, value: bytes, trace: Trace) -> None:
        """Keep what was written; not waited for."""
        self._to_all(key, trace, lambda memcache: memcache.set(key, value, EXPIRES_S))

    def drop(self, key: str, trace: Trace) -> None:
        """Ensure that it is gone; not waited for."""
        self._to_all(key, trace, lambda memcache: memcache.delete(key))

    def _to_all(self, key: str, trace: Trace, act: Callable[[Memcache], Awaitable[None]]) -> None:
        for zonal in self._zonal.values():
            trace.started(zonal.callee.name)
            if len(self._tasks) >= TASK_LIMIT or key in zonal.stale:
                self._note_stale(zonal, key)
                continue
            task = asyncio.get_running_loop().create_task(self._act(zonal, key, act))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _act(self, zonal: _Zonal, key: str, act: Callable[[Memcache], Awaitable[None]]) -> None:
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
