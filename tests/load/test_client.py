"""The pool of connections: deadlines hold on whichever connection, and what was given up is not used again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simian.load.client import Pool, TryFailed

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
SILENT = b" "  # the beginning of an answer that never comes
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
FAR_S, NEAR_S = 30.0, 0.1
Run = Callable[[Callable[[], Any]], Any]


async def asked(pool: Pool, gateway: Any, within_s: float) -> float:
    """Ask; how long after now it failed. Raises AssertionError when it did not, or not at its deadline."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(TryFailed, match="timeout"):
        await pool.fetch(gateway.host, gateway.port, ASK, begin + within_s)
    return loop.time() - begin


async def answered(pool: Pool, gateway: Any, within_s: float) -> int:
    deadline = asyncio.get_running_loop().time() + within_s
    return (await pool.fetch(gateway.host, gateway.port, ASK, deadline)).status


@pytest.mark.parametrize("first_s", [FAR_S, 2 * NEAR_S], ids=["a later deadline before it", "one that has gone by"])
def test_each_request_of_a_kept_connection_has_its_own_deadline(run: Run, street: Any, first_s: float) -> None:
    async def body() -> tuple[int, float, int]:
        async with street(lambda head: GOOD) as here:
            pool, (gateway,) = here.users.pool, here.gateways
            status = await answered(pool, gateway, first_s)
            if first_s < FAR_S:
                await asyncio.sleep(1.5 * first_s)
            gateway.answer = lambda head: SILENT
            return status, await asked(pool, gateway, NEAR_S), gateway.connections

    status, took_s, connections = run(body)
    assert (status, connections) == (200, 1)
    assert NEAR_S <= took_s < FAR_S / 2


def test_the_timer_of_an_earlier_request_does_not_end_a_later_one(run: Run, street: Any) -> None:
    async def body() -> tuple[float, int]:
        async with street(lambda head: GOOD) as here:
            pool, (gateway,) = here.users.pool, here.gateways
            for _ in range(3):
                await answered(pool, gateway, 5 * NEAR_S)
            gateway.answer = lambda head: SILENT
            return await asked(pool, gateway, 10 * NEAR_S), gateway.connections

    took_s, connections = run(body)
    assert took_s >= 10 * NEAR_S
    assert connections == 1


def test_a_timed_out_connection_is_not_used_again(run: Run, street: Any) -> None:
    async def body() -> int:
        async with street(lambda head: SILENT) as here:
            pool, (gateway,) = here.users.pool, here.gateways
            await asked(pool, gateway, NEAR_S)
            gateway.answer = lambda head: GOOD
            await answered(pool, gateway, FAR_S)
            return int(gateway.connections)

    assert run(body) == 2


def test_a_fetch_that_is_cancelled_drops_its_connection(run: Run, street: Any) -> None:
    async def body() -> int:
        async with street(lambda head: SILENT) as here:
            pool, (gateway,) = here.users.pool, here.gateways
            fetch = asyncio.create_task(answered(pool, gateway, FAR_S))
            while not gateway.heads:
                await asyncio.sleep(0.01)
            fetch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await fetch
            gateway.answer = lambda head: GOOD
            await answered(pool, gateway, FAR_S)
            return int(gateway.connections)

    assert run(body) == 2


def test_a_fetch_cancelled_when_its_answer_has_just_come_disturbs_no_other(run: Run, street: Any) -> None:
    async def body() -> None:
        async with street(lambda head: GOOD) as here:
            pool, (gateway,) = here.users.pool, here.gateways
            for turns in range(40):  # at some of these turns of the loop the answer is there and not yet taken
                fetch = asyncio.create_task(answered(pool, gateway, FAR_S))
                for _ in range(turns):
                    await asyncio.sleep(0)
                fetch.cancel()
                assert await answered(pool, gateway, FAR_S) == 200
                await asyncio.wait((fetch,))

    run(body)


def test_an_answer_that_is_no_http_is_told(run: Run, street: Any) -> None:
    async def body() -> None:
        async with street(lambda head: b"what?\r\n\r\n") as here:
            with pytest.raises(TryFailed, match="malformed"):
                await answered(here.users.pool, here.gateways[0], FAR_S)

    run(body)


def test_a_connection_that_the_server_closes_behind_its_answer_is_not_kept(run: Run, street: Any) -> None:
    last = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n<and hang up>"

    async def body() -> int:
        async with street(lambda head: last) as here:
            for _ in range(2):
                assert await answered(here.users.pool, here.gateways[0], FAR_S) == 200
            return int(here.gateways[0].connections)

    assert run(body) == 2
