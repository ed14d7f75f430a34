"""Building a memory world: by default the lab's nodes and links, by the same names."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from simian.errors import UsageError
from simian.memory.clock import SimulatedClock
from simian.memory.habits import Habits
from simian.memory.nodes import MemoryNode
from simian.memory.state import MemoryState
from simian.memory.weaknesses import WEAKNESSES, Shape
from simian.topology import Link, Node

# Region -> the zone of each node of a service there, or the names of regions that all have the same zones.
Regions = Sequence[str] | Mapping[str, Sequence[str]]
REGIONS = ("east", "west")
ZONES = ("a", "b", "c")
SERVICES = ("gateway", "members", "cache", "store", "queue")
FILTERED = ("gateway", "members", "store")
_START_DELAY_S = {"store": 1.5, "queue": 0.8}
_SETTINGS = ("driver", "seed", "regions", "zones", "services", "weaknesses")


def build_state(
    *,
    seed: int = 0,
    regions: Regions = REGIONS,
    zones: Sequence[str] = ZONES,
    services: Sequence[str] = SERVICES,
    clock: SimulatedClock | None = None,
    weaknesses: Iterable[str] = (),
) -> MemoryState:
    """The state of a world of these parts. Raises UsageError with every wrong name.

    ``regions`` may be names, which all have the same ``zones``, or ``{"north": ("a", "a", "b"), "isle": ("", "")}``:
    a node of each service for each of these zones; the empty one is none.
    """
    weak = tuple(weaknesses)
    places = dict(regions) if isinstance(regions, Mapping) else dict.fromkeys(regions, zones)
    _refuse_wrong(places, services, weak)
    shape = Shape(tuple(_nodes(places, services)), Habits())
    for name in weak:
        shape = WEAKNESSES[name].plant(shape)
    links = _links(shape.nodes, tuple(places))
    return MemoryState(shape.nodes, links, clock=clock, seed=seed, habits=shape.habits)


def state_from(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryState:
    """The one state that the memory drivers of a world share (``shared["memory"]``); made on the first call.

    Settings, all optional: ``seed``, ``regions``, ``zones``, ``services``, ``weaknesses``. Its simulated clock
    becomes the world's (``shared["clock"]``), for nothing would happen in it on any other.
    """
    if "memory" not in shared:
        unknown = sorted(set(settings) - set(_SETTINGS))
        if unknown:
            raise UsageError([f"memory: no setting {key!r}; there are: {', '.join(_SETTINGS)}" for key in unknown])
        given = {key: value for key, value in settings.items() if key != "driver"}
        clock = shared.get("clock")
        made = build_state(**given, clock=clock if isinstance(clock, SimulatedClock) else None)
        shared["memory"], shared["clock"] = made, made.clock
    state: MemoryState = shared["memory"]
    return state


def _refuse_wrong(places: Mapping[str, Sequence[str]], services: Sequence[str], weak: Sequence[str]) -> None:
    problems = [f"no service is called {name!r} here; there are: {', '.join(SERVICES)}" for name in services
                if name not in SERVICES]  # fmt: skip
    if "gateway" not in services:
        problems.append("services must have 'gateway': users come in there")
    if not places or not all(places.values()):
        problems.append('a world needs at least one region, and each region a zone ("" for nodes that have none)')
    zones = {zone: None for each in places.values() for zone in each if zone}
    for kind, names in (("region", places), ("zone", zones)):
        problems += [f"{kind} {name!r}: use letters and digits, as '-' parts the names" for name in names
                     if not name.isalnum()]  # fmt: skip
    problems += [f"no weakness is called {name!r}; there are: {', '.join(sorted(WEAKNESSES))}" for name in weak
                 if name not in WEAKNESSES]  # fmt: skip
    if problems:
        raise UsageError(problems)


def _nodes(places: Mapping[str, Sequence[str]], services: Sequence[str]) -> Iterator[MemoryNode]:
    for region, zones in places.items():
        for service in services:
            if service == "queue":
                yield _node(service, region)
            else:
                yield from (_node(service, region, zone, number) for zone, number in _numbered(zones))
        yield _node("proxy", region)
    yield _node("dns", "")
    yield _node("users", "")


def _numbered(zones: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each zone with what tells its nodes apart: nothing for the first one of a zone, a number for all others."""
    seen = Counter[str]()
    for zone in zones:
        seen[zone] += 1
        yield zone, str(seen[zone]) if seen[zone] > 1 or not zone else ""


def _node(service: str, region: str, zone: str = "", number: str = "") -> MemoryNode:
    name = "-".join(part for part in (service, region, zone, number) if part)
    filters = service in FILTERED
    node = Node(
        name=name,
        service=service,
        region=region,
        zone=f"{region}-{zone}" if zone else None,
        role="instrument" if service in ("proxy", "dns", "users") else "service",
        address=f"{name}.memory",
        ask=f"memory://{name}/health",
        ask_behind=f"memory://{name}/deep" if filters else "",
        visit=f"memory://{name}/visit" if service == "gateway" else "",
        filters=filters,
    )
    return MemoryNode(node, start_delay_s=_START_DELAY_S.get(service, 0.4))


def _links(nodes: Iterable[MemoryNode], regions: Sequence[str]) -> list[Link]:
    by_service: dict[tuple[str, str], list[str]] = {}
    for one in nodes:
        by_service.setdefault((one.node.service, one.node.region), []).append(one.node.name)
    return [
        Link(f"{source}--{target}", source, target, here, there, ask=f"memory://{source}--{target}")
        for source, target, here, there in _pairs(by_service, regions)
    ]


def _pairs(
    by_service: Mapping[tuple[str, str], list[str]], regions: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Source, target and their regions, in the lab's order."""

    def of(service: str, region: str) -> list[str]:
        return by_service.get((service, region), [])

    for here in regions:
        for service in ("cache", "queue"):
            yield from ((m, t, here, here) for m in of("members", here) for t in of(service, here))
        for there in (region for region in regions if region != here):
            if of("members", here):
                yield from ((f"members-{here}", queue, here, there) for queue in of("queue", there))
            for service in ("store", "gateway"):
                if of(service, here):
                    yield from ((f"{service}-{here}", target, here, there) for target in of(service, there))
