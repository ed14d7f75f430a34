"""Opening hours: when chaos is welcome. A calendar that cannot be followed to the letter counts as closed."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def why_closed(calendar: Mapping[str, Any] | None, now: float) -> str:
    """Why no run may start at ``now`` (seconds since the epoch); empty when one may.

    ``calendar``: ``zone`` (IANA), ``hours`` (``"09:00-15:00"``), ``days`` (``mon-fri`` or ``mon,wed``), ``closed``
    (list of ``2026-12-20`` or ``2026-12-20..2027-01-06``).
    """
    if not calendar:
        return ""
    try:
        return _closed(calendar, now)
    except (ValueError, KeyError, TypeError, OSError, ZoneInfoNotFoundError) as error:  # a folder is an OSError
        return f"closed: the calendar cannot be read: {error}"


def _closed(calendar: Mapping[str, Any], now: float) -> str:
    moment = datetime.fromtimestamp(now, ZoneInfo(str(calendar.get("zone", "UTC"))))
    if calendar.get("holidays"):
        return f"closed: holidays {calendar['holidays']!r} cannot be told by this version; list the days under `closed`"
    if "days" in calendar and DAYS[moment.weekday()] not in _days(str(calendar["days"])):
        return f"closed: {DAYS[moment.weekday()]} is none of {calendar['days']}"
    if "hours" in calendar and not _in_hours(str(calendar["hours"]), moment.time()):
        return f"closed: it is {moment:%H:%M} in {moment.tzname()}, open are {calendar['hours']}"
    for span in calendar.get("closed", []):
        first, _, last = str(span).partition("..")
        if date.fromisoformat(first) <= moment.date() <= date.fromisoformat(last or first):
            return f"closed: {moment:%Y-%m-%d} lies in {span}"
    return ""


def _days(text: str) -> set[str]:
    found: set[str] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        start, end = DAYS.index(first), DAYS.index(last or first)
        found |= {DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)}
    return found


def _in_hours(text: str, at: time) -> bool:
    spans = [span.split("-") for span in text.split(",")]
    return any(time.fromisoformat(first.strip()) <= at < time.fromisoformat(last.strip()) for first, last in spans)
