"""Doing a thing once, however often it is asked for with the same key."""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from simian.errors import UsageError
from simian.web.access import digest
from simian.web.failures import NotUnderstood

HEADER = "idempotency-key"
MOST = 1000
_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Once:
    """The answers of late, by who asked and key. In memory: the next web process knows nothing of them."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], tuple[str, asyncio.Future[Any]]] = OrderedDict()

    async def __call__(self, who: str, key: str | None, asked: Any, do: Callable[[], Awaitable[Any]]) -> Any:
        """The answer; of one who asks meanwhile the same. Raises UsageError, NotUnderstood, and what ``do`` raises."""
        if key is None:
            return await do()
        if not _KEY.fullmatch(key):
            raise UsageError("Idempotency-Key must be 1 to 100 letters, digits and ._-")
        body = digest(json.dumps(asked, sort_keys=True, default=str))
        known = self._answers.get((who, key))
        if known is None:
            known = body, asyncio.ensure_future(do())
            self._answers[who, key] = known
            known[1].add_done_callback(lambda done: self._forget_failed(who, key, done))
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        if known[0] != body:
            raise NotUnderstood("this Idempotency-Key came with another body before; take a new key for a new request")
        return await asyncio.shield(known[1])  # who asked first may go away; it is done all the same

    def _forget_failed(self, who: str, key: str, done: "asyncio.Future[Any]") -> None:
        """What was not done may be tried again."""
        if done.cancelled() or done.exception() is not None:
            self._answers.pop((who, key), None)
