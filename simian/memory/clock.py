"""A clock that only moves when somebody waits: a day passes in no time, event by event."""

import heapq
import itertools
import threading
from collections.abc import Callable

Event = Callable[[], None]


class SimulatedClock:
    """Time as an argument, simulated. ``start`` is the wall clock's beginning, seconds since the epoch.

    What is to happen at a time (``at``) happens while somebody waits for that time or a later one; events of the same
    time happen in the order in which they were planned. An event may plan others; it must not wait itself.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start, self._elapsed = start, 0.0
        self._events: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._lock = threading.RLock()
        self._in_event = False

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self.wall(self._elapsed)

    def wall(self, elapsed: float) -> float:
        """The wall clock at this elapsed second: exactly what ``now`` tells then."""
        return self._start + elapsed

    def elapsed(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or, below 0, back; ``elapsed`` does not feel it."""
        self._start += seconds

    def at(self, elapsed: float, event: Event) -> None:
        """Plan an event; one whose time has passed happens at the next wait, even of 0 s."""
        with self._lock:
            heapq.heappush(self._events, (max(elapsed, self._elapsed), next(self._order), event))

    def wait(self, seconds: float) -> None:
        """Let so much time pass, and happen what is due in it."""
        until = self._elapsed + max(0.0, seconds)
        while self.step(until):
            pass

    def step(self, until: float) -> bool:
        """Go on to the next event, at most to ``until``; whether there was one."""
        with self._lock:
            if self._in_event:
                raise RuntimeError("an event must not wait; plan a later event with at()")
            if not self._events or self._events[0][0] > until:
                self._elapsed = max(self._elapsed, until)
                return False
            self._elapsed, _, event = heapq.heappop(self._events)
            self._in_event = True
            try:
                event()
            finally:
                self._in_event = False
            return True
