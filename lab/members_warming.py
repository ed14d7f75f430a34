"""Warm caches after a region's return: what was lately in use is read from the store before users come.

When a whole zone or region was lost its cache is empty. The members node of the zone fills it before it says that it
is ready, as a region's users all at once would be more than the store is made for.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from .calls import Callee
from .http import HttpError
from .members_caches import EXPIRES_S, FRESH_S, packed
from .members_store import Found, StoreClient, StoreDown, value_or_default
from .memcache import Memcache
from .trace import Trace

PATIENCE_S = 3.0  # without a step forward: then ready, warm or not
RECENT = 2_000
BATCHES = (250, 10)  # keys read at once: at first, and at least
KINDS = ("profile", "progress")  # what is looked aside for
_TRY_S = 0.4
_PAUSE_S = 0.05
_log = logging.getLogger(__name__)
T = TypeVar("T")


class TooOld(Exception):
    """What was read took so long that it may be outdated."""


class Warming:
    """Fills the cache of one zone from the store, if it needs it."""

    def __init__(self, store: StoreClient, cache: Callee, node: str) -> None:
        self._store, self._node = store, node
        self._memcache = Memcache(cache.host, cache.port, timeout_s=_TRY_S)
        self._left: list[str] = []
        self._batch, self._kept = BATCHES[0], 0

    async def run(self) -> None:
        """Done when the cache is warm, or when that has not got on for ``PATIENCE_S``."""
        started = time.monotonic()
        try:
            await self._warm()
        except TimeoutError:
            _log.warning("warming the cache has not got on for %g s; ready all the same", PATIENCE_S)
        finally:
            await self._memcache.aclose()
        _log.info("%d keys warmed in %.0f ms", self._kept, (time.monotonic() - started) * 1000)

    async def _warm(self) -> None:
        held = await _until_done(self._memcache.items)
        keys = keys_to_warm(await _until_done(lambda: self._store.recent(RECENT, Trace(self._node), _TRY_S)))
        if 2 * held >= len(keys):
            return  # it was not lost, or somebody was here before
        self._left = keys
        while self._left:
            await _until_done(self._fill_some)

    async def _fill_some(self) -> None:
        batch = self._left[: self._batch]
        try:
            await self._fill(batch)
        except (TooOld, StoreDown):
            self._batch = max(self._batch // 2, BATCHES[1])
            raise
        del self._left[: len(batch)]

    async def _fill(self, keys: Sequence[str]) -> None:
        """Read and keep a batch; what has come into the cache meanwhile is newer, and stays."""
        started = time.monotonic()
        found = await self._store.get_many(keys, Trace(self._node), _TRY_S)
        if time.monotonic() - started >= FRESH_S:
            raise TooOld
        items = {key: found.get(key, Found(None, 0)) for key in keys}
        adding = [
            self._memcache.add(key, packed(value_or_default(key, item), item.timestamp_us), EXPIRES_S)
            for key, item in items.items()
        ]
        self._kept += sum(await asyncio.gather(*adding))


def keys_to_warm(recent: Sequence[str]) -> list[str]:
    """Keys that will be looked for, of the members whose keys these are, in the same order."""
    members = dict.fromkeys(member for _, colon, member in (key.partition(":") for key in recent) if colon)
    return [f"{kind}:{member}" for member in members for kind in KINDS]


async def _until_done(act: Callable[[], Awaitable[T]]) -> T:
    """What it comes to; tried again, as all parts of a region may be starting at once. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await act()
            except (HttpError, StoreDown, TooOld) as error:
                _log.debug("not yet: %r", error)
                await asyncio.sleep(_PAUSE_S)
