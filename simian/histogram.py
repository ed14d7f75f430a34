"""Latencies as a sparse histogram whose buckets each grow by 1 %: small, mergeable, and true to within 1 %.

A bucket is known by its index i and holds the values in [1.01**i, 1.01**(i+1)) milliseconds, so two histograms
made anywhere can be added bucket by bucket, and quantiles of the sum are as good as those of the parts.
"""

import math
from collections.abc import Iterable, Mapping

GROWTH = 1.01
SMALLEST_MS = 0.001  # below a microsecond nothing is told apart

_PER_LOG = 1.0 / math.log(GROWTH)
_LOWEST = math.floor(math.log(SMALLEST_MS) * _PER_LOG)
_log = math.log
_floor = math.floor


class Histogram:
    """Counts of values in milliseconds. Values from 0 up; ones under a microsecond count as one."""

    __slots__ = ("_buckets", "_count")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return self._count

    def record(self, ms: float) -> None:
        """Add one value in milliseconds. Raises ValueError for one that is negative, infinite or not a number."""
        if not 0.0 <= ms < math.inf:
            raise ValueError(f"a latency is a finite number of milliseconds from 0 up, not {ms!r}")
        index = _floor(_log(ms) * _PER_LOG) if ms > SMALLEST_MS else _LOWEST
        self._buckets[index] = self._buckets.get(index, 0) + 1
        self._count += 1

    def merge(self, other: "Histogram") -> None:
        """Add all of the other's values to this one."""
        self.add(dict(other._buckets))

    def add(self, counts: Mapping[int, int]) -> None:
        """Add so many values to each bucket: index -> count, as rows of the users' feed have them."""
        buckets = self._buckets
        for index, count in counts.items():
            buckets[index] = buckets.get(index, 0) + count
        self._count += sum(counts.values())

    def quantile(self, q: float) -> float:
        """The smallest value that at least the share ``q`` (0..1) of all values do not exceed, in ms, within 1 %.

        Raises ValueError when nothing was recorded or ``q`` is no share: no number would be true.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile is a share between 0 and 1, not {q!r}")
        if not self._count:
            raise ValueError("nothing was recorded, so there is no quantile; look at count first")
        # Rounded, since 0.07 * 100 is a little over 7 in floating point and would name the eighth value.
        rank = max(1, math.ceil(round(q * self._count, 9)))
        for index in sorted(self._buckets):
            rank -= self._buckets[index]
            if rank <= 0:
                return float(GROWTH ** (index + 0.5))
        raise AssertionError("the count is the sum of the buckets")

    def to_json(self) -> dict[str, int]:
        """Bucket index as text -> count, in order of index."""
        return {str(index): self._buckets[index] for index in sorted(self._buckets)}

    @classmethod
    def from_json(cls, buckets: Mapping[str, int]) -> "Histogram":
        """The histogram that ``to_json`` wrote. Raises ValueError for keys that are no index, counts below 1."""
        made = cls()
        for key, count in buckets.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"bucket {key!r} must hold a whole count from 1 up, not {count!r}")
            made._buckets[int(key)] = count
            made._count += count
        return made

    @classmethod
    def of(cls, values: Iterable[float]) -> "Histogram":
        """A histogram of these values in milliseconds."""
        made = cls()
        for ms in values:
            made.record(ms)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        if not self._count:
            return "<Histogram, empty>"
        return f"<Histogram of {self._count}: p50 {self.quantile(0.5):.3g} ms, p99 {self.quantile(0.99):.3g} ms>"
