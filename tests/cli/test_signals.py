"""Signals of the runner, sent to this very process."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from simian.cli.signals import STOPPING, StopReasons


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGPIPE)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_second_signal_amid_a_word_of_the_run_waits_for_no_lock_and_warns_afterwards(number: signal.Signals) -> None:
    speaking, said, stuck = threading.Lock(), list[str](), list[str]()
    told = threading.Event()

    def warn(text: str) -> None:
        if not speaking.acquire(timeout=10.0):
            stuck.append(text)
            return
        said.append(text)
        speaking.release()
        told.set()

    reasons = StopReasons()
    reasons.catch_signals(warn)
    with speaking:  # as when the run writes an event
        for _ in range(2):
            os.kill(os.getpid(), number)
        until = time.monotonic() + 10.0
        while not reasons() and time.monotonic() < until:
            time.sleep(0.001)
        assert reasons() == f"{number.name} was sent to the run"
    assert told.wait(10.0), stuck
    assert not stuck, "the handler waited for what the main thread held"
    assert f"{number.name} again" in said[0]
