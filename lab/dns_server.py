"""The DNS server's packets: UDP, EDNS, and the client subnet that a resolver sends for its client (RFC 7871)."""

import asyncio
import ipaddress
import logging
import re
import struct
from typing import Any, cast

from dnslib import AAAA, CLASS, CNAME, EDNS0, NS, QTYPE, RR, SOA, TXT, A, DNSError, DNSRecord, EDNSOption

from .dns_lua import Address
from .dns_zones import REFUSED, Answer, Record, Zones

_FORMERR, _NOTIMP = 1, 4
SUBNET_OPTION = 8
_PAYLOAD_B, _PLAIN_PAYLOAD_B = 1232, 512
_MOST_KEPT = 4096
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(25[0-5]|2[0-4]\d|[01]\d\d|.)", re.DOTALL)
_log = logging.getLogger(__name__)


class DnsServer(asyncio.DatagramProtocol):
    """Answers from ``zones``. An answer is kept until they change: users ask the same again and again."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._kept: dict[tuple[str, bytes], bytes] = {}
        self._kept_of = zones.changes
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # of Python 3.11 its class does not say so

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport is not None and (answer := self.answer(data, str(addr[0]))):
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        _log.info("an asker is gone: %s", exc)

    def answer(self, packet: bytes, source: str) -> bytes | None:
        """The packet that answers; ``None`` for what is no question."""
        if len(packet) < 12 or packet[2] & 0x80:
            return None
        if self._kept_of != self._zones.changes or len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._kept_of = self._zones.changes
        key = (source, packet[2:])
        if key not in self._kept:
            self._kept[key] = self._work_out(packet, source)[2:]
        return packet[:2] + self._kept[key]

    def _work_out(self, packet: bytes, source: str) -> bytes:
        try:
            question = DNSRecord.parse(packet)
            subnet = _subnet_of(question)
        except (DNSError, ValueError, struct.error, IndexError):
            return packet[:2] + struct.pack(">5H", 0x8000 | _FORMERR, 0, 0, 0, 0)
        reply = question.reply(ra=0)
        if question.header.opcode != 0 or len(question.questions) != 1:
            reply.header.rcode = _NOTIMP
            return bytes(reply.pack())
        client = subnet.network_address if subnet else ipaddress.ip_address(source)
        _fill(reply, self._resolve(question, client))
        return _packed(reply, question, subnet)

    def _resolve(self, question: DNSRecord, client: Address) -> Answer:
        if question.q.qclass != CLASS.IN:
            return Answer(_NOTIMP)
        return self._zones.resolve(str(question.q.qname), QTYPE.get(question.q.qtype), client)


def _subnet_of(question: DNSRecord) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    for record in question.ar:
        options = record.rdata if record.rtype == QTYPE.OPT else []
        for option in options:
            if option.code == SUBNET_OPTION:
                family, length, _ = struct.unpack_from(">HBB", option.data)
                size = {1: 4, 2: 16}[family] if family in (1, 2) else 0
                packed = option.data[4:].ljust(size, b"\0")
                return ipaddress.ip_network((packed, length), strict=False)
    return None


def _fill(reply: DNSRecord, answer: Answer) -> None:
    reply.header.rcode = answer.code
    reply.header.aa = int(answer.code != REFUSED)
    for record in answer.records:
        reply.add_answer(_rr(record))
    if answer.authority is not None:
        reply.add_auth(_rr(answer.authority))


def _packed(
    reply: DNSRecord,
    question: DNSRecord,
    subnet: ipaddress.IPv4Network | ipaddress.IPv6Network | None,
) -> bytes:
    asked = next((record for record in question.ar if record.rtype == QTYPE.OPT), None)
    if asked is not None:
        options = [EDNSOption(SUBNET_OPTION, subnet_data(subnet, subnet.prefixlen))] if subnet is not None else []
        reply.add_ar(EDNS0(udp_len=_PAYLOAD_B, opts=options))
    limit_b = min(max(asked.rclass, _PLAIN_PAYLOAD_B), _PAYLOAD_B) if asked is not None else _PLAIN_PAYLOAD_B
    packet = bytes(reply.pack())
    if len(packet) > limit_b:  # the asker is told to come by TCP, which we do not have: nothing of ours is so long
        reply.rr, reply.auth = [], []
        reply.header.tc = 1
        packet = bytes(reply.pack())
    return packet


def subnet_data(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network, scope: int) -> bytes:
    """The option's content; ``scope``: in an answer, the length of the prefix that it holds for, in a question 0."""
    family, length = (1 if subnet.version == 4 else 2), subnet.prefixlen
    return struct.pack(">HBB", family, length, scope) + subnet.network_address.packed[: (length + 7) // 8]


def _strings(content: str) -> list[bytes]:
    """The strings of a TXT record: quoted, with a backslash before what it would not stand for itself (RFC 1035)."""

    def plain(escaped: re.Match[bytes]) -> bytes:
        return bytes([int(escaped[1])]) if escaped[1].isdigit() else escaped[1]

    return [_ESCAPED.sub(plain, each) for each in _STRING.findall(content.encode())]


def _rr(record: Record) -> RR:
    text = record.content
    match record.type:
        case "A":
            data: Any = A(text)
        case "AAAA":
            data = AAAA(text)
        case "CNAME":
            data = CNAME(text)
        case "NS":
            data = NS(text)
        case "SOA":
            first, mail, *times = text.split()
            data = SOA(first, mail, tuple(int(each) for each in times))
        case _:
            data = TXT([each[at : at + 255] for each in _strings(text) for at in range(0, len(each) or 1, 255)])
    return RR(record.name, getattr(QTYPE, record.type), ttl=record.ttl_s, rdata=data)
