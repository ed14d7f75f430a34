"""Questions to a DNS server over UDP: whether it answers at all, and what it answers a user of some subnet."""

import secrets
import socket
import struct

from simian.load import dnswire
from simian.observers.attempt import Attempt

_TRIES = 2  # a user's resolver asks again, too, when a packet was lost
_LARGEST_B = 4096


def ask_dns(attempt: Attempt) -> str:
    """One question for an A record over UDP; any answer to it counts, whatever its code."""
    packet = _answer(attempt, question(secrets.token_bytes(2), attempt.url.path.strip("/")), 1)
    attempt.connected = True
    attempt.answer()
    attempt.transferred_b = len(packet)
    return f"rcode {packet[3] & 0x0F}, {struct.unpack('>H', packet[6:8])[0]} answers"


def addresses(attempt: Attempt, subnet: str) -> tuple[str, ...]:
    """What a user of this subnet is answered for the name in the attempt's path; empty when it is no good answer."""
    name = attempt.url.path.strip("/")
    asked = dnswire.question(secrets.randbits(16), name, subnet)
    try:
        answer = dnswire.parse(_answer(attempt, asked, _TRIES))
    except (OSError, dnswire.BadPacket):
        return ()
    if answer.rcode != dnswire.NOERROR or answer.name != dnswire.plain(name):
        return ()
    return dnswire.follow(answer, name).addresses


def _answer(attempt: Attempt, packet: bytes, tries: int) -> bytes:
    """The packet that answers this one, which is sent so many times. Raises OSError when none comes."""
    family, kind, _, _, address = socket.getaddrinfo(attempt.host, attempt.port, type=socket.SOCK_DGRAM)[0]
    attempt.sock = socket.socket(family, kind)
    attempt.sock.connect(address)  # so that a refusal comes back, and no stranger's packet is taken
    for left in range(tries, 0, -1):
        attempt.send(packet)
        later_s = attempt.left_s() * (left - 1) / left  # what is kept for the tries to come
        while (wait_s := attempt.left_s() - later_s) > 0:
            attempt.sock.settimeout(wait_s)
            try:
                heard = attempt.sock.recv(_LARGEST_B)
            except TimeoutError:
                break
            if len(heard) >= 12 and heard[:2] == packet[:2] and heard[2] & 0x80:
                return heard
    raise TimeoutError


def question(number: bytes, name: str) -> bytes:
    """The packet that asks for A records. Raises ValueError for what cannot be a name."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError("a part of a name has at most 63 letters, a name 253")
    return (
        number
        + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0)
        + b"".join(bytes([len(label)]) + label for label in labels)
        + b"\0"
        + struct.pack(">HH", 1, 1)
    )
