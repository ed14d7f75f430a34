"""A real engine that hangs, is killed and comes back: calls end at their deadline, and what is undone is undone."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from simian.errors import TimedOut, Unreachable
from simian.owner import Owner

from .docker_engine import real_engine_fixture  # noqa: F401
from .own_engine import LIMIT_S, OwnEngine, own_engine_fixture  # noqa: F401

Until = Callable[..., Any]


@pytest.mark.timeout(500)
def test_an_engine_that_was_stopped_amid_a_fault_is_a_time_out_and_undo_works_once_it_goes_on(
    own_engine: OwnEngine,
) -> None:
    platform = own_engine.platform()
    platform.pause("web-1")
    own_engine.send(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimedOut, match="may still"):
        platform.resume("web-1")
    assert time.monotonic() - began >= LIMIT_S
    own_engine.send(signal.SIGCONT)
    platform.resume("web-1")
    assert own_engine.status() == "running"


@pytest.mark.timeout(500)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_was_restarted_amid_a_fault_is_reached_again_and_the_fault_undone(
    own_engine: OwnEngine, until: Until, how: signal.Signals
) -> None:
    platform = own_engine.platform()
    before = platform.incarnation("web-1")
    platform.kill("web-1")
    process = Owner.of(own_engine.pid)
    own_engine.send(how)
    until(lambda: not process.alive, "the engine is gone")
    with pytest.raises((Unreachable, TimedOut)):
        platform.start("web-1")
    own_engine.start()
    assert own_engine.status() == "exited", "a killed one is not restarted with the engine"
    platform.start("web-1")
    assert own_engine.status() == "running"
    assert platform.incarnation("web-1") not in (None, before)
