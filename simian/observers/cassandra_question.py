"""Asking Cassandra without a client of it: at the port for clients, and at the one for the nodes of its cluster.

The first is asked which options its protocol has. The second is greeted as a node of a far future would: it answers
with the versions that it speaks and hangs up, so nothing is left there of whoever asked. Sources: "CQL binary protocol
v4", sections 2 and 4.1.5; ``HandshakeProtocol`` of Cassandra 4 and 5.
"""

import struct
import zlib

from simian.observers.attempt import Attempt, Closed, Garbled

_HEADER = struct.Struct("!BBhBi")  # version, flags, stream, opcode, length of the body
_OPTIONS, _SUPPORTED, _V4, _ANSWER = 5, 6, 4, 0x80
_MAGIC, _SMALL_MESSAGES, _V40, _FAR_FUTURE = 0xCA552DFA, 2, 12, 99
_SALT = bytes.fromhex("fa2d55ca")  # what every checksum among its nodes begins with
_VERSIONS = struct.Struct("!iiI")  # the newest that it speaks, the one it would use, checksum


def ask_cassandra(attempt: Attempt) -> str:
    """``cassandra://host:9042``."""
    attempt.connect()
    attempt.send(_HEADER.pack(_V4, 0, 0, _OPTIONS, 0))
    version, _, _, opcode, length = _HEADER.unpack(exactly(attempt, _HEADER.size))
    if not version & _ANSWER or opcode != _SUPPORTED:
        raise Garbled(f"version {version:#x}, opcode {opcode}")
    attempt.answer()
    exactly(attempt, length)
    return f"speaks version {version ^ _ANSWER} of CQL's protocol"


def ask_cassandra_peer(attempt: Attempt) -> str:
    """``cassandra-peer://host:7000``."""
    attempt.connect()
    attempt.send(greeting())
    newest, _, checksum = _VERSIONS.unpack(answer := exactly(attempt, _VERSIONS.size))
    if checksum != zlib.crc32(_SALT + answer[:-4]):
        raise Garbled(answer.hex())
    attempt.answer()
    return f"speaks version {newest} among nodes"


def greeting() -> bytes:
    """What a node that speaks a far future's version alone would begin with; from nowhere: nobody calls back."""
    flags = _SMALL_MESSAGES | _V40 << 8 | _FAR_FUTURE << 16 | _FAR_FUTURE << 24
    nowhere = struct.pack("!B4sH", 6, bytes(4), 0)  # how long, address, port
    said = struct.pack("!II", _MAGIC, flags) + nowhere
    return said + struct.pack("!I", zlib.crc32(_SALT + said))


def exactly(attempt: Attempt, count: int) -> bytes:
    """So many bytes. Raises Closed when they end before."""
    heard = bytearray(count)
    view, have = memoryview(heard), 0
    while have < count:
        more = attempt.readinto(view[have:])
        if not more:
            raise Closed
        have += more
    return bytes(heard)
