"""Schedules in simian.yaml."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from simian.fields import Duration, Name, Part
from simian.schedule.row import Schedule
from simian.schedule.when import moment_of, text_of, zone_named
from simian.schedule.words import KINDS, seed_of, span_s, when_words

Many = Field(strict=False)


class HoursPart(Part):
    """When chaos is welcome."""

    zone: str = "UTC"
    hours: str | None = None
    days: str | None = None
    holidays: str | Annotated[tuple[str, ...], Many] | None = None
    closed: Annotated[tuple[str, ...], Many] = ()
    freezes: str | Annotated[tuple[str, ...], Many] | None = None


class SchedulePart(Part):
    """``{name: kong-tuesdays, monkey: kong, options: {region: east}, cron: "0 10 * * tue"}``."""

    name: Name
    monkey: Name | None = None
    experiment: Name | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    for_s: Duration | None = Field(None, alias="for")
    cron: str | None = None
    every: str | None = None
    chance: str | None = None
    at: str | None = None
    zone: str | None = None
    calendar: HoursPart | None = None
    misfire: Literal["skip", "late"] = "skip"
    grace: str = "10m"
    jitter: str = "0s"
    overlap: Literal["skip", "queue"] = "skip"
    expires: str | None = None
    owner: str = ""
    note: str = ""
    seed: int | None = Field(None, ge=0, lt=2**63)

    def made(self, calendar: Mapping[str, Any] | None, at: float) -> Schedule:
        """The schedule, in the system's zone unless it names one. Raises UsageError with every problem."""
        zone = self.zone or (self.calendar.zone if self.calendar else None) or str((calendar or {}).get("zone", "UTC"))
        home = zone_named(zone)
        own = self.calendar.model_dump(mode="json", exclude_none=True, exclude={"zone"}) if self.calendar else None
        return Schedule.from_json(
            {
                "name": self.name, "monkey": self.monkey, "experiment": self.experiment, "options": self.options,
                "when": when_words({kind: getattr(self, kind) for kind in KINDS}, home),
                "for_s": self.for_s, "zone": zone, "calendar": own, "misfire": self.misfire, "overlap": self.overlap,
                "grace_s": span_s("grace", self.grace), "jitter_s": span_s("jitter", self.jitter),
                "expires": None if self.expires is None else text_of(moment_of(self.expires, home)),
                "owner": self.owner, "note": self.note, "declared": True,
                "seed": seed_of(self.name) if self.seed is None else self.seed, "made": text_of(at),
            }
        )  # fmt: skip
