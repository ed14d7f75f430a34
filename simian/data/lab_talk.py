"""Short conversations with nodes: a connection each, and one deadline for all that is said over it."""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simian.errors import DriverError, TimedOut, Unreachable

LARGEST_ANSWER_B = 32 << 20
_CHUNK_B = 256 << 10
_KEYS_A_LINE = 50  # memcached's own limit is on bytes: so many of the longest keys fit


class Refusal(DriverError):
    """An answer that is not 2xx."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node listens; ``url`` as it was configured."""

    name: str
    url: str
    host: str
    port: int


class Talk:
    """One connection. ``ends`` is a monotonic time. Raises Unreachable, and TimedOut once something was sent."""

    def __init__(self, place: Place, ends: float) -> None:
        self._place, self._ends = place, ends
        try:
            self._sock = socket.create_connection((place.host, place.port), timeout=max(self._left_s(), 0.001))
        except OSError as error:
            raise Unreachable(f"{self} cannot be connected to ({error or type(error).__name__})") from error

    def __str__(self) -> str:
        return f"{self._place.name} at {self._place.host}:{self._place.port}"

    def _left_s(self) -> float:
        return self._ends - time.monotonic()

    def send(self, data: bytes) -> None:
        """All of it."""
        try:
            self._sock.settimeout(max(self._left_s(), 0.001))
            self._sock.sendall(data)
        except OSError as error:
            raise self._broken(error) from error

    def receive(self) -> bytes:
        """What comes next; nothing at the end of the stream."""
        if (left_s := self._left_s()) <= 0:
            raise TimedOut(f"{self} did not answer in time")
        try:
            self._sock.settimeout(left_s)
            return self._sock.recv(_CHUNK_B)
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> DriverError:
        if isinstance(error, TimeoutError):
            return TimedOut(f"{self} did not answer in time")
        return Unreachable(f"{self} closed the connection before its answer ({error})")

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def fetch(
    place: Place, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, ends: float
) -> bytes:
    """The body of a 2xx answer to one HTTP request. Raises Refusal for any other."""
    # HTTP/1.0: the answer comes in one piece and ends with the connection.
    lines = [f"{method} {path} HTTP/1.0", f"host: {place.host}:{place.port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with Talk(place, ends) as talk:
        talk.send("\r\n".join([*lines, "", ""]).encode() + body)
        received = bytearray()
        while data := talk.receive():
            received += data
            if len(received) > LARGEST_ANSWER_B:
                raise DriverError(f"{talk} answered with more than {LARGEST_ANSWER_B} bytes")
        return _body_of(talk, bytes(received))


def _body_of(talk: Talk, received: bytes) -> bytes:
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Unreachable(f"{talk} closed the connection before its answer")
    told = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if told and int(told[0].partition(b":")[2]) > len(body):
        raise Unreachable(f"{talk} closed the connection amid its answer")
    if not words[1].startswith(b"2"):
        text = body[:300].decode("utf-8", "replace").strip()
        raise Refusal(f"{talk} answered {int(words[1])}: {text or 'nothing'}", int(words[1]))
    return body


def cached(place: Place, keys: Sequence[str], *, ends: float) -> dict[str, bytes]:
    """The items of a memcached, straight from it; keys it has not are left out."""
    found: dict[str, bytes] = {}
    with Talk(place, ends) as talk:
        for start in range(0, len(keys), _KEYS_A_LINE):
            talk.send(f"get {' '.join(keys[start : start + _KEYS_A_LINE])}\r\n".encode())
            received = b""
            while (items := _items_of(talk, received)) is None:
                data = talk.receive()
                if not data:
                    raise Unreachable(f"{talk} closed the connection before its answer")
                received += data
            found |= items
    return found


def _items_of(talk: Talk, received: bytes) -> dict[str, bytes] | None:
    """The items of a whole answer to ``get``; ``None`` while some of it is still to come."""
    found: dict[str, bytes] = {}
    at = 0
    while (end := received.find(b"\r\n", at)) >= 0:
        words = received[at:end].split()
        if words == [b"END"]:
            return found
        if len(words) < 4 or words[0] != b"VALUE" or not words[3].isdigit():
            raise DriverError(f"{talk} answered {bytes(received[at:end])[:200]!r} to a get; is it a memcached?")
        start, length = end + 2, int(words[3])
        found[words[1].decode("latin-1")] = received[start : start + length]
        at = start + length + 2
    return None
