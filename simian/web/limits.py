"""How often somebody may ask: a bucket of so many, filled again at a steady rate."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_KEYS = 10_000


class Buckets:
    """A bucket for each key, the least used forgotten first. They fill by ``a_second`` and hold ``burst``."""

    def __init__(self, a_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second, self._burst, self._clock = a_second, burst, clock
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> how full, when

    def take(self, key: str) -> float:
        """Take one; 0.0, or how many seconds until there is one again (and then none was taken)."""
        full = self._full(key)
        left = full - 1 if full >= 1 else full
        self._known[key] = (left, self._clock())
        self._known.move_to_end(key)
        while len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)
        return 0.0 if full >= 1 else (1 - full) / self._a_second

    def empty(self, key: str) -> float:
        """How many seconds until there is one; takes none."""
        full = self._full(key)
        return 0.0 if full >= 1 else (1 - full) / self._a_second

    def _full(self, key: str) -> float:
        full, since = self._known.get(key, (float(self._burst), self._clock()))
        return min(float(self._burst), full + (self._clock() - since) * self._a_second)
