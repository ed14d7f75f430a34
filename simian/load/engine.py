"""The open loop: every request starts at its intended time, whatever became of those before it."""

import asyncio
from collections.abc import Iterator

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
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, plan: Iterator[Arrival]) -> None:
        """Follow the plan, from now; returns when it has ended and the last of its requests has, too."""
        loop = asyncio.get_running_loop()
        zero = loop.time()
        try:
            for arrival in plan:
                intended = zero + arrival.at_s
                if (early_s := intended - loop.time()) > 0:
                    await asyncio.sleep(early_s)
                self._start(arrival, intended)
            while self._under_way:
                await asyncio.wait(self._under_way)
        finally:
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
        task = asyncio.create_task(self._travel(arrival, intended))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _travel(self, arrival: Arrival, intended: float) -> None:
        loop = asyncio.get_running_loop()
        self._tally.began(max(0.0, 1000.0 * (loop.time() - intended)))
        journey = Journey(self._means, arrival.device, arrival.kind, intended)
        try:
            await journey.go()
        except Exception as error:  # a mistake of ours: told as such, and still one request that did not end well
            journey.outcome.ok = False
            journey.outcome.errors.append("internal")
            loop.call_exception_handler({"message": "a user's request came upon a bug", "exception": error})
        journey.outcome.latency_ms = max(0.0, 1000.0 * (loop.time() - intended))
        self._tally.ended(journey.outcome)
