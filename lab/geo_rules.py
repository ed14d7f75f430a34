"""The geo rules in force: which region the DNS sends users of a subnet to just now, asked once a second at most."""

import asyncio
import ipaddress
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any, cast

from dnslib import EDNS0, QTYPE, DNSError, DNSHeader, DNSQuestion, DNSRecord, EDNSOption

from .dns_server import SUBNET_OPTION, subnet_data
from .layout import Layout

LIMIT_S = 0.05  # a user waits for this
KEPT_S = 1.0
DOUBT_KEPT_S = 0.2  # a server that is silent must not cost every request the time limit
_PAYLOAD_B = 1232
_MOST_KEPT = 4096


class GeoRules(asyncio.DatagramProtocol):
    """Asks the lab's DNS over one UDP socket, which is opened at the first question."""

    def __init__(self, layout: Layout, clock: Callable[[], float] = time.monotonic, limit_s: float = LIMIT_S) -> None:
        server = layout.node("dns")
        self._server, self._name = (server.host, server.port), server.ask.rpartition("/")[2]
        self._regions = {node.dns_address: node.region for node in layout.nodes_of("gateway")}
        self._clock, self._limit_s = clock, limit_s
        self._kept: dict[str, tuple[str | None, float]] = {}
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        self._waiting: dict[int, asyncio.Future[DNSRecord]] = {}
        self._opening = asyncio.Lock()
        self._transport: asyncio.DatagramTransport | None = None

    async def region_of(self, subnet: str) -> str | None:
        """The region whose gateways users of this subnet are answered; ``None`` when that cannot be told."""
        region, until = self._kept.get(subnet, (None, 0.0))
        if self._clock() < until:
            return region
        if subnet not in self._asking:
            self._asking[subnet] = asyncio.ensure_future(self._ask(subnet))
        return await asyncio.shield(self._asking[subnet])  # who gives up must not take the answer from the others

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    async def _ask(self, subnet: str) -> str | None:
        region, kept_s = None, DOUBT_KEPT_S
        try:
            async with asyncio.timeout(self._limit_s):
                region, kept_s = self._told(await self._answer(subnet))
        except (TimeoutError, OSError, ValueError):
            pass  # in doubt
        finally:
            del self._asking[subnet]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[subnet] = region, self._clock() + kept_s
        return region

    async def _answer(self, subnet: str) -> DNSRecord:
        packet = self._question(subnet)
        number, transport = packet.header.id, await self._opened()
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            transport.sendto(bytes(packet.pack()))
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def _opened(self) -> asyncio.DatagramTransport:
        async with self._opening:
            if self._transport is None:
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=self._server)
        assert self._transport is not None
        return self._transport

    def _question(self, subnet: str) -> DNSRecord:
        """Raises ValueError for what is no subnet."""
        number = next(each for each in iter(lambda: secrets.randbits(16), None) if each not in self._waiting)
        option = EDNSOption(SUBNET_OPTION, subnet_data(ipaddress.ip_network(subnet), 0))
        return DNSRecord(
            DNSHeader(id=number, rd=1),
            q=DNSQuestion(self._name, QTYPE.A),
            ar=[EDNS0(udp_len=_PAYLOAD_B, opts=[option])],
        )

    def _told(self, answer: DNSRecord) -> tuple[str | None, float]:
        """The region, and how long it may be kept."""
        regions = {self._regions.get(str(record.rdata)) for record in answer.rr if record.rtype == QTYPE.A}
        if answer.header.rcode or len(regions) != 1:
            return None, DOUBT_KEPT_S
        return regions.pop(), min(KEPT_S, *(record.ttl for record in answer.rr))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # of Python 3.11 its class does not say so

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        future = self._waiting.get(int.from_bytes(data[:2], "big"))
        if future is not None and not future.done():
            try:
                future.set_result(DNSRecord.parse(data))
            except (DNSError, struct.error, IndexError) as error:
                future.set_exception(ValueError(str(error)))

    def error_received(self, exc: Exception) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(exc)
