"""The contract of the store as members see it: over our stand-in, and over a real Cassandra."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Protocol

import pytest
from simian_filters.rules import Rule, Rules
from simian_lab.calls import Callee, Caller
from simian_lab.http import Pool
from simian_lab.members_store import (
    BLOWN_BY,
    BLOWN_S,
    PATIENT_S,
    TRY_S,
    Declined,
    Found,
    Fused,
    Hastily,
    HttpStore,
    InTurn,
    StoreClient,
    StoreDown,
)
from simian_lab.trace import Trace

from ..real_cassandra import PATIENCE_S, CassandraNode, cassandra
from .conftest import Kit, running

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
ME = "members-east-a"
NEAREST = "store-east-a"
MARK = "simian.r.1"
KEYS = (f"progress:m{number}" for number in count())
SOON_S = 20.0  # for one call, on a machine that is busy


class Bench(Protocol):
    """A store that is up, and clients of it."""

    rules: Rules

    def client(self, *, times: int = 0, try_s: float = SOON_S) -> StoreClient:
        """One that is not open yet; ``times``: it asks again so often."""
        ...

    async def silence(self) -> None:
        """No node answers any more."""
        ...

    async def end_silence(self) -> None:
        """They do again."""
        ...


@pytest.mark.timeout(60)
def test_a_store_that_drowns_is_left_alone_and_tried_again_by_one_call_at_a_time() -> None:
    now, asked = [0.0], list[str]()
    callees = [Callee(f"store-{zone}", "store", "127.0.0.1", 1) for zone in "ab"]
    fused, trace = Fused(callees, lambda: now[0]), Trace(ME)
    well = [False]

    async def ask(callee: Callee) -> str:
        asked.append(callee.name)
        if not well[0]:
            raise Declined("drowns")
        return "it serves"

    async def call() -> str:
        try:
            return await fused.first(ask, trace)
        except StoreDown as error:
            return str(error)

    async def test() -> None:
        for _ in range(BLOWN_BY):
            assert "could serve" in await call()
        assert len(asked) == 2 * BLOWN_BY
        assert "left alone" in await call()
        assert len(asked) == 2 * BLOWN_BY, "nobody was asked"
        assert trace.hops == [f"{ME}>store-a^"], "which a trace tells"
        now[0] += BLOWN_S
        assert "could serve" in await call()
        assert len(asked) == 2 * BLOWN_BY + 2, "one call tried again"
        assert "left alone" in await call()
        now[0] += BLOWN_S
        well[0] = True
        assert [await call(), await call()] == ["it serves"] * 2

    asyncio.run(test())


def _asking(callees: list[Callee], times: int) -> InTurn:
    return Hastily(callees, times=times) if times else InTurn(callees)


class StandIn:
    def __init__(self, kit: Kit, services: Any) -> None:
        self.rules, self._kit, self._services, self._pool = Rules(), kit, services, Pool()
        self._nodes = kit.layout.nodes_of("store", "east")

    def client(self, *, times: int = 0, try_s: float = SOON_S) -> StoreClient:
        asking = _asking([Callee.directly(node) for node in self._nodes], times)
        return HttpStore(Caller(self._pool, self.rules), asking, try_s=try_s)

    async def silence(self) -> None:
        await self._services.stop(*(node.name for node in self._nodes))

    async def end_silence(self) -> None:
        await self._services.start([node.name for node in self._nodes])

    async def aclose(self) -> None:
        await self._pool.aclose()


class Cassandra:
    def __init__(self, node: CassandraNode) -> None:
        self.rules, self._node, self._pool = Rules(), node, Pool()

    def client(self, *, times: int = 0, try_s: float = SOON_S) -> StoreClient:
        from simian_lab.members_cassandra import CassandraStore, Ring

        host, _, port = self._node.address.partition(":")
        ring = Ring("east", [Callee(NEAREST, "store", host, int(port))], {"east": 1})
        return CassandraStore(Caller(self._pool, self.rules), _asking(list(ring.callees), times), ring, try_s=try_s)

    async def silence(self) -> None:
        self._node.pause()

    async def end_silence(self) -> None:
        self._node.resume()

    async def aclose(self) -> None:
        self._node.resume()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraNode]:
    with cassandra(tmp_path_factory.mktemp("cassandra"), "east") as (only,):
        yield only


Test = Callable[[Bench, StoreClient], Coroutine[Any, Any, None]]


@pytest.fixture(params=["stand-in", "cassandra"])
def over(request: pytest.FixtureRequest, kit: Kit) -> Callable[[Test], None]:
    """Runs a test with a store and an open client of it, which is closed afterwards."""
    found = request.getfixturevalue("node") if request.param == "cassandra" else None

    @asynccontextmanager
    async def made() -> AsyncIterator[StandIn | Cassandra]:
        if found is not None:
            yield Cassandra(found)
            return
        async with running(kit.layout, kit.folder, *kit.of_region(kit.layout, "east", "store")) as services:
            yield StandIn(kit, services)

    async def main(test: Test) -> None:
        async with made() as bench:
            client = bench.client()
            try:
                await client.open()
                await test(bench, client)
            finally:
                await client.aclose()
                await bench.aclose()

    return lambda test: asyncio.run(asyncio.wait_for(main(test), PATIENCE_S))


def rule(share: float = 1.0, delay: str | None = None, status: int | None = None) -> Rule:
    """One on the client side, for the store."""
    return Rule(MARK, "client", share, 4, delay, status, "store", 120.0)


def now_us() -> int:
    return time.time_ns() // 1000


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    ends = time.monotonic() + PATIENCE_S / 2
    while not await condition():
        assert time.monotonic() < ends, f"waited in vain: {what}"
        await asyncio.sleep(0.05)


def test_what_was_written_is_read_with_the_time_of_the_write(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, at_us, value = next(KEYS), now_us(), {"title": "ü \u2028 ''", "position_s": 7}
        assert await store.put(key, value, at_us, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found(value, at_us)

    over(test)


def test_what_nobody_wrote_is_nothing(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        assert await store.get(next(KEYS), Trace(ME)) == Found(None, 0)

    over(test)


def test_nothing_can_be_written_too(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, at_us = next(KEYS), now_us()
        assert await store.put(key, None, at_us, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found(None, at_us)

    over(test)


def test_the_later_write_wins_and_the_earlier_one_is_told_so(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, at_us = next(KEYS), now_us()
        assert await store.put(key, "later", at_us, Trace(ME))
        assert not await store.put(key, "earlier", at_us - 1, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found("later", at_us)
        assert await store.put(key, "last", at_us + 1, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found("last", at_us + 1)

    over(test)


def test_of_two_writes_of_one_time_the_larger_value_wins_in_either_order(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        larger, smaller = {"title": "two", "position_s": 0}, {"position_s": 0, "title": "one"}
        for first, second in ((larger, smaller), (smaller, larger)):
            key, at_us = next(KEYS), now_us()
            assert await store.put(key, first, at_us, Trace(ME))
            assert await store.put(key, second, at_us, Trace(ME)) == (second is larger)
            assert await store.get(key, Trace(ME)) == Found(larger, at_us)

    over(test)


def test_a_write_may_be_made_twice(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, at_us = next(KEYS), now_us()
        assert await store.put(key, [1], at_us, Trace(ME))
        assert await store.put(key, [1], at_us, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found([1], at_us)

    over(test)


def test_a_write_from_the_far_future_would_hide_all_others_and_is_refused(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key = next(KEYS)
        with pytest.raises(StoreDown, match="refused"):
            await store.put(key, 1, now_us() + 2 * 86_400_000_000, Trace(ME))
        assert await store.get(key, Trace(ME)) == Found(None, 0)

    over(test)


def test_many_keys_are_read_at_once_and_those_never_written_left_out(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        at_us, keys = now_us(), [next(KEYS) for _ in range(250)]
        for number, key in enumerate(keys[:40]):
            await store.put(key, number, at_us + number, Trace(ME))
        found = await store.get_many(keys, Trace(ME), SOON_S)
        assert found == {key: Found(number, at_us + number) for number, key in enumerate(keys[:40])}

    over(test)


def test_keys_lately_written_are_told_the_last_one_first(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        keys = [next(KEYS) for _ in range(5)]
        for key in keys:
            await store.put(key, 1, now_us(), Trace(ME))
        assert (await store.recent(100, Trace(ME), SOON_S))[:5] == keys[::-1]
        assert await store.recent(3, Trace(ME), SOON_S) == keys[:1:-1]

    over(test)


def test_each_call_is_a_hop_to_the_node_that_was_asked(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, trace = next(KEYS), Trace(ME)
        calls: list[Coroutine[Any, Any, object]] = [
            store.put(key, 1, now_us(), trace), store.get(key, trace), store.get_many([key], trace, SOON_S),
            store.recent(1, trace, SOON_S), store.probe(trace),
        ]  # fmt: skip
        for number, call in enumerate(calls, 1):
            await call
            made = [hop for hop in trace.hops if hop.startswith(f"{ME}>")]
            assert made == [f"{ME}>{NEAREST}"] * number

    over(test)


def test_when_no_node_answers_the_store_is_down_for_a_while_and_the_loop_goes_on(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, hasty = next(KEYS), bench.client(try_s=TRY_S)
        await hasty.open()
        await bench.silence()
        trace, ticks = Trace(ME), 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        try:
            with pytest.raises(StoreDown, match=NEAREST[:-1]):
                await hasty.put(key, 1, now_us(), trace)
            with pytest.raises(StoreDown):
                await hasty.get(key, trace)
        finally:
            ticking.cancel()
        assert ticks > 10
        assert trace.hops
        assert set(trace.hops) <= {f"{ME}>store-east-{zone}!" for zone in "abc"}
        assert not await hasty.probe(trace)
        await bench.end_silence()

        async def works() -> bool:
            try:
                return await store.put(key, "again", now_us(), Trace(ME)) and await hasty.probe(Trace(ME))
            except StoreDown:
                return False

        await until(works, "it serves again")
        await hasty.aclose()

    over(test)


@pytest.mark.parametrize("times", [0, 4])
def test_a_node_that_is_slow_for_this_client_alone_is_given_up(over: Callable[[Test], None], times: int) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        client = bench.client(try_s=TRY_S, times=times)
        await client.open()
        bench.rules.put(rule(delay="constant:10s"))
        trace = Trace(ME)
        with pytest.raises(StoreDown):
            await client.get(next(KEYS), trace)
        assert trace.marks == [MARK]
        assert trace.hops[0] == f"{ME}>{NEAREST}!"
        bench.rules.put(rule(delay="constant:1ms"))
        assert await store.get(next(KEYS), Trace(ME)) == Found(None, 0)
        await client.aclose()

    over(test)


def test_calls_end_with_the_errors_that_client_side_rules_inject(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        key, trace = next(KEYS), Trace(ME)
        bench.rules.put(rule(status=503))
        with pytest.raises(StoreDown, match="503"):
            await store.put(key, 1, now_us(), trace)
        assert not await store.probe(trace)
        assert trace.marks == [MARK]
        assert all(hop.endswith("!") for hop in trace.hops)
        (counted,) = bench.rules.listing()
        assert counted["saw"] == counted["hit"] == len(trace.hops)
        bench.rules.remove(MARK)
        assert await store.get(key, Trace(ME)) == Found(None, 0), "it was not made"

    over(test)


def test_one_that_asks_again_at_once_leaves_all_but_the_first_answer_behind(over: Callable[[Test], None]) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        client = bench.client(times=16)
        await client.open()
        key, trace = next(KEYS), Trace(ME)
        bench.rules.put(rule(status=503, share=0.5))
        for _ in range(8):
            await client.put(key, 1, now_us(), trace)
        made = [hop for hop in trace.hops if hop.startswith(ME)]
        assert len(made) > 16, f"at least one of eight failed at first and was made 16 times (seed 4): {made}"
        await client.aclose()

    over(test)


def test_it_opens_when_a_silent_store_answers_and_an_opening_that_is_given_up_leaves_nothing(
    over: Callable[[Test], None],
) -> None:
    async def test(bench: Bench, store: StoreClient) -> None:
        await bench.silence()
        client, given_up = bench.client(try_s=PATIENT_S), bench.client()
        opening = asyncio.create_task(client.open())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(given_up.open(), asyncio.sleep(60)), 1.0)
        await bench.end_silence()
        await opening
        assert await client.put(next(KEYS), 1, now_us(), Trace(ME))
        await client.aclose()
        await given_up.aclose()

    over(test)
