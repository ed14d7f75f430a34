"""Opening hours: when chaos is welcome. A calendar that cannot be followed to the letter counts as closed.

Hours are those of the clocks on the wall. Where clocks are put forward, an hour that does not exist begins or ends at
the first moment after the gap; where they are put back, an hour that exists twice is open both times.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simian.freeze import freezes_in
from simian.holiday import check_holidays, holiday_on

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
UNREADABLE = (ValueError, KeyError, TypeError, OSError, ZoneInfoNotFoundError)  # a folder is an OSError
Span = tuple[float, float]


@dataclass(frozen=True)
class Calendar:
    """When chaos is welcome: ``windows`` of each day in ``days``, in minutes from midnight by the clocks of ``zone``.

    A window that ends before it begins goes on into the next day, and belongs to the day on which it began.
    """

    zone: tzinfo
    windows: tuple[tuple[int, int], ...] = ((0, DAY_MIN),)
    days: frozenset[int] = frozenset(range(7))
    holidays: tuple[str, ...] = ()
    closed: tuple[tuple[date, date], ...] = ()
    freezes: tuple[str, ...] = ()
    words: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, words: Mapping[str, Any] | None) -> "Calendar":
        """From simian.yaml's section. Raises what cannot be read: any of ``UNREADABLE``.

        ``zone`` (IANA), ``hours`` (``"09:00-12:00, 13:00-15:00"``), ``days`` (``mon-fri`` or ``mon,wed``), ``holidays``
        (``DE-BY``, or a list), ``closed`` (list of ``2026-12-20`` or ``2026-12-20..2027-01-06``), ``freezes`` (an
        iCalendar file, or a list).
        """
        words = words or {}
        given: dict[str, Any] = {"zone": ZoneInfo(str(words.get("zone", "UTC")))}
        if "hours" in words:
            given["windows"] = tuple(_window(part) for part in str(words["hours"]).split(","))
        if "days" in words:
            given["days"] = _days(str(words["days"]))
        for code in (codes := _listed(words.get("holidays", ()))):
            check_holidays(code)
        spans = words.get("closed", ())
        if isinstance(spans, str) or not isinstance(spans, Sequence):
            raise ValueError(f"closed is {spans!r}; right would be a list of days or of FIRST..LAST")
        closed = tuple(_dates(str(span)) for span in spans)
        return cls(**given, holidays=codes, closed=closed, freezes=_listed(words.get("freezes", ())), words=words)

    def why_closed(self, at: float) -> str:
        """Why no run may start at this second of the epoch; empty when one may. Raises any of ``UNREADABLE``."""
        local = datetime.fromtimestamp(at, self.zone)
        began = [day for day in (local.date(), local.date() - timedelta(1)) if self._covers(day, at)]
        whys = [self.why_day_closed(day) for day in began]
        if not began:
            hours = (self.words or {}).get("hours", "")
            off = self.why_day_closed(local.date())
            return off or f"closed: it is {local:%H:%M} in {local.tzname()}, open are {hours}"
        if all(whys):
            return whys[0]
        off = self._out_of_bounds(local.date())
        return off or next((f"closed: {name!r} in {file}" for file, name in self._frozen(at)), "")

    def _covers(self, day: date, at: float) -> bool:
        return any(start <= at < end for start, end in self._windows_of(day))

    def _frozen(self, at: float) -> Iterator[tuple[str, str]]:
        for file in self.freezes:
            for start, end, name in freezes_in(file, at, at + 1.0, self.zone):
                if start <= at < end:
                    yield file, name

    def why_day_closed(self, day: date) -> str:
        """Why nothing begins on this day at all; empty on a work day. Freezes of hours do not close a day."""
        if day.weekday() not in self.days:
            return f"closed: {DAYS[day.weekday()]} is none of {(self.words or {}).get('days')}"
        return self._out_of_bounds(day)

    def _out_of_bounds(self, day: date) -> str:
        for code in self.holidays:
            if name := holiday_on(code, day):
                return f"closed: {day} is {name} in {code}"
        for first, last in self.closed:
            if first <= day <= last:
                return f"closed: {first}" + (f"..{last}" if last != first else "")
        return ""

    def open_spans(self, day: date) -> list[Span]:
        """The seconds of the epoch at which runs may start, of the windows that begin on this day, in order."""
        if self.why_day_closed(day):
            return []
        spans = sorted(self._windows_of(day))
        if not spans:
            return []
        for file in self.freezes:
            for start, end, _ in freezes_in(file, spans[0][0], spans[-1][1], self.zone):
                spans = [part for span in spans for part in _without(span, start, end)]
        following = day + timedelta(1)
        if self._out_of_bounds(following):
            midnight = _moment(following, 0, self.zone)
            spans = [(start, min(end, midnight)) for start, end in spans if start < midnight]
        return spans

    def _windows_of(self, day: date) -> list[Span]:
        found = []
        for first, last in self.windows:
            start, end = _moment(day, first, self.zone), _moment(day, last, self.zone, later=True)
            if end > start:
                found.append((start, end))
        return found


def why_closed(calendar: Mapping[str, Any] | None, now: float) -> str:
    """Why no run may start at ``now`` (seconds since the epoch); empty when one may. See ``Calendar.of``."""
    if not calendar:
        return ""
    try:
        return Calendar.of(calendar).why_closed(now)
    except UNREADABLE as error:
        return f"closed: the calendar cannot be read: {error}"


@lru_cache(4096)
def _moment(day: date, minutes: int, zone: tzinfo, later: bool = False) -> float:
    """The second of the epoch when the wall clock shows this; in a gap, when the gap ends."""
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    at = wall.replace(tzinfo=zone, fold=int(later)).timestamp()
    there = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
    if there == wall:
        return at
    before = wall.replace(tzinfo=zone, fold=0).utcoffset()
    after = wall.replace(tzinfo=zone, fold=1).utcoffset()
    assert before is not None
    assert after is not None
    return _end_of_gap(wall, max(before, after), min(before, after), zone)


def _end_of_gap(wall: datetime, new: timedelta, old: timedelta, zone: tzinfo) -> float:
    """By halves: the first second at which the new offset from UTC is in force."""
    early = int((wall - new).replace(tzinfo=UTC).timestamp())  # still the old offset
    late = int((wall - old).replace(tzinfo=UTC).timestamp())  # the new one already
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == new:
            late = middle
        else:
            early = middle
    return float(late)


def _without(span: Span, start: float, end: float) -> list[Span]:
    parts = [(span[0], min(span[1], start)), (max(span[0], end), span[1])]
    return [part for part in parts if part[0] < part[1]]


def _window(text: str) -> tuple[int, int]:
    matched = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", text)
    hours = [int(part) for part in matched.groups()] if matched else [99, 0, 99, 0]
    first, last = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if max(hours[1], hours[3]) > 59 or first >= DAY_MIN or last > DAY_MIN or first == last:
        raise ValueError(f"hours {text.strip()!r}; right would be HH:MM-HH:MM, such as 09:00-15:00")
    return first, last if last > first else last + DAY_MIN


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"days {text!r}; right would be like mon-fri or mon,wed")
        start, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return frozenset(found)


def _dates(text: str) -> tuple[date, date]:
    first, _, last = text.partition("..")
    span = date.fromisoformat(first), date.fromisoformat(last or first)
    if span[0] > span[1]:
        raise ValueError(f"closed {text!r} ends before it begins; right would be FIRST..LAST")
    return span


def _listed(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"{given!r} is neither a text nor a list of texts")
    return tuple(given)
