"""Regions, zones, nodes and links as values: selection and geometry, nothing that touches the world."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

T = TypeVar("T")
NodeState = Literal["running", "paused", "stopped", "unknown"]
LinkState = Literal["open", "cut", "slow", "unknown"]
Role = Literal["service", "instrument"]


@dataclass(frozen=True, slots=True)
class Node:
    """One process, container or machine.

    ``zone`` is ``None`` for a *regional* part (a queue): it falls with its region only.
    ``ask`` is the address an observer asks for an application answer: ``http://host:port/path``,
    ``memcached://host:port``, ``redis://host:port``, ``postgres://host:port``, ``mysql://host:port``,
    ``dns://host:port/name``, ``tcp://host:port``.
    ``ask_behind`` is an address whose answer needs the services behind this one (for client-side request faults).
    ``visit`` is the address of a plain user's request at a gateway, ``http://host:port/path``; empty elsewhere.
    ``since`` is the wall-clock start in seconds since the epoch, or ``None`` where unknown.
    ``filters`` says that the service mounts simian's request filter. ``calls``: services that it asks for each of its
    own answers (those of ``ask_behind`` among them), for faults in its calls to one without a filter.
    ``production``: the mark that says that real users depend on it, such as ``environment=production``.
    """

    name: str
    service: str
    region: str
    zone: str | None = None
    role: Role = "service"
    state: NodeState = "unknown"
    address: str = ""
    ask: str = ""
    ask_behind: str = ""
    visit: str = ""
    since: float | None = None
    filters: bool = False
    enabled: bool = True
    calls: tuple[str, ...] = ()
    production: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A way from one node, or from a service of a region (``store-east``), to one node, through a proxy."""

    name: str
    source: str
    target: str
    source_region: str
    target_region: str
    state: LinkState = "unknown"
    ask: str = ""

    @property
    def crosses_regions(self) -> bool:
        """Whether its two ends lie in different regions."""
        return self.source_region != self.target_region


@dataclass(frozen=True, slots=True)
class Zone:
    """An availability zone; ``name`` (``east-a``) is unique in its region."""

    name: str
    region: str


@dataclass(frozen=True, slots=True)
class Region:
    """A region and its zones, in order of name."""

    name: str
    zones: tuple[Zone, ...]


def _named(wanted: str | Zone | Region) -> str:
    return wanted if isinstance(wanted, str) else wanted.name


def _one(kind: str, name: str, found: Iterable[T], allowed: Iterable[str]) -> T:
    for thing in found:
        return thing
    names = ", ".join(sorted(allowed)) or "none"
    raise LookupError(f"no {kind} is called {name!r}; there are: {names}")


@dataclass(frozen=True, slots=True)
class Topology:
    """The system as seen at one moment. ``hash`` covers what selection depends on, not states or times.

    ``shares``: home region -> serving region -> share of its users (0..1), as they are steered now; empty: unknown, and
    ``unknown_shares`` says why.
    """

    system: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...] = ()
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unknown_shares: str = ""

    @property
    def zones(self) -> tuple[Zone, ...]:
        """Every zone that has a node, in order of name; instruments do not make a zone."""
        pairs = {(node.zone, node.region) for node in self.nodes if node.zone and node.role != "instrument"}
        return tuple(Zone(zone, region) for zone, region in sorted(pairs))

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region that has a node, in order of name; instruments do not make a region."""
        names = sorted({node.region for node in self.nodes if node.role != "instrument" and node.region})
        return tuple(Region(name, tuple(z for z in self.zones if z.region == name)) for name in names)

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services that have a candidate, in order."""
        return tuple(sorted({node.service for node in self.candidates()}))

    def node(self, name: str) -> Node:
        """The node of that name. Raises LookupError naming what there is."""
        return _one("node", name, (n for n in self.nodes if n.name == name), (n.name for n in self.nodes))

    def link(self, name: str) -> Link:
        """The link of that name. Raises LookupError naming what there is."""
        return _one("link", name, (k for k in self.links if k.name == name), (k.name for k in self.links))

    def zone(self, name: str) -> Zone:
        """The zone of that name. Raises LookupError naming what there is."""
        return _one("zone", name, (z for z in self.zones if z.name == name), (z.name for z in self.zones))

    def region(self, name: str) -> Region:
        """The region of that name. Raises LookupError naming what there is."""
        return _one("region", name, (r for r in self.regions if r.name == name), (r.name for r in self.regions))

    def candidates(
        self,
        *,
        zone: str | Zone | None = None,
        region: str | Region | None = None,
        service: str | None = None,
        where: Callable[[Node], bool] = lambda node: True,
    ) -> list[Node]:
        """Nodes that may be broken: opted in, no instruments; in order of name.

        States do not matter here, so that one seed and one topology always give one plan; a target that is
        already hurt is refused in preflight. Those that cannot be asked for an answer, so that no fault of theirs could
        be proven, are left out where others can be.
        """
        chosen = [node for node in self.nodes if node.enabled and node.role == "service"]
        if zone is not None:
            chosen = [node for node in chosen if node.zone == _named(zone)]
        if isinstance(zone, Zone):
            chosen = [node for node in chosen if node.region == zone.region]
        if region is not None:
            chosen = [node for node in chosen if node.region == _named(region)]
        if service is not None:
            chosen = [node for node in chosen if node.service == service]
        chosen = [node for node in chosen if where(node)]
        return sorted([node for node in chosen if node.ask] or chosen, key=lambda node: node.name)

    def links_between(self, source_region: str, target_region: str) -> list[Link]:
        """Links that lead from one region into the other, in order of name."""
        wanted = (source_region, target_region)
        chosen = [link for link in self.links if (link.source_region, link.target_region) == wanted]
        return sorted(chosen, key=lambda link: link.name)

    @property
    def hash(self) -> str:
        """SHA-256 over names, services, places, roles and links; 16 hex digits."""
        nodes = sorted((n.name, n.service, n.region, n.zone or "", n.role, n.enabled) for n in self.nodes)
        links = sorted((k.name, k.source, k.target, k.source_region, k.target_region) for k in self.links)
        return hashlib.sha256(json.dumps([self.system, nodes, links]).encode()).hexdigest()[:16]
