"""Steering by DNS: users of a home are led to its *switch*, a name that leads on to regions by weight.

Settings: ``{driver: dns, provider: NAME, ask: host:port of the server as users ask it, name: what users ask for,
homes: {HOME: {switch: NAME, subnets: [NETWORK, …]}}, regions: {REGION: {target: NAME, addresses: [ADDRESS, …]}},
ttl_s: NUMBER (as the switch has it), edge: {…} (as the driver edge, without region shares)}`` and the provider's own
keys. A shift's mark and what was before stand in a TXT record beside the switch, set in the same request.
"""

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simian.errors import DriverError, NoSuchTarget, UsageError
from simian.steering.edge import EdgeSteering, edge_of
from simian.steering.layers import Answered, put, without
from simian.steering.provider import DnsProvider, Switch, provider_of
from simian.steering.settings import Section
from simian.steering.switches import answered_of, notes_of, row_of, switch_of
from simian.traffic import Entrance, Shares

SUBNETS = 256  # of each home, over which its entrance is looked at
READ_BACK_S, _LOOK_EVERY_S = 2.0, 0.02
_RESOLVER_PREFIX = 24  # resolvers tell no more of a user's address (RFC 7871)


@dataclass(frozen=True, slots=True)
class Home:
    """Users of one region: the name they are led to, with its end dot, and subnets they come from."""

    switch: str
    subnets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doorway:
    """What users ask for: ``name`` at ``server``; ``regions``: address answered -> region.

    ``ttl_s``: how long an answer may be kept; none: as long as the switch's.
    """

    name: str
    server: str
    regions: Mapping[str, str]
    ttl_s: float | None = None


class DnsSteering:
    """Driver of the port ``Steering``; safe to use from many threads. ``targets``: region -> name it is led to."""

    def __init__(
        self,
        provider: DnsProvider,
        homes: Mapping[str, Home],
        targets: Mapping[str, str],
        door: Doorway,
        edge: EdgeSteering,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider, self._homes, self._targets = provider, dict(homes), dict(targets)
        self._door, self._edge, self._pause = door, edge, pause
        self._changing = threading.Lock()  # what is written depends on what was read
        self.modes, self.set_failover, self.set_misrouted = edge.modes, edge.set_failover, edge.set_misrouted
        self.set_limit = edge.set_limit
        self.unset, self.arrivals, self.load = edge.unset, edge.arrivals, edge.load

    def unsupported(self, what: str) -> str:
        """Shifts are ours, the rest is what the edge can do."""
        return "" if what == "shift" else self._edge.unsupported(what)

    def shares(self) -> Shares:
        """As the switches are set now."""
        return {home: row_of(switch, self._targets) for home, switch in self._switches().items()}

    def shift(self, home: str, mark: str, shares: Mapping[str, float]) -> None:
        """See ``Steering.shift``. Raises Unsupported for other shares than whole percents."""
        if strange := sorted({*shares} - {*self._targets}):
            raise NoSuchTarget(f"no region is called {strange[0]!r}; there are: {', '.join(self._targets)}")
        row = {region: shares.get(region, 0.0) for region in self._targets}
        self._change(home, lambda answered: put(answered, mark, row))

    def unshift(self, home: str, mark: str) -> None:
        """See ``Steering.unshift``."""
        self._change(home, lambda answered: without(answered, mark))

    def entrances(self) -> Sequence[Entrance]:
        """One a home, with subnets spread over its networks."""
        door = self._door
        return [
            Entrance(
                home, door.name, door.server, self._homes[home].subnets, door.regions,
                switch.ttl_s if door.ttl_s is None else door.ttl_s,
            )
            for home, switch in self._switches().items()
        ]  # fmt: skip

    def marks(self) -> Sequence[tuple[str, str]]:
        """Of shifts by home, of modes by region."""
        shifts = [(home, note.mark) for home, switch in self._switches().items() for note in notes_of(switch)]
        return [*shifts, *self._edge.marks()]

    def _switches(self) -> dict[str, Switch]:
        read = self._provider.read([home.switch for home in self._homes.values()])
        return {name: read[home.switch] for name, home in self._homes.items()}

    def _change(self, home: str, change: Callable[[Answered], Answered]) -> None:
        if home not in self._homes:
            raise NoSuchTarget(f"no home is called {home!r}; there are: {', '.join(self._homes)}")
        name = self._homes[home].switch
        with self._changing:
            switch = self._provider.read([name])[name]
            answered = answered_of(switch, self._targets)
            wanted = change(answered)
            if wanted != answered:
                self._set(switch_of(switch, self._targets, wanted))

    def _set(self, wanted: Switch) -> None:
        """Change it, and wait until it is told as it was set: an acknowledgement is not a fact."""
        self._provider.change(wanted)
        until = time.monotonic() + READ_BACK_S
        while not _alike(seen := self._provider.read([wanted.name])[wanted.name], wanted):
            if time.monotonic() > until:
                raise DriverError(
                    f"{wanted.name} still leads to {dict(seen.weights)} {READ_BACK_S:g} s after it was set to "
                    f"{dict(wanted.weights)}; look whether somebody else sets it too"
                )
            self._pause(_LOOK_EVERY_S)


def _alike(one: Switch, other: Switch) -> bool:
    return one.weights == other.weights and sorted(one.notes) == sorted(other.notes)


def spread(networks: Sequence[str], count: int = SUBNETS) -> tuple[str, ...]:
    """About ``count`` subnets as resolvers name them, evenly over IPv4 networks. Raises ValueError for others."""
    found = []
    for text in networks:
        network = ipaddress.IPv4Network(text)
        prefix = max(_RESOLVER_PREFIX, network.prefixlen)
        there = 1 << (prefix - network.prefixlen)
        wanted = min(there, max(1, count // len(networks)))
        first, step_b = int(network.network_address), 1 << (32 - prefix)
        found += [f"{ipaddress.IPv4Address(first + n * there // wanted * step_b)}/{prefix}" for n in range(wanted)]
    return tuple(found)


def _home(section: Section) -> Home:
    switch, networks = section.text("switch"), section.texts("subnets")
    section.end(("switch", "subnets"))
    try:
        return Home(_ended(switch), spread(networks))
    except ValueError as error:
        section.wrong("subnets", f"are IPv4 networks such as 198.18.0.0/16 ({error})")
        return Home(switch, ())


def _ended(name: str) -> str:
    return name.lower().rstrip(".") + "."


def _address(section: Section, key: str) -> str:
    text = section.text(key)
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdecimal()):
        section.wrong(key, f"is {text!r}; it must be like 127.0.0.1:53")
    return text


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> DnsSteering:
    """The driver of the section ``steering:``. Raises UsageError with every problem at once, PluginError."""
    section = Section({key: value for key, value in settings.items() if key != "driver"})
    edge = edge_of(section.inside("edge"))
    homes = {home: _home(each) for home, each in section.each("homes").items()}
    targets: dict[str, str] = {}
    doors: dict[str, str] = {}
    for region, each in section.each("regions").items():
        targets[region] = _ended(each.text("target"))
        doors |= dict.fromkeys(each.texts("addresses"), region)
        each.end(("target", "addresses"))
    door = Doorway(section.text("name"), _address(section, "ask"), doors, section.number("ttl_s"))
    for key, found in (("homes", homes), ("regions", targets)):
        if any(not name.replace("-", "").replace("_", "").isalnum() for name in found) or not found:
            section.wrong(key, "must be there, each by a name of letters, digits, - and _")
    try:
        provider = provider_of(section.rest(), shared)
    except UsageError as error:
        section.problems.extend(error.problems)
    section.check()
    return DnsSteering(provider, homes, targets, door, edge)
