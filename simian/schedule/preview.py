"""What would happen: every due time of the coming days, with its die, and why it would not run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any

from simian.schedule.due import why_shut
from simian.schedule.row import Schedule


@dataclass(frozen=True)
class Coming:
    """One due time to come: when the run starts (jitter included), its die, and why it would be skipped."""

    schedule: Schedule
    due: float
    starts: float
    seed: int
    closed: str


def coming(
    schedules: Sequence[Schedule],
    now: float,
    until: float,
    *,
    calendar: Mapping[str, Any] | None,
    seed: int | None = None,
) -> Iterator[Coming]:
    """All of them, in order. ``seed``: as if each schedule had this one; else each has its own, as on the day."""
    thrown = [one if seed is None else replace(one, seed=seed) for one in schedules]
    return merge(*(_of(one.under(calendar), now, until, calendar) for one in thrown), key=lambda one: one.due)


def _of(schedule: Schedule, now: float, until: float, calendar: Mapping[str, Any] | None) -> Iterator[Coming]:
    due = schedule.due_after(now)
    while due is not None and due <= until:
        starts = schedule.starts(due)
        closed = "paused" if schedule.paused else why_shut(schedule, starts, calendar)
        yield Coming(schedule, due, starts, schedule.die_of(due), closed)
        due = schedule.due_after(due)
