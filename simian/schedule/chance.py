"""Runs by chance: a mean time between them in work days, at a random minute of the opening hours.

On each work day a coin decides (as Netflix's Chaos Monkey does, docs/design.md); after a run so many work days pass
without one. Coin and minute of a day follow from the schedule's seed and the date alone: whoever asks, whenever, is
told the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeGuard

from simian.errors import UsageError
from simian.opening import Calendar

MOST_DAYS = 3_660  # closed for ten years is closed for good
MINUTE_S = 60.0
RIGHT = "mean_days of 1 to 366 and min_days of 1 to that, in whole work days"


@dataclass
class Chance:
    """``mean_days``: from one run to the next, in work days; ``min_days``: never fewer. Both at least 1.

    The gap is ``min_days - 1`` and a number of throws of a coin with p = 1 / (mean - min + 1), so that its mean is
    ``mean_days``.
    """

    mean_days: float
    min_days: int
    calendar: Calendar
    made: float
    seed: int
    _known: list[float] = field(default_factory=list, repr=False, compare=False)
    _walk: Iterator[float] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, words: object, *, calendar: Calendar, made: float, seed: int) -> "Chance":
        """From ``{"mean_days": 2.0, "min_days": 1}``. Raises UsageError."""
        given = words if isinstance(words, Mapping) else {}
        mean, least = given.get("mean_days"), given.get("min_days", 1)
        if not _is_number(mean) or not _is_number(least) or set(given) - {"mean_days", "min_days"}:
            raise UsageError(f"chance {words!r} cannot be; right would be {RIGHT}")
        if not 1 <= least <= mean <= 366 or least != int(least):
            raise UsageError(f"chance {words!r} cannot be; right would be {RIGHT}")
        return cls(float(mean), int(least), calendar, made, seed)

    @property
    def coin(self) -> float:
        """How likely a work day is to have a run, once the least gap has passed."""
        return 1.0 / (self.mean_days - self.min_days + 1.0)

    def due_after(self, after: float) -> float | None:
        """The first due time later than this one; ``None`` where nothing is open for ten years."""
        if self._walk is None:
            self._walk = self._dues()
        while not self._known or self._known[-1] <= after:
            due = next(self._walk, None)
            if due is None:
                return None
            self._known.append(due)
        return next(due for due in reversed(self._until(after)) if due > after)

    def _until(self, after: float) -> list[float]:
        """The known ones from the end back to the first after that moment."""
        found: list[float] = []
        for due in reversed(self._known):
            if due <= after:
                break
            found.append(due)
        return found

    def _dues(self) -> Iterator[float]:
        """Every due time since the schedule was made, day by day; the least gap needs to know the ones before."""
        day, rest, closed = datetime.fromtimestamp(self.made, self.calendar.zone).date(), 0, 0
        while closed < MOST_DAYS:
            spans = self.calendar.open_spans(day)
            closed = 0 if spans else closed + 1
            if spans and rest > 0:
                rest -= 1
            elif spans and (due := self._due_on(day, spans)) is not None:
                rest = self.min_days - 1
                if due > self.made:
                    yield due
            day += timedelta(days=1)

    def _due_on(self, day: date, spans: list[tuple[float, float]]) -> float | None:
        """The day's coin, and the minute, uniform among all that are open."""
        die = Random(f"{self.seed}:{day}")
        if die.random() >= self.coin:
            return None
        minutes = [start + n * MINUTE_S for start, end in spans for n in range(max(1, int((end - start) / MINUTE_S)))]
        return die.choice(minutes)


def _is_number(given: object) -> TypeGuard[float]:
    return isinstance(given, int | float) and not isinstance(given, bool)
