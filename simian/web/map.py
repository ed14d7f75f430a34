"""The system as a map: regions, their zones, the nodes in them, the links between; what is broken by us is marked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Seen = Mapping[str, Any]
_WELL = {"running", "open"}


@dataclass(frozen=True)
class Spot:
    """A node. ``ours``: the faults of ours that are on it, as people read them."""

    name: str
    service: str
    state: str
    instrument: bool
    address: str
    ours: tuple[str, ...]

    @property
    def look(self) -> str:
        """The class that it is drawn in."""
        return (
            "ours" if self.ours else "well" if self.state in _WELL else "unknown" if self.state == "unknown" else "ill"
        )

    @property
    def told(self) -> str:
        """The same in words."""
        return "; ".join([self.state, *(f"ours: {fault}" for fault in self.ours)])


@dataclass(frozen=True)
class Ways:
    """The links from one place to another. ``broken``: those that are not open, or carry a fault of ours."""

    source: str
    target: str
    number: int
    broken: tuple[Spot, ...]


@dataclass(frozen=True)
class Place:
    """A zone, or what a region has without one."""

    name: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Area:
    """A region. ``ours``: faults on the region as a whole, such as a shift of its users."""

    name: str
    places: tuple[Place, ...]
    ours: tuple[str, ...]

    @property
    def hurt(self) -> int:
        """Nodes that carry a fault of ours, or do not run."""
        return sum(spot.look in ("ours", "ill") for place in self.places for spot in place.spots)


@dataclass(frozen=True)
class Map:
    """All of it. ``elsewhere``: faults of ours on what is not on the map."""

    areas: tuple[Area, ...]
    ways: tuple[Ways, ...]
    elsewhere: tuple[str, ...]


def map_of(topology: Seen, faults: Iterable[Seen]) -> Map:
    """``topology``: as the API tells it; ``faults``: those in place, ``{"kind", "target", "state"}``."""
    ours: dict[str, list[str]] = {}
    for fault in faults:
        told = str(fault.get("kind")) + ("" if fault.get("state") == "injected" else f" ({fault.get('state')})")
        ours.setdefault(str(fault.get("target")), []).append(told)
    ours = {target: _counted(told) for target, told in ours.items()}
    areas = tuple(_area(region, ours) for region in topology.get("regions") or ())
    ways = tuple(_ways(topology, ours))
    known = {spot.name for area in areas for place in area.places for spot in place.spots}
    known |= {area.name for area in areas} | {str(link["name"]) for link in topology.get("links") or ()}
    rest = [f"{told} {target}" for target, all_of in ours.items() if target not in known for told in all_of]
    return Map(areas, ways, tuple(rest))


def _counted(told: Sequence[str]) -> list[str]:
    """Each once: a region that is left in four steps carries four shifts."""
    return [what if many == 1 else f"{what}, {many} times" for what, many in Counter(told).items()]


def _area(region: Seen, ours: Mapping[str, Sequence[str]]) -> Area:
    zones = [(str(zone["name"]), zone["nodes"]) for zone in region.get("zones") or ()]
    zones += [("regional", region["regional"])] if region.get("regional") else []
    places = (Place(name, tuple(_spot(node, ours) for node in nodes)) for name, nodes in zones)
    name = str(region["name"])
    return Area(name, tuple(place for place in places if place.spots), tuple(ours.get(name, ())))


def _spot(node: Seen, ours: Mapping[str, Sequence[str]]) -> Spot:
    name = str(node["name"])
    instrument = node.get("role") == "instrument"
    service, state, address = (str(node.get(key) or "") for key in ("service", "state", "address"))
    return Spot(name, service, state, instrument, address, tuple(ours.get(name, ())))


def _ways(topology: Seen, ours: Mapping[str, Sequence[str]]) -> Iterable[Ways]:
    """By the regions of their ends; a source is a node, or a service of a region, such as ``store-east``."""
    regions = [str(region["name"]) for region in topology.get("regions") or ()]
    home = {
        str(node["name"]): str(region["name"]) for region in topology.get("regions") or () for node in _nodes(region)
    }
    found: dict[tuple[str, str], list[Spot]] = {}
    for link in topology.get("links") or ():
        ends = (_region(str(link["from"]), home, regions), _region(str(link["to"]), home, regions))
        name, state = str(link["name"]), str(link.get("state") or "unknown")
        found.setdefault(ends, []).append(Spot(name, "", state, False, "", tuple(ours.get(name, ()))))
    for (source, target), links in sorted(found.items(), key=lambda each: (each[0][0] == each[0][1], each[0])):
        broken = tuple(link for link in links if link.look in ("ours", "ill"))
        yield Ways(source, target, len(links), broken)


def _nodes(region: Seen) -> Iterable[Seen]:
    for zone in region.get("zones") or ():
        yield from zone["nodes"]
    yield from region.get("regional") or ()


def _region(end: str, home: Mapping[str, str], regions: Sequence[str]) -> str:
    if end in home:
        return home[end]
    return next((region for region in regions if end == region or end.endswith(f"-{region}")), "elsewhere")
