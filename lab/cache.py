"""A stand-in for memcached: its text protocol, least recently used items make room; pure memory."""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from .http_message import VIEW
from .node import NodeContext

LIMIT_B = 32 << 20
ITEM_LIMIT_B = 1 << 20
KEY_LIMIT = 250
LINE_LIMIT = 8 << 10
_OVERHEAD_B = 64
_RELATIVE_LIMIT_S = 30 * 86_400  # a larger exptime is a point in time
_BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
_VERSION = b"1.6.21"


@dataclass(slots=True)
class Item:
    """A value with its flags; ``expires`` is a monotonic time, or ``None``."""

    value: bytes
    flags: int
    expires: float | None
    cas: int


class Items:
    """Keys and values within a limit of bytes; ``clock`` is monotonic, ``now`` the wall clock."""

    def __init__(
        self,
        limit_b: int = LIMIT_B,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._items: OrderedDict[bytes, Item] = OrderedDict()
        self._limit_b, self._clock, self._now = limit_b, clock, now
        self._cas = 0
        self.size_b = self.hits = self.misses = self.sets = self.evictions = 0

    def __len__(self) -> int:
        return len(self._items)

    def peek(self, key: bytes) -> Item | None:
        """The item, not counted as a read; one that has expired is gone."""
        item = self._items.get(key)
        if item is not None and item.expires is not None and item.expires <= self._clock():
            self.delete(key)
            return None
        return item

    def get(self, key: bytes) -> Item | None:
        """The item; it is the most recently used from now on."""
        item = self.peek(key)
        if item is None:
            self.misses += 1
            return None
        self.hits += 1
        self._items.move_to_end(key)
        return item

    def put(self, key: bytes, value: bytes, flags: int, exptime: int) -> None:
        """Keep it; the least recently used make room."""
        self.delete(key)
        self._cas += 1
        self.sets += 1
        self._items[key] = Item(value, flags, self._expires(exptime), self._cas)
        self.size_b += len(key) + len(value) + _OVERHEAD_B
        while self.size_b > self._limit_b:
            self.delete(next(iter(self._items)))
            self.evictions += 1

    def touch(self, key: bytes, exptime: int) -> bool:
        """Give it a new end; whether it is there."""
        item = self.peek(key)
        if item is not None:
            item.expires = self._expires(exptime)
        return item is not None

    def delete(self, key: bytes) -> bool:
        """Remove it; whether it was there."""
        item = self._items.pop(key, None)
        if item is not None:
            self.size_b -= len(key) + len(item.value) + _OVERHEAD_B
        return item is not None

    def flush(self) -> None:
        """Remove everything."""
        self._items.clear()
        self.size_b = 0

    def _expires(self, exptime: int) -> float | None:
        if exptime == 0:
            return None
        relative_s = exptime if exptime <= _RELATIVE_LIMIT_S else exptime - self._now()
        return self._clock() + relative_s


class Stats:
    """What ``stats`` tells."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._started = time.monotonic()
        self.connections = 0

    def lines(self) -> bytes:
        items = self._items
        told = {
            "pid": os.getpid(),
            "uptime": int(time.monotonic() - self._started),
            "time": int(time.time()),
            "version": _VERSION.decode(),
            "curr_connections": self.connections,
            "cmd_set": items.sets,
            "get_hits": items.hits,
            "get_misses": items.misses,
            "evictions": items.evictions,
            "bytes": items.size_b,
            "limit_maxbytes": LIMIT_B,
            "curr_items": len(items),
        }
        return "".join(f"STAT {name} {value}\r\n" for name, value in told.items()).encode() + b"END\r\n"


@dataclass(slots=True)
class _Storing:
    """A storage command whose data block is still to come; ``refusal``: swallow the block and say this."""

    verb: bytes
    key: bytes
    flags: int
    exptime: int
    size_b: int
    noreply: bool
    refusal: bytes | None
    cas: int | None = None


class CacheConnection(asyncio.BufferedProtocol):
    """One client. Commands are carried out in order as they arrive."""

    def __init__(self, items: Items, stats: Stats, open_ones: "set[CacheConnection]") -> None:
        self._items, self._stats, self._open = items, stats, open_ones
        self._pending = bytearray()
        self._storing: _Storing | None = None
        self._transport: asyncio.Transport | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self._transport = transport
        self._open.add(self)
        self._stats.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._stats.connections -= 1

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return VIEW

    def buffer_updated(self, nbytes: int) -> None:
        self._pending += VIEW[:nbytes]
        answers: list[bytes] = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        if self._transport is None or self._transport.is_closing():
            return
        if answers:
            self._transport.write(b"".join(answers))
        if self._ended:
            self._transport.close()

    def _next(self) -> bytes | None:
        """Carry out the next whole command; ``None`` when there is none yet."""
        if self._ended:
            return None
        if self._storing is not None:
            return self._store(self._storing)
        end = self._pending.find(b"\n")
        if end < 0:
            return self._too_long() if len(self._pending) > LINE_LIMIT else None
        line = bytes(self._pending[:end]).rstrip(b"\r")
        del self._pending[: end + 1]
        return self._command(line.split())

    def _too_long(self) -> bytes:
        self._ended = True
        return b"CLIENT_ERROR line too long\r\n"

    def _command(self, words: list[bytes]) -> bytes:
        verb = words[0] if words else b""
        if verb in (b"get", b"gets"):
            return self._get(words[1:], with_cas=verb == b"gets")
        if verb in (b"set", b"add", b"replace", b"cas"):
            return self._begin_store(words)
        other = _COMMANDS.get(verb)
        if other is None:
            return b"ERROR\r\n"
        noreply = words[-1] == b"noreply"
        answer = other(self, words[1:-1] if noreply else words[1:])
        return b"" if noreply else answer

    def _get(self, keys: list[bytes], with_cas: bool) -> bytes:
        if not keys:
            return b"ERROR\r\n"
        if any(len(key) > KEY_LIMIT for key in keys):
            return _BAD_FORMAT
        parts = []
        for key in keys:
            item = self._items.get(key)
            if item is not None:
                cas = b" %d" % item.cas if with_cas else b""
                parts.append(b"VALUE %b %d %d%b\r\n%b\r\n" % (key, item.flags, len(item.value), cas, item.value))
        return b"".join(parts) + b"END\r\n"

    def _begin_store(self, words: list[bytes]) -> bytes:
        verb, numbers = words[0], 4 if words[0] == b"cas" else 3
        noreply = len(words) == 3 + numbers and words[-1] == b"noreply"
        try:
            key = words[1]
            flags, exptime, size_b, *cas = (int(word) for word in words[2 : 2 + numbers])
        except (ValueError, IndexError):
            return _BAD_FORMAT if len(words) > 4 else b"ERROR\r\n"
        if verb == b"cas" and not cas:
            return b"ERROR\r\n"
        if len(key) > KEY_LIMIT or size_b < 0 or not 0 <= flags < 1 << 32:
            return _BAD_FORMAT
        refusal = b"SERVER_ERROR object too large for cache\r\n" if size_b > ITEM_LIMIT_B - _OVERHEAD_B else None
        self._storing = _Storing(verb, key, flags, exptime, size_b, noreply, refusal, *cas)
        return b""

    def _store(self, storing: _Storing) -> bytes | None:
        if storing.refusal is not None:
            return self._swallow(storing)
        if len(self._pending) < storing.size_b + 2:
            return None
        self._storing = None
        block = bytes(self._pending[: storing.size_b])
        ended = self._pending[storing.size_b : storing.size_b + 2] == b"\r\n"
        del self._pending[: storing.size_b + 2]
        answer = self._put(storing, block) if ended else b"CLIENT_ERROR bad data chunk\r\n"
        return b"" if storing.noreply else answer

    def _swallow(self, storing: _Storing) -> bytes | None:
        gone = min(len(self._pending), storing.size_b + 2)
        del self._pending[:gone]
        storing.size_b -= gone
        if storing.size_b + 2 > 0:
            return None
        self._storing = None
        self._items.delete(storing.key)  # an older value must not outlive a newer one that was refused
        return b"" if storing.noreply else storing.refusal

    def _put(self, storing: _Storing, block: bytes) -> bytes:
        item = self._items.peek(storing.key)
        present = item is not None
        if storing.verb == b"cas" and (item is None or item.cas != storing.cas):
            return b"EXISTS\r\n" if present else b"NOT_FOUND\r\n"
        if (storing.verb == b"add" and present) or (storing.verb == b"replace" and not present):
            return b"NOT_STORED\r\n"
        self._items.put(storing.key, block, storing.flags, storing.exptime)
        return b"STORED\r\n"

    def _delete(self, words: list[bytes]) -> bytes:
        if not words:
            return b"ERROR\r\n"
        if words[1:] not in ([], [b"0"]):
            return b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
        if len(words[0]) > KEY_LIMIT:
            return _BAD_FORMAT
        there = self._items.peek(words[0]) is not None and self._items.delete(words[0])
        return b"DELETED\r\n" if there else b"NOT_FOUND\r\n"

    def _touch(self, words: list[bytes]) -> bytes:
        if len(words) != 2:
            return b"ERROR\r\n"
        if len(words[0]) > KEY_LIMIT:
            return _BAD_FORMAT
        try:
            exptime = int(words[1])
        except ValueError:
            return b"CLIENT_ERROR invalid exptime argument\r\n"
        return b"TOUCHED\r\n" if self._items.touch(words[0], exptime) else b"NOT_FOUND\r\n"

    def _flush_all(self, words: list[bytes]) -> bytes:
        if words and words != [b"0"]:
            return b"CLIENT_ERROR a delayed flush is not offered here\r\n"
        self._items.flush()
        return b"OK\r\n"

    def _show_version(self, words: list[bytes]) -> bytes:
        return b"VERSION %b\r\n" % _VERSION

    def _show_stats(self, words: list[bytes]) -> bytes:
        return self._stats.lines() if not words else b"RESET\r\n" if words == [b"reset"] else b"ERROR\r\n"

    def _quit(self, words: list[bytes]) -> bytes:
        self._ended = True
        return b""


_COMMANDS: dict[bytes, Callable[[CacheConnection, list[bytes]], bytes]] = {
    b"delete": CacheConnection._delete,
    b"touch": CacheConnection._touch,
    b"flush_all": CacheConnection._flush_all,
    b"version": CacheConnection._show_version,
    b"stats": CacheConnection._show_stats,
    b"quit": CacheConnection._quit,
}


async def listen(host: str, port: int, items: Items) -> tuple[asyncio.Server, set[CacheConnection]]:
    """A cache on ``host:port``; the server, and its open connections, which are to be closed by the caller."""
    stats, open_ones = Stats(items), set[CacheConnection]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: CacheConnection(items, stats, open_ones), host, port, reuse_address=True, backlog=512
    )
    return server, open_ones


async def serve(context: NodeContext) -> None:
    """The cache of one zone, until cancelled."""
    server, open_ones = await listen(context.spec.host, context.spec.port, Items())
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()
        for connection in list(open_ones):
            connection.close()
