"""Doing a thing once, however often it is asked for with the same key, and by whichever web process it is heard."""

import asyncio
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from simian.errors import HistoryError, Refused, SimianError, UsageError
from simian.history.keys import Keys
from simian.web.access import digest
from simian.web.books import Books
from simian.web.daemon import NoAnswer
from simian.web.failures import NotUnderstood

HEADER = "idempotency-key"
MOST = 1000
_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")
Do = Callable[[], Awaitable[Any]]
log = logging.getLogger(__name__)


class Once:
    """What is asked with a key, by who asked and key: in memory for those who come meanwhile, and in the history."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._answers: OrderedDict[str, tuple[str, asyncio.Future[Any]]] = OrderedDict()

    async def __call__(self, who: str, key: str | None, asked: Any, do: Do) -> Any:
        """The answer; of one who asks again the same. Raises UsageError, NotUnderstood, and what ``do`` raises.

        And HistoryError, with nothing done, where nobody can tell whether the key came before.
        """
        if key is None:
            return await do()
        if not _KEY.fullmatch(key):
            raise UsageError("Idempotency-Key must be 1 to 100 letters, digits and ._-")
        body, name = digest(json.dumps(asked, sort_keys=True, default=str)), digest(f"{who}\n{key}")
        known = self._answers.get(name)
        if known is None:
            known = body, asyncio.ensure_future(self._first_time(name, body, do))
            self._answers[name] = known
            known[1].add_done_callback(lambda done: self._forget_failed(name, done))
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        _require_same(known[0], body)
        return await asyncio.shield(known[1])  # who asked first may go away; it is done all the same

    async def _first_time(self, name: str, body: str, do: Do) -> Any:
        kept = await self._look(lambda keys: keys.claim(name, body, round(time.time() * 1e6)))
        if kept is not None:
            _require_same(kept.body, body)
            if kept.answer is None:
                raise Refused(
                    "this Idempotency-Key came before, and what came of it is not known; look whether the run is "
                    "there, and take a new key if it is not"
                )
            return kept.answer
        try:
            answer = await do()
        except NoAnswer:
            raise  # it may have been done: the key stays claimed
        except SimianError:
            await self._written(lambda keys: keys.release(name))
            raise
        await self._written(lambda keys: keys.answered(name, answer))
        return answer

    async def _look(self, question: Callable[[Keys], Any]) -> Any:
        return await self._books.look(lambda history: question(history.keys))

    async def _written(self, change: Callable[[Keys], None]) -> None:
        """What has been done, or not, stays so: without a database the key stays claimed."""
        try:
            await self._look(change)
        except HistoryError as error:
            log.error("the key of a request stays claimed: %s", error)

    def _forget_failed(self, name: str, done: "asyncio.Future[Any]") -> None:
        """What was not done may be tried again."""
        if done.cancelled() or done.exception() is not None:
            self._answers.pop(name, None)


def _require_same(before: str, body: str) -> None:
    if before != body:
        raise NotUnderstood("this Idempotency-Key came with another body before; take a new key for a new request")
