"""Region and zone of each service: from its labels, from answers, else one for all: pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from simian.compose import Project, Service

REGION, ZONE = "simian.region", "simian.zone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service runs; no zone: it is regional."""

    region: str = "local"
    zone: str = "local-a"

    def __str__(self) -> str:
        return f"{self.region}/{self.zone}"

    @classmethod
    def of(cls, text: str) -> "Place":
        """``region/zone``, ``region/`` for a regional part, or ``region`` alone. Raises ValueError."""
        region, slash, zone = (part.strip() for part in text.partition("/"))
        if not region or any(not _is_name(part) for part in (region, zone) if part):
            raise ValueError(f"{text!r:.60} is no place; right would be REGION/ZONE, such as east/east-a")
        return cls(region, zone if slash else f"{region}-a")


def _is_name(text: str) -> bool:
    return len(text) <= 100 and all(letter.isalnum() or letter in "-_." for letter in text)


def labelled(service: Service) -> Place | None:
    """What its labels say, if they say anything."""
    region, zone = service.labels.get(REGION, ""), service.labels.get(ZONE, "")
    return Place(region or Place().region, zone) if region or zone else None


def places_of(project: Project, answers: Mapping[str, Place]) -> dict[str, Place]:
    """The place of every service."""
    return {name: labelled(one) or answers.get(name, Place()) for name, one in project.services.items()}
