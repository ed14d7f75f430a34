"""Links that are containers' places in the networks of a Docker engine; a cut takes the container out of the network.

Settings: ``{driver: docker}``, with ``url`` and ``project`` where the platform is another driver. A link is called
``<network>--<container>`` and leads from whoever else is in the network to the container; its regions are the labels
``simian.region`` of both.

An endpoint that is gone can carry no mark: an empty volume named as the mark does, with all that is needed to put the
container back (aliases, addresses, MAC, links, options) in its labels. It is made before the container is taken out
and removed after it is back.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

from simian_filters.distribution import Distribution

from simian.errors import DriverError, NoSuchTarget, Unsupported
from simian.platforms.docker_containers import Container, Containers, containers_from, enabled
from simian.platforms.docker_engine import EngineRefused, check_keys
from simian.topology import Link
from simian.world import CutHow, Direction, LinkReading

MARK, LINK, PLACE, PROJECT = "simian.mark", "simian.link", "simian.place", "simian.project"


@dataclass(frozen=True, slots=True)
class Found:
    """One link as it is now: ``place`` is how the container is or was connected; ``marks`` are ours."""

    link: str
    container: Container
    place: Mapping[str, Any]
    connected: bool
    marks: tuple[str, ...] = ()


class DockerNetwork:
    """Driver of the port ``Network``: cuts in both directions, in silence, and nothing else."""

    def __init__(self, containers: Containers) -> None:
        self._containers, self._engine = containers, containers.engine
        self._alone: defaultdict[str, Lock] = defaultdict(Lock)  # by link: one change of it at a time

    def links(self) -> Sequence[Link]:
        """Every container in every network that it is in, or was taken out of by us."""
        regions = self._regions()
        return [_link(found, regions) for found in self._all().values()]

    def read(self, link: str) -> LinkReading:
        """One link; ``proxy`` is the container's place in the network."""
        found = self._found(link)
        return LinkReading(link, found.connected, found.marks, (), found.place)

    def unsupported(self, kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
        """Only a cut, only ``blackhole``, only in both directions."""
        if kind not in ("cut", "delay", "throttle"):
            return f"no fault of links is called {kind!r}; there are: cut, delay, throttle"
        if kind != "cut":
            return f"a Docker network knows no {kind}; use a proxy (driver 'toxiproxy'), or cut"
        if how == "refuse":
            return "a container out of its network is silent and refuses nothing; use blackhole"
        return "" if direction == "both" else "a container is in its network or out of it; use the direction both"

    def caveat(self, kind: str, *, by: Distribution | None = None) -> str:
        """Nothing to say."""
        return ""

    def cut(self, link: str, mark: str, *, how: CutHow, direction: Direction) -> None:
        """Take the container out. Raises Unsupported for one whose address could not be given back."""
        self._refuse(link, self.unsupported("cut", how=how, direction=direction))
        with self._alone[link]:
            self._take_out(self._found(link), mark)

    def delay(self, link: str, mark: str, *, by: Distribution, direction: Direction) -> None:
        """Cannot."""
        self._refuse(link, self.unsupported("delay", direction=direction, by=by))

    def throttle(self, link: str, mark: str, *, rate_kb_s: float, direction: Direction) -> None:
        """Cannot."""
        self._refuse(link, self.unsupported("throttle", direction=direction))

    def mend(self, link: str, mark: str, was: LinkReading) -> None:
        """Put the container back as it was, unless another mark keeps it out; then remove the mark.

        Raises DriverError when its address is taken, or what is there is not what was.
        """
        with self._alone[link]:
            place = was.proxy or self._places(link).get(mark, {})
            others = [each for each in self._places(link) if each != mark]
            if was.enabled and place and not others:
                self._put_back(link, mark, place)
            self._remove(mark)

    def marks(self) -> Sequence[tuple[str, str]]:
        """Our volumes."""
        return [(labels[LINK], labels[MARK]) for labels in self._volumes()]

    # --- what is there

    def _volumes(self) -> list[Mapping[str, str]]:
        told = self._engine.do("list volumes", lambda api: api.volumes(filters={"label": MARK}))
        labels = [volume.get("Labels") or {} for volume in told.get("Volumes") or []]
        ours = (each for each in labels if each.get(PROJECT) == self._containers.project)
        return sorted(ours, key=lambda each: (each[LINK], each[MARK]))

    def _places(self, link: str) -> dict[str, Mapping[str, Any]]:
        """Mark -> the place that the container had, of this link."""
        return {each[MARK]: json.loads(each[PLACE]) for each in self._volumes() if each[LINK] == link}

    def _all(self) -> dict[str, Found]:
        volumes, found = self._volumes(), {}
        for one in self._containers.all():
            out = {each[LINK]: json.loads(each[PLACE]) for each in volumes}
            here = {f"{network}--{one.name}": place_of(one, network) for network in one.endpoints}
            mine = {link: place for link, place in out.items() if place["container"] == one.id}
            gone = {link: place for link, place in mine.items() if not connected(one, place["network"])}
            for link, place in (here | gone).items():
                marks = tuple(each[MARK] for each in volumes if each[LINK] == link)
                found[link] = Found(link, one, place, connected(one, place["network"]), marks)
        return found

    def _found(self, link: str) -> Found:
        every = self._all()
        if link not in every:
            raise NoSuchTarget(f"no link is called {link!r}; there are: {', '.join(sorted(every)) or 'none'}")
        return every[link]

    def _regions(self) -> dict[str, str]:
        told = self._engine.do("list networks", lambda api: api.networks())
        return {str(each["Name"]): str((each.get("Labels") or {}).get("simian.region", "")) for each in told}

    # --- changes

    def _refuse(self, link: str, why: str) -> None:
        if why:
            raise Unsupported(f"{link}: {why}")

    def _take_out(self, found: Found, mark: str) -> None:
        one, link = enabled(self._containers, found.container), found.link
        if not found.place["ipv4_address"]:
            why = "its address was not given to it for good, so it could not be had back; set ipv4_address for it"
            raise Unsupported(f"cut of {link}: {why}")
        labels = {MARK: mark, LINK: link, PLACE: json.dumps(dict(found.place)), PROJECT: self._containers.project}
        self._engine.do(f"mark {link}", lambda api: api.create_volume(mark, labels=labels))
        if not found.connected:
            return
        network, refused = str(found.place["network"]), None
        try:
            what = f"disconnect {one.name} from {network}"
            self._engine.do(what, lambda api: api.disconnect_container_from_network(one.id, network))
        except EngineRefused as error:
            refused = error
        if self._found(link).connected:  # an error is none when it is so all the same
            raise refused or DriverError(f"{what} was acknowledged, but is not so")

    def _put_back(self, link: str, mark: str, place: Mapping[str, Any]) -> None:
        one = next((each for each in self._containers.all() if each.id == place["container"]), None)
        if one is None:
            return  # it is gone; another that has its name is none of our business
        network = str(place["network"])
        if connected(one, network):
            if mark not in self._places(link):
                return  # never taken out by us: how it is connected is somebody else's affair
        elif not self._connect(link, one, place):
            return
        _compare(link, self._containers.again(one), place)

    def _connect(self, link: str, one: Container, place: Mapping[str, Any]) -> bool:
        """Whether there still is such a network. Raises DriverError when it does not want the container."""
        network = str(place["network"])
        if network in one.endpoints:  # what a connection that failed has left
            with suppress(EngineRefused):
                what = f"clear the place of {one.name} in {network}"
                self._engine.do(what, lambda api: api.disconnect_container_from_network(one.id, network, force=True))
        try:
            self._engine.do(f"connect {one.name} to {network}", lambda api: _connect(api, place))
        except NoSuchTarget:
            return False
        except EngineRefused as error:
            self._tell_if_taken(link, place, error)
        return True

    def _tell_if_taken(self, link: str, place: Mapping[str, Any], error: EngineRefused) -> None:
        """Raise, unless it is connected: somebody may have been first."""
        inside = self._engine.do("inspect a network", lambda api: api.inspect_network(place["network"]))["Containers"]
        if place["container"] in inside:
            return
        address = place["ipv4_address"]
        takers = [each["Name"] for each in inside.values() if each["IPv4Address"].partition("/")[0] == address]
        if takers:
            text = f'{link}: {address} was taken by {takers[0]} meanwhile; free it, then run "simian recover"'
            raise DriverError(text) from error
        raise error

    def _remove(self, mark: str) -> None:
        try:
            self._engine.do(f"remove the mark {mark}", lambda api: api.remove_volume(mark))
        except NoSuchTarget:
            return


def connected(one: Container, network: str) -> bool:
    """Whether it is in this network; a running one whose connection failed is listed there without an endpoint."""
    end = one.endpoints.get(network)
    return end is not None and (one.state == "stopped" or bool(end["EndpointID"]))


def place_of(one: Container, network: str) -> dict[str, Any]:
    """How a container is connected: what has to be given to connect it in the same way, as JSON."""
    end = one.endpoints[network]
    pool = end.get("IPAMConfig") or {}
    return {
        "container": one.id,
        "network": network,
        "ipv4_address": pool.get("IPv4Address") or None,
        "ipv6_address": pool.get("IPv6Address") or None,
        "link_local_ips": pool.get("LinkLocalIPs") or None,
        # The engine adds the short id itself, each time.
        "aliases": [alias for alias in end.get("Aliases") or [] if alias != one.id[:12]] or None,
        "links": sorted(end.get("Links") or []) or None,
        "driver_opt": end.get("DriverOpts") or None,
        "mac_address": end.get("MacAddress") or None,
    }


def _compare(link: str, now: Container, place: Mapping[str, Any]) -> None:
    """Raise DriverError with all that is not as it was."""
    is_now = place_of(now, str(place["network"])) if place["network"] in now.endpoints else {}
    # A container has a MAC while it runs.
    keys = [key for key in place if key != "mac_address" or (place[key] and now.state != "stopped")]
    wrong = [f"{key} was {place[key]!r}, is {is_now.get(key)!r}" for key in keys if is_now.get(key) != place[key]]
    if wrong:
        raise DriverError(f"{link} is not as it was: {'; '.join(wrong)}; set it right by hand, or recreate it")


def _connect(api: Any, place: Mapping[str, Any]) -> None:
    links = [tuple(each.rsplit(":", 1)) for each in place["links"] or []]
    how = {key: value for key, value in place.items() if key not in ("container", "network", "links")}
    api.connect_container_to_network(place["container"], place["network"], links=links or None, **how)


def _link(found: Found, regions: Mapping[str, str]) -> Link:
    one, network = found.container, str(found.place["network"])
    address = found.place["ipv4_address"] or one.endpoints[network]["IPAddress"]
    return Link(
        name=found.link,
        source=network,
        target=one.name,
        source_region=regions.get(network, ""),
        target_region=one.node().region,
        state="open" if found.connected else "cut",
        ask=one.at("simian.ask", address),
    )


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> DockerNetwork:
    """The driver of ``{driver: docker}``; ``url``, ``project``: the platform's unless given. Raises UsageError."""
    check_keys("network", "docker", settings, ("project", "url", "limit_s"))
    return DockerNetwork(containers_from("network", settings, shared))
