"""Many calls at once: answers in order, a hung one left behind, nothing swallowed."""

import threading
from collections.abc import Callable
from random import Random

import pytest

from simian.clock import SystemClock
from simian.errors import DriverError, LeaseLost, TimedOut
from simian.hands import Hands, OneByOne, Threads

BOTH = [Threads(SystemClock()), OneByOne(Random(3))]


def _raises(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize("hands", BOTH, ids=["threads", "one by one"])
def test_answers_come_in_the_order_of_the_calls(hands: Hands) -> None:
    answers = hands.each([lambda n=n: n * n for n in range(50)], deadline_s=60)  # type: ignore[misc]
    assert [done.value for done in answers] == [n * n for n in range(50)]
    assert hands.each([], deadline_s=1) == []


@pytest.mark.parametrize("hands", BOTH, ids=["threads", "one by one"])
def test_one_error_does_not_touch_the_others(hands: Hands) -> None:
    error = DriverError("no")
    answers = hands.each([lambda: 1, _raises(error), _raises(TimedOut("late")), lambda: 4], deadline_s=60)
    assert [done.value for done in answers] == [1, None, None, 4]
    assert answers[1].error is error
    assert [done.doubtful for done in answers] == [False, False, True, False]


def test_threads_go_side_by_side() -> None:
    together = threading.Barrier(8, timeout=30)
    answers = Threads(SystemClock()).each([together.wait] * 8, deadline_s=60)
    assert [done.error for done in answers] == [None] * 8


def test_a_call_that_hangs_is_doubtful_and_left_behind() -> None:
    let_go = threading.Event()
    answers = Threads(SystemClock()).each([lambda: let_go.wait(60), lambda: "done"], deadline_s=0.3)
    hung, quick = answers
    assert (quick.value, quick.error) == ("done", None)
    assert hung.doubtful
    assert str(hung.error) == "no answer in 0.3 s"
    assert hung.still_running()
    let_go.set()
    waited = threading.Event()
    while hung.still_running():
        waited.wait(0.01)
    assert hung.doubtful, "what was late stays late"


def test_idle_is_called_while_waiting_and_may_end_it() -> None:
    let_go, breaths = threading.Event(), []

    def idle() -> None:
        breaths.append(1)
        if len(breaths) == 3:
            raise LeaseLost("taken")

    with pytest.raises(LeaseLost):
        Threads(SystemClock()).each([lambda: let_go.wait(60)], deadline_s=60, idle=idle)
    let_go.set()
    assert len(breaths) == 3


def test_one_by_one_draws_its_order_from_the_seed() -> None:
    def order(seed: int) -> list[int]:
        done: list[int] = []
        OneByOne(Random(seed)).each([lambda n=n: done.append(n) for n in range(10)], deadline_s=1)  # type: ignore[misc]
        return done

    assert order(1) == order(1)
    assert sorted(order(1)) == list(range(10))
    assert len({tuple(order(seed)) for seed in range(20)}) > 15


def test_a_runner_can_renew_its_lease_while_it_waits_for_any_call() -> None:
    renewed = threading.Event()
    hands = Threads(SystemClock(), always=renewed.set)
    (done,) = hands.each([lambda: renewed.wait(30)], deadline_s=60)
    assert done.value is True, "the call ends only once the lease was renewed"
