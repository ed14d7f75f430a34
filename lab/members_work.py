"""What a members node can do: so much work a second, in turn, and a bounded line of those who wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .options import HEALTHY, Options

LINE_S = 0.1  # with twice that a gateway would have given up before there was an answer
RETRY_AFTER = {"retry-after": "1"}
_T = TypeVar("_T")


class Work:
    """One node's processor. A request is ``1 / capacity_rps`` seconds of it; so is putting together what no cache had.

    A node that thrashes takes a share of ``thrash`` longer over each for every other one that waits.
    What is begun is paid for, whoever has given up meanwhile. The load is the lab's, not this machine's: it is slept.
    """

    def __init__(self, options: Options = HEALTHY, clock: Callable[[], float] | None = None) -> None:
        self._options = options
        self._clock = clock or asyncio.get_running_loop().time
        self._free_at = 0.0
        self._waiting = 0
        self._workers = asyncio.Semaphore(options.workers) if options.workers else None
        self._jobs: set[asyncio.Task[Any]] = set()

    @property
    def is_full(self) -> bool:
        """Whether so much waits already that who comes now is to be turned away."""
        return self._options.sheds and self._free_at - self._clock() > LINE_S

    async def through(self, act: Coroutine[Any, Any, _T]) -> _T:
        """What ``act``, a request's, comes to: when its work is done and, where they are counted, a worker is free.

        What stands in the workers' line is done when its turn comes, even for those who have gone.
        """
        if self._workers is None:
            return await self._done_for(act)
        job = asyncio.get_running_loop().create_task(self._by_a_worker(self._workers, act))
        self._jobs.add(job)
        job.add_done_callback(self._heard_of)
        return await asyncio.shield(job)

    async def _done_for(self, act: Coroutine[Any, Any, _T]) -> _T:
        try:
            await self.more()
        except BaseException:
            act.close()
            raise
        return await act

    async def _by_a_worker(self, workers: asyncio.Semaphore, act: Coroutine[Any, Any, _T]) -> _T:
        async with workers:
            return await self._done_for(act)

    async def more(self) -> None:
        """Wait until so much work has been done as a request is, in turn."""
        now = self._clock()
        self._waiting += 1
        try:
            work_s = (1 + self._options.thrash * (self._waiting - 1)) / self._options.capacity_rps
            self._free_at = max(self._free_at, now) + work_s
            await asyncio.sleep(self._free_at - now)
        finally:
            self._waiting -= 1

    def _heard_of(self, job: "asyncio.Task[Any]") -> None:
        """Though nobody may wait for it any longer."""
        self._jobs.discard(job)
        if not job.cancelled():
            job.exception()
