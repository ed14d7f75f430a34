"""The memory of the memcached stand-in, and the client of the lab's services, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from simian_lab import cache
from simian_lab.cache import Items
from simian_lab.http import ConnectRefused, TimedOut
from simian_lab.memcache import Memcache


def test_the_least_recently_used_item_makes_room() -> None:
    items = Items(limit_b=1000)
    for key in (b"a", b"b", b"c"):
        items.put(key, b"x" * 200, 0, 0)
    items.get(b"a")
    items.put(b"d", b"x" * 200, 0, 0)
    assert items.peek(b"b") is None
    assert items.peek(b"a") is not None
    assert items.size_b <= 1000


def test_an_item_lives_as_long_as_it_was_told() -> None:
    now = [1000.0]
    items = Items(clock=lambda: now[0], now=lambda: now[0] + 1.7e9)
    items.put(b"relative", b"1", 0, 10)
    items.put(b"absolute", b"1", 0, int(now[0] + 1.7e9) + 20)
    now[0] += 9.9
    assert items.peek(b"relative") is not None
    now[0] += 0.2
    assert items.peek(b"relative") is None
    assert items.peek(b"absolute") is not None
    now[0] += 10
    assert items.peek(b"absolute") is None


def _with_client(test: Callable[[Memcache], Awaitable[None]]) -> None:
    async def main() -> None:
        server, open_ones = await cache.listen("127.0.0.1", 0, Items())
        client = Memcache(*server.sockets[0].getsockname(), timeout_s=5)
        await test(client)
        await client.aclose()
        server.close()
        for connection in list(open_ones):
            connection.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_many_at_once_share_one_connection_and_get_their_own_answers() -> None:
    async def test(client: Memcache) -> None:
        await asyncio.gather(*(client.add(f"k{n}", b"END\r\n%d" % n, 60) for n in range(200)))
        values = await asyncio.gather(*(client.get(f"k{n}") for n in range(201)))
        assert values == [b"END\r\n%d" % n for n in range(200)] + [None]

    _with_client(test)


def test_an_offer_does_not_replace_what_is_there() -> None:
    async def test(client: Memcache) -> None:
        assert not client.offer("k", b"no connection yet", 60)
        await client.connect()
        assert client.offer("k", b"first", 60)
        assert client.offer("k", b"second", 60)
        assert await client.get("k") == b"first"
        await client.delete("k")
        assert await client.get("k") is None

    _with_client(test)


def test_what_two_write_at_once_is_seen_by_the_one_who_compares() -> None:
    async def test(client: Memcache) -> None:
        assert await client.gets("k") is None
        assert await client.add("k", b"first", 60)
        assert not await client.add("k", b"second", 60)
        seen = await client.gets("k")
        assert seen is not None
        assert await client.cas("k", b"third", 60, seen.cas)
        assert not await client.cas("k", b"fourth", 60, seen.cas)
        assert (await client.get("k"), await client.items()) == (b"third", 1)

    _with_client(test)


def test_a_cache_that_hangs_times_out_and_one_that_is_gone_refuses() -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await done.wait()
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        client = Memcache(*address, timeout_s=0.05)
        with pytest.raises(TimedOut):
            await client.get("k")
        done.set()
        server.close()
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectRefused):
            await Memcache(*address, timeout_s=5).get("k")
        await client.aclose()

    asyncio.run(main())
