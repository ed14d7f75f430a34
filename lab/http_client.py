"""The pooled HTTP client of the lab's services."""

import asyncio

import httptools

from .http_message import VIEW, Closed, ConnectRefused, HttpError, Malformed, Message, Response, TimedOut

IDLE_LIMIT = 64


class _ClientConnection(Message):
    def __init__(self) -> None:
        super().__init__()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._head_only = False
        self._until_closed = False
        self.received = False
        self.usable = True

    def exchange(self, payload: bytes, head_only: bool) -> asyncio.Future[Response]:
        """Send one request; one at a time. The future gets the response or an HttpError."""
        self._answer = asyncio.get_running_loop().create_future()
        self.received, self._head_only, self._until_closed = False, head_only, False
        if self.transport is None or not self.usable:
            self._fail(Closed("the connection was closed before the request was sent"))
        else:
            self.transport.write(payload)
        return self._answer

    def _fail(self, error: HttpError) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def abandon(self) -> None:
        """Close at once; what was asked is not waited for any longer."""
        self.usable = False
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._until_closed and exc is None:
            self._complete()
        self._fail(Closed(f"closed by the peer ({exc or 'end of stream'})"))

    def buffer_updated(self, nbytes: int) -> None:
        self.received = True
        if self._answer is None or self._answer.done():
            self.abandon()  # it speaks without having been asked
            return
        try:
            self._parser.feed_data(VIEW[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Malformed(f"no HTTP answer, or too large: {error}"))
            self.abandon()

    def on_headers_complete(self) -> None:
        framed = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._until_closed = not framed and self._parser.get_status_code() not in (204, 304)
        if self._head_only:
            self.usable = False
            self._complete()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        if not self._parser.should_keep_alive():
            self.usable = False
        self._complete()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Response(self._parser.get_status_code(), b"".join(self._body), self._headers))


def _render_request(method: str, host: str, path: str, headers: dict[str, str] | None, body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n"]
    lines.extend(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    if body or method not in ("GET", "HEAD", "DELETE"):
        lines.append(f"content-length: {len(body)}\r\n")
    return ("".join(lines) + "\r\n").encode("latin-1", "replace") + body


class Pool:
    """Keep-alive connections to any number of peers. ``source``: the local address to connect from."""

    def __init__(self, source: str | None = None) -> None:
        self._local = (source, 0) if source else None
        self._idle: dict[tuple[str, int], list[_ClientConnection]] = {}

    async def request(
        self,
        host: str,
        port: int,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 1.0,
    ) -> Response:
        """One request. ``timeout_s`` covers connecting, sending and the whole answer. Raises an HttpError.

        A kept connection that turns out to be closed is replaced by a fresh one once, if nothing was received.
        """
        payload = _render_request(method, f"{host}:{port}", path, headers, body)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange((host, port), payload, method == "HEAD")
        except TimeoutError:
            raise TimedOut(f"no answer from {host}:{port} within {timeout_s:g} s") from None

    async def _exchange(self, peer: tuple[str, int], payload: bytes, head_only: bool) -> Response:
        connection = self._take(peer)
        if connection is not None:
            try:
                return await self._send(peer, connection, payload, head_only)
            except Closed:
                if connection.received:
                    raise
        return await self._send(peer, await self._connect(peer), payload, head_only)

    async def _send(
        self, peer: tuple[str, int], connection: _ClientConnection, payload: bytes, head_only: bool
    ) -> Response:
        try:
            response = await connection.exchange(payload, head_only)
        except BaseException:
            connection.abandon()
            raise
        self._give_back(peer, connection)
        return response

    def _take(self, peer: tuple[str, int]) -> _ClientConnection | None:
        idle = self._idle.get(peer)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    def _give_back(self, peer: tuple[str, int], connection: _ClientConnection) -> None:
        idle = self._idle.setdefault(peer, [])
        if connection.usable and len(idle) < IDLE_LIMIT:
            idle.append(connection)
        else:
            connection.abandon()

    async def _connect(self, peer: tuple[str, int]) -> _ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_ClientConnection, *peer, local_addr=self._local)
        except OSError as error:
            raise ConnectRefused(f"cannot connect to {peer[0]}:{peer[1]}: {error}") from None
        return connection

    def forget(self, host: str, port: int) -> None:
        """Close the kept connections to one peer, for instance after it timed out."""
        for connection in self._idle.pop((host, port), []):
            connection.abandon()

    async def aclose(self) -> None:
        """Close every kept connection."""
        for peer in list(self._idle):
            self.forget(*peer)
        await asyncio.sleep(0)
