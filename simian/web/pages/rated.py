"""Pass rates as a table: a row for each monkey, a column for each week."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from simian.history.rollups import Rate

RATED_DAYS = 84
_WEEK = timedelta(days=7)


@dataclass
class Cell:
    """The runs of one week."""

    held: int = 0
    broken: int = 0
    unknown: int = 0

    def add(self, rate: Rate) -> None:
        """A day of it."""
        self.held += rate.held
        self.broken += rate.broken
        self.unknown += rate.unknown

    @property
    def share(self) -> float | None:
        """Of those that could be judged, those that held."""
        judged = self.held + self.broken
        return self.held / judged if judged else None

    @property
    def tone(self) -> str:
        """How it is shown."""
        return "none" if self.share is None else "good" if self.share == 1 else "doubt" if self.share >= 0.5 else "bad"


def days_ago(days: int) -> str:
    """That day, ISO 8601."""
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


def by_week(rates: Iterable[Rate], since: str) -> tuple[list[str], dict[str, list[Cell]]]:
    """The first days of the weeks, and each monkey's cells in their order."""
    first, today = date.fromisoformat(since), datetime.now(UTC).date()
    starts = [first + index * _WEEK for index in range((today - first) // _WEEK + 1)]
    table: dict[str, list[Cell]] = {}
    for rate in rates:
        cells = table.setdefault(rate.name or "by hand", [Cell() for _ in starts])
        index = (date.fromisoformat(rate.day) - first) // _WEEK
        if 0 <= index < len(cells):  # a run from the future, of a clock that was wrong, has no week
            cells[index].add(rate)
    return [start.isoformat()[5:] for start in starts], dict(sorted(table.items()))
