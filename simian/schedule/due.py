"""What becomes of the due times that have come: run, missed or skipped. Pure: a row, a moment, and an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simian.opening import why_closed
from simian.schedule.row import PUNCTUAL_S, Schedule

MOST_ROWS = 500  # of one schedule at once: who slept for a year has no use for half a million rows
CLAIMED, MISSED, SKIPPED = "claimed", "missed", "skipped"


@dataclass(frozen=True)
class Fate:
    """Of one due time (seconds since the epoch)."""

    due: float
    state: str
    reason: str = ""


def fates(schedule: Schedule, looked: float, now: float, calendar: Mapping[str, Any] | None = None) -> list[Fate]:
    """Of every due time after ``looked`` whose start has come by ``now``, oldest first.

    ``calendar`` is the system's. At most one is to run: of several that were slept through, the last.
    """
    ripe, left_out = _ripe(schedule, looked, now)
    found = [_fate(schedule, due, now, calendar, last=due == ripe[-1]) for due in ripe]
    if left_out:
        first = found[0]
        found[0] = Fate(first.due, first.state, f"{first.reason}; so did {left_out} before it")
    return found


def _ripe(schedule: Schedule, looked: float, now: float) -> tuple[list[float], int]:
    """Due times whose start has come, and how many more there were, the oldest of all, that get no row."""
    found: list[float] = []
    left_out = 0
    due = schedule.due_after(looked)
    while due is not None and due <= now and schedule.starts(due) <= now:
        found.append(due)
        if len(found) > 2 * MOST_ROWS:
            found, left_out = found[-MOST_ROWS:], left_out + len(found) - MOST_ROWS
        due = schedule.due_after(due)
    return found[-MOST_ROWS:], left_out + max(0, len(found) - MOST_ROWS)


def _fate(schedule: Schedule, due: float, now: float, calendar: Mapping[str, Any] | None, *, last: bool) -> Fate:
    if schedule.paused:
        return Fate(due, SKIPPED, "paused")
    starts = schedule.starts(due)
    late_s = now - starts
    if late_s > PUNCTUAL_S:
        if schedule.misfire == "skip" or not last:
            return Fate(due, MISSED, f"no daemon looked until {_span(late_s)} later")
        if late_s > schedule.grace_s:
            return Fate(
                due, MISSED, f"no daemon looked until {_span(late_s)} later, and {_span(schedule.grace_s)} is the grace"
            )
    closed = why_shut(schedule, max(starts, now) if late_s > PUNCTUAL_S else starts, calendar)
    return Fate(due, SKIPPED, closed) if closed else Fate(due, CLAIMED)


def why_shut(schedule: Schedule, at: float, calendar: Mapping[str, Any] | None) -> str:
    """Why it may not run then by its own hours or the system's; empty when it may."""
    own = {"zone": schedule.zone, **schedule.calendar} if schedule.calendar else None
    return why_closed(calendar, at) or why_closed(own, at)


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
