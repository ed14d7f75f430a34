"""The history and the schedules, for a process that must not wait: each look is made in a thread, with a deadline."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from simian.errors import HistoryError
from simian.history import History, Schedules, open_history, open_schedules

LOOK_LIMIT_S = 15.0
AT_ONCE = 4
T = TypeVar("T")


class Books:
    """Opened when they are first looked at, and again until that works: a database may be away for a while."""

    def __init__(self, place: str, limit_s: float = LOOK_LIMIT_S) -> None:
        self._place, self._limit_s = place, limit_s
        self._open: dict[Callable[[str], Any], Any] = {}
        self._lock = asyncio.Lock()
        self._threads: CapacityLimiter | None = None

    async def look(self, question: Callable[[History], T]) -> T:
        """What this finds in the history. Raises HistoryError where there is none, or no answer in time."""
        return await self._in_time(open_history, question)

    async def schedules(self, question: Callable[[Schedules], T]) -> T:
        """The same of the schedules."""
        return await self._in_time(open_schedules, question)

    async def _in_time(self, opens: Callable[[str], Any], question: Callable[[Any], T]) -> T:
        try:
            async with asyncio.timeout(self._limit_s):
                async with self._lock:
                    if opens not in self._open:
                        self._open[opens] = await self._in_thread(opens, self._place)
                return await self._in_thread(question, self._open[opens])
        except TimeoutError as error:
            late = f"gave no answer within {self._limit_s:g} s"
            raise HistoryError(f"the history {late}; try again, or ask for less") from error

    async def _in_thread(self, call: Callable[[Any], T], argument: Any) -> T:
        self._threads = self._threads or CapacityLimiter(AT_ONCE)
        return await to_thread.run_sync(call, argument, abandon_on_cancel=True, limiter=self._threads)

    def close(self) -> None:
        """Let go of the database."""
        for each in self._open.values():
            each.close()
