"""What the two sides of an HTTP exchange share: requests, responses, errors, and reading them under limits.

All connections of a process read into one buffer: a selector loop asks for the buffer, fills it and hands it over
within one callback, and the parser copies what it keeps. So a connection costs no buffer of its own.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

BODY_LIMIT_B = 4 << 20
HEAD_LIMIT_B = 64 << 10
compact_json = json.JSONEncoder(separators=(",", ":")).encode  # made once: dumps would make one each time
VIEW = memoryview(bytearray(256 << 10))


class HttpError(Exception):
    """No answer came. ``kind`` says why in one word: refused, closed, timed_out or malformed."""

    kind = "failed"


class ConnectRefused(HttpError):
    """Nothing listens there, or there is no way there."""

    kind = "refused"


class Closed(HttpError):
    """The peer closed the connection before its answer was complete."""

    kind = "closed"


class TimedOut(HttpError):
    """No complete answer within the time given; the request may still be carried out."""

    kind = "timed_out"


class Malformed(HttpError):
    """What came back is no HTTP, or is larger than allowed."""

    kind = "malformed"


@dataclass(slots=True)
class Request:
    """A request as received. ``target`` is path and query as sent; header names are lower-cased."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    target: str = ""

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


@dataclass(slots=True)
class Response:
    """An answer; the server adds ``content-length``. Header names are lower-cased when received."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``value`` as a JSON answer."""
    body = compact_json(value).encode()
    return Response(status, body, {"content-type": "application/json", **(headers or {})})


class TooLarge(Exception):
    """More than this side takes; ``status`` is what to answer."""

    def __init__(self, status: int) -> None:
        self.status = status


class Message(asyncio.BufferedProtocol):
    """What both sides have in common: the buffer, and collecting headers and body under their limits."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_b = 0
        self._head_b = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return VIEW

    def on_message_begin(self) -> None:
        self._headers, self._body, self._body_b, self._head_b = {}, [], 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_b += len(name) + len(value)
        if self._head_b > HEAD_LIMIT_B:
            raise TooLarge(431)
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body_b += len(data)
        if self._body_b > BODY_LIMIT_B:
            raise TooLarge(413)
        self._body.append(data)
