"""What members keep in caches is never older than what the store has, in whatever order things come."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any

import pytest
from simian_filters.rules import Rules
from simian_lab import cache, members_invalidation
from simian_lab.cache import Items
from simian_lab.calls import Callee, Caller
from simian_lab.http import Pool
from simian_lab.members_caches import Caches, packed
from simian_lab.members_invalidation import Announcement, Invalidator
from simian_lab.members_store import Found
from simian_lab.sqs import Received
from simian_lab.trace import Trace

pytestmark = pytest.mark.lab
NODE = "members-east-a"


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


@contextmanager
def _looping(*loops: Coroutine[Any, Any, None]) -> Iterator[None]:
    tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _two_members_over_one_cache() -> AsyncIterator[tuple[Items, Caches, Caches]]:
    items, pool = Items(), Pool()
    server, open_ones = await cache.listen("127.0.0.1", 0, items)
    callee = Callee("cache-east-a", "cache", *server.sockets[0].getsockname())
    both = [Caches(Caller(pool, Rules()), NODE, [callee]) for _ in range(2)]
    try:
        with _looping(*(each.catch_up() for each in both), *(each.look_again() for each in both)):
            yield items, *both
    finally:
        for each in both:
            await each.aclose()
        server.close()
        for connection in list(open_ones):
            connection.close()
        await pool.aclose()
        await asyncio.sleep(0.05)


def _time_in(items: Items, key: str) -> int | None:
    item = items.peek(key.encode())
    return json.loads(item.value)["timestamp_us"] if item is not None else None


def test_of_many_writes_at_once_the_newest_is_what_the_cache_keeps(kit: Any) -> None:
    async def test() -> None:
        seed = time.time_ns()
        print(f"seed {seed}")
        die = random.Random(seed)
        async with _two_members_over_one_cache() as (items, *both):
            keys = [f"k{number}" for number in range(20)]
            writes = [(key, at_us) for key in keys for at_us in range(1, 21)]
            die.shuffle(writes)
            for key, at_us in writes:
                die.choice(both).put(key, packed(at_us, at_us), Trace(NODE))
                if die.random() < 0.1:
                    await asyncio.sleep(0)

            async def newest_or_none() -> bool:
                return all(_time_in(items, key) in (20, None) for key in keys)

            await kit.eventually(newest_or_none)
            both[0].put("last", packed(0, 0), Trace(NODE))

            async def settled() -> bool:
                return _time_in(items, "last") == 0

            await kit.eventually(settled)
            assert await newest_or_none()

    _run(test())


class _StoreThatHas:
    """A store client that finds one thing after the other, and then always the last."""

    def __init__(self, *found: Found) -> None:
        self._found = list(found)

    async def get(self, key: str, trace: Trace) -> Found:
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


class _QueueOfOne:
    """A queue with one announcement, which is received again and again until it is deleted."""

    def __init__(self, value: str, timestamp_us: int, *, sure: bool = True) -> None:
        announcement = Announcement.of("k", packed(value, timestamp_us), timestamp_us, sure=sure)
        self._body = json.dumps(asdict(announcement))
        self.receives, self.done = 0, False

    async def receive(self, *, wait_s: int, hidden_s: int) -> list[Received]:
        if self.done:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        self.receives += 1
        return [Received(self._body, "receipt", self.receives)]

    async def delete(self, receipts: list[str]) -> None:
        self.done = True


def test_a_reader_who_read_before_the_write_came_over_does_not_bring_the_old_value_back(kit: Any) -> None:
    async def test() -> None:
        async with _two_members_over_one_cache() as (items, slow, caches):
            queue: Any = _QueueOfOne("new", 20)
            store: Any = _StoreThatHas(Found("new", 20))

            async def connected() -> bool:
                slow.fill("connected", packed("", 1), Trace(NODE))
                return _time_in(items, "connected") == 1

            await kit.eventually(connected)
            with _looping(Invalidator(queue, caches, store, NODE).run()):

                async def invalidated() -> bool:
                    return bool(queue.done)

                await kit.eventually(invalidated)
                slow.fill("k", packed("old", 10), Trace(NODE))  # read from the store long before

                async def old() -> bool:
                    return _time_in(items, "k") == 10

                async def gone() -> bool:
                    return _time_in(items, "k") is None

                await kit.eventually(old)
                await kit.eventually(gone)

    _run(test())


@pytest.mark.parametrize("sure", [True, False])
def test_a_write_that_was_perhaps_made_and_comes_over_late_leaves_no_old_value_either(kit: Any, sure: bool) -> None:
    async def test() -> None:
        async with _two_members_over_one_cache() as (items, _, caches):
            queue: Any = _QueueOfOne("new", 20, sure=sure)
            store: Any = _StoreThatHas(*[Found("old", 10)] * 4, Found("new", 20))
            items.put(b"k", packed("old", 10), 0, 0)
            with _looping(Invalidator(queue, caches, store, NODE).run()):

                async def gone() -> bool:
                    return _time_in(items, "k") is None

                await kit.eventually(gone)

    _run(test())


@pytest.mark.parametrize("late_after_s", [0.0, 0.5])
def test_what_was_announced_long_ago_is_thrown_away_only_where_that_is_the_flaw(kit: Any, late_after_s: float) -> None:
    async def test() -> None:
        async with _two_members_over_one_cache() as (items, _, caches):
            queue: Any = _QueueOfOne("new", 20)
            store: Any = _StoreThatHas(Found("new", 20))
            items.put(b"k", packed("old", 10), 0, 0)
            with _looping(Invalidator(queue, caches, store, NODE, late_after_s=late_after_s).run()):

                async def settled() -> bool:
                    return bool(queue.done and (late_after_s or _time_in(items, "k") is None))

                await kit.eventually(settled)
            assert _time_in(items, "k") == (10 if late_after_s else None)

    _run(test())


def test_a_write_that_was_never_made_is_let_go(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_invalidation, "_UNSETTLED_PAUSE_S", 0.0)

    async def test() -> None:
        async with _two_members_over_one_cache() as (_, __, caches):
            receives = {}
            for sure in (True, False):
                queue: Any = _QueueOfOne("new", 20, sure=sure)
                store: Any = _StoreThatHas(Found("old", 10))
                with _looping(Invalidator(queue, caches, store, NODE).run()):

                    async def let_go(queue: Any = queue) -> bool:
                        return bool(queue.done)

                    await kit.eventually(let_go)
                    receives[sure] = queue.receives
            assert 1 < receives[False] < receives[True]

    _run(test())


def test_what_is_as_new_as_what_was_announced_stays(kit: Any) -> None:
    async def test() -> None:
        async with _two_members_over_one_cache() as (items, _, caches):
            queue: Any = _QueueOfOne("new", 20)
            store: Any = _StoreThatHas(Found("new", 20))
            items.put(b"k", packed("new", 20), 0, 0)
            items.put(b"loser", packed("a", 20), 0, 0)
            with _looping(Invalidator(queue, caches, store, NODE).run()):

                async def invalidated() -> bool:
                    return bool(queue.done)

                await kit.eventually(invalidated)
                caches.outdate("loser", packed("b", 20), Trace(NODE))  # behind the other on the same connection

                async def gone() -> bool:
                    return _time_in(items, "loser") is None

                await kit.eventually(gone)
                assert _time_in(items, "k") == 20

    _run(test())


@pytest.mark.parametrize(
    ("found", "is_in"),
    [
        (Found("new", 20), True),
        (Found("other", 20), False),
        (Found("newer", 21), True),
        (Found("old", 19), False),
        (Found(None, 0), False),
    ],
)
def test_an_announced_write_has_come_over_when_it_or_a_later_one_is_in_the_store(found: Found, is_in: bool) -> None:
    assert Announcement.of("k", packed("new", 20), 20, sure=True).is_in(found) == is_in
