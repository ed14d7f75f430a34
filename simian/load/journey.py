"""One request from a device's point of view: look the name up, try gateway after gateway, follow one redirect."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from simian.load.client import Pool, TryFailed
from simian.load.devices import AVOID_S, Device
from simian.load.http1 import Response
from simian.load.resolver import Resolver
from simian.load.system import HTTP_PORT, System
from simian.load.tally import Outcome

_REDIRECT, _SIGN_IN, _SHED = 307, 401, 503
_RETRY_AFTER_S = 1.0  # where a shedding gateway names a date and not seconds
_LOOK_AGAIN_S = 0.1  # how often a device asks its resolver, which answers from its cache, where else it may go


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a device waits: for a request in all, counted from its intended start, and for one try."""

    deadline_s: float = 2.0
    try_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Means:
    """What a device has to ask with. ``system.name`` is looked up."""

    system: System
    resolver: Resolver
    pool: Pool
    patience: Patience = Patience()


class _Aim(NamedTuple):
    """Where a try goes: its ``address`` in the DNS, where that is, and what of the request a redirect has changed."""

    address: str
    host: str
    port: int
    authority: str
    target: str


class Journey:
    """One request; ``outcome`` tells what came of it. ``intended``: its start, in the loop's time.

    ``tell`` is handed the outcome when its user begins to wait without a try under way: what has failed by then is
    known, and must not wait as well.
    """

    def __init__(
        self, means: Means, device: Device, kind: str, intended: float, tell: Callable[[Outcome], None]
    ) -> None:
        self._means = means
        self._tell = tell
        self._answered = False
        self._device = device
        self._kind = kind
        self._deadline = intended + means.patience.deadline_s
        self._target = device.target(kind, time.time_ns() // 1000)
        self._loop = asyncio.get_running_loop()
        self.outcome = Outcome(device.home, kind)

    async def go(self) -> None:
        """Make the request, with as many tries as there are addresses and time.

        When nobody at all answers at the addresses, others may be on their way: a region has gone dark, and its users
        are being sent elsewhere.
        """
        if self._loop.time() >= self._deadline:
            return self._fail("late")  # we come later than the user would have waited: nothing is left to ask
        system = self._means.system
        addresses = await self._lookup(system.name)
        if not addresses:
            return self._fail(None)
        await self._try_each(addresses)
        while not self._answered and (others := await self._elsewhere(addresses)):
            addresses = others
            await self._try_each(addresses)

    async def _try_each(self, addresses: Sequence[str]) -> None:
        system = self._means.system
        for index, address in enumerate(self._device.order(addresses, self._loop.time())):
            settled = await self._try(_Aim(address, *system.endpoint(address), system.name, self._target))
            self.outcome.first_failed |= index == 0 and not self.outcome.ok
            if settled or self._loop.time() >= self._deadline:
                return

    async def _elsewhere(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """Where the name leads now, as soon as that is elsewhere; nowhere, if it is not in time.

        Those that did not answer are not asked again meanwhile: it would only be one more load on what is down.
        """
        self._tell(self.outcome)
        found: tuple[str, ...] = ()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                while set(found) <= set(addresses):
                    await asyncio.sleep(_LOOK_AGAIN_S)
                    found = (await self._means.resolver.lookup(self._means.system.name, self._device.subnet)).addresses
                return found
        return ()

    def _fail(self, error: str | None) -> None:
        self.outcome.first_failed = True
        if error is not None:
            self.outcome.errors.append(error)

    async def _lookup(self, name: str) -> tuple[str, ...]:
        resolution = await self._means.resolver.lookup(name, self._device.subnet)
        if resolution.trouble:
            self.outcome.errors.append(resolution.trouble)
        return resolution.addresses

    async def _try(self, aim: _Aim) -> bool:
        """One try; True when there is nothing more to try: it was good, or another gateway would say the same."""
        response, redirected = await self._ask(aim), False
        if response is not None and response.status == _REDIRECT:
            response, redirected = await self._follow(response), True
        if response is None:
            return False
        self._note_session(response)
        if 200 <= response.status < 300:
            self.outcome.ok = True
            self.outcome.region = response.headers.get("x-lab-region", "unknown")
            self.outcome.way = "redirect" if redirected else response.headers.get("x-lab-way", "unknown")
            return True
        self.outcome.errors.append(f"status_{response.status}")
        return response.status < 500

    def _note_session(self, response: Response) -> None:
        if response.status == _SIGN_IN:
            self._device.session = ""  # the user has been thrown out, and signs in anew with the next request
        else:
            self._device.session = response.headers.get("x-lab-session", self._device.session)

    async def _ask(self, aim: _Aim) -> Response | None:
        """Ask one gateway; None when it did not answer or sheds, after which the device leaves it alone."""
        now = self._loop.time()
        until = min(now + self._means.patience.try_s, self._deadline)
        node = self._means.system.node_at(aim.address)
        request = self._device.request(self._kind, aim.target, aim.authority)
        try:
            response = await self._means.pool.fetch(aim.host, aim.port, request, until)
        except TryFailed as failure:
            self.outcome.hops.append(f"users>{node}!")
            self.outcome.errors.append(failure.reason)
            self._device.avoid(aim.address, self._loop.time() + AVOID_S)
            return None
        self._answered = True
        self.outcome.hops += [f"users>{node}", *_listed(response, "x-lab-trace")]
        self.outcome.faults += _listed(response, "x-simian-faults")
        if response.status == _SHED and "retry-after" in response.headers:
            self.outcome.shed += 1
            self.outcome.errors.append("shed")
            self._device.avoid(aim.address, self._loop.time() + _seconds(response.headers["retry-after"]))
            return None
        return response

    async def _follow(self, response: Response) -> Response | None:
        """The answer at the place we are sent to, once: a second redirect counts as an answer that is not good."""
        aim = await self._aim_at(response.headers.get("location", ""))
        if aim is None:
            self.outcome.errors.append("bad_redirect")
            return None
        return await self._ask(aim)

    async def _aim_at(self, location: str) -> _Aim | None:
        try:
            url = urlsplit(location)
            host, port = url.hostname or "", url.port or HTTP_PORT
        except ValueError:
            return None
        if url.scheme != "http" or not host:
            return None
        target = url.path + (f"?{url.query}" if url.query else "")
        address = self._means.system.address_of(host, port)
        if not host[-1].isdigit():
            addresses = await self._lookup(host)
            if not addresses:
                return None
            address = self._device.order(addresses, self._loop.time())[0]
            host, known_port = self._means.system.endpoint(address)
            port = port if host == address else known_port
        return _Aim(address, host, port, url.netloc, target or self._target)


def _listed(response: Response, header: str) -> list[str]:
    value = response.headers.get(header, "")
    return [part.strip() for part in value.split(",")] if value else []


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), AVOID_S) if retry_after.isdecimal() else _RETRY_AFTER_S
