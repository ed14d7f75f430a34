"""HTTP/1.1 at the level of asyncio's protocols and httptools: a small server; the client is in ``http_client``."""

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from types import TracebackType
from urllib.parse import parse_qsl, unquote

import httptools

from .http_client import Pool
from .http_message import (
    BODY_LIMIT_B,
    HEAD_LIMIT_B,
    VIEW,
    Closed,
    ConnectRefused,
    Handler,
    HttpError,
    Malformed,
    Message,
    Request,
    Response,
    TimedOut,
    TooLarge,
    json_response,
)

__all__ = [
    "BODY_LIMIT_B",
    "HEAD_LIMIT_B",
    "Closed",
    "ConnectRefused",
    "Handler",
    "HttpError",
    "Malformed",
    "Pool",
    "Request",
    "Response",
    "Server",
    "TimedOut",
    "json_response",
    "start_server",
]
PIPELINE_LIMIT = 64
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_log = logging.getLogger(__name__)


def _render_response(response: Response, close: bool, head_only: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}\r\n"]
    lines.extend(f"{name}: {value}\r\n" for name, value in response.headers.items())
    ending = "connection: close\r\n\r\n" if close else "\r\n"
    if response.status >= 200 and response.status != 204:
        lines.append(f"content-length: {len(response.body)}\r\n")
    head = ("".join(lines) + ending).encode("latin-1", "replace")
    return head if head_only else head + response.body


def _parse_target(url: bytes) -> tuple[str, dict[str, str]]:
    parsed = httptools.parse_url(url)
    path = (parsed.path or b"/").decode("latin-1")
    query = parsed.query.decode("latin-1") if parsed.query else ""
    return (unquote(path) if "%" in path else path), dict(parse_qsl(query, keep_blank_values=True))


class _ServerConnection(Message):
    def __init__(self, handler: Handler, connections: "set[_ServerConnection]") -> None:
        super().__init__()
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request | Response, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._url = b""
        self._broken = False
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._broken = True
        self._waiting.clear()
        self.resume_writing()
        if self._task is not None:
            # Nobody waits for the answer: work for those who gave up is what keeps an overload going.
            self._task.cancel()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def buffer_updated(self, nbytes: int) -> None:
        if self._broken:
            return
        try:
            self._parser.feed_data(VIEW[:nbytes])
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        except httptools.HttpParserError as error:
            # What a callback raised comes wrapped: its own status is the answer.
            self._refuse(error.__context__.status if isinstance(error.__context__, TooLarge) else 400)

    def _refuse(self, status: int) -> None:
        self._broken = True
        self._accept(Response(status, _REASONS[status].encode() + b"\n"), close=True)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > HEAD_LIMIT_B:
            raise TooLarge(414)

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self.transport and not self._waiting:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        path, query = _parse_target(self._url)
        request = Request(method, path, query, self._headers, b"".join(self._body), self._url.decode("latin-1"))
        self._accept(request, close=not self._parser.should_keep_alive())

    def _accept(self, message: Request | Response, close: bool) -> None:
        self._waiting.append((message, close))
        if len(self._waiting) >= PIPELINE_LIMIT and self.transport:
            self.transport.pause_reading()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._waiting and self.transport:
                message, close = self._waiting.popleft()
                if len(self._waiting) == PIPELINE_LIMIT // 2:
                    self.transport.resume_reading()
                await self._answer(message, close, self.transport)
        finally:
            self._task = None

    async def _answer(self, message: Request | Response, close: bool, transport: asyncio.Transport) -> None:
        response = message if isinstance(message, Response) else await self._handled(message)
        if transport.is_closing():
            return
        head_only = isinstance(message, Request) and message.method == "HEAD"
        transport.write(_render_response(response, close, head_only))
        if close:
            self._broken = True
            self._waiting.clear()
            self._part(transport, linger=isinstance(message, Response))
        elif self._writable is not None:
            await self._writable

    @staticmethod
    def _part(transport: asyncio.Transport, linger: bool) -> None:
        if not linger:
            transport.close()
            return
        # Closing with unread bytes would reset the connection and lose the refusal on its way.
        transport.write_eof()
        asyncio.get_running_loop().call_later(1.0, transport.close)

    async def _handled(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return Response(500, b"internal error\n")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self.transport is not None:
            self.transport.abort()


class Server:
    """A listening HTTP server. Use ``async with``, or ``close()``."""

    def __init__(self, server: asyncio.Server, connections: set[_ServerConnection]) -> None:
        self._server = server
        self._connections = connections

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Stop listening, cancel what is being answered, close every connection."""
        self._server.close()
        for connection in list(self._connections):
            connection.stop()

    async def serve_forever(self) -> None:
        """Until cancelled; then closed."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._let_in()
            self.close()

    async def _let_in(self) -> None:
        """Accept nobody else, and wait for those just accepted: asyncio loses, unclosed, those it still lets in."""
        loop = asyncio.get_running_loop()
        for listener in self._server.sockets:
            loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)  # their transports are made
        await asyncio.sleep(0)  # and ours to close

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._let_in()
        self.close()
        await asyncio.sleep(0)


async def start_server(host: str, port: int, handler: Handler) -> Server:
    """Listen on ``host:port`` (port 0: any).

    A request whose handler raises is answered 500 and logged; a handler whose client has gone is cancelled.
    """
    connections: set[_ServerConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _ServerConnection(handler, connections), host, port, reuse_address=True, backlog=512
    )
    return Server(server, connections)
