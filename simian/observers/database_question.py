"""Asking databases that wait for the client's first word: the least that each of them answers to anybody."""

from simian.observers.attempt import Attempt, Closed, Garbled

_PING = b"*1\r\n$4\r\nPING\r\n"
_LINE_B = 512
# PostgreSQL: eight bytes long, the number that asks for encryption. One letter comes back, and nothing is logged.
_WANTS_TLS = b"\0\0\0\x08\x04\xd2\x16\x2f"


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


def _some(attempt: Attempt, most: int) -> bytes:
    buffer = bytearray(most)
    count = attempt.readinto(buffer)
    if not count:
        raise Closed
    return bytes(buffer[:count])
