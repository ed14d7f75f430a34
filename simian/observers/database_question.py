"""Asking databases that wait for the client's first word: the least that each of them answers to anybody."""

import struct

from simian.observers.attempt import Attempt, Closed, Garbled

_PING = b"*1\r\n$4\r\nPING\r\n"
_LINE_B = 512
_LARGEST_B = 4096
# PostgreSQL: eight bytes long, the number that asks for encryption. One letter comes back, and nothing is logged.
_WANTS_TLS = b"\0\0\0\x08\x04\xd2\x16\x2f"
# MySQL speaks first, but a delay of what it is sent shows only in what it answers: so a stranger logs in, not waiting
# for the greeting, and is turned away. A connection that is left amid this counts against the host that it came from.
_STRANGER = struct.pack("<IIB23x", 0x8201, 1 << 24, 33) + b"simian\0\0"
MYSQL_LOGIN = len(_STRANGER).to_bytes(3, "little") + b"\1" + _STRANGER
_GREETING, _ERROR = 10, 255


def ask_redis(attempt: Attempt) -> str:
    """``PING``; an error (a password is wanted, it is loading its data) is an answer too."""
    attempt.connect()
    attempt.send(_PING)
    heard = b""
    while not heard.endswith(b"\n") and len(heard) < _LINE_B:
        heard += _some(attempt, _LINE_B - len(heard))
    if not heard.startswith((b"+PONG", b"-")):
        raise Garbled(heard.decode("latin-1"))
    attempt.answer()
    return heard.decode("latin-1").strip()


def ask_postgres(attempt: Attempt) -> str:
    """Whether it would encrypt: ``S`` or ``N``."""
    attempt.connect()
    attempt.send(_WANTS_TLS)
    heard = _some(attempt, 1)
    if heard not in (b"S", b"N"):
        raise Garbled(heard.decode("latin-1"))
    attempt.answer()
    return "would encrypt" if heard == b"S" else "would not encrypt"


def ask_mysql(attempt: Attempt) -> str:
    """A greeting with its version, and what it says to a stranger; an error in the place of a greeting, too."""
    attempt.connect()
    attempt.send(MYSQL_LOGIN)
    greeting = _packet(attempt)
    if greeting[:1] == bytes([_ERROR]):  # too many connections, or this host may not come in
        attempt.answer()
        return _told(greeting)
    if greeting[:1] != bytes([_GREETING]):
        raise Garbled(greeting[:_LINE_B].decode("latin-1"))
    heard = _packet(attempt)
    attempt.answer()
    version = greeting[1:].partition(b"\0")[0].decode("latin-1")
    return f"{version}: {_told(heard) if heard[:1] == bytes([_ERROR]) else 'lets strangers in'}"


def _told(error: bytes) -> str:
    return f"error {int.from_bytes(error[1:3], 'little')}"


def _packet(attempt: Attempt) -> bytes:
    head = _all(attempt, 4)
    size = int.from_bytes(head[:3], "little")
    if size > _LARGEST_B:
        raise Garbled(head.decode("latin-1"))
    return _all(attempt, size)


def _all(attempt: Attempt, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        heard += _some(attempt, count - len(heard))
    return heard


def _some(attempt: Attempt, most: int) -> bytes:
    buffer = bytearray(most)
    count = attempt.readinto(buffer)
    if not count:
        raise Closed
    return bytes(buffer[:count])
