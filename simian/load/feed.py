"""The feed: one line of JSON for each slice, to whoever has connected. No reader can ever hold the users up."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

BEHIND_B = 256 * 1024  # unsent bytes (some ten seconds of slices) at which a subscriber is dropped


class _Subscriber(asyncio.Protocol):
    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's does not inherit
        self.transport = transport
        self._feed.subscribers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._feed.subscribers.discard(self)

    def data_received(self, data: bytes) -> None:
        """Nothing that a subscriber says matters."""


class Feed:
    """A TCP server that only speaks. ``dropped`` counts subscribers that read too slowly."""

    def __init__(self) -> None:
        self.subscribers: set[_Subscriber] = set()
        self.dropped = 0
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port (of use where 0 was asked for)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Subscriber(self), host, port, reuse_address=True)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def publish(self, record: Mapping[str, Any]) -> None:
        """Send one line to every subscriber; one whose lines pile up is cut off."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        for subscriber in list(self.subscribers):
            transport = subscriber.transport
            if transport is None or transport.is_closing():
                continue
            if transport.get_write_buffer_size() > BEHIND_B:
                self.dropped += 1
                transport.abort()
            else:
                transport.write(line)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
        for subscriber in list(self.subscribers):
            if subscriber.transport is not None:
                subscriber.transport.abort()
