"""The data path of the Toxiproxy stand-in: a listener, its connections, and the stages their bytes pass.

Without toxics bytes go from one socket to the other in the callback that read them. With some, each direction of each
connection is a chain of stages, one task each. A reader is paused while the other side cannot take more, or while too
much is held back.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any, cast

from .toxiproxy_toxics import KINDS, Chunk, Toxic, nothing

STREAMS = ("upstream", "downstream")
_VIEW = memoryview(bytearray(64 << 10))  # shared: a selector loop fills it and hands it over within one callback
_MOST_HELD_B = 4 << 20  # 100 ms at 40 MB/s: a delay shall not act as a throttle
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Stage:
    """One toxic at work on one direction of one connection."""

    def __init__(self, pipe: "_Pipe", toxic: Toxic, rng: Random) -> None:
        self.toxic, self.rng, self.passed_b = toxic, rng, 0
        self._pipe = pipe
        self._queue: deque[Chunk | None] = deque()
        self._in_hand: Chunk | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._closed = False
        self._task = self._start()

    def put(self, chunk: Chunk | None) -> None:
        if self._closed:
            self._pipe.held(-len(chunk.data) if chunk else 0)
            return
        self._queue.append(chunk)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def take(self) -> Chunk | None:
        while not self._queue:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self._in_hand = self._queue.popleft()
        return self._in_hand

    def give(self, chunk: Chunk, rest: Chunk | None = None) -> None:
        lost_b = len(self._in_hand.data) - len(chunk.data) - (len(rest.data) if rest else 0) if self._in_hand else 0
        self._in_hand = rest
        self.passed_b += len(chunk.data)
        self._pipe.held(-lost_b)
        self._pipe.pass_on(self, chunk)

    def drop(self) -> None:
        self._pipe.held(-len(self._in_hand.data) if self._in_hand else 0)
        self._in_hand = None

    def reset(self) -> None:
        self._pipe.connection.reset()

    def renew(self) -> None:
        """The toxic was changed: what is in hand goes on at once, the rest by the new settings and a new die."""
        if not self._closed:
            self._interrupt()
            self._task = self._start()

    def remove(self) -> None:
        """The toxic is gone: all that it held goes on at once, or the connection closes, as its kind has it."""
        self._interrupt()
        if KINDS[self.toxic.type].removal_closes:
            self._pipe.connection.close()
        for chunk in self._queue:
            self._pipe.pass_on(self, chunk)
        self._queue.clear()

    def end(self) -> None:
        self._task.cancel()

    def _interrupt(self) -> None:
        self._task.cancel()
        if self._in_hand is not None:
            chunk, self._in_hand = self._in_hand, None
            self._pipe.pass_on(self, chunk)

    def _start(self) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        hit = self.rng.random() < self.toxic.toxicity
        await (KINDS[self.toxic.type].pipe if hit else nothing)(self)
        self._closed = True
        self.drop()
        while self._queue:
            self.put(self._queue.popleft())  # nobody takes it any more: no longer held
        self._pipe.pass_on(self, None)


class _Pipe:
    """One direction of one connection: from the side that reads, through the stages, to the side that writes."""

    def __init__(self, connection: "Connection", toxics: Iterable[Toxic], rng: Random) -> None:
        self.connection = connection
        self.source: _Side | None = None
        self._sink: _Side | None = None
        self._early: list[bytes | None] = []  # what came before there was a sink
        self._rng = rng
        self._held_b = 0
        self._ended = False
        self.stages: list[_Stage] = []
        for toxic in toxics:
            self.add(toxic)

    def flow_into(self, sink: "_Side") -> None:
        self._sink = sink
        for data in self._early:
            self._deliver(data)

    def _deliver(self, data: bytes | None) -> None:
        if self._sink is None:
            self._early.append(data)
        elif data is None:
            self._sink.close()
        else:
            self._sink.write(data)

    def feed(self, data: bytes) -> None:
        if self.stages:
            self.held(len(data))
            self.stages[0].put(Chunk(asyncio.get_running_loop().time(), data))
        else:
            self._deliver(data)

    def feed_end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self.stages:
            self.stages[0].put(None)
        else:
            self._deliver(None)

    def pass_on(self, stage: _Stage, chunk: Chunk | None) -> None:
        after = self.stages.index(stage) + 1
        if after < len(self.stages):
            self.stages[after].put(chunk)
        else:
            self.held(-len(chunk.data) if chunk else 0)
            self._deliver(chunk.data if chunk else None)

    def held(self, more_b: int) -> None:
        """So many more bytes are held back by the stages, or fewer."""
        self._held_b += more_b
        if self.source is not None:
            self.source.pause("held", self._held_b > _MOST_HELD_B)

    def add(self, toxic: Toxic) -> None:
        self.stages.append(_Stage(self, toxic, self._rng))

    def renew(self, toxic: Toxic) -> None:
        for stage in self.stages:
            if stage.toxic is toxic:
                stage.renew()

    def remove(self, toxic: Toxic) -> None:
        for stage in [stage for stage in self.stages if stage.toxic is toxic]:
            stage.remove()
            self.stages.remove(stage)

    def end(self) -> None:
        for stage in self.stages:
            stage.end()


class _Side(asyncio.BufferedProtocol):
    """The socket of a connection towards the client or towards the upstream."""

    def __init__(self, connection: "Connection", outward: _Pipe, inward: _Pipe) -> None:
        self._connection, self._outward, self._inward = connection, outward, inward
        self._reasons: set[str] = set()
        self.transport: asyncio.Transport | None = None
        outward.source = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self.transport = transport
        self._inward.flow_into(self)
        self._connection.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _VIEW

    def buffer_updated(self, nbytes: int) -> None:
        self._outward.feed(bytes(_VIEW[:nbytes]))

    def eof_received(self) -> bool:
        self._outward.feed_end()
        return True  # the answer may still be on its way; the end of the other direction closes this side

    def connection_lost(self, exc: Exception | None) -> None:
        self._outward.feed_end()
        self._connection.lost(self)

    def pause_writing(self) -> None:
        if self._inward.source is not None:
            self._inward.source.pause("sink", True)

    def resume_writing(self) -> None:
        if self._inward.source is not None:
            self._inward.source.pause("sink", False)

    def pause(self, reason: str, wanted: bool) -> None:
        """Read no more while there is any reason not to."""
        before = bool(self._reasons)
        (self._reasons.add if wanted else self._reasons.discard)(reason)
        if self.transport is None or self.transport.is_closing() or before == bool(self._reasons):
            return
        (self.transport.pause_reading if self._reasons else self.transport.resume_reading)()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self, *, reset: bool = False) -> None:
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if reset and sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class Connection:
    """A client's connection, and the one made to the upstream for it."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self.pipes = {stream: _Pipe(self, proxy.toxics[stream], proxy.rng) for stream in STREAMS}
        self.client = _Side(self, self.pipes["upstream"], self.pipes["downstream"])
        self._server = _Side(self, self.pipes["downstream"], self.pipes["upstream"])
        self._dialling: asyncio.Task[None] | None = None
        self._open: set[_Side] = set()
        proxy.connections.add(self)  # at once: a toxic added, or a stop, before the loop's next turn means it too

    def made(self, side: _Side) -> None:
        self._open.add(side)
        if self not in self._proxy.connections:
            side.abort()
        elif side is self.client:
            side.pause("dialling", True)
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        host, port = split_address(self._proxy.upstream)
        try:
            await asyncio.get_running_loop().create_connection(lambda: self._server, host, port)
        except OSError:
            self.client.abort()  # accepted and then closed: as the real one does with a dead upstream
        else:
            self.client.pause("dialling", False)

    def lost(self, side: _Side) -> None:
        self._open.discard(side)
        if not self._open or self._server.transport is None:
            self.close()

    def close(self) -> None:
        """End both sides now."""
        self._end(reset=False)

    def reset(self) -> None:
        """End both sides with a reset."""
        self._end(reset=True)

    def _end(self, *, reset: bool) -> None:
        self._proxy.connections.discard(self)
        if self._dialling is not None:
            self._dialling.cancel()
        for side in (self.client, self._server):
            side.abort(reset=reset)
        for pipe in self.pipes.values():
            pipe.end()


class Proxy:
    """One proxy: a listener, an upstream, toxics in the order they were added."""

    def __init__(self, name: str, listen: str, upstream: str, rng: Random) -> None:
        self.name, self.listen, self.upstream, self.rng = name, listen, upstream, rng
        self.toxics: dict[str, list[Toxic]] = {stream: [] for stream in STREAMS}
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def all_toxics(self) -> list[Toxic]:
        """Those of the upstream first."""
        return [toxic for stream in STREAMS for toxic in self.toxics[stream]]

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.to_json() for toxic in self.all_toxics()],
        }

    async def start(self) -> None:
        """Listen; ``OSError`` when that cannot be."""
        if self._server is not None:
            return
        host, port = split_address(self.listen)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self).client, host, port, backlog=512
        )
        self.listen = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    def stop(self) -> None:
        """Listen no more and close every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.close()

    def add(self, toxic: Toxic) -> None:
        """Put a toxic in place, for open connections too."""
        self.toxics[toxic.stream].append(toxic)
        for connection in list(self.connections):
            connection.pipes[toxic.stream].add(toxic)

    def renew(self, toxic: Toxic) -> None:
        """The settings of a toxic have changed."""
        for connection in list(self.connections):
            connection.pipes[toxic.stream].renew(toxic)

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out."""
        self.toxics[toxic.stream].remove(toxic)
        for connection in list(self.connections):
            connection.pipes[toxic.stream].remove(toxic)


def split_address(text: str) -> tuple[str, int]:
    """``host:port`` apart; ``OSError`` when it is none. No host is the loopback one."""
    host, _, port = text.rpartition(":")
    with contextlib.suppress(ValueError):
        return host.strip("[]") or "127.0.0.1", int(port)
    raise OSError(f"address {text}: missing port in address")
