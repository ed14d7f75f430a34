"""Freezes: times in an iCalendar file (RFC 5545) during which no run may start, however they recur.

What is cancelled, or marked as free time (``TRANSP:TRANSPARENT``), freezes nothing. A day, and a time without a zone,
are those of the calendar's zone. The file is read anew when it has changed.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any

MOST_BYTES = 4 * 1024 * 1024
DAY = timedelta(days=1)
Freeze = tuple[float, float, str]


def freezes_in(file: str, start: float, end: float, zone: tzinfo) -> list[Freeze]:
    """Those that touch these seconds of the epoch: start, end, name. Raises ValueError, OSError for the file."""
    there = os.stat(file)
    if there.st_size > MOST_BYTES:
        raise ValueError(f"{file} is larger than {MOST_BYTES >> 20} MiB; right would be a calendar of freezes only")
    return _within(file, (there.st_mtime_ns, there.st_size), start, end, zone)


@lru_cache(1024)
def _within(file: str, version: tuple[int, int], start: float, end: float, zone: tzinfo) -> list[Freeze]:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    found = _query(file, version).between(first - DAY, last + DAY)  # which are days without a zone, it takes for UTC
    return sorted(one for one in _freezes(found, zone) if one[0] < end and one[1] > start)


@lru_cache(16)
def _query(file: str, version: tuple[int, int]) -> Any:
    from icalendar import Calendar
    from recurring_ical_events import of

    with open(file, "rb") as opened:
        raw = opened.read(MOST_BYTES)
    try:
        return of(Calendar.from_ical(raw))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no iCalendar file: {error}; right would be BEGIN:VCALENDAR and events") from error


def _freezes(events: Any, zone: tzinfo) -> Iterator[Freeze]:
    for event in events:
        if str(event.get("STATUS", "")) == "CANCELLED" or str(event.get("TRANSP", "")) == "TRANSPARENT":
            continue
        first = event.decoded("DTSTART")
        last = event.decoded("DTEND") if "DTEND" in event else _end_without(event, first)
        yield _epoch(first, zone), _epoch(last, zone), str(event.get("SUMMARY", "a freeze"))


def _end_without(event: Any, first: Any) -> Any:
    """An event without an end lasts its duration, else its day, else no time at all."""
    if "DURATION" in event:
        return first + event.decoded("DURATION")
    return first if isinstance(first, datetime) else first + timedelta(days=1)


def _epoch(moment: Any, zone: tzinfo) -> float:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return float((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
