"""The store as a members node sees it: its region's nodes, own zone first, each for a short while, then the next.

There are two: our stand-in over HTTP, here, and a real Cassandra (``members_cassandra``).
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Protocol, TypeVar
from urllib.parse import quote
from zlib import crc32

from .calls import Callee, Caller, Health
from .http import HttpError, Malformed, Response
from .trace import Trace

TRY_S = 0.2
BLOWN_BY, BLOWN_S = 5, 1.0
PATIENT_S = 60.0  # of a client that does not give up
DEEP_TRY_S = 2.0
T = TypeVar("T")
Ask = Callable[[Callee], Coroutine[Any, Any, T]]  # of one node; raises HttpError, Declined


class StoreDown(Exception):
    """No store node of the region answered with a quorum."""


class Declined(Exception):
    """A store node answered that it cannot serve this now."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value as the store has it; ``value`` is ``None`` where there is none."""

    value: Any
    timestamp_us: int


class StoreClient(Protocol):
    """Reads and writes at LOCAL_QUORUM. Every request may be made twice: a write carries its own time.

    ``trace`` gets a hop for each call, named after the node that was asked to coordinate it.
    """

    async def open(self) -> None:
        """Return once it can be asked, however long that takes."""
        ...

    async def aclose(self) -> None:
        """Let go of all connections that are its own."""
        ...

    async def get(self, key: str, trace: Trace) -> Found:
        """The value of a key. Raises StoreDown, Malformed."""
        ...

    async def get_many(self, keys: Sequence[str], trace: Trace, timeout_s: float) -> dict[str, Found]:
        """The values of many keys; those that were never written are left out. Raises StoreDown, Malformed."""
        ...

    async def recent(self, limit: int, trace: Trace, timeout_s: float) -> list[str]:
        """Keys lately written, the last one first. Raises StoreDown, Malformed."""
        ...

    async def put(self, key: str, value: Any, timestamp_us: int, trace: Trace) -> bool:
        """Write; done when a quorum has it. False: a newer one was there already, and stays. Raises StoreDown."""
        ...

    async def probe(self, trace: Trace) -> bool:
        """Whether the nearest store node answers with a quorum, however slowly."""
        ...


class InTurn:
    """Asks the nodes one after the other, those that hung lately last, until one serves."""

    def __init__(self, callees: Sequence[Callee]) -> None:
        self.callees = list(callees)
        self._health = Health()

    async def first(self, ask: Ask[T], trace: Trace) -> T:
        """What the first that serves comes to. Raises StoreDown."""
        last = "none was tried"
        for callee in self._health.ordered(self.callees):
            try:
                answer = await ask(callee)
            except HttpError as error:
                self._health.bad(callee.name)
                last = f"{callee.name}: {error}"
                continue
            except Declined as error:
                self._health.good(callee.name)
                last = f"{callee.name} {error}"
                continue
            self._health.good(callee.name)
            return answer
        raise StoreDown(f"no store node of the region could serve; the last: {last}")


class Fused(InTurn):
    """Leaves a store alone that has failed ``BLOWN_BY`` times in a row, for all its nodes: ``BLOWN_S`` long, then one
    call tries it again, and so on.

    A store that drowns is not helped by calls that each node gets, works on, and answers when nobody waits any more.
    """

    def __init__(self, callees: Sequence[Callee], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(callees)
        self._clock, self._failed, self._closed_until = clock, 0, 0.0

    async def first(self, ask: Ask[T], trace: Trace) -> T:
        """What the first that serves comes to. Raises StoreDown."""
        now = self._clock()
        if self._failed >= BLOWN_BY and now < self._closed_until:
            trace.spared(self.callees[0].name)
            raise StoreDown(f"the store is left alone for a while: the last {self._failed} calls failed")
        self._closed_until = now + BLOWN_S  # of those that come meanwhile, where this one is a trial
        try:
            answer = await super().first(ask, trace)
        except StoreDown:
            self._failed += 1
            self._closed_until = self._clock() + BLOWN_S
            raise
        self._failed = 0
        return answer


class Hastily(InTurn):
    """Asks the nearest; makes a call that was answered with an error anew, at all nodes and ``times`` at once.

    Nobody takes back what was asked: every call is worked on, whether anyone waits for it or not. That is a storm.
    """

    def __init__(self, callees: Sequence[Callee], *, times: int) -> None:
        super().__init__(callees)
        self._times = times

    async def first(self, ask: Ask[T], trace: Trace) -> T:
        """What the first that serves comes to. Raises StoreDown."""
        with suppress(HttpError, Declined):
            return await ask(self.callees[0])
        again = list(islice(cycle(self.callees), self._times))
        asked = {asyncio.get_running_loop().create_task(ask(callee)): callee for callee in again}
        for task in asked:
            task.add_done_callback(_heard_of)
        answer = await _first_good(asked)
        for task, callee in asked.items():
            if not task.done():
                trace.started(callee.name)
        return answer


def _heard_of(task: "asyncio.Task[Any]") -> None:
    """Though nobody may wait for it any longer."""
    if not task.cancelled():
        task.exception()


async def _first_good(asked: "Collection[asyncio.Task[T]]") -> T:
    """What the first that ends without an error comes to. Raises StoreDown."""
    waiting = set(asked)
    while (good := _good(asked)) is None:
        if not waiting:
            raise StoreDown("no store node of the region could serve, however often it was asked")
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    return good.result()


def _good(asked: "Iterable[asyncio.Task[T]]") -> "asyncio.Task[T] | None":
    """The first that has ended without an error, of those that have."""
    return next((task for task in asked if task.done() and task.exception() is None), None)


class HttpStore:
    """Our stand-in, over HTTP."""

    def __init__(self, caller: Caller, asking: InTurn, *, try_s: float = TRY_S) -> None:
        """``asking``: in which order, and how often; ``try_s``: how long one node is given."""
        self._caller, self._asking, self._try_s = caller, asking, try_s

    async def open(self) -> None:
        """At once: it connects when it calls."""

    async def aclose(self) -> None:
        """Nothing: its connections are the caller's."""

    async def get(self, key: str, trace: Trace) -> Found:
        """The value of a key. Raises StoreDown, Malformed."""
        shape = _json(await self._ask(trace, "GET", _path(key)))
        return Found(shape.get("value"), int(shape.get("timestamp_us") or 0))

    async def get_many(self, keys: Sequence[str], trace: Trace, timeout_s: float) -> dict[str, Found]:
        """The values of many keys; those that were never written are left out. Raises StoreDown, Malformed."""
        body = json.dumps({"keys": keys}).encode()
        rows = _listed(await self._ask(trace, "POST", "/kv", body, timeout_s), "found")
        return {key: Found(value, timestamp_us) for key, value, timestamp_us in rows}

    async def recent(self, limit: int, trace: Trace, timeout_s: float) -> list[str]:
        """Keys lately written, the last one first. Raises StoreDown, Malformed."""
        return _listed(await self._ask(trace, "GET", f"/recent?limit={limit}", b"", timeout_s), "keys")

    async def put(self, key: str, value: Any, timestamp_us: int, trace: Trace) -> bool:
        """Write; done when a quorum has it. False: a newer one was there already, and stays. Raises StoreDown."""
        body = json.dumps({"value": value, "timestamp_us": timestamp_us}, separators=(",", ":")).encode()
        answer = await self._ask(trace, "PUT", _path(key), body)
        if answer.status != 200:
            raise StoreDown(f"the store refused the write: {answer.body.decode('utf-8', 'replace')[:200]}")
        return bool(_json(answer).get("kept"))

    async def probe(self, trace: Trace) -> bool:
        """Whether the nearest store node answers with a quorum, however slowly."""
        nearest = self._asking.callees[0]
        try:
            answer = await self._caller.call(trace, nearest, "GET", "/kv/deep", timeout_s=DEEP_TRY_S)
        except HttpError:
            return False
        return answer.status in (200, 404)

    async def _ask(self, trace: Trace, method: str, path: str, body: bytes = b"", timeout_s: float = 0.0) -> Response:
        """The first answer below 500; ``timeout_s``: for each node, 0 for the usual. Raises StoreDown."""

        async def ask(callee: Callee) -> Response:
            answer = await self._caller.call(trace, callee, method, path, body=body, timeout_s=timeout_s or self._try_s)
            if answer.status >= 500:
                raise Declined(f"answered {answer.status}")
            return answer

        return await self._asking.first(ask, trace)


def value_or_default(key: str, found: Found) -> Any:
    """What is shown of a key. Every member exists: one who never changed anything has a profile made from the name."""
    kind, _, member = key.partition(":")
    if found.value is None and kind == "profile":
        return {"name": member.capitalize(), "language": ("en", "de", "fr", "ja")[crc32(member.encode()) % 4]}
    return found.value


def _path(key: str) -> str:
    return f"/kv/{quote(key, safe=':')}"


def _json(answer: Response) -> dict[str, Any]:
    try:
        shape: dict[str, Any] = answer.json()
    except ValueError as error:
        raise Malformed(f"the store answered with no JSON: {error}") from None
    return shape


def _listed(answer: Response, field: str) -> list[Any]:
    listed = _json(answer).get(field)
    if answer.status != 200 or not isinstance(listed, list):
        raise Malformed(f"the store answered {answer.status} without a list of {field}")
    return listed
