"""The open loop: every request starts at its intended time, whatever became of those before it."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any

from simian.load.devices import Arrival
from simian.load.journey import Journey, Means
from simian.load.tally import Outcome, Tally


class Engine:
    """Starts requests as planned and tallies how they ended.

    ``bound``: so many may be under way at once; one more is counted as failed (``over_bound``) after the device's
    whole patience, for that is what its user would have waited.
    """

    def __init__(self, means: Means, tally: Tally, bound: int) -> None:
        self._means = means
        self._tally = tally
        self._bound = bound
        self._under_way: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def warm_up(self, plan: Iterator[Arrival], count: int, limit_s: float) -> None:
        """The first ``count`` requests of a plan one after another, each as soon as the last has ended.

        What has just started answers slowly at first, and gets quicker by answering. Whoever waits for each answer
        cannot ask for more than it can do by then, as users who come at their times would.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        for arrival in islice(plan, count):
            if loop.time() >= until:
                return
            await self._travel(arrival, loop.time())

    async def run(self, plan: Iterator[Arrival]) -> None:
        """Follow the plan, from now; returns when it has ended and the last of its requests has, too."""
        loop = asyncio.get_running_loop()
        zero, started = loop.time(), loop.create_future()

        def follow(arrival: Arrival | None) -> None:
            """Start what is due, in the timer's own turn of the loop: a task that sleeps would go on a turn later."""
            try:
                while arrival is not None:
                    intended = zero + arrival.at_s
                    if loop.time() < intended:
                        self._timer = loop.call_at(intended, follow, arrival)
                        return
                    self._start(arrival, intended)
                    arrival = next(plan, None)
            except Exception as error:
                started.set_exception(error)
            else:
                started.set_result(None)

        follow(next(plan, None))
        try:
            await started
            if self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._under_way:
                task.cancel()

    def _start(self, arrival: Arrival, intended: float) -> None:
        if len(self._under_way) >= self._bound:
            patience_ms = 1000.0 * self._means.patience.deadline_s
            self._tally.ended(
                Outcome(arrival.device.home, arrival.kind, first_failed=True, latency_ms=patience_ms,
                        errors=["over_bound"])
            )  # fmt: skip
            return
        self._under_way.add(asyncio.create_task(self._travel(arrival, intended)))

    async def _travel(self, arrival: Arrival, intended: float) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._tally.began(max(0.0, 1000.0 * (loop.time() - intended)))
        journey = Journey(self._means, arrival.device, arrival.kind, intended, self._tally.tried)
        try:
            await journey.go()
        except Exception as error:  # a mistake of ours: told as such, and still one request that did not end well
            journey.outcome.ok = False
            journey.outcome.errors.append("internal")
            loop.call_exception_handler({"message": "a user's request came upon a bug", "exception": error})
        finally:
            self._under_way.discard(task)  # here, since a callback of the task's would be one more turn of the loop
        journey.outcome.latency_ms = max(0.0, 1000.0 * (loop.time() - intended))
        self._tally.ended(journey.outcome)
