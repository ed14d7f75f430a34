"""The history, for a process that must not wait: each look is made in a thread, with a deadline."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from simian.errors import HistoryError
from simian.history import History, open_history

LOOK_LIMIT_S = 15.0
AT_ONCE = 4
T = TypeVar("T")


class Books:
    """Opened when it is first looked at, and again until that works: a database may be away for a while."""

    def __init__(self, place: str, limit_s: float = LOOK_LIMIT_S) -> None:
        self._place, self._limit_s = place, limit_s
        self._history: History | None = None
        self._lock = asyncio.Lock()
        self._threads: CapacityLimiter | None = None

    async def look(self, question: Callable[[History], T]) -> T:
        """What this finds. Raises HistoryError where there is no history, or no answer in time; what it raises."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._in_thread(question, await self._opened())
        except TimeoutError as error:
            raise HistoryError(
                f"the history gave no answer within {self._limit_s:g} s; try again, or ask for less"
            ) from error

    async def _opened(self) -> History:
        async with self._lock:
            if self._history is None:
                self._history = await self._in_thread(open_history, self._place)
            return self._history

    async def _in_thread(self, call: Callable[[Any], T], argument: Any) -> T:
        self._threads = self._threads or CapacityLimiter(AT_ONCE)
        return await to_thread.run_sync(call, argument, abandon_on_cancel=True, limiter=self._threads)

    def close(self) -> None:
        """Let go of the database."""
        if self._history is not None:
            self._history.close()
