"""Where every node and link of the lab is: pure, computed from a number, so that all its parts agree without asking.

See docs/wire.md for the table of addresses. Nobody else works an address out: whoever needs one asks the layout.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .addresses import MAX_NUMBER, REGIONS, ZONES, Book, ContainerAddresses, OwnAddresses, Place, SharedAddress

__all__ = ["MAX_NUMBER", "REGIONS", "ZONES", "Layout", "LinkSpec", "NodeSpec"]

ZONAL = ("gateway", "members", "cache", "store")
INSTRUMENTS = ("proxy", "dns", "users")
CALLS = {"gateway": ("members",), "members": ("cache", "store")}  # whom a service asks for its answers
FILTERED = ("gateway", "members", "store")  # services that mount the request filter

# Users live in these networks by name only (EDNS client subnet, a header at the gateways); no traffic goes there.
HOME_NETWORKS: Mapping[str, str] = {"east": "198.18.0.0/16", "west": "198.19.0.0/16"}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: who it is, where it listens (``host``, ``port``; ``ports`` by name: dns has ``api``), how to ask it.

    ``region`` is empty for ``dns`` and ``users``; ``zone`` (``east-a``) is ``None`` for regional parts.
    ``ask_behind`` is empty where nothing stands behind, ``faults_url`` is ``None`` where no request filter is mounted.
    ``dns_address`` is what the DNS answers for a gateway, ``None`` for others: its host, or, where all nodes share one
    and a DNS answer (which has no port) could not tell them apart, the host it would have: there, only a name.
    ``visit`` is the address of a plain user's request, empty but for gateways.
    """

    name: str
    service: str
    region: str
    zone: str | None
    role: str
    host: str
    port: int
    ask: str
    ask_behind: str = ""
    faults_url: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)
    dns_address: str | None = None
    visit: str = ""
    calls: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it, without what only a running process has."""
        return {
            "name": self.name,
            "service": self.service,
            "region": self.region,
            "zone": self.zone,
            "role": self.role,
            "address": self.address,
            "ask": self.ask,
            "ask_behind": self.ask_behind,
            "faults_url": self.faults_url,
            "ports": dict(self.ports),
            "dns_address": self.dns_address,
            "visit": self.visit,
            "calls": list(self.calls),
        }


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One proxied way: ``source`` (a node or ``<service>-<region>``) connects to ``listen``, reaches ``upstream``."""

    name: str
    source: str
    target: str
    source_region: str
    target_region: str
    proxy: str
    listen_host: str
    listen_port: int
    upstream_host: str
    upstream_port: int
    ask: str

    @property
    def listen(self) -> str:
        """``host:port`` to connect to."""
        return f"{self.listen_host}:{self.listen_port}"

    @property
    def upstream(self) -> str:
        """``host:port`` of the target itself."""
        return f"{self.upstream_host}:{self.upstream_port}"

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {
            "name": self.name,
            "source": self.source,
            "target": self.target,
            "source_region": self.source_region,
            "target_region": self.target_region,
            "proxy": self.proxy,
            "listen": self.listen,
            "upstream": self.upstream,
            "ask": self.ask,
        }


@dataclass(frozen=True)
class Layout:
    """All nodes and links of lab ``number``; make one with ``Layout.compute``. ``stores``: how many a region has."""

    number: int
    own_addresses: bool
    flavour: str
    nodes: tuple[NodeSpec, ...]
    links: tuple[LinkSpec, ...]
    control_host: str
    control_port: int
    stores: int = len(ZONES)

    @classmethod
    def compute(
        cls,
        number: int = 0,
        *,
        own_addresses: bool = True,
        flavour: str = "process",
        stores: int = len(ZONES),
        seen_from: str = "",
    ) -> "Layout":
        """The layout of lab ``number`` (0..24); ``own_addresses``: any 127.0.0.0/8 address can be bound here.

        ``flavour``: ``process``, or ``docker`` (containers; there is one such lab an engine). ``seen_from``: the region
        of whoever looks, which is where a container meets what stands in the edges of both.
        """
        if not 0 <= number <= MAX_NUMBER:
            raise ValueError(f"a lab's number is 0 to {MAX_NUMBER}, not {number}")
        book = _book(number, own_addresses, flavour, seen_from)
        control = book.control()
        placed = _nodes(book, ZONES[:stores], flavour)
        links = tuple(_links(book, {spec.name: (spec, place) for spec, place in placed}))
        return cls(number, own_addresses, flavour, tuple(spec for spec, _ in placed), links, *control, stores)

    @classmethod
    def from_json(cls, shape: Mapping[str, Any]) -> "Layout":
        """The layout that ``to_json`` (or a manifest, which holds the same keys) tells of."""
        stores = shape.get("stores", len(ZONES))
        return cls.compute(
            shape["number"], own_addresses=shape["own_addresses"], flavour=shape["flavour"], stores=stores
        )

    def to_json(self) -> dict[str, Any]:
        """Numbers, nodes and links as in the manifest."""
        return {
            "number": self.number,
            "own_addresses": self.own_addresses,
            "flavour": self.flavour,
            "stores": self.stores,
            "nodes": [node.to_json() for node in self.nodes],
            "links": [link.to_json() for link in self.links],
        }

    def node(self, name: str) -> NodeSpec:
        """The node of this name; ``KeyError`` when there is none."""
        return self._nodes_by_name[name]

    def link(self, name: str) -> LinkSpec:
        """The link of this name (``<source>--<target>``); ``KeyError`` when there is none."""
        return self._links_by_name[name]

    def nodes_of(self, service: str, region: str | None = None) -> list[NodeSpec]:
        """The nodes of a service, of one region or of all, by zone."""
        return [node for node in self.nodes if node.service == service and region in (None, node.region)]

    def links_into(self, proxy: str) -> list[LinkSpec]:
        """The links which run through this proxy node."""
        return [link for link in self.links if link.proxy == proxy]

    def links_from(self, node: str, service: str | None = None) -> list[LinkSpec]:
        """The links which this node connects to (its own and its service's), to one service or to all, by zone."""
        spec = self.node(node)
        sources = (spec.name, f"{spec.service}-{spec.region}")
        return [
            link for link in self.links if link.source in sources and service in (None, self.node(link.target).service)
        ]

    def other_region(self, region: str) -> str:
        """The region that is not this one."""
        return next(other for other in REGIONS if other != region)

    def home_of(self, client: str) -> str | None:
        """The home region of a user with this address (or subnet ``198.18.3.0/24``) by the geo rules, if it has one."""
        address = ipaddress.ip_address(client.partition("/")[0])
        return next((region for region, net in HOME_NETWORKS.items() if address in ipaddress.ip_network(net)), None)

    @cached_property
    def _nodes_by_name(self) -> dict[str, NodeSpec]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _links_by_name(self) -> dict[str, LinkSpec]:
        return {link.name: link for link in self.links}


def _book(number: int, own_addresses: bool, flavour: str, seen_from: str) -> Book:
    if flavour == "docker":
        return ContainerAddresses(seen_from)
    return OwnAddresses(number) if own_addresses else SharedAddress(number)


def _nodes(book: Book, stores: Sequence[str], flavour: str) -> list[tuple[NodeSpec, Place]]:
    found = []
    for region in REGIONS:
        for service in ZONAL:
            for zone in stores if service == "store" else ZONES:
                found.append(_node(book, service, region, f"{region}-{zone}", flavour))
        for service in ("queue", "proxy"):
            found.append(_node(book, service, region, None, flavour))
    for service in ("dns", "users"):
        found.append(_node(book, service, "", None, flavour))
    return found


def _node(book: Book, service: str, region: str, zone: str | None, flavour: str) -> tuple[NodeSpec, Place]:
    place = book.node(service, region, zone)
    host, port = place.host, place.port
    ports = {"api": book.api(host)} if service == "dns" else {}
    real_store = service == "store" and flavour == "docker"
    filtered = service in FILTERED and not real_store
    spec = NodeSpec(
        name="-".join(part for part in (service, zone or region) if part),
        service=service,
        region=region,
        zone=zone,
        role="instrument" if service in INSTRUMENTS else "service",
        host=host,
        port=port,
        ports=ports,
        ask=f"cassandra://{host}:{port}" if real_store else _ask(service, host, port),
        ask_behind=f"http://{host}:{port}/deep" if filtered else "",
        faults_url=f"http://{host}:{port}/simian/faults" if filtered else None,
        dns_address=place.name if service == "gateway" else None,
        visit=f"http://{host}:{port}/profile?member=simian" if service == "gateway" else "",
        calls=CALLS.get(service, ()),
    )
    return spec, place


def _ask(service: str, host: str, port: int) -> str:
    forms = {
        "cache": "memcached://{}",
        "proxy": "http://{}/version",
        "dns": "dns://{}/api.geo.lab",
        "users": "tcp://{}",
    }
    return forms.get(service, "http://{}/health").format(f"{host}:{port}")


def _links(book: Book, nodes: Mapping[str, tuple[NodeSpec, Place]]) -> list[LinkSpec]:
    found: list[LinkSpec] = []
    for source, target in _pairs():
        if target not in nodes:
            continue
        into, place = nodes[target]
        proxy, at = nodes[f"proxy-{into.region}"]
        way = book.link(source, target, at, into.port)
        peers = into.ask.startswith("cassandra:")
        found.append(
            LinkSpec(
                name=f"{source}--{target}",
                source=source,
                target=target,
                source_region=source.split("-")[1],
                target_region=into.region,
                proxy=proxy.name,
                listen_host=way.host,
                listen_port=way.port,
                upstream_host=place.inner,
                upstream_port=way.upstream_port,
                ask=f"cassandra-peer://{way.host}:{way.port}" if peers else _ask(into.service, way.host, way.port),
            )
        )
    return found


def _pairs() -> list[tuple[str, str]]:
    """Source and target of each link, always in this order: a link's port depends on it."""
    pairs = []
    for here, there in (("east", "west"), ("west", "east")):
        members = [f"members-{here}-{zone}" for zone in ZONES]
        pairs += [(node, f"cache-{here}-{zone}") for node in members for zone in ZONES]
        pairs += [(node, f"queue-{here}") for node in members]
        pairs.append((f"members-{here}", f"queue-{there}"))
        pairs += [(f"store-{here}", f"store-{there}-{zone}") for zone in ZONES]
        pairs += [(f"gateway-{here}", f"gateway-{there}-{zone}") for zone in ZONES]
    return pairs
