"""The store as a members node sees it: its region's nodes, own zone first, each for a short while, then the next."""

import asyncio
import json
from collections.abc import Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote
from zlib import crc32

from .calls import Callee, Caller, Health
from .http import HttpError, Malformed, Response
from .trace import Trace

TRY_S = 0.2
PATIENT_S = 60.0  # of a client that does not give up
DEEP_TRY_S = 2.0


class StoreDown(Exception):
    """No store node of the region answered with a quorum."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value as the store has it; ``value`` is ``None`` where there is none."""

    value: Any
    timestamp_us: int


class StoreClient:
    """Reads and writes at LOCAL_QUORUM. Every request may be made twice: a write carries its own time."""

    def __init__(self, caller: Caller, callees: Sequence[Callee], *, gives_up: bool = True) -> None:
        self._caller, self._callees = caller, list(callees)
        self._try_s = TRY_S if gives_up else PATIENT_S
        self._health = Health()

    async def get(self, key: str, trace: Trace) -> Found:
        """The value of a key. Raises StoreDown."""
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
        try:
            answer = await self._caller.call(trace, self._callees[0], "GET", "/kv/deep", timeout_s=DEEP_TRY_S)
        except HttpError:
            return False
        return answer.status in (200, 404)

    async def _ask(self, trace: Trace, method: str, path: str, body: bytes = b"", timeout_s: float = 0.0) -> Response:
        """The first answer below 500; ``timeout_s``: for each node, 0 for the usual. Raises StoreDown."""
        last = "none was tried"
        for callee in self._health.ordered(self._callees):
            try:
                answer = await self._caller.call(
                    trace, callee, method, path, body=body, timeout_s=timeout_s or self._try_s
                )
            except HttpError as error:
                self._health.bad(callee.name)
                last = f"{callee.name}: {error}"
                continue
            self._health.good(callee.name)
            if answer.status < 500:
                return answer
            last = f"{callee.name} answered {answer.status}"
        raise StoreDown(f"no store node of the region could serve; the last: {last}")


class HastyStoreClient(StoreClient):
    """One that makes a call which was answered with an error anew, at all nodes and ``times`` at once.

    Nobody takes back what was asked: every call is worked on, whether anyone waits for it or not. That is a storm.
    """

    def __init__(self, caller: Caller, callees: Sequence[Callee], *, times: int) -> None:
        super().__init__(caller, callees)
        self._times = times

    async def _ask(self, trace: Trace, method: str, path: str, body: bytes = b"", timeout_s: float = 0.0) -> Response:
        def call(callee: Callee) -> Coroutine[Any, Any, Response]:
            return self._caller.call(trace, callee, method, path, body=body, timeout_s=timeout_s or self._try_s)

        with suppress(HttpError):
            answer = await call(self._callees[0])
            if answer.status < 500:
                return answer
        again = list(islice(cycle(self._callees), self._times))
        asked = {asyncio.get_running_loop().create_task(call(callee)): callee for callee in again}
        answer = await _first_good(asked)
        for task, callee in asked.items():
            if not task.done():
                trace.started(callee.name)
        return answer


async def _first_good(asked: "Collection[asyncio.Task[Response]]") -> Response:
    """The first answer below 500. Raises StoreDown."""
    waiting = set(asked)
    while (answer := _good(asked)) is None:
        if not waiting:
            raise StoreDown("no store node of the region could serve, however often it was asked")
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    return answer


def _good(asked: "Iterable[asyncio.Task[Response]]") -> Response | None:
    """The first answer below 500 of those that have come."""
    ended = [task for task in asked if task.done() and task.exception() is None]
    return next((task.result() for task in ended if task.result().status < 500), None)


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
