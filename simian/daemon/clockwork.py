"""How a daemon waits: an alarm rings a little ahead of each start, and the rest is waited for to the moment itself.

Alarms are APScheduler's, in a thread of its own, and late by as much as the machine is busy. So they ring ahead; then
this thread alone wakes in time for the claim, and nothing is left to be done at the moment but the start.
"""

from heapq import heappop, heappush
from math import inf
from queue import Empty, SimpleQueue

from simian.daemon.keeper import AHEAD_S as CLAIMED_AHEAD_S
from simian.daemon.keeper import Keeper
from simian.schedule.alarm import Alarm
from simian.world import Clock

AHEAD_S = 0.25


class Clockwork:
    """Starts what is due at its moment while a daemon waits. ``wake`` is for any thread and for signal handlers."""

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper, self._clock = keeper, clock
        self._bell: SimpleQueue[str | None] = SimpleQueue()
        self._alarm = Alarm(self._bell.put)
        self._near: list[tuple[float, str]] = []  # a heap: alarms that have rung, by the moment they rang for

    def start(self) -> None:
        """Alarms ring from now on."""
        self._alarm.start()

    def stop(self) -> None:
        """No more; does not wait."""
        self._alarm.stop()

    def wake(self) -> None:
        """End the wait that goes on, or the next."""
        self._bell.put(None)

    def wait(self, at_most_s: float) -> None:
        """Until it is woken, has started something, or so long. Raises HistoryError: what was due then is not started,
        and the keeper's next look sees to it."""
        self._set_alarms()
        until = self._clock.elapsed() + at_most_s
        while (left := until - self._clock.elapsed()) > 0:
            try:
                name = self._bell.get(timeout=min(left, self._next_in_s()))
            except Empty:
                if self._start_due():
                    return
                continue
            if name is None:
                return
            self._hear(name)

    def _set_alarms(self) -> None:
        names, self._keeper.reset = dict.fromkeys(self._keeper.reset), []
        for name in names:
            starts = self._keeper.starts(name)
            if starts is not None:
                self._alarm.set(name, starts - AHEAD_S)
            else:
                self._alarm.drop(name)

    def _hear(self, name: str) -> None:
        starts = self._keeper.starts(name)
        if starts is not None:
            heappush(self._near, (starts, name))

    def _next_in_s(self) -> float:
        """How long until the first of those that are near is to be claimed."""
        return max(0.0, self._near[0][0] - CLAIMED_AHEAD_S - self._clock.now()) if self._near else inf

    def _start_due(self) -> bool:
        """Those near whose moment has come, or all but; the keeper knows whether it still is theirs."""
        soon, due = self._clock.now() + CLAIMED_AHEAD_S, []
        while self._near and self._near[0][0] <= soon:
            due.append(heappop(self._near)[1])
        self._keeper.start_due(due)
        return bool(due)
