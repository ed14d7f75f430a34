"""What each kind of toxic does to the bytes of one direction of one connection.

A kind is a coroutine that takes chunks from its stage and gives them on; returning closes the connection. It knows
nothing of sockets. Durations are whole milliseconds, rates KB (1,000 bytes) a second, as in Toxiproxy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, Protocol

_PIECE_S = 0.1  # a throttled chunk goes on in pieces of so much time


class Chunk(NamedTuple):
    """Bytes and when they came in (the loop's time); a latency moves that time on, so that two of them add up."""

    at: float
    data: bytes


@dataclass
class Toxic:
    """One toxic in place; ``stream`` is ``upstream`` (client to server) or ``downstream``."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "attributes": self.attributes,
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


class Stage(Protocol):
    """Where a toxic stands in one direction of one connection. ``passed_b`` counts what it gave on, over updates."""

    toxic: Toxic
    rng: Random
    passed_b: int

    async def take(self) -> Chunk | None:
        """The next chunk; ``None`` at the end of the stream. It stays in hand until it is given on or dropped."""
        ...

    def give(self, chunk: Chunk, rest: Chunk | None = None) -> None:
        """Send a chunk on; ``rest`` of it stays in hand."""
        ...

    def drop(self) -> None:
        """Forget the chunk in hand."""
        ...

    def reset(self) -> None:
        """End the connection at once, with a reset on both sides."""
        ...


async def nothing(stage: Stage) -> None:
    """Bytes as they come: what a connection gets that the toxicity spares."""
    while (chunk := await stage.take()) is not None:
        stage.give(chunk)


async def _latency(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    while (chunk := await stage.take()) is not None:
        delay_ms, jitter_ms = stage.toxic.attributes["latency"], stage.toxic.attributes["jitter"]
        if jitter_ms > 0:
            delay_ms += stage.rng.randrange(2 * jitter_ms) - jitter_ms
        wait_s = max(0.0, delay_ms / 1000 - (loop.time() - chunk.at))
        if wait_s:
            await asyncio.sleep(wait_s)
        stage.give(Chunk(chunk.at + wait_s, chunk.data))


async def _bandwidth(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    owed_s = 0.0  # a timer is late by a millisecond: what was waited too long is waited less the next time
    while (chunk := await stage.take()) is not None:
        rate_b_s = stage.toxic.attributes["rate"] * 1000
        if rate_b_s <= 0:
            await loop.create_future()  # nothing passes until the toxic is changed or taken out
        piece_b = max(1, int(rate_b_s * _PIECE_S))
        while chunk.data:
            piece, rest = chunk.data[:piece_b], chunk.data[piece_b:]
            owed_s += len(piece) / rate_b_s
            began = loop.time()
            if owed_s > 0:
                await asyncio.sleep(owed_s)
            owed_s -= loop.time() - began
            chunk = Chunk(chunk.at, rest)
            stage.give(Chunk(chunk.at, piece), chunk if rest else None)


async def _timeout(stage: Stage) -> None:
    """Swallow all; with a time, close after so much of silence."""
    limit_ms = stage.toxic.attributes["timeout"]
    while True:
        try:
            async with asyncio.timeout(limit_ms / 1000 if limit_ms > 0 else None):
                chunk = await stage.take()
        except TimeoutError:
            return
        if chunk is None:
            return
        stage.drop()


async def _reset_peer(stage: Stage) -> None:
    await stage.take()
    stage.drop()
    await asyncio.sleep(stage.toxic.attributes["timeout"] / 1000)
    stage.reset()


async def _slow_close(stage: Stage) -> None:
    await nothing(stage)
    await asyncio.sleep(stage.toxic.attributes["delay"] / 1000)


async def _limit_data(stage: Stage) -> None:
    limit_b = stage.toxic.attributes["bytes"]
    while (chunk := await stage.take()) is not None:
        allowed = chunk.data[: max(0, limit_b - stage.passed_b)]
        if allowed:
            stage.give(Chunk(chunk.at, allowed))
        if stage.passed_b >= limit_b:
            return


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of toxic: its settings with their defaults, and whether taking it out closes the connections."""

    pipe: Callable[[Stage], Awaitable[None]]
    defaults: Mapping[str, int]
    removal_closes: bool = False


KINDS: Mapping[str, Kind] = {
    "latency": Kind(_latency, {"latency": 0, "jitter": 0}),
    "bandwidth": Kind(_bandwidth, {"rate": 0}),
    "timeout": Kind(_timeout, {"timeout": 0}, removal_closes=True),
    "reset_peer": Kind(_reset_peer, {"timeout": 0}),
    "slow_close": Kind(_slow_close, {"delay": 0}),
    "limit_data": Kind(_limit_data, {"bytes": 0}),
}
