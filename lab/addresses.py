"""Where nodes and links of a lab listen, by where the lab runs: on addresses of their own, on one, or in containers."""

from dataclasses import dataclass
from typing import Protocol

REGIONS = ("east", "west")
ZONES = ("a", "b", "c")
MAX_NUMBER = 24  # 10 * 24 + 9 is the last second byte that fits into 127.R.Z.N

_HOST_PART = {"gateway": 80, "members": 20, "cache": 11, "store": 30, "queue": 40, "proxy": 50, "dns": 53, "users": 10}
_PORT = {
    "gateway": 8080,
    "members": 8081,
    "cache": 11211,
    "store": 9042,
    "queue": 9324,
    "proxy": 8474,
    "dns": 5300,
    "users": 9900,
}
_DNS_API_PORT, _CONTROL_PORT, _FIRST_LINK_PORT = 8053, 9999, 20001
_FIRST_SHARED_PORT, _SHARED_PORTS = 21000, 100  # where all nodes share 127.0.0.1: so many ports for each lab
_FIRST_STORAGE_PORT = 7001  # of Cassandra's nodes among themselves: each has one of its own (docs/lab.md)

# Of containers: networks, and the last bytes of addresses in them; a zone's number is added to that of its service.
NETWORKS = {"east": "198.18.1", "west": "198.18.2", "edge-east": "198.18.3", "edge-west": "198.18.4"}
_TENS = {"gateway": 10, "members": 20, "cache": 30, "store": 40, "queue": 50}
_PROXY, _FAR_PROXY = 60, 61
_IN_EDGES = {"dns": 53, "users": 90}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is met: by those who ask it (``host``), by links (``inner``), under which DNS address (``name``)."""

    host: str
    port: int
    name: str
    inner: str


@dataclass(frozen=True, slots=True)
class Way:
    """Where a link is connected to, and the port of its target that it leads to."""

    host: str
    port: int
    upstream_port: int


class Book(Protocol):
    """Gives out addresses; asked in one order always, since a port may depend on it."""

    def control(self) -> tuple[str, int]:
        """Of the supervisor, or whoever stands in its place."""
        ...

    def node(self, service: str, region: str, zone: str | None) -> Place:
        """Of a node."""
        ...

    def api(self, host: str) -> int:
        """The port of the DNS's API."""
        ...

    def link(self, source: str, target: str, proxy: Place, port: int) -> Way:
        """Of a link from one node or service to a node, through this proxy."""
        ...


def numbers(region: str, zone: str | None) -> tuple[int, int]:
    """The place of a region among all, from 1 (0: none), and of a zone among the region's (0: none)."""
    letter = (zone or "").rpartition("-")[2]
    return (REGIONS.index(region) + 1 if region else 0, ZONES.index(letter) + 1 if letter else 0)


class OwnAddresses:
    """Every node on a loopback address of its own, with the port of its service."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._links: dict[str, int] = {}

    def _host(self, service: str, region: str, zone: str | None) -> str:
        at, third = numbers(region, zone)
        return f"127.{10 * self._number + (at or 9)}.{third}.{_HOST_PART[service]}"

    def _take(self, host: str, port: int) -> tuple[str, int]:
        return host, port

    def control(self) -> tuple[str, int]:
        return self._take(f"127.{10 * self._number + 9}.0.1", _CONTROL_PORT)

    def node(self, service: str, region: str, zone: str | None) -> Place:
        own = self._host(service, region, zone)
        host, port = self._take(own, _PORT[service])
        return Place(host, port, own, host)

    def api(self, host: str) -> int:
        return self._take(host, _DNS_API_PORT)[1]

    def link(self, source: str, target: str, proxy: Place, port: int) -> Way:
        taken = self._links[proxy.name] = self._links.get(proxy.name, -1) + 1
        return Way(*self._take(proxy.host, _FIRST_LINK_PORT + taken), port)


class SharedAddress(OwnAddresses):
    """Every listener on 127.0.0.1, with a port of its own: for systems which bind no other loopback address."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._next = _FIRST_SHARED_PORT + _SHARED_PORTS * number

    def _take(self, host: str, port: int) -> tuple[str, int]:
        self._next += 1
        return "127.0.0.1", self._next


class ContainerAddresses:
    """Every node in a container, with an address in each network that it stands in.

    A region is a network, and so is its edge. Gateways are met at the edge, DNS and users in both edges (here: in that
    of ``seen_from``), a proxy by those of its own region there, by the other region's at its address in theirs.
    """

    def __init__(self, seen_from: str) -> None:
        self._seen_from = seen_from or REGIONS[0]
        self._links: dict[str, int] = {}

    def control(self) -> tuple[str, int]:
        return "", 0

    def node(self, service: str, region: str, zone: str | None) -> Place:
        own = self.inside(service, region, zone)
        host = own.get(f"edge-{region or self._seen_from}") or own[region]
        return Place(host, _PORT[service], host, own.get(region, host))

    def inside(self, service: str, region: str, zone: str | None) -> dict[str, str]:
        """The address of a node in each network that it stands in."""
        if service in _IN_EDGES:
            return {f"edge-{each}": self._at(f"edge-{each}", _IN_EDGES[service]) for each in REGIONS}
        if service == "proxy":
            last = {each: _PROXY if each == region else _FAR_PROXY for each in REGIONS}
            return {each: self._at(each, last[each]) for each in REGIONS}
        last_byte = _TENS[service] + numbers(region, zone)[1]
        nets = (region, f"edge-{region}") if service == "gateway" else (region,)
        return {net: self._at(net, last_byte) for net in nets}

    def _at(self, network: str, last_byte: int) -> str:
        return f"{NETWORKS[network]}.{last_byte}"

    def api(self, host: str) -> int:
        return _DNS_API_PORT

    def link(self, source: str, target: str, proxy: Place, port: int) -> Way:
        taken = self._links[proxy.name] = self._links.get(proxy.name, -1) + 1
        source_region, region = source.split("-")[1], target.split("-")[1]
        host = self.inside("proxy", region, None)[source_region]
        if target.startswith("store-"):
            return Way(host, self.storage_port(target), self.storage_port(target))
        return Way(host, _FIRST_LINK_PORT + taken, port)

    @staticmethod
    def storage_port(store: str) -> int:
        """Where a store node listens for its peers: no other one's, so that its proxied address is its own alone."""
        _, region, letter = store.split("-")
        at, third = numbers(region, letter)
        return _FIRST_STORAGE_PORT + len(ZONES) * (at - 1) + third - 1
