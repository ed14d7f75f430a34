"""A memcached client for the lab's services: one pipelined connection to one address (a link's)."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import cast

from .http import Closed, ConnectRefused, HttpError, Malformed, TimedOut
from .http_message import VIEW

WAITING_LIMIT = 1000
OFFER_LIMIT_B = 64 << 10


class CacheBusy(HttpError):
    """Too many commands wait for this cache already."""

    kind = "busy"


class _Connection(asyncio.BufferedProtocol):
    """Sends commands and matches the answers, which come in order."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bytes | None]] = deque()
        self._pending = bytearray()
        self._transport: asyncio.Transport | None = None
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Closed(f"the cache closed the connection ({exc or 'end of stream'})"))

    def close(self, reason: HttpError) -> None:
        """Close at once; all that wait get ``reason``."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _end(self, reason: HttpError) -> None:
        self.usable = False
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(reason)

    def send(self, command: bytes) -> "asyncio.Future[bytes | None]":
        """The answer to come: the value of a ``get`` (``None``: a miss), else the line."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        if not self.usable or self._transport is None:
            future.set_exception(Closed("the connection to the cache is closed"))
        elif len(self._waiting) >= WAITING_LIMIT:
            future.set_exception(CacheBusy(f"{WAITING_LIMIT} commands wait for this cache"))
        else:
            self._waiting.append(future)
            self._transport.write(command)
        return future

    def offer(self, command: bytes) -> bool:
        """Send a command that is not answered; false when it is not to be had just now."""
        transport = self._transport
        if not self.usable or transport is None or transport.get_write_buffer_size() > OFFER_LIMIT_B:
            return False
        transport.write(command)
        return True

    def get_buffer(self, sizehint: int) -> memoryview:
        return VIEW

    def buffer_updated(self, nbytes: int) -> None:
        self._pending += VIEW[:nbytes]
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        end = self._pending.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._pending[:end])
        if not line.startswith(b"VALUE "):
            del self._pending[: end + 2]
            self._give(None if line == b"END" else line)
            return True
        length = int(line.split()[3])
        if len(self._pending) < end + 2 + length + 7:
            return False
        value = bytes(self._pending[end + 2 : end + 2 + length])
        del self._pending[: end + 2 + length + 7]  # the value, its line end, and END
        self._give(value)
        return True

    def _give(self, answer: bytes | None) -> None:
        if not self._waiting:
            self.close(Malformed("the cache speaks without having been asked"))
        elif not (future := self._waiting.popleft()).done():
            future.set_result(answer)


class Memcache:
    """One cache. Every call raises an HttpError when it was not answered in time."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 0.1) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Lock = asyncio.Lock()

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None``."""
        answer = await self._ask(b"get %b\r\n" % key.encode())
        self._refuse_errors(answer)
        return answer

    async def set(self, key: str, value: bytes, expires_in_s: int) -> None:
        """Keep a value."""
        self._expect(await self._ask(self._storing(b"set", key, value, expires_in_s)), b"STORED")

    def offer(self, key: str, value: bytes, expires_in_s: int) -> bool:
        """Have a value kept unless there is one, if the connection is there and has room; nothing is answered."""
        command = b"add %b 0 %d %d noreply\r\n%b\r\n" % (key.encode(), expires_in_s, len(value), value)
        return self._connection is not None and self._connection.offer(command)

    async def connect(self) -> None:
        """Have a connection, if need be a new one."""
        await self._connected()

    async def delete(self, key: str) -> None:
        """Ensure that it is gone."""
        self._expect(await self._ask(b"delete %b\r\n" % key.encode()), b"DELETED", b"NOT_FOUND")

    async def version(self) -> str:
        """What it says of itself."""
        answer = await self._ask(b"version\r\n")
        self._refuse_errors(answer)
        return (answer or b"").decode("ascii", "replace")

    @staticmethod
    def _storing(verb: bytes, key: str, value: bytes, expires_in_s: int) -> bytes:
        return b"%b %b 0 %d %d\r\n%b\r\n" % (verb, key.encode(), expires_in_s, len(value), value)

    @staticmethod
    def _refuse_errors(answer: bytes | None) -> None:
        if answer is not None and answer.split(b" ", 1)[0] in (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR"):
            raise Malformed(answer.decode("latin-1"))

    def _expect(self, answer: bytes | None, *wanted: bytes) -> None:
        if answer not in wanted:
            raise Malformed(f"the cache said {answer!r}")

    async def _ask(self, command: bytes) -> bytes | None:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                return await connection.send(command)
        except TimeoutError:
            late = TimedOut(f"no answer from the cache at {self._host}:{self._port} within {self._timeout_s:g} s")
            if connection is not None:
                connection.close(late)  # answers come in order: what is late blocks all behind it
            raise late from None

    async def _connected(self) -> _Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        async with self._connecting:
            if self._connection is None or not self._connection.usable:
                self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except OSError as error:
            raise ConnectRefused(f"cannot connect to the cache at {self._host}:{self._port}: {error}") from None
        return connection

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(HttpError):
                self._connection.close(Closed("closed by this side"))
        await asyncio.sleep(0)
