"""Calls from one service to another: traced, with faults on the client side, and a short memory for bad peers."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from simian_filters.rules import Rules

from .http import HttpError, Pool, Response, TimedOut
from .layout import LinkSpec, NodeSpec
from .trace import Trace

MEMORY_S = 1.0


@dataclass(frozen=True, slots=True)
class Callee:
    """Somebody to call: the node's name and service, and where to connect (a link's listen address, or its own)."""

    name: str
    service: str
    host: str
    port: int

    @classmethod
    def directly(cls, node: NodeSpec) -> "Callee":
        """At the node's own address."""
        return cls(node.name, node.service, node.host, node.port)

    @classmethod
    def through(cls, link: LinkSpec) -> "Callee":
        """Through the link's proxy."""
        return cls(link.target, link.target.partition("-")[0], link.listen_host, link.listen_port)


def nearest_first(callees: Sequence[Callee], zone: str | None) -> list[Callee]:
    """The one of this zone first; the others in an order that differs from zone to zone, to spread their load."""
    letter = (zone or "").rpartition("-")[2]
    at = next((at for at, callee in enumerate(callees) if letter and callee.name.endswith(f"-{letter}")), 0)
    return [*callees[at:], *callees[:at]]


class Health:
    """Remembers for ``MEMORY_S`` who failed, so that one who hangs costs one request a second and not all of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, memory_s: float = MEMORY_S) -> None:
        self._clock, self._memory_s = clock, memory_s
        self._bad_until: dict[str, float] = {}

    def good(self, name: str) -> None:
        """It answered."""
        self._bad_until.pop(name, None)

    def bad(self, name: str) -> None:
        """It did not."""
        self._bad_until[name] = self._clock() + self._memory_s

    def usable(self, name: str) -> bool:
        """Whether to ask it. When its time is over one caller is told yes, and the next wait for what comes of it."""
        until = self._bad_until.get(name)
        if until is None:
            return True
        if until > self._clock():
            return False
        self.bad(name)
        return True

    def ordered(self, callees: Iterable[Callee]) -> list[Callee]:
        """In the order given, the bad ones last. Only the first is about to be asked: no other's turn is used up."""
        good: list[Callee] = []
        bad: list[Callee] = []
        for callee in callees:
            known_good = callee.name not in self._bad_until if good else self.usable(callee.name)
            (good if known_good else bad).append(callee)
        return good + bad


class Caller:
    """HTTP calls of one node, with the client-side rules in force. Cancelled when their time is over."""

    def __init__(self, pool: Pool, rules: Rules) -> None:
        self._pool, self._rules = pool, rules

    async def hold_back(self, trace: Trace, callee: Callee, timeout_s: float) -> int | None:
        """Apply the client-side rules: wait, and the status the call shall end with unmade, if any.

        Raises TimedOut when the wait is longer than ``timeout_s``; costs next to nothing when there is no rule.
        """
        decision = self._rules.decide("client", callee.service)
        if decision.marks:
            trace.mark(decision.marks)
        if decision.delay_ms:
            await asyncio.sleep(min(decision.delay_ms / 1000, timeout_s))
            if decision.delay_ms > timeout_s * 1000:
                raise TimedOut(f"held back for longer than {timeout_s:g} s")
        return decision.status

    async def call(
        self,
        trace: Trace,
        callee: Callee,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> Response:
        """One call; its hop and those behind it go into ``trace``. Raises HttpError when no answer came.

        Only an answer below 500 counts as a hop that worked; any status is returned.
        """
        until = time.monotonic() + timeout_s
        try:
            status = await self.hold_back(trace, callee, timeout_s)
            if status is None:
                left_s = max(until - time.monotonic(), 0.001)
                response = await self._pool.request(callee.host, callee.port, method, path, headers, body, left_s)
            else:
                response = Response(status, b"injected fault\n")
        except HttpError:
            trace.failed(callee.name)
            raise
        (trace.failed if response.status >= 500 else trace.called)(callee.name, response.headers)
        return response
