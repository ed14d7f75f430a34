"""The memcached stand-in and the client of the lab's services, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from simian_lab import cache
from simian_lab.cache import Items
from simian_lab.http import ConnectRefused, TimedOut
from simian_lab.memcache import Memcache


def _talk(payload: bytes, items: Items | None = None) -> bytes:
    """What the cache answers to these bytes, up to its end after ``quit``."""

    async def main() -> bytes:
        server, open_ones = await cache.listen("127.0.0.1", 0, items or Items())
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(payload + b"quit\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        server.close()
        for connection in list(open_ones):
            connection.close()
        await asyncio.sleep(0.01)
        return answer

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"set k 5 0 3\r\nabc\r\nget k\r\n", b"STORED\r\nVALUE k 5 3\r\nabc\r\nEND\r\n"),
        (b"set k 0 0 3 noreply\r\nabc\r\nget k none\r\n", b"VALUE k 0 3\r\nabc\r\nEND\r\n"),
        (b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget b a\r\n",
         b"STORED\r\nSTORED\r\nVALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        (b"set k 0 0 1\r\n1\r\ngets k\r\n", b"STORED\r\nVALUE k 0 1 1\r\n1\r\nEND\r\n"),
        (b"add k 0 0 1\r\n1\r\nadd k 0 0 1\r\n2\r\nget k\r\n",
         b"STORED\r\nNOT_STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n"),
        (b"replace k 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
        (b"cas k 0 0 1 7\r\n1\r\n", b"NOT_FOUND\r\n"),
        (b"set k 0 0 1\r\n1\r\ncas k 0 0 1 2\r\n2\r\ncas k 0 0 1 1\r\n3\r\ngets k\r\n",
         b"STORED\r\nEXISTS\r\nSTORED\r\nVALUE k 0 1 2\r\n3\r\nEND\r\n"),
        (b"cas k 0 0 1 7 noreply\r\n1\r\ncas k 0 0 1\r\n", b"ERROR\r\n"),
        (b"set k 0 0 1\r\n1\r\ndelete k\r\ndelete k\r\n", b"STORED\r\nDELETED\r\nNOT_FOUND\r\n"),
        (b"touch k 5\r\n", b"NOT_FOUND\r\n"),
        (b"set k 0 -1 1\r\n1\r\nget k\r\n", b"STORED\r\nEND\r\n"),
        (b"set k 0 0 1\r\n1\r\nflush_all\r\nget k\r\n", b"STORED\r\nOK\r\nEND\r\n"),
        (b"version\r\n", b"VERSION 1.6.21\r\n"),
        (b"nonsense\r\n", b"ERROR\r\n"),
        (b"get\r\n", b"ERROR\r\n"),
        (b"set k 0 0\r\n", b"ERROR\r\n"),
        (b"set k x 0 1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"get " + b"k" * 251 + b"\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"set k 0 0 1\r\ntoo long\r\nversion\r\n", b"CLIENT_ERROR bad data chunk\r\nVERSION 1.6.21\r\n"),
        (b"set k 0 0 2000000\r\n" + b"x" * 2_000_000 + b"\r\nversion\r\n",
         b"SERVER_ERROR object too large for cache\r\nVERSION 1.6.21\r\n"),
        (b"set k 0 0 11\r\nget x\r\nend\r\r\nget k\r\n", b"STORED\r\nVALUE k 0 11\r\nget x\r\nend\r\r\nEND\r\n"),
    ],
)  # fmt: skip
def test_the_text_protocol_is_that_of_memcached(said: bytes, answer: bytes) -> None:
    assert _talk(said) == answer


def test_an_oversized_value_also_removes_the_older_one() -> None:
    said = b"set k 0 0 1\r\n1\r\nset k 0 0 2000000\r\n" + b"x" * 2_000_000 + b"\r\nget k\r\n"
    assert _talk(said) == b"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"


def test_stats_tell_process_hits_and_misses() -> None:
    answer = _talk(b"set k 0 0 1\r\n1\r\nget k\r\nget none\r\nstats\r\n").decode()
    for line in ("STAT get_hits 1", "STAT get_misses 1", "STAT curr_items 1", "STAT pid "):
        assert line in answer


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
