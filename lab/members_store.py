"""The store as a members node sees it: its region's nodes, own zone first, each for a short while, then the next."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .calls import Callee, Caller, Health
from .http import HttpError, Malformed, Response
from .trace import Trace

TRY_S = 0.2
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

    def __init__(self, caller: Caller, callees: Sequence[Callee]) -> None:
        self._caller, self._callees = caller, list(callees)
        self._health = Health()

    async def get(self, key: str, trace: Trace) -> Found:
        """The value of a key. Raises StoreDown."""
        answer = await self._ask(trace, "GET", key)
        return self._found(answer)

    async def put(self, key: str, value: Any, timestamp_us: int, trace: Trace) -> bool:
        """Write; done when a quorum has it. False: a newer one was there already, and stays. Raises StoreDown."""
        body = json.dumps({"value": value, "timestamp_us": timestamp_us}, separators=(",", ":")).encode()
        answer = await self._ask(trace, "PUT", key, body)
        if answer.status != 200:
            raise StoreDown(f"the store refused the write: {answer.body.decode('utf-8', 'replace')[:200]}")
        try:
            return bool(answer.json()["kept"])
        except (ValueError, KeyError, TypeError):
            return False  # then nothing relies on it

    async def probe(self, trace: Trace) -> bool:
        """Whether the nearest store node answers with a quorum, however slowly."""
        try:
            answer = await self._caller.call(trace, self._callees[0], "GET", "/kv/deep", timeout_s=DEEP_TRY_S)
        except HttpError:
            return False
        return answer.status in (200, 404)

    async def _ask(self, trace: Trace, method: str, key: str, body: bytes = b"") -> Response:
        last = "none was tried"
        for callee in self._health.ordered(self._callees):
            try:
                answer = await self._caller.call(
                    trace, callee, method, f"/kv/{quote(key, safe=':')}", body=body, timeout_s=TRY_S
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

    @staticmethod
    def _found(answer: Response) -> Found:
        try:
            shape = answer.json()
        except ValueError as error:
            raise Malformed(f"the store answered with no JSON: {error}") from None
        return Found(shape.get("value"), int(shape.get("timestamp_us") or 0))
