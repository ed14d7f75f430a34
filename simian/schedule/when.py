"""The kinds of schedules: cron, every, at, chance. Each tells the first due time after a moment; all are pure.

A due time is in seconds since the epoch, to the microsecond. Where clocks are put forward, what cron would have started
in the hour that does not exist is due when the gap ends; where they are put back, a fixed time that comes twice is due
once, the first time, while ``*`` hours and minutes go on through both (as Debian's cron does).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from simian.errors import UsageError
from simian.opening import Calendar
from simian.schedule.chance import Chance

FOREVER_YEARS = 30  # a due time that far away is none
CRON = '"MINUTE HOUR DAY MONTH WEEKDAY", such as "0 10 * * tue" (names, or numbers from 0 or 7, which is Sunday)'
KINDS = ("cron", "every_s", "chance", "at")


class When(Protocol):
    """One kind of schedule."""

    def due_after(self, after: float) -> float | None:
        """The first due time later than this one; ``None``: never again."""
        ...


@dataclass(frozen=True)
class Cron:
    """By the clocks on the wall of a zone."""

    text: str
    zone: ZoneInfo

    def due_after(self, after: float) -> float | None:
        """See ``When``."""
        start = datetime.fromtimestamp(after, self.zone)
        limit = after + FOREVER_YEARS * 366 * 86_400.0
        for moment in CronSim(self.text, start.replace(microsecond=0)):
            due = moment.timestamp()
            if due > after:
                return due if due < limit else None
        return None


@dataclass(frozen=True)
class Every:
    """Each so many seconds from a moment on, whatever the clocks on the wall do."""

    every_s: float
    begin: float

    def due_after(self, after: float) -> float:
        """See ``When``."""
        if after < self.begin:
            return self.begin
        steps = int((after - self.begin) / self.every_s)
        due = self._due(steps)
        while due <= after:  # one or two steps, as a quotient of doubles may be too small
            steps += 1
            due = self._due(steps)
        return due

    def _due(self, steps: int) -> float:
        return round(self.begin + steps * self.every_s, 6)


@dataclass(frozen=True)
class At:
    """Once."""

    moment: float

    def due_after(self, after: float) -> float | None:
        """See ``When``."""
        return self.moment if self.moment > after else None


def when_of(words: Mapping[str, Any], *, calendar: Calendar, made: float, seed: int) -> When:
    """From a schedule's ``when`` (docs/wire.md). Raises UsageError for what it cannot be."""
    given = [kind for kind in KINDS if kind in words]
    if len(given) != 1:
        raise UsageError(f"when {dict(words)!r} is no schedule; right would be one of {', '.join(KINDS)}")
    match given[0]:
        case "cron":
            return Cron(_cron(words["cron"]), _zone_of(calendar))
        case "every_s":
            begin = moment_of(words["from"]) if words.get("from") else made
            return Every(_seconds(words["every_s"]), begin)
        case "at":
            return At(moment_of(words["at"]))
        case _:
            return Chance.of(words["chance"], calendar=calendar, made=made, seed=seed)


def _zone_of(calendar: Calendar) -> ZoneInfo:
    assert isinstance(calendar.zone, ZoneInfo)
    return calendar.zone


@lru_cache(1024)
def _cron(text: object) -> str:
    """Five fields that cron can read and that come to pass at all."""
    if not isinstance(text, str) or len(text.split()) != 5:
        raise UsageError(f"cron {text!r} has not five fields; right would be {CRON}")
    try:
        next(CronSim(text, datetime.now(UTC)))
    except CronSimError as error:
        said = str(error)
        raise UsageError(f"cron {text!r}: {said[:1].lower()}{said[1:]}; right would be {CRON}") from error
    except StopIteration:
        raise UsageError(f"cron {text!r} never comes; right would be a day that there is") from None
    return text


def _seconds(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 1.0 <= given <= 366 * 86_400.0:
        raise UsageError(f"every {given!r} s cannot be; right would be between 1s and a year")
    return float(given)


def moment_of(text: object, zone: ZoneInfo | None = None) -> float:
    """Seconds since the epoch of ISO 8601; without a zone it is in ``zone``, else UTC. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is no moment; right would be like 2026-12-01T10:00") from error
    if moment.tzinfo is not None:
        return moment.timestamp()
    home = zone or UTC
    at = moment.replace(tzinfo=home).timestamp()
    if datetime.fromtimestamp(at, home).replace(tzinfo=None) != moment:
        raise UsageError(f"{text} does not exist in {home}, as clocks are put forward then; choose another hour")
    return at


def text_of(moment: float) -> str:
    """ISO 8601 with microseconds and Z."""
    whole = datetime(1970, 1, 1) + timedelta(microseconds=round(moment * 1e6))
    return whole.isoformat(timespec="microseconds") + "Z"


def zone_named(name: object) -> ZoneInfo:
    """An IANA zone. Raises UsageError."""
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise UsageError(f"zone {name!r} is not known; right would be like Europe/Berlin or UTC") from error
