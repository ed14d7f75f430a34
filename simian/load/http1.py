"""Reading HTTP/1.1 answers out of one buffer that stays. Bodies are read to their end and thrown away."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

BUFFER_B = 16 * 1024  # a head must fit into it; bodies pass through it
_BODILESS = (204, 304)
_CHUNKED, _TO_THE_CLOSE = -1, -2  # in the place of a body's length
_HEADS = 256  # so many are remembered: a server says few different ones, and most of them over and over


class Malformed(ValueError):
    """Not HTTP as we can read it; the text says what was wrong."""


@dataclass(frozen=True, slots=True)
class Response:
    """Status and headers (names in lower case, the last of a name wins) of an answer read to its end.

    ``last``: the server closes the connection behind it.
    """

    status: int
    headers: Mapping[str, str]
    last: bool


class Reader:
    """Reads one answer after the other: put bytes into ``room()``, then say with ``took`` how many they were."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_B)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._left = 0
        self._step: Callable[[], bool] = self._head  # one part of an answer; False: more bytes are needed
        self._response: Response | None = None
        self._ended = False

    def room(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._view[self._filled :] if self._filled else self._view

    def took(self, count: int) -> Response | None:
        """So many bytes were put into the room; the answer, if that was its end. Raises Malformed."""
        self._filled += count
        while self._step():
            if self._ended:
                return self._end()
        if self._filled == BUFFER_B:
            raise Malformed(f"a head or line of more than {BUFFER_B} bytes")
        return None

    def closed(self) -> Response | None:
        """The other side has closed: the answer, if this is how it was to end."""
        return self._end() if self._step == self._rest else None

    def _end(self) -> Response | None:
        if self._filled:
            raise Malformed("bytes behind the end of an answer")
        response, self._response, self._ended, self._step = self._response, None, False, self._head
        return response

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return False
        response, length = _parsed(bytes(self._view[:end]))
        if end + 4 + length == self._filled and response.status >= 200:  # as a rule an answer comes whole
            self._response, self._filled, self._ended = response, 0, True
            return True
        self._drop(end + 4)
        if response.status >= 200:  # 100 Continue and the like: the answer is still to come
            self._response = response
            self._body_of(length)
        return True

    def _body_of(self, length: int) -> None:
        if length >= 0:
            self._left = length
            self._ended = self._took_left()
            self._step = self._sized
        else:
            self._step = self._chunk_size if length == _CHUNKED else self._rest

    def _sized(self) -> bool:
        self._ended = self._took_left()
        return self._ended

    def _rest(self) -> bool:
        self._filled = 0
        return False

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._left = _length(line.partition(";")[0].strip(), "0123456789abcdefABCDEF", 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        if not self._took_left():
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line:
            raise Malformed("a chunk is longer than it said")
        self._step = self._chunk_size if line is not None else self._chunk_end
        return line is not None

    def _trailer(self) -> bool:
        line = self._line()
        self._ended = line == ""
        return line is not None

    def _took_left(self) -> bool:
        taken = min(self._left, self._filled)
        self._drop(taken)
        self._left -= taken
        return not self._left

    def _line(self) -> str | None:
        end = self._buffer.find(b"\r\n", 0, self._filled)
        if end < 0:
            return None
        line = self._buffer[:end].decode("latin-1")
        self._drop(end + 2)
        return line

    def _drop(self, count: int) -> None:
        rest = self._filled - count
        if rest:
            self._view[:rest] = self._view[count : self._filled]
        self._filled = rest


@lru_cache(_HEADS)
def _parsed(head: bytes) -> tuple[Response, int]:
    """What a head says, and the length of the body behind it."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise Malformed(f"an answer begins with a status line, not {first[:40]!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(f"a header has a colon, unlike {line[:40]!r}")
        headers[name.lower()] = value.strip()
    length = _body_length(int(rest[:3]), headers)
    last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0" or length == _TO_THE_CLOSE
    return Response(int(rest[:3]), MappingProxyType(headers), last), length


def _body_length(status: int, headers: Mapping[str, str]) -> int:
    if status < 200 or status in _BODILESS:
        return 0
    if "transfer-encoding" in headers:
        return _CHUNKED
    return _length(headers["content-length"], "0123456789", 10) if "content-length" in headers else _TO_THE_CLOSE


def _length(text: str, digits: str, base: int) -> int:
    """A length of digits alone: int() would take signs and underscores, too."""
    if not text or text.strip(digits):
        raise Malformed(f"{text[:40]!r} is no length")
    return int(text, base)
