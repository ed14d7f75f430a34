"""Many driver calls at once, each with a deadline.

A call that hangs cannot be ended; it is left behind in its daemon thread and reported as timed out, and whoever owns
the process leaves by ``os._exit`` in the end.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from simian.errors import TimedOut
from simian.world import Clock

IDLE_S = 0.2


@dataclass(frozen=True)
class Done:
    """How one call ended: a value, or an error (``TimedOut``: it may still land)."""

    value: Any = None
    error: Exception | None = None
    still_running: Callable[[], bool] = lambda: False

    @property
    def doubtful(self) -> bool:
        """Whether the call may still land."""
        return isinstance(self.error, TimedOut)


Call = Callable[[], Any]


def _ignore() -> None:
    return None


class Hands(Protocol):
    """Do calls side by side; answers come in the order of the calls."""

    def each(self, calls: Sequence[Call], *, deadline_s: float, idle: Callable[[], None] = _ignore) -> list[Done]:
        """Do them all; ``idle`` is called several times a second meanwhile and may raise to stop waiting."""
        ...


class Threads:
    """One daemon thread a call. ``always`` is called while waiting for any call: a runner renews its lease there."""

    def __init__(self, clock: Clock, always: Callable[[], None] = _ignore) -> None:
        self._clock, self._always = clock, always

    def each(self, calls: Sequence[Call], *, deadline_s: float, idle: Callable[[], None] = _ignore) -> list[Done]:
        """See ``Hands.each``."""
        answers: list[Done | None] = [None] * len(calls)
        changed = threading.Condition()

        def work(index: int, call: Call) -> None:
            done = _do(call)
            with changed:
                answers[index] = done
                changed.notify()

        threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        until = self._clock.elapsed() + deadline_s
        while self._clock.elapsed() < until:
            with changed:
                if all(answer is not None for answer in answers):
                    break
                changed.wait(IDLE_S)
            self._always()
            idle()
        with changed:
            late = TimedOut(f"no answer in {deadline_s:g} s")
            return [a or Done(error=late, still_running=t.is_alive) for a, t in zip(answers, threads, strict=True)]


class OneByOne:
    """For simulation: one after the other, in an order drawn from the seed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def each(self, calls: Sequence[Call], *, deadline_s: float, idle: Callable[[], None] = _ignore) -> list[Done]:
        """See ``Hands.each``; a deadline is the driver's own affair here."""
        order = list(range(len(calls)))
        self._rng.shuffle(order)
        answers: dict[int, Done] = {}
        for index in order:
            answers[index] = _do(calls[index])
            idle()
        return [answers[index] for index in range(len(calls))]


def _do(call: Call) -> Done:
    try:
        return Done(value=call())
    except Exception as error:
        return Done(error=error)
