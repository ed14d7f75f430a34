"""Slices and the feed: everything that ended is in exactly one slice, and no reader can hold the users up."""

import asyncio
import json
import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from simian.load.devices import arrivals, devices
from simian.load.feed import BEHIND_B, Feed
from simian.load.slices import SLICE_S, beat, beats_between, cut_slices
from simian.load.tally import Outcome, Tally
from simian.probe import Slice

GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 0\r\n\r\n"
Run = Callable[[Callable[[], Any]], Any]


def test_slices_add_up_to_all_that_ended(run: Run, street: Any, total: Any) -> None:
    plan = list(islice(arrivals(devices({"east": "198.18", "west": "198.19"}, 40), 150.0, random.Random(3)), 150))

    async def body() -> list[bytes]:
        async with street(lambda head: GOOD, None) as here:
            feed, lines = Feed(), []
            reader, writer = await asyncio.open_connection("127.0.0.1", await feed.open("127.0.0.1", 0))
            cutting = asyncio.create_task(cut_slices(here.users.tally, feed.publish))
            await here.users.follow(plan)
            while sum(row["ended"] for line in lines for row in json.loads(line)["rows"]) < len(plan):
                lines.append(await reader.readline())
            cutting.cancel()
            writer.close()
            await feed.close()
            return lines

    slices = [json.loads(line) for line in run(body)]
    assert total(slices, "ended") == total(slices, "ok") + total(slices, "failed") == len(plan)
    assert sum(one["sent"] for one in slices) == len(plan)
    assert sum(count for one in slices for row in one["rows"] for count in row["latency"].values()) == len(plan)
    assert total(slices, "first_failed") == sum(one["errors"].get("refused", 0) for one in slices) > 0
    read = [Slice.from_json(one) for one in slices]
    assert [one.start for one in read[1:]] == pytest.approx([one.end for one in read[:-1]])
    assert all(one.start / SLICE_S % 1.0 == pytest.approx(0.0, abs=1e-3) or one.start / SLICE_S % 1.0 > 0.999
               for one in read)  # fmt: skip


def test_a_slice_has_the_keys_of_the_wire_and_begins_anew() -> None:
    tally = Tally()
    tally.began(0.25)
    tally.began(0.75)
    tally.ended(
        Outcome("east", "play", ok=True, shed=1, first_failed=True, region="west", way="isthmus", latency_ms=10.0,
                hops=["users>gateway-east-a"], faults=["simian.k7.1"], errors=["shed"])
    )  # fmt: skip
    assert tally.cut(1700000000.2, 0.2) == {
        "type": "slice", "start": 1700000000.2, "seconds": 0.2, "sent": 2,
        "late_ms": {"p50": 0.25, "p99": 0.75, "max": 0.75},
        "rows": [{"home": "east", "kind": "play", "ended": 1, "ok": 1, "failed": 0, "first_failed": 1, "shed": 1,
                  "served": {"west": 1}, "ways": {"isthmus": 1}, "latency": {"231": 1}}],
        "hops": {"users>gateway-east-a": 1}, "faults": {"simian.k7.1": 1}, "errors": {"shed": 1},
    }  # fmt: skip
    again = tally.cut(1700000000.4, 0.2)
    assert (again["sent"], again["rows"], again["hops"], again["late_ms"]["max"]) == (0, [], {}, 0.0)


def test_a_slow_subscriber_is_dropped_and_the_others_read_on(run: Run) -> None:
    async def body() -> None:
        feed = Feed()
        port = await feed.open("127.0.0.1", 0)
        _, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.transport.pause_reading()  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * BEHIND_B)
        record = {"type": "slice", "fill": "x" * (BEHIND_B // 2)}
        while not feed.dropped:
            feed.publish(record)
            assert json.loads(await reader.readline()) == record
        assert feed.dropped == 1
        while len(feed.subscribers) > 1:
            await asyncio.sleep(0)
        slow.transport.abort()
        writer.close()
        await feed.close()

    run(body)


def test_a_subscriber_that_hangs_up_is_forgotten(run: Run) -> None:
    async def body() -> None:
        feed = Feed()
        _, writer = await asyncio.open_connection("127.0.0.1", await feed.open("127.0.0.1", 0))
        while not feed.subscribers:
            await asyncio.sleep(0)
        writer.transport.abort()
        while feed.subscribers:
            await asyncio.sleep(0)
        feed.publish({"type": "slice"})
        await feed.close()

    run(body)


@pytest.mark.parametrize(
    ("last", "here", "elapsed_s", "count"),
    [
        (100, 101, 0.2, 1),
        (100, 101, 0.29, 1),  # a late tick
        (100, 106, 1.2, 6),  # this process stood still
        (100, 18_100, 0.2, 1),  # the wall clock was put forward by an hour
        (100, 82, 0.2, 1),  # and back
        (100, 100, 0.19, 1),
    ],
)
def test_slices_follow_the_wall_clock_unless_it_was_set(last: int, here: int, elapsed_s: float, count: int) -> None:
    assert beats_between(last, here, elapsed_s) == count


def test_a_timer_that_comes_early_is_on_its_beat() -> None:
    assert beat(1000.199) == beat(1000.201) == beat(1000.2) == 5001
