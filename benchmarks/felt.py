"""Delays as a client feels them: an echo server on loopback, asked over a few kept connections.

The server's answer goes through ``simian_filters.asgi.FaultFilter`` with the rules given, as that of a service does
which mounts it; with no rules it holds nothing back, and something else may stand between (Toxiproxy).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from random import Random
from typing import Any

from simian_filters.asgi import FaultFilter
from simian_filters.rules import Rules

HOST = "127.0.0.1"
AFTER_S = 0.05  # what is between has its own connection by then: no exchange waits for it
PAUSE_S = 0.03  # at most, before each exchange: else they would march in step and wait for each other
Between = Callable[[int], AbstractContextManager[int]]  # port of the server -> the port to ask instead
SCOPE = {"type": "http", "path": "/play", "method": "GET", "headers": []}


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


@asynccontextmanager
async def echo(rules: Rules) -> AsyncIterator[int]:
    """The port of a server that answers each byte with a byte, as late as the rules say."""
    filtered = FaultFilter(_app, token=None, rules=rules)
    served: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())

        async def send(message: Any) -> None:
            writer.write(b".")

        with suppress(ConnectionError):  # what stood between was ended first
            while await reader.read(1):
                await filtered(dict(SCOPE), reader.read, send)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()
        await asyncio.gather(*filter(None, served))


async def _ask(port: int, count: int, die: Random) -> list[float]:
    """Ms of each of so many exchanges, one after the other, over one connection."""
    loop, taken = asyncio.get_running_loop(), []
    reader, writer = await asyncio.open_connection(HOST, port)
    await asyncio.sleep(AFTER_S)
    for _ in range(count):
        await asyncio.sleep(PAUSE_S * die.random())
        begin = loop.time()
        writer.write(b".")
        await reader.readexactly(1)
        taken.append(1000 * (loop.time() - begin))
    writer.close()
    return taken


async def _felt(rules: Rules, between: Between, connections: int, each: int) -> list[float]:
    async with echo(rules) as port:
        with between(port) as reached:
            parts = await asyncio.gather(*(_ask(reached, each, Random(number)) for number in range(connections)))
    return [ms for part in parts for ms in part]


def felt_ms(rules: Rules, connections: int, each: int, between: Between = nullcontext) -> list[float]:
    """What so many connections felt in so many exchanges each, in ms."""
    return asyncio.run(_felt(rules, between, connections, each))
