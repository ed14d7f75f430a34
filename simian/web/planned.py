"""Schedules as the API and the pages show them: what is due next, the weeks to come with their closed times."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from simian.errors import UsageError
from simian.opening import UNREADABLE, Calendar
from simian.schedule.preview import Coming, coming
from simian.schedule.row import Schedule
from simian.schedule.when import text_of
from simian.web.access import Visitor

Record = dict[str, Any]
Words = Mapping[str, Any] | None
DAY_S = 86_400.0
SOON_DAYS = 400.0
MOST_LOOKED = 1000  # due times that stand closed one after the other
MOST_SHOWN = 3000
WEEKS = 5
CALENDAR = {"hours", "days", "holidays", "closed", "zone"}
SHOWN_A_DAY = 6


def with_next(row: Mapping[str, Any], calendar: Words, now: float) -> Record:
    """The row, and the start of the next run that nothing is known to stand against."""
    soon = coming([Schedule.from_json(row)], now, now + SOON_DAYS * DAY_S, calendar=calendar)
    following = next((each for each in islice(soon, MOST_LOOKED) if not each.closed), None)
    return {**row, "next": text_of(following.starts) if following else None}


def made(asked: Mapping[str, Any], visitor: Visitor, calendar: Words, now: float) -> Record:
    """The row of what was asked for. Raises UsageError with every problem."""
    for key in sorted(set(asked.get("calendar") or {}) - CALENDAR):
        why = "names a file, which only simian.yaml and the command line may" if key == "freezes" else "is not known"
        raise UsageError(f"calendar.{key} {why}; a calendar here has {', '.join(sorted(CALENDAR))}")
    zone = asked.get("zone") or str((calendar or {}).get("zone") or "UTC")
    seed = asked["seed"] if asked.get("seed") is not None else secrets.randbits(32)
    owned = {"owner": visitor.name, "made": text_of(now), "declared": False}
    return Schedule.from_json({**asked, "zone": zone, "seed": seed, **owned}).to_json()


def told(each: Coming) -> Record:
    """One due time to come, as JSON. ``why_not``: what stands against it; null: nothing."""
    moments = {"due": text_of(each.due), "starts": text_of(each.starts)}
    return {"schedule": each.schedule.name, **moments, "seed": each.seed, "why_not": each.closed or None}


def previewed(
    rows: Iterable[Mapping[str, Any]], calendar: Words, now: float, days: float, seed: int | None = None
) -> tuple[list[Coming], bool]:
    """What is due in these days, in order, and whether there is more than fits."""
    kept = [Schedule.from_json(row) for row in rows]
    found = list(islice(coming(kept, now, now + days * DAY_S, calendar=calendar, seed=seed), MOST_SHOWN + 1))
    return found[:MOST_SHOWN], len(found) > MOST_SHOWN


@dataclass
class Day:
    """One day of the calendar. ``closed``: why nothing may run on it; ``hours``: when it may."""

    date: date
    past: bool
    closed: str = ""
    hours: str = ""
    due: list[tuple[str, Coming]] = field(default_factory=list)

    @property
    def shown(self) -> list[tuple[str, Coming]]:
        """The first ones, each with its time of day."""
        return self.due[:SHOWN_A_DAY]

    @property
    def more(self) -> int:
        """How many are not shown."""
        return max(0, len(self.due) - SHOWN_A_DAY)

    @property
    def label(self) -> str:
        """``2 Dec``."""
        return f"{self.date.day} {self.date:%b}"


def weeks(found: Sequence[Coming], calendar: Words, now: float) -> tuple[str, list[list[Day]]]:
    """Whole weeks from this one on, by the clocks of the system's calendar, whose zone comes first."""
    zone, hours = _zone(calendar)
    today = datetime.fromtimestamp(now, zone).date()
    monday = today - timedelta(days=today.weekday())
    days = {day: _day(day, today, hours, calendar) for day in (monday + timedelta(n) for n in range(7 * WEEKS))}
    for each in found:
        at = datetime.fromtimestamp(each.starts, zone)
        if at.date() in days:
            days[at.date()].due.append((f"{at:%H:%M}", each))
    ordered = list(days.values())
    return str(zone), [ordered[start : start + 7] for start in range(0, len(ordered), 7)]


def _zone(calendar: Words) -> tuple[tzinfo, Calendar | None]:
    try:
        hours = Calendar.of(calendar)
        return hours.zone, hours
    except UNREADABLE:
        return ZoneInfo("UTC"), None


def _day(day: date, today: date, hours: Calendar | None, calendar: Words) -> Day:
    if hours is None:
        return Day(day, day < today, closed="closed: the calendar cannot be read")
    try:
        spans = hours.open_spans(day)
        why = "" if spans else hours.why_day_closed(day) or "closed all day"
    except UNREADABLE as error:
        return Day(day, day < today, closed=f"closed: {error}")
    clock = [[datetime.fromtimestamp(at, hours.zone).strftime("%H:%M") for at in span] for span in spans]
    whole = not (calendar or {}).get("hours")
    told_hours = "" if whole else ", ".join(f"{start}–{end}" for start, end in clock)
    return Day(day, day < today, closed=why.removeprefix("closed: "), hours=told_hours)
