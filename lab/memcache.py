"""A memcached client for the lab's services: one pipelined connection to one address (a link's)."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from .http import Closed, ConnectRefused, HttpError, Malformed, TimedOut
from .http_message import VIEW

WAITING_LIMIT = 1000
OFFER_LIMIT_B = 64 << 10


@dataclass(frozen=True, slots=True)
class Item:
    """What a cache has of a key. ``cas`` changes with every storing; 0 when it was not asked for."""

    value: bytes
    cas: int


Told = bytes | Item | None  # a line, an item, or the end of an answer without any


class CacheBusy(HttpError):
    """Too many commands wait for this cache already."""

    kind = "busy"


class _Connection(asyncio.BufferedProtocol):
    """Sends commands and matches the answers, which come in order."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Told]] = deque()
        self._pending = bytearray()
        self._stats: list[bytes] = []
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

    def send(self, command: bytes) -> "asyncio.Future[Told]":
        """The answer to come: the item of a ``get`` (``None``: a miss), else the line, of ``stats`` all lines."""
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
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
        if line.startswith(b"VALUE "):
            return self._answer_item(line.split(), end + 2)
        del self._pending[: end + 2]
        if line.startswith(b"STAT "):
            self._stats.append(line)
        elif line == b"END":
            told, self._stats = b"\n".join(self._stats), []
            self._give(told or None)
        else:
            self._give(line)
        return True

    def _answer_item(self, words: list[bytes], start: int) -> bool:
        length = int(words[3])
        if len(self._pending) < start + length + 7:
            return False
        value = bytes(self._pending[start : start + length])
        del self._pending[: start + length + 7]  # the value, its line end, and END
        self._give(Item(value, int(words[4]) if len(words) > 4 else 0))
        return True

    def _give(self, answer: Told) -> None:
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
        item = self._item(await self._ask(b"get %b\r\n" % key.encode()))
        return item.value if item is not None else None

    async def gets(self, key: str) -> Item | None:
        """The item with its ``cas``, or ``None``."""
        return self._item(await self._ask(b"gets %b\r\n" % key.encode()))

    async def add(self, key: str, value: bytes, expires_in_s: int) -> bool:
        """Keep a value unless there is one; whether it is kept."""
        answer = await self._ask(self._storing(b"add", key, value, expires_in_s))
        return self._expect(answer, b"STORED", b"NOT_STORED") == b"STORED"

    async def cas(self, key: str, value: bytes, expires_in_s: int, cas: int) -> bool:
        """Keep a value in place of the item of this ``cas``; false when that is not there any more."""
        answer = await self._ask(self._storing(b"cas", key, value, expires_in_s, b" %d" % cas))
        return self._expect(answer, b"STORED", b"EXISTS", b"NOT_FOUND") == b"STORED"

    async def items(self) -> int:
        """How many items it holds."""
        answer = await self._ask(b"stats\r\n")
        lines = answer.split(b"\n") if isinstance(answer, bytes) else []
        told = [line.split()[2] for line in lines if line.startswith(b"STAT curr_items ")]
        if not told or not told[0].isdigit():
            raise Malformed(f"the cache told no curr_items: {answer!r:.200}")
        return int(told[0])

    def offer(self, key: str, value: bytes, expires_in_s: int) -> bool:
        """Have a value kept unless there is one, if the connection is there and has room; nothing is answered."""
        command = self._storing(b"add", key, value, expires_in_s, b" noreply")
        return self._connection is not None and self._connection.offer(command)

    async def connect(self) -> None:
        """Have a connection, if need be a new one."""
        await self._connected()

    async def delete(self, key: str) -> None:
        """Ensure that it is gone."""
        self._expect(await self._ask(b"delete %b\r\n" % key.encode()), b"DELETED", b"NOT_FOUND")

    @staticmethod
    def _storing(verb: bytes, key: str, value: bytes, expires_in_s: int, more: bytes = b"") -> bytes:
        return b"%b %b 0 %d %d%b\r\n%b\r\n" % (verb, key.encode(), expires_in_s, len(value), more, value)

    @staticmethod
    def _refuse_errors(answer: Told) -> None:
        if isinstance(answer, bytes) and answer.split(b" ", 1)[0] in (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR"):
            raise Malformed(answer.decode("latin-1"))

    def _item(self, answer: Told) -> Item | None:
        self._refuse_errors(answer)
        return answer if isinstance(answer, Item) else None

    @staticmethod
    def _expect(answer: Told, *wanted: bytes) -> bytes:
        if not isinstance(answer, bytes) or answer not in wanted:
            raise Malformed(f"the cache said {answer!r}")
        return answer

    async def _ask(self, command: bytes) -> Told:
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
