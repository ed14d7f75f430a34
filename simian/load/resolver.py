"""The users' resolvers: each /24 has one, which caches what it was told for exactly as long as it was allowed to.

An answer may be kept for the smallest TTL of its chain of names. When the server does not answer after that, the
old addresses are used on for a bounded time (RFC 8767), and every use of them is told.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast
from zlib import crc32

from simian.load import dnswire
from simian.load.system import STICKY_S

RESEND_S = (0.2, 0.4, 0.8)  # after each wait the packet is sent again; 1.4 s of a device's 2 s are spent at most
OLD_AFTER_S = 0.3  # whoever has an old answer waits no longer for a new one
STALE_FOR_S = 60.0  # so long after its TTL an old answer is better than none
RECHECK_S = 5.0  # while the server is silent, it is asked again this often and not by each request
MOST_NAMES = 4  # servers that leave a CNAME to the client are asked on, but not for ever


class Silent(Exception):
    """The DNS server gave no usable answer; the text says why."""


class Asks(Protocol):
    """Asks a server; ``Wire`` does it over UDP."""

    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        """The answer to one question. Raises Silent when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Resolution:
    """Addresses in the server's order; ``trouble`` is empty, ``dns_stale`` or ``dns_failed`` (no addresses)."""

    addresses: tuple[str, ...]
    trouble: str = ""


@dataclass(slots=True)
class _Kept:
    resolution: Resolution
    fresh_until: float
    stale_until: float
    ask_from: float  # not before this the server is asked again


class Wire(asyncio.DatagramProtocol):
    """Questions and answers over one UDP socket."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, tuple[str, asyncio.Future[dnswire.Answer]]] = {}
        self._number = 0

    @classmethod
    async def open(cls, host: str, port: int) -> "Wire":
        """A socket that talks to this server and to no other."""
        _, wire = await asyncio.get_running_loop().create_datagram_endpoint(cls, remote_addr=(host, port))
        return wire

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        """See ``Asks``: sent again when nothing comes; a late answer to an earlier packet is as good."""
        number = self._free_number()
        future: asyncio.Future[dnswire.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (dnswire.plain(name), future)
        try:
            for wait_s in RESEND_S:
                if self._transport is None:
                    raise Silent("the socket is closed")
                self._transport.sendto(dnswire.question(number, name, subnet))
                await asyncio.wait((future,), timeout=wait_s)
                if future.done():
                    return future.result()
        finally:
            del self._waiting[number]
        raise Silent(f"no answer for {name} within {sum(RESEND_S):.1f} s")

    def _free_number(self) -> int:
        for _ in range(0x10000):
            self._number = self._number + 1 & 0xFFFF
            if self._number not in self._waiting:
                return self._number
        raise Silent("65536 questions are unanswered")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: asyncio's own datagram transport is not derived from DatagramTransport before Python 3.12.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail_all(Silent("the socket was closed"))

    def datagram_received(self, data: bytes, addr: object) -> None:
        name, future = self._waiting.get(int.from_bytes(data[:2], "big"), ("", None))
        if future is None or future.done():
            return  # the answer to a question that was given up
        try:
            answer = dnswire.parse(data)
        except dnswire.BadPacket as error:
            future.set_exception(Silent(str(error)))
            return
        if answer.name == name:
            future.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        self._fail_all(Silent(f"{type(exc).__name__}: nothing listens there"))

    def _fail_all(self, error: Silent) -> None:
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(error)


class Resolver:
    """Caches by name and subnet. ``now`` tells monotonic seconds.

    A share ``sticky_share`` of the subnets, always the same ones, keeps answers for ``sticky_s`` whatever their TTL.
    """

    def __init__(
        self, server: Asks, now: Callable[[], float], sticky_share: float = 0.0, sticky_s: float = STICKY_S
    ) -> None:
        self._server = server
        self._now = now
        self._sticky_share, self._sticky_s = sticky_share, sticky_s
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._asking: dict[tuple[str, str], asyncio.Future[Resolution]] = {}

    async def lookup(self, name: str, subnet: str) -> Resolution:
        """Addresses of ``name`` for a device in ``subnet``; asks the server only when the TTL has passed."""
        key = (name, subnet)
        kept, now = self._kept.get(key), self._now()
        if kept is not None and now < kept.fresh_until:
            return kept.resolution
        if kept is not None and now < min(kept.ask_from, kept.stale_until):
            return Resolution(kept.resolution.addresses, "dns_stale")
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._refresh(key))
        asking = self._asking[key]
        if kept is not None and now < kept.stale_until:
            await asyncio.wait((asking,), timeout=OLD_AFTER_S)
            if not asking.done():  # it goes on, and who comes when it has an answer gets that
                return self._old(key)
        # Shielded: whoever gives up waiting must not take the answer from the others of its subnet.
        return await asyncio.shield(asking)

    async def _refresh(self, key: tuple[str, str]) -> Resolution:
        try:
            chain = await self._chase(*key)
        except Silent:
            return self._old(key)
        finally:
            del self._asking[key]
        until = self._now() + self._keep_s(key[1], chain.ttl_s)
        self._kept[key] = _Kept(Resolution(chain.addresses), until, until + STALE_FOR_S, until)
        return self._kept[key].resolution

    def _keep_s(self, subnet: str, ttl_s: float) -> float:
        sticky = crc32(subnet.encode()) < self._sticky_share * 2**32
        return max(ttl_s, self._sticky_s) if sticky else ttl_s

    def _old(self, key: tuple[str, str]) -> Resolution:
        kept, now = self._kept.get(key), self._now()
        if kept is None or now >= kept.stale_until:
            return Resolution((), "dns_failed")
        kept.ask_from = now + RECHECK_S
        return Resolution(kept.resolution.addresses, "dns_stale")

    async def _chase(self, name: str, subnet: str) -> dnswire.Chain:
        ttl_s = None
        for _ in range(MOST_NAMES):
            answer = await self._server.ask(name, subnet)
            if answer.rcode != dnswire.NOERROR:
                raise Silent(f"{name}: the server says rcode {answer.rcode}")
            chain = dnswire.follow(answer, name)
            ttl_s = chain.ttl_s if ttl_s is None else min(ttl_s, chain.ttl_s)
            if chain.addresses:
                return dnswire.Chain(chain.addresses, ttl_s, chain.ends_at)
            if chain.ends_at == dnswire.plain(name):
                break
            name = chain.ends_at
        raise Silent(f"{name} leads to no address")
