"""A small HTTP/1.1 client: one buffer for each connection, kept-alive connections pooled by address.

``asyncio.BufferedProtocol`` is used because it reads into a buffer that stays (a plain Protocol is handed a new one
of 256 KiB for each read, which costs three times the CPU).
"""

import asyncio
import errno
from collections import deque
from typing import cast

from simian.load.http1 import Malformed, Reader, Response

IDLE_S = 4.0  # kept no longer, since servers close theirs after 5 s and more


class TryFailed(Exception):
    """No answer. ``reason``: refused, unreachable, timeout, closed, reset, malformed, no_descriptors, failed."""

    def __init__(self, reason: str, *, untouched: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.untouched = untouched  # the connection was lost before the first byte of an answer


class Connection(asyncio.BufferedProtocol):
    """One connection with at most one request in flight."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._waiter: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None
        self._touched = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Open, and nothing in flight."""
        return self._transport is not None and not self._transport.is_closing() and self._waiter is None

    async def fetch(self, request: bytes) -> Response:
        """Send the request and read its answer to the end. Raises TryFailed; cancelled, it drops the connection."""
        if self._transport is None or self._transport.is_closing():
            raise TryFailed("closed", untouched=True)
        self._touched = False
        waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._transport.write(request)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.drop()  # the answer may still come and would be taken for that of the next request
            raise
        finally:
            self._waiter = None

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._touched = True
        if self._waiter is None or self._waiter.done():
            self.drop()  # bytes that nobody asked for: the two sides no longer agree
            return
        try:
            response = self._reader.took(nbytes)
        except Malformed:
            self._fail(TryFailed("malformed"))
            self.drop()
        else:
            self._succeed(response)

    def eof_received(self) -> None:
        self._succeed(self._reader.closed())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reason = "reset" if isinstance(exc, ConnectionResetError | BrokenPipeError) else "closed"
        self._fail(TryFailed(reason, untouched=not self._touched))

    def _succeed(self, response: Response | None) -> None:
        if response is None or self._waiter is None or self._waiter.done():
            return
        self._waiter.set_result(response)
        if response.last and self._transport is not None:
            self._transport.close()

    def _fail(self, error: TryFailed) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class Pool:
    """Kept-alive connections by address; the one used last is used first, so that few are kept busy."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[Connection]] = {}

    async def fetch(self, host: str, port: int, request: bytes, deadline: float) -> Response:
        """Ask ``host:port``; ``deadline`` in the loop's time. Raises TryFailed.

        A pooled connection that turns out to have been closed by the server is no failure: the request is sent
        again on a new one.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await self._fetch((host, port), request)
        except TimeoutError:
            raise TryFailed("timeout") from None

    async def _fetch(self, address: tuple[str, int], request: bytes) -> Response:
        connection = self._take(address)
        if connection is not None:
            try:
                return await self._ask(connection, address, request)
            except TryFailed as error:
                if not error.untouched:
                    raise
        return await self._ask(await _connect(address), address, request)

    async def _ask(self, connection: Connection, address: tuple[str, int], request: bytes) -> Response:
        response = await connection.fetch(request)
        if connection.usable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(address, deque()).append(connection)
        return response

    def _take(self, address: tuple[str, int]) -> Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    def reap(self, now: float) -> None:
        """Close what was idle for ``IDLE_S``, forget what is closed. ``now``: the loop's time."""
        for address, idle in list(self._idle.items()):
            while idle and (not idle[0].usable or idle[0].idle_since < now - IDLE_S):
                idle.popleft().drop()
            if not idle:
                del self._idle[address]

    def close(self) -> None:
        """Close all that is idle."""
        for idle in self._idle.values():
            for connection in idle:
                connection.drop()
        self._idle.clear()


async def _connect(address: tuple[str, int]) -> Connection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, *address)
    except OSError as error:
        raise TryFailed(_reason(error)) from error
    return connection


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError):
        return "reset"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "unreachable"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
        return "no_descriptors"
    return "failed"
