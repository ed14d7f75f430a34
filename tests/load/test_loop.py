"""The users' event loop does what asyncio's does: no timer is early, and no socket waits for one."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from simian.load.loop import new_event_loop

T = TypeVar("T")


def run(body: Callable[[], Awaitable[T]]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asyncio.wait_for(body(), 60))


@pytest.mark.parametrize("wait_s", [0.0, 0.0004, 0.0016, 0.02, 0.0301])
def test_no_timer_is_early(wait_s: float) -> None:
    async def body() -> list[float]:
        loop, early_s = asyncio.get_running_loop(), []
        for _ in range(20):
            meant, fired = loop.time() + wait_s, loop.create_future()
            loop.call_at(meant, lambda fired=fired: fired.set_result(loop.time()))
            early_s.append(meant - await fired)
        return early_s

    assert max(run(body)) <= 1e-6


@pytest.mark.parametrize("timer_s", [None, 0.015, 30.0], ids=["none", "soon", "far"])
def test_a_socket_ends_every_wait(timer_s: float | None) -> None:
    ours, other = socket.socketpair()

    async def body() -> bytes:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timer_s, int) if timer_s else None
        loop.run_in_executor(None, other.send, b"x")
        said = await loop.sock_recv(ours, 1)
        if timer is not None:
            timer.cancel()
        return said

    ours.setblocking(False)
    with ours, other:
        assert run(body) == b"x"
