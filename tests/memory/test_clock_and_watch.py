"""Simulated time, and what a runner waits on in it."""

from collections.abc import Callable
from typing import Any

import pytest

from simian.errors import UsageError
from simian.memory import SimulatedClock, build_memory_world
from simian.probe import Check, CheckReading, Slice
from simian.tolerance import Tolerance

Make = Callable[..., Any]
DEPTH = Check("depth", {"python": "x:depth"}, Tolerance.parse("<= 10"), every_s=2.0, deadline_s=0.5)


def test_events_happen_in_order_of_time_and_then_of_planning() -> None:
    clock, seen = SimulatedClock(start=100.0), []
    for at, name in ((2.0, "late"), (1.0, "first"), (1.0, "second")):
        clock.at(at, lambda name=name: seen.append((name, clock.elapsed(), clock.now())))  # type: ignore[misc]
    clock.wait(1.5)
    assert seen == [("first", 1.0, 101.0), ("second", 1.0, 101.0)]
    clock.wait(1.0)
    assert seen[2:] == [("late", 2.0, 102.0)]
    assert clock.elapsed() == 2.5


def test_an_event_may_plan_events_within_the_same_wait() -> None:
    clock, seen = SimulatedClock(), []

    def again() -> None:
        seen.append(clock.elapsed())
        clock.at(clock.elapsed() + 1, again)

    clock.at(1, again)
    clock.wait(3.5)
    assert seen == [1, 2, 3]


def test_an_event_that_waits_is_a_mistake() -> None:
    clock = SimulatedClock()
    clock.at(1, lambda: clock.wait(1))
    with pytest.raises(RuntimeError, match="must not wait"):
        clock.wait(2)


def test_a_jump_of_the_wall_clock_is_not_felt_by_durations() -> None:
    clock = SimulatedClock(start=1000.0)
    clock.jump(-3600)
    clock.wait(1)
    assert (clock.now(), clock.elapsed()) == (1000 - 3600 + 1, 1.0)


def test_waiting_returns_as_soon_as_there_is_a_slice() -> None:
    made = build_memory_world()
    watch = made.watch()
    watch.start()
    seen = watch.wait(60)
    assert [type(one) for one in seen] == [Slice]
    assert made.clock.elapsed() < 1


def test_waiting_ends_with_the_time_when_there_is_nothing_to_see() -> None:
    made = build_memory_world()
    watch = made.watch()
    watch.start()
    watch.wait(60)
    at = made.clock.elapsed()
    assert watch.wait(0.01) == []
    assert made.clock.elapsed() == pytest.approx(at + 0.01)


def test_after_stop_nothing_is_seen_and_a_second_stop_is_content() -> None:
    made = build_memory_world()
    watch = made.watch([DEPTH], {"depth": lambda: 1.0})
    watch.start()
    watch.wait(5)
    watch.stop()
    watch.stop()
    watch.wait(0)
    assert watch.wait(5) == []


def _readings(look: Callable[[], float | None], seconds: float) -> list[CheckReading]:
    made = build_memory_world()
    watch = made.watch([DEPTH], {"depth": look})
    watch.start()
    seen: list[CheckReading] = []
    while made.clock.elapsed() < seconds:
        seen += [one for one in watch.wait(seconds - made.clock.elapsed()) if isinstance(one, CheckReading)]
    return seen


def test_a_check_is_read_at_its_period() -> None:
    values = iter(range(100))
    seen = _readings(lambda: float(next(values)), 7.0)
    assert [one.value for one in seen] == [0.0, 1.0, 2.0, 3.0]
    assert [round(one.at - seen[0].at, 6) for one in seen] == [0.0, 2.0, 4.0, 6.0]


def test_a_check_without_answer_is_silent_at_its_deadline() -> None:
    seen = _readings(lambda: None, 3.0)
    assert [(one.value, one.silent) for one in seen] == [(None, True), (None, True)]


def test_a_check_that_raises_has_crashed_and_is_asked_again() -> None:
    def look() -> float:
        raise OSError("no route")

    seen = _readings(look, 3.0)
    assert [(one.value, one.silent, one.detail) for one in seen] == [(None, False, "OSError: no route")] * 2


def test_a_check_without_a_callable_is_refused() -> None:
    with pytest.raises(UsageError, match="'depth' has no callable"):
        build_memory_world().watch([DEPTH])
