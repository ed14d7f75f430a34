"""The HTTP server: Uvicorn, with a deadline and a limit for what comes before a body."""

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simian.errors import UsageError

HEAD_LIMIT_S = 10.0
LARGEST_HEAD = 32 << 10  # bytes
MOST_CONNECTIONS = 256
LEAVE_LIMIT_S = 3


class Protocol(HttpToolsProtocol):
    """A connection. Whoever sends the head of a request byte by byte, or without end, is not waited for."""

    _late: asyncio.TimerHandle | None = None
    _head = 0  # bytes of the head that is coming
    _told = 0  # bytes of its lines, as they are read
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is due."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins: of the second request of a connection, too."""
        super().on_message_begin()
        self._told = 0
        if self._late is None:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts: a head may come whole, at once."""
        self._told += len(name) + len(value) + 4
        if self._told <= LARGEST_HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here; its body has a deadline of its own."""
        self._expect_nothing()
        if self._told > LARGEST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Nobody reads that of a refused head."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """As before."""
        if not self._refused:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Counts while a head is due."""
        if self._refused:
            return
        if self._late is not None:
            self._head += len(data)
        super().data_received(data)
        if self._late is not None and self._head > LARGEST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def _expect_head(self) -> None:
        self._head = 0
        self._late = self.loop.call_later(HEAD_LIMIT_S, self._refuse, b"408 Request Timeout")

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: bytes) -> None:
        self._expect_nothing()
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound, and known to nobody yet. Raises UsageError where it cannot be had."""
    try:
        family, kind, proto, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(128)
    except OSError as error:
        raise UsageError(
            f"nobody can listen at {host} port {port}: {error.strerror or error}; choose another host or port"
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """By which browsers on this machine reach it."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: ASGIApp) -> uvicorn.Server:
    """To be served at a bound socket. Addresses of clients are those of their connections: no header is believed."""
    settings: dict[str, Any] = {
        "loop": "asyncio",
        "http": Protocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_level": "warning",
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "limit_concurrency": MOST_CONNECTIONS,
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": LEAVE_LIMIT_S,
    }
    return uvicorn.Server(uvicorn.Config(app, **settings))
