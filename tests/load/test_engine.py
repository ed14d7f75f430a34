"""The open loop: nothing is left out, nothing waits for what came before, and the users tell how late they were."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

import pytest

from simian.histogram import Histogram
from simian.load.devices import Arrival, arrivals, devices
from simian.load.journey import Patience

GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 0\r\n\r\n"
HOMES = {"east": "198.18", "west": "198.19"}
Run = Callable[[Callable[[], Any]], Any]


def plan_of(rate: float, seconds: float, seed: int) -> list[Arrival]:
    endless = arrivals(devices(HOMES, 20), rate, random.Random(seed))
    return list(takewhile(lambda arrival: arrival.at_s < seconds, endless))


def latencies(seen: dict[str, Any]) -> Histogram:
    whole = Histogram()
    for row in seen["rows"]:
        whole.merge(Histogram.from_json(row["latency"]))
    return whole


def p99(values: list[float]) -> float:
    return sorted(values)[-(-len(values) * 99 // 100) - 1]


@pytest.mark.slow
def test_with_the_server_stopped_for_two_seconds_p99_is_the_truth_and_nobody_is_left_out(
    run: Run, street: Any, server: tuple[subprocess.Popen[str], int], total: Any, calm: None
) -> None:
    process, port = server
    plan = plan_of(rate=100.0, seconds=5.0, seed=11)

    async def freeze() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1.5)
        os.kill(process.pid, signal.SIGSTOP)
        begin = loop.time()
        await asyncio.sleep(2.0)
        os.kill(process.pid, signal.SIGCONT)
        return begin, loop.time()

    async def body() -> Any:
        users = street.users_of(port, ["127.77.0.1"], Patience(deadline_s=30.0, try_s=30.0))
        zero = asyncio.get_running_loop().time()
        window, _ = await asyncio.gather(freeze(), users.follow(plan))
        users.pool.close()
        return users.tally.cut(0.0, 5.0), [edge - zero for edge in window]

    for _ in range(5):  # a busy machine wakes the users, or the server, too late: then nothing was measured
        seen, (begin, end) = run(body)
        truth = p99([1000.0 * (end - a.at_s) if begin <= a.at_s < end else 0.0 for a in plan])
        found = latencies(seen).quantile(0.99)
        if seen["late_ms"]["p99"] < 20.0 and found == pytest.approx(truth, rel=0.02):
            break
    assert truth > 1500.0
    assert found == pytest.approx(truth, rel=0.02)
    assert total([seen], "ended") == total([seen], "ok") == len(plan)
    assert seen["sent"] == len(plan)


def test_a_frozen_server_fails_requests_and_all_are_told(
    run: Run, street: Any, server: tuple[subprocess.Popen[str], int], total: Any
) -> None:
    process, port = server
    plan = plan_of(rate=100.0, seconds=1.0, seed=12)

    async def body() -> Any:
        users = street.users_of(port, ["127.77.0.1"], Patience(deadline_s=2.0, try_s=0.1))
        os.kill(process.pid, signal.SIGSTOP)
        await users.follow(plan)
        return users.tally.cut(0.0, 1.0)

    seen = run(body)
    assert total([seen], "ended") == total([seen], "failed") == total([seen], "first_failed") == len(plan)
    assert seen["errors"] == {"timeout": len(plan)}
    assert latencies(seen).quantile(0.01) >= 98.0


def test_who_warms_up_waits_for_each_answer_however_late_it_is(
    run: Run, street: Any, server: tuple[subprocess.Popen[str], int], total: Any
) -> None:
    process, port = server
    plan = plan_of(rate=1000.0, seconds=1.0, seed=17)

    async def body() -> Any:
        users = street.users_of(port, ["127.77.0.1"], Patience(deadline_s=0.2, try_s=0.2))
        engine = users.engine()
        await engine.warm_up(iter(plan), 30, limit_s=60.0)
        quick = users.tally.cut(0.0, 1.0)
        os.kill(process.pid, signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        await engine.warm_up(iter(plan), 5, limit_s=60.0)
        took_s, slow = asyncio.get_running_loop().time() - began, users.tally.cut(1.0, 1.0)
        await engine.warm_up(iter(plan), 1_000, limit_s=0.3)
        return quick, slow, took_s, users.tally.cut(2.0, 1.0)

    quick, slow, took_s, limited = run(body)
    assert (quick["sent"], total([quick], "ok")) == (30, 30)
    assert (slow["sent"], total([slow], "failed")) == (5, 5)
    assert took_s >= 5 * 0.19, "none began before the one before it had ended"
    assert 1 <= limited["sent"] <= 3


def test_what_exceeds_the_bound_is_counted_as_failed(
    run: Run, street: Any, server: tuple[subprocess.Popen[str], int], total: Any
) -> None:
    process, port = server
    plan = plan_of(rate=100.0, seconds=0.5, seed=13)

    async def body() -> Any:
        users = street.users_of(port, ["127.77.0.1"], Patience(deadline_s=3.0, try_s=1.0))
        users.bound = 10
        os.kill(process.pid, signal.SIGSTOP)
        await users.follow(plan)
        return users.tally.cut(0.0, 1.0)

    seen = run(body)
    assert total([seen], "ended") == total([seen], "failed") == len(plan)
    assert seen["errors"] == {"timeout": 10, "over_bound": len(plan) - 10}
    assert seen["sent"] == 10
    assert latencies(seen).quantile(0.99) == pytest.approx(3000.0, rel=0.01)


def test_a_blocked_loop_is_told_by_lateness_and_latency(run: Run, street: Any, total: Any) -> None:
    plan = plan_of(rate=200.0, seconds=0.8, seed=14)

    async def body() -> Any:
        async with street(lambda head: GOOD) as here:
            asyncio.get_running_loop().call_later(0.2, time.sleep, 0.4)
            await here.users.follow(plan)
            return here.users.tally.cut(0.0, 1.0)

    seen = run(body)
    assert 300.0 < seen["late_ms"]["max"] == pytest.approx(seen["late_ms"]["p99"], rel=0.2)
    assert latencies(seen).quantile(1.0) >= 0.98 * seen["late_ms"]["max"]
    assert total([seen], "ended") == total([seen], "ok") == len(plan)


def test_requests_later_than_their_deadline_are_not_sent_but_told(run: Run, street: Any, total: Any) -> None:
    plan = plan_of(rate=200.0, seconds=0.4, seed=15)

    async def body() -> Any:
        async with street(lambda head: GOOD) as here:
            here.users.patience = Patience(deadline_s=0.1, try_s=0.1)
            asyncio.get_running_loop().call_later(0.05, time.sleep, 0.35)
            await here.users.follow(plan)
            return here.users.tally.cut(0.0, 1.0), len(here.gateways[0].heads)

    seen, arrived = run(body)
    assert seen["errors"]["late"] > 30
    assert arrived <= len(plan) - seen["errors"]["late"]
    assert total([seen], "ended") == len(plan)
    assert seen["late_ms"]["max"] > 250.0


def test_a_plan_that_breaks_ends_the_run_with_its_error(run: Run, street: Any) -> None:
    def plan() -> Iterator[Arrival]:
        yield from plan_of(rate=100.0, seconds=0.1, seed=16)
        raise ZeroDivisionError

    async def body() -> None:
        async with street(lambda head: GOOD) as here:
            await here.users.follow(plan())

    with pytest.raises(ZeroDivisionError):
        run(body)


def test_when_the_run_is_cancelled_nothing_starts_any_more(run: Run, street: Any) -> None:
    async def body() -> tuple[int, int]:
        async with street(lambda head: GOOD) as here:
            users = asyncio.create_task(here.users.follow(plan_of(rate=200.0, seconds=30.0, seed=17)))
            while not here.gateways[0].heads:
                await asyncio.sleep(0.01)
            users.cancel()
            await asyncio.wait((users,))
            assert users.cancelled()
            sent = here.users.tally.cut(0.0, 1.0)["sent"]
            await asyncio.sleep(0.1)  # so long twenty would have started
            return sent, here.users.tally.cut(0.0, 1.0)["sent"]

    sent, more = run(body)
    assert sent > 0
    assert more == 0
