"""The Toxiproxy stand-in: the API's words and codes, and what the toxics do to real connections."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import pytest
from simian_lab.http import Request, Response
from simian_lab.toxiproxy_api import Api

ECHO_LIMIT_S = 10.0


class World:
    """An echo server, and a proxy called ``way`` in front of it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.lines: list[Line] = []

    async def ask(self, method: str, path: str, body: Any = None) -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        return await self.api.answer(Request(method, path, {}, {}, data, path))

    async def add(self, type_: str, name: str = "t", **attributes: Any) -> Response:
        options = {key: attributes.pop(key) for key in ("stream", "toxicity") if key in attributes}
        return await self.ask(
            "POST", "/proxies/way/toxics", {"name": name, "type": type_, "attributes": attributes, **options}
        )

    async def connect(self) -> "Line":
        host, _, port = self.api.proxies["way"].listen.rpartition(":")
        self.lines.append(Line(*await asyncio.open_connection(host, int(port))))
        return self.lines[-1]


class Line:
    """A connection to the echo server through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echo(self, data: bytes = b"hello") -> float:
        """Send and get back; the milliseconds that took."""
        began = time.monotonic()
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), ECHO_LIMIT_S)
        assert await asyncio.wait_for(self.reader.readexactly(len(data)), ECHO_LIMIT_S) == data
        return (time.monotonic() - began) * 1000

    async def silent(self, seconds: float) -> bool:
        """Whether nothing, not even an end, comes for so long."""
        try:
            await asyncio.wait_for(self.reader.read(1), seconds)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> bool:
        """Whether the other side closes (or resets) it."""
        try:
            return await asyncio.wait_for(self.reader.read(), ECHO_LIMIT_S) == b""
        except ConnectionError:
            return True


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    upstream = "{}:{}".format(*server.sockets[0].getsockname())
    api = Api(Random(7), {})
    made = World(api)
    try:
        answer = await made.ask("POST", "/proxies", {"name": "way", "listen": "127.0.0.1:0", "upstream": upstream})
        assert answer.status == 201
        yield made
    finally:
        for line in made.lines:
            line.writer.transport.abort()
        api.close()
        server.close()
        await asyncio.sleep(0.01)  # the transports close in the loop's next turns


Story = Callable[[World], Awaitable[None]]


def in_world(story: Story) -> Callable[[], None]:
    """The story as a test of its own: in a loop, with a proxy before an echo server."""

    async def whole() -> None:
        async with world() as made:
            await story(made)

    def test() -> None:
        main: Coroutine[Any, Any, None] = whole()
        asyncio.run(main)

    test.__name__ = story.__name__
    test.__doc__ = story.__doc__
    return test


@in_world
async def test_bytes_pass_unchanged_both_ways(world: World) -> None:
    line = await world.connect()
    await line.echo(Random(1).randbytes(3_000_000))


@in_world
async def test_a_delay_is_felt_by_a_connection_that_was_open_before(world: World) -> None:
    line = await world.connect()
    before = await line.echo()
    await world.add("latency", latency=150)
    assert await line.echo() >= 150 > before
    assert (await world.ask("DELETE", "/proxies/way/toxics/t")).status == 204
    assert await line.echo() < 150


@in_world
async def test_delays_of_both_directions_and_of_two_toxics_add_up(world: World) -> None:
    await world.add("latency", "a", latency=60)
    await world.add("latency", "b", latency=60)
    await world.add("latency", "c", latency=60, stream="upstream")
    assert 180 <= await (await world.connect()).echo() < 600


@in_world
async def test_bytes_stay_in_order_under_jitter(world: World) -> None:
    await world.add("latency", latency=20, jitter=20)
    line = await world.connect()
    for number in range(200):
        line.writer.write(b"%4d" % number)
        await asyncio.sleep(0)
    data = await asyncio.wait_for(line.reader.readexactly(800), ECHO_LIMIT_S)
    assert [int(data[at : at + 4]) for at in range(0, 800, 4)] == list(range(200))


@in_world
async def test_a_delay_that_is_taken_out_lets_go_at_once_what_it_held(world: World) -> None:
    await world.add("latency", latency=60_000)
    line = await world.connect()
    line.writer.write(b"hello")
    assert await line.silent(0.1)
    await world.ask("DELETE", "/proxies/way/toxics/t")
    assert await asyncio.wait_for(line.reader.readexactly(5), 2) == b"hello"


@in_world
async def test_a_delay_changed_to_nothing_lets_go_at_once_what_it_held(world: World) -> None:
    await world.add("latency", latency=60_000)
    line = await world.connect()
    line.writer.write(b"one")
    assert await line.silent(0.1)
    line.writer.write(b"two")
    answer = await world.ask("PATCH", "/proxies/way/toxics/t", {"attributes": {"latency": 0}})
    assert answer.json()["attributes"] == {"latency": 0, "jitter": 0}
    assert await asyncio.wait_for(line.reader.readexactly(6), 2) == b"onetwo"


@in_world
async def test_a_throttle_lets_as_much_through_as_it_says(world: World) -> None:
    await world.add("bandwidth", rate=500)
    assert 350 <= await (await world.connect()).echo(bytes(200_000)) < 2000


@in_world
async def test_a_throttle_that_is_taken_out_loses_nothing(world: World) -> None:
    await world.add("bandwidth", rate=1)
    line = await world.connect()
    line.writer.write(bytes(50_000))
    await line.reader.readexactly(100)
    await world.ask("DELETE", "/proxies/way/toxics/t")
    await asyncio.wait_for(line.reader.readexactly(49_900), 2)


@in_world
async def test_a_sender_is_held_up_when_the_other_side_takes_nothing(world: World) -> None:
    await world.add("bandwidth", rate=0)
    line = await world.connect()
    line.writer.write(bytes(60_000_000))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.writer.drain(), 0.5)
    pipes = next(iter(world.api.proxies["way"].connections)).pipes
    assert sum(pipe._held_b for pipe in pipes.values()) < 9_000_000


@in_world
async def test_a_black_hole_swallows_and_its_removal_closes(world: World) -> None:
    line = await world.connect()
    await line.echo()
    await world.add("timeout", timeout=0)
    line.writer.write(b"hello")
    assert await line.silent(0.2)
    await world.ask("DELETE", "/proxies/way/toxics/t")
    assert await line.ended()
    await (await world.connect()).echo()


@in_world
async def test_a_black_hole_with_a_time_closes_after_it(world: World) -> None:
    await world.add("timeout", timeout=50)
    assert await (await world.connect()).ended()


@in_world
async def test_reset_peer_resets_the_connection(world: World) -> None:
    await world.add("reset_peer", timeout=0, stream="upstream")
    line = await world.connect()
    line.writer.write(b"hello")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(line.reader.read(), ECHO_LIMIT_S)


@in_world
async def test_slow_close_holds_the_end_back(world: World) -> None:
    await world.add("slow_close", delay=300)
    line = await world.connect()
    await line.echo()
    line.writer.write_eof()
    assert await line.silent(0.1)
    assert await line.ended()


@in_world
async def test_limit_data_closes_after_so_many_bytes(world: World) -> None:
    await world.add("limit_data", bytes=3)
    line = await world.connect()
    line.writer.write(b"hello")
    assert await asyncio.wait_for(line.reader.read(), ECHO_LIMIT_S) == b"hel"


@in_world
async def test_what_was_sent_before_the_end_arrives_before_the_end(world: World) -> None:
    await world.add("latency", latency=50)
    line = await world.connect()
    line.writer.write(b"hello")
    assert await asyncio.wait_for(line.reader.readexactly(5), ECHO_LIMIT_S) == b"hello"
    line.writer.write_eof()
    assert await line.ended()


@in_world
async def test_toxicity_spares_its_share_of_connections(world: World) -> None:
    await world.add("timeout", timeout=0, toxicity=0.5)
    lines = [await world.connect() for _ in range(60)]
    for line in lines:
        line.writer.write(b"x")
    silent = await asyncio.gather(*(line.silent(0.5) for line in lines))
    assert 10 < sum(silent) < 50, f"{sum(silent)} of 60 were hit (seed 7)"


@in_world
async def test_disabled_means_closed_and_refused_and_enabled_is_as_before(world: World) -> None:
    line = await world.connect()
    await line.echo()
    assert (await world.ask("PATCH", "/proxies/way", {"enabled": False})).json()["enabled"] is False
    assert await line.ended()
    with pytest.raises(ConnectionRefusedError):
        await world.connect()
    await world.ask("POST", "/proxies/way", {"enabled": True})
    await (await world.connect()).echo()


@in_world
async def test_a_dead_upstream_accepts_and_then_closes(world: World) -> None:
    await world.ask("PATCH", "/proxies/way", {"upstream": "127.0.0.1:1"})
    await world.ask("PATCH", "/proxies/way", {"enabled": True})
    assert await (await world.connect()).ended()


@in_world
async def test_a_closed_client_leaves_no_connection_behind(world: World) -> None:
    line = await world.connect()
    await line.echo()
    line.writer.close()
    while world.api.proxies["way"].connections:
        await asyncio.sleep(0.01)


@in_world
async def test_the_codes_and_texts_are_those_of_the_real_one(world: World) -> None:
    await world.add("latency", latency=1)
    way = world.api.proxies["way"].to_json()
    toxic = {"name": "t", "type": "latency", "attributes": {"latency": 1}}
    cases: list[tuple[str, str, Any, int, Any]] = [
        ("GET", "/version", None, 200, {"version": "2.12.0"}),
        ("GET", "/proxies", None, 200, {"way": way}),
        ("GET", "/proxies/way", None, 200, way),
        ("GET", "/proxies/none", None, 404, {"error": "proxy not found", "status": 404}),
        ("POST", "/proxies", {"name": "way", "upstream": "h:1"}, 409, {"error": "proxy already exists", "status": 409}),
        ("POST", "/proxies", {"upstream": "h:1"}, 400, {"error": "missing required field: name", "status": 400}),
        ("POST", "/proxies/way/toxics", toxic, 409, {"error": "toxic already exists", "status": 409}),
        ("POST", "/proxies/way/toxics", {"type": "x"}, 400, {"error": "invalid toxic type", "status": 400}),
        ("GET", "/proxies/way/toxics/none", None, 404, {"error": "toxic not found", "status": 404}),
        ("DELETE", "/proxies/way/toxics/none", None, 404, {"error": "toxic not found", "status": 404}),
        ("DELETE", "/proxies/none", None, 404, {"error": "proxy not found", "status": 404}),
        ("GET", "/proxies/way/toxics", None, 200, way["toxics"]),
    ]
    for method, path, body, status, text in cases:
        answer = await world.ask(method, path, body)
        assert (answer.status, answer.json()) == (status, text), f"{method} {path}"
    for body in ({"type": "latency", "stream": "sideways"}, {"type": "latency", "attributes": {"latency": "1"}}):
        assert (await world.ask("POST", "/proxies/way/toxics", body)).status == 400
    assert (await world.ask("GET", "/nothing")).status == 404


@in_world
async def test_a_toxic_without_name_and_stream_gets_both(world: World) -> None:
    answer = await world.ask("POST", "/proxies/way/toxics", {"type": "latency", "attributes": {"latency": 5}})
    assert answer.json() == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"latency": 5, "jitter": 0},
    }


@in_world
async def test_populate_leaves_alone_what_is_there(world: World) -> None:
    await world.add("latency", latency=1)
    way = world.api.proxies["way"]
    same = {"name": "way", "listen": way.listen, "upstream": way.upstream}
    answer = await world.ask("POST", "/populate", [same, {**same, "name": "new", "listen": "127.0.0.1:0"}])
    assert answer.status == 201
    assert [(proxy["name"], len(proxy["toxics"])) for proxy in answer.json()["proxies"]] == [("way", 1), ("new", 0)]
    moved = await world.ask("POST", "/populate", [{**same, "upstream": "127.0.0.1:1"}])
    assert moved.json()["proxies"][0]["toxics"] == []


@in_world
async def test_reset_enables_all_and_removes_all_toxics(world: World) -> None:
    await world.add("latency", latency=1)
    await world.ask("PATCH", "/proxies/way", {"enabled": False})
    assert (await world.ask("POST", "/reset")).status == 204
    proxy = (await world.ask("GET", "/proxies/way")).json()
    assert (proxy["enabled"], proxy["toxics"]) == (True, [])


@in_world
async def test_a_taken_address_is_an_error_and_no_proxy(world: World) -> None:
    way = world.api.proxies["way"]
    answer = await world.ask("POST", "/proxies", {"name": "second", "listen": way.listen, "upstream": way.upstream})
    assert answer.status == 500
    assert (await world.ask("GET", "/proxies/second")).status == 404
