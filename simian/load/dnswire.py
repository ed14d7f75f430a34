"""DNS packets, as few of them as users need: a question for addresses with the client's subnet, and its answer.

Made by hand because a DNS library would cost more memory and start time than all the users together.
RFC 1035 (packets), RFC 6891 (EDNS), RFC 7871 (client subnet).
"""

import ipaddress
import struct
from dataclasses import dataclass
from functools import lru_cache

TYPE_A, TYPE_CNAME, TYPE_OPT = 1, 5, 41
NOERROR = 0
_IN = 1
_PAYLOAD_B = 1232  # the size that DNS Flag Day 2020 agreed on
_OPTION_SUBNET = 8
_RECURSION_DESIRED, _IS_ANSWER, _TRUNCATED = 0x0100, 0x8000, 0x0200
_MOST_POINTERS = 16  # compression pointers that make a circle must not hold us


class BadPacket(ValueError):
    """A packet that is no answer we can read; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One A (``value``: the address) or CNAME (``value``: the name) record; names in lower case, without end dot."""

    owner: str
    type: int
    ttl_s: int
    value: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for question ``number``; ``rcode`` 0 is no error."""

    number: int
    name: str
    rcode: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """An answer followed from the name asked: its addresses, the smallest TTL on the way, and the name it ends at."""

    addresses: tuple[str, ...]
    ttl_s: int
    ends_at: str


def plain(name: str) -> str:
    """A name as it is compared: lower case, no dot at the end."""
    return name.rstrip(".").lower()


def question(number: int, name: str, subnet: str) -> bytes:
    """The packet that asks for A records of ``name`` on behalf of ``subnet`` (``198.18.3.0/24``)."""
    return struct.pack(">6H", number, _RECURSION_DESIRED, 1, 0, 0, 1) + _asked(name, subnet)


@lru_cache(maxsize=4096)
def _asked(name: str, subnet: str) -> bytes:
    network = ipaddress.IPv4Network(subnet)
    prefix = network.network_address.packed[: (network.prefixlen + 7) // 8]
    option = struct.pack(">HHHBB", _OPTION_SUBNET, 4 + len(prefix), 1, network.prefixlen, 0) + prefix
    extra = b"\0" + struct.pack(">HHIH", TYPE_OPT, _PAYLOAD_B, 0, len(option)) + option
    return _encoded(name) + struct.pack(">HH", TYPE_A, _IN) + extra


def _encoded(name: str) -> bytes:
    labels = [label.encode("ascii") for label in plain(name).split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name!r} is no DNS name: each label has 1 to 63 letters")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def parse(packet: bytes) -> Answer:
    """Read an answer. Raises BadPacket for one that is truncated, malformed or no answer."""
    try:
        return _parse(packet)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadPacket(f"an answer of {len(packet)} bytes ends too early or is garbled: {error}") from error


def _parse(packet: bytes) -> Answer:
    number, flags, questions, answers, _, _ = struct.unpack_from(">6H", packet)
    if not flags & _IS_ANSWER:
        raise BadPacket("a question came where an answer belongs")
    if flags & _TRUNCATED:
        raise BadPacket("the answer was cut off; the server must keep it within 1232 bytes")
    if questions != 1:
        raise BadPacket(f"the answer repeats {questions} questions, not the one that was asked")
    name, at = _name(packet, 12)
    at += 4
    records: list[Record] = []
    for _ in range(answers):
        record, at = _record(packet, at)
        if record is not None:
            records.append(record)
    return Answer(number, name, flags & 0xF, tuple(records))


def _record(packet: bytes, at: int) -> tuple[Record | None, int]:
    """The record at this place (None for a type that users do not read) and where the next one begins."""
    owner, at = _name(packet, at)
    kind, _, ttl_s, length = struct.unpack_from(">HHIH", packet, at)
    at += 10
    end = at + length
    if end > len(packet):
        raise BadPacket("a record is longer than its packet")
    if kind == TYPE_A and length == 4:
        return Record(owner, kind, ttl_s, ".".join(str(byte) for byte in packet[at:end])), end
    if kind == TYPE_CNAME:
        return Record(owner, kind, ttl_s, _name(packet, at)[0]), end
    return None, end


def _name(packet: bytes, at: int) -> tuple[str, int]:
    """The name that begins here, compression followed, and the place behind it."""
    labels: list[str] = []
    behind, pointers = 0, 0
    while length := packet[at]:
        if length >= 0xC0:
            pointers += 1
            if pointers > _MOST_POINTERS:
                raise BadPacket("a name is compressed in a circle")
            behind = behind or at + 2
            at = (length & 0x3F) << 8 | packet[at + 1]
        else:
            labels.append(packet[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
    return ".".join(labels), behind or at + 1


def follow(answer: Answer, name: str) -> Chain:
    """From ``name`` through the CNAMEs of this answer to addresses, in the server's order.

    No addresses and ``ends_at`` another name: ask for that one next.
    """
    here, ttls = plain(name), []
    aliases = {record.owner: record for record in answer.records if record.type == TYPE_CNAME}
    while here in aliases:
        alias = aliases.pop(here)  # popped, so that a circle ends
        ttls.append(alias.ttl_s)
        here = plain(alias.value)
    found = [record for record in answer.records if record.type == TYPE_A and record.owner == here]
    ttls += [record.ttl_s for record in found]
    return Chain(tuple(record.value for record in found), min(ttls, default=0), here)
