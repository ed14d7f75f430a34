"""A small HTTP/1.1 client: one buffer for each connection, kept-alive connections pooled by address.

``asyncio.BufferedProtocol`` is used because it reads into a buffer that stays (a plain Protocol is handed a new one
of 256 KiB for each read, which costs three times the CPU).
"""

import asyncio
import errno
from collections import defaultdict, deque
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
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._waiter: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None
        self._touched = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Open, and nothing in flight."""
        return self._waiter is None and self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, deadline: float) -> "asyncio.Future[Response]":
        """Send the request to a connection that is usable; its answer, read to the end. Raises TryFailed.

        ``deadline`` in the loop's time. Whoever waits no longer must drop the connection: the answer may still come
        and would be taken for that of the next request.
        """
        if self._transport is None:
            raise TryFailed("closed", untouched=True)
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._touched, self._waiter = False, waiter
        self._watch(deadline)
        self._transport.write(request)
        return waiter

    def _watch(self, deadline: float) -> None:
        """See to it that somebody looks by the deadline.

        As a rule that is the timer of an earlier request: an answer leaves it be, so that few are ever set.
        """
        self._deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._watch(self._deadline)
        else:
            self._fail(TryFailed("timeout"))
            self.drop()

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
        if self._waiter is None:
            self.drop()  # bytes that nobody asked for: the two sides no longer agree
            return
        try:
            response = self._reader.took(nbytes)
        except Malformed:
            self._fail(TryFailed("malformed"))
            self.drop()
        else:
            if response is not None:
                self._succeed(response)

    def eof_received(self) -> None:
        response = self._reader.closed()
        if response is not None:
            self._succeed(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        reason = "reset" if isinstance(exc, ConnectionResetError | BrokenPipeError) else "closed"
        self._fail(TryFailed(reason, untouched=not self._touched))

    def _succeed(self, response: Response) -> None:
        waiter, self._waiter = self._waiter, None
        self.idle_since = self._loop.time()
        if waiter is not None and not waiter.done():
            waiter.set_result(response)
        if response.last and self._transport is not None:
            self._transport.close()

    def _fail(self, error: TryFailed) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


class Pool:
    """Kept-alive connections by address; the one used last is used first, so that few are kept busy."""

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, int], deque[Connection]] = defaultdict(deque)

    async def fetch(self, host: str, port: int, request: bytes, deadline: float) -> Response:
        """Ask ``host:port``; ``deadline`` in the loop's time. Raises TryFailed.

        A pooled connection that turns out to have been closed by the server is no failure: the request is sent
        again on a new one.
        """
        address = (host, port)
        connection = self._take(address)
        if connection is not None:
            try:
                return await self._ask(connection, address, request, deadline)
            except TryFailed as error:
                if not error.untouched:
                    raise
        return await self._ask(await _connect(address, deadline), address, request, deadline)

    async def _ask(self, connection: Connection, address: tuple[str, int], request: bytes, deadline: float) -> Response:
        try:
            response = await connection.ask(request, deadline)
        except asyncio.CancelledError:
            connection.drop()
            raise
        if not response.last:
            self._idle[address].append(connection)
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


async def _connect(address: tuple[str, int], deadline: float) -> Connection:
    try:
        async with asyncio.timeout_at(deadline):
            try:
                _, connection = await asyncio.get_running_loop().create_connection(Connection, *address)
            except OSError as error:
                raise TryFailed(_reason(error)) from error
    except TimeoutError:
        raise TryFailed("timeout") from None
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
