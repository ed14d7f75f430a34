"""A schedule as a value, and what is due by it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from random import Random
from typing import Any

from simian.errors import UsageError
from simian.opening import UNREADABLE, Calendar
from simian.schedule.when import When, moment_of, text_of, when_of, zone_named

MISFIRES = ("skip", "late")
OVERLAPS = ("skip", "queue")
PUNCTUAL_S = 30.0  # what a busy machine may take to wake up; later than that is late
GREATEST_JITTER_S = 86_400.0


@dataclass(frozen=True)
class Schedule:
    """One schedule; its JSON is in docs/wire.md. Moments are ISO 8601 in UTC, spans are seconds.

    ``calendar`` is this schedule's own and holds beside the system's; ``misfire``: a due time that was slept through is
    recorded as missed (``skip``), or runs late within ``grace_s`` (``late``). ``overlap``: while its own last run
    goes on, the next is skipped, or waits for its end (``queue``).
    """

    name: str
    when: Mapping[str, Any]
    made: str
    seed: int
    monkey: str | None = None
    experiment: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    for_s: float | None = None
    zone: str = "UTC"
    calendar: Mapping[str, Any] | None = None
    misfire: str = "skip"
    grace_s: float = 600.0
    jitter_s: float = 0.0
    overlap: str = "skip"
    paused: bool = False
    expires: str | None = None
    owner: str = ""
    note: str = ""
    declared: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schedule":
        """The schedule that ``to_json`` wrote. Raises UsageError with every problem."""
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(data) - known - {"next"}):
            raise UsageError(f"a schedule has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        if lacking := sorted({"name", "when", "made", "seed"} - set(data)):
            raise UsageError(f"a schedule lacks {', '.join(lacking)}")
        schedule = cls(**{key: value for key, value in data.items() if key in known})
        schedule.check()
        return schedule

    def to_json(self) -> dict[str, Any]:
        """As data, without ``next``."""
        return asdict(self)

    def check(self) -> None:
        """Raises UsageError with every problem."""
        problems = [
            f"{what} {given!r} is not known; right would be {' or '.join(known)}"
            for what, given, known in (("misfire", self.misfire, MISFIRES), ("overlap", self.overlap, OVERLAPS))
            if given not in known
        ]
        if (self.monkey is None) == (self.experiment is None):
            problems.append("a schedule is of one monkey or of one experiment")
        if not 0 <= self.jitter_s <= GREATEST_JITTER_S:
            problems.append(f"jitter of {self.jitter_s:g} s cannot be; right would be between 0s and 24h")
        if self.grace_s < 0:
            problems.append(f"a grace of {self.grace_s:g} s cannot be; right would be 0s or more")
        problems += _said(lambda: self.times)
        if self.expires is not None:
            problems += _said(lambda: moment_of(self.expires))
        if problems:
            raise UsageError(problems)

    @cached_property
    def times(self) -> When:
        """The arithmetic of its due times. Raises UsageError."""
        return when_of(self.when, calendar=self.hours, made=moment_of(self.made), seed=self.seed)

    @cached_property
    def hours(self) -> Calendar:
        """Its own calendar, in its own zone. Raises UsageError for one that cannot be read."""
        zone_named(self.zone)
        try:
            return Calendar.of({"zone": self.zone, **(self.calendar or {})})
        except UNREADABLE as error:
            raise UsageError(f"calendar of schedule {self.name}: {error}") from error

    def due_after(self, after: float) -> float | None:
        """The first due time later than this second of the epoch; ``None``: never again, or it has expired."""
        due = self.times.due_after(after)
        return None if due is None or (self.expires is not None and due >= moment_of(self.expires)) else due

    def dues(self, after: float, until: float) -> list[float]:
        """All due times later than the one and not later than the other."""
        found: list[float] = []
        due = self.due_after(after)
        while due is not None and due <= until:
            found.append(due)
            due = self.due_after(due)
        return found

    def starts(self, due: float) -> float:
        """When the run of this due time is to start: jitter follows from the seed, so that everybody knows it."""
        if not self.jitter_s:
            return due
        return due + Random(f"{self.seed}:{text_of(due)}:jitter").uniform(0.0, self.jitter_s)

    def die_of(self, due: float) -> int:
        """The seed of the run of this due time: the same in a preview and on the day."""
        digest = hashlib.sha256(f"{self.seed}:{text_of(due)}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def under(self, calendar: Mapping[str, Any] | None) -> "Schedule":
        """By chance, runs fall into the hours that are open; where it names none itself, those of the system."""
        if "chance" not in self.when or self.calendar or not calendar:
            return self
        return replace(self, calendar=dict(calendar), zone=str(calendar.get("zone", self.zone)))


def _said(ask: Any) -> list[str]:
    try:
        ask()
    except UsageError as error:
        return list(error.problems)
    return []
