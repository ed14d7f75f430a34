"""One HTTP call with one time limit for all of it, over the standard library: what drivers of HTTP services share."""

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from simian.errors import TimedOut, Unreachable

_LARGEST_ANSWER_B = 32 << 20
Dial = Callable[[str, int, float], socket.socket]  # host, port, how long it may take at most


class NobodyListens(Unreachable):
    """The connection was refused: the process is down, and what lived in its memory is gone."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service listens, the path all its calls begin with, and the headers that let us in (not shown)."""

    host: str
    port: int
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secure: bool = False

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str]) -> "Service":
        """From ``http://host:port/path`` (or https). Raises ValueError, whose text says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or any(ord(letter) <= 32 for letter in url):
            raise ValueError(f"{url!r} is no address; it must be like http://127.0.0.1:8080/path")
        for name, value in headers.items():
            if not value or not (value.isascii() and value.isprintable()):
                raise ValueError(f"what goes into the header {name} must be a text of plain letters")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), parts.path.rstrip("/"), headers, secure)


@dataclass(frozen=True, slots=True)
class Answer:
    """Any answer, whatever its status; names of headers in lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def call(
    service: Service, method: str, tail: str = "", body: bytes | None = None, *, limit_s: float, who: str,
    dial: Dial | None = None,
) -> Answer:  # fmt: skip
    """One call of ``path + tail`` on a connection of its own; ``who`` is called for names it in errors.

    Raises NobodyListens, Unreachable (it cannot have landed, or was cut off) or TimedOut (it may still land); and what
    ``dial`` raises, which connects where an address is to be looked at first.
    """
    attempt, where = _Attempt(service, limit_s, dial), f"{who} at {service.host}:{service.port}"
    try:
        return attempt.run(method, tail, body)
    except TimeoutError as error:
        if not attempt.sent:  # never connected: it cannot land later
            raise Unreachable(f"{where} took no connection in {limit_s:g} s") from error
        raise TimedOut(f"{where} gave no answer to {method} in {limit_s:g} s") from error
    except ConnectionRefusedError as error:
        raise NobodyListens(f"{where} does not answer: nobody listens there") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{where} does not answer ({type(error).__name__}: {error})") from error


class _UntilDeadline(io.RawIOBase):
    """A socket as a file whose reads together end at the deadline: an answer that drips must not hold us."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._sock, self._left_s = sock, left_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._left_s())
        return self._sock.recv_into(buffer)


class _Attempt:
    """``sent`` tells whether the call may have landed."""

    def __init__(self, service: Service, limit_s: float, dial: Dial | None) -> None:
        self._service, self._ends, self._dial = service, time.monotonic() + limit_s, dial
        kind = http.client.HTTPSConnection if service.secure else http.client.HTTPConnection
        self._connection = kind(service.host, service.port, timeout=limit_s)
        self.sent = False

    def _left_s(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def run(self, method: str, tail: str, body: bytes | None) -> Answer:
        with contextlib.closing(self._connection):
            self._connect()
            self._connection.sock.settimeout(self._left_s())
            self.sent = True
            headers = {**self._service.headers, "Connection": "close"}
            self._connection.request(method, self._service.path + tail, body, headers)
            return self._read(method)

    def _connect(self) -> None:
        if self._dial is None:
            self._connection.connect()
            return
        raw = self._dial(self._service.host, self._service.port, self._left_s())
        self._connection.sock = raw  # closed with the connection, whatever comes next
        if self._service.secure:
            context = ssl.create_default_context()
            self._connection.sock = context.wrap_socket(raw, server_hostname=self._service.host)

    def _read(self, method: str) -> Answer:
        response = http.client.HTTPResponse(self._connection.sock, method=method)
        response.fp.close()
        response.fp = io.BufferedReader(_UntilDeadline(self._connection.sock, self._left_s))
        response.begin()
        content = response.read(_LARGEST_ANSWER_B + 1)
        if len(content) > _LARGEST_ANSWER_B:
            raise http.client.HTTPException(f"the answer is larger than {_LARGEST_ANSWER_B} bytes")
        if response.length:  # ``read`` of so many bytes does not complain
            raise http.client.IncompleteRead(content, response.length)
        return Answer(response.status, content, {name.lower(): value for name, value in response.getheaders()})
