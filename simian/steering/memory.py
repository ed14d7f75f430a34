"""Steering in the memory world: the reference for what the calls of ``Steering`` mean."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.memory.build import state_from
from simian.memory.load import mid_tiers, services_now
from simian.memory.reach import reached
from simian.memory.state import MemoryState
from simian.memory.traffic import subnets_of
from simian.steering.layers import put, without
from simian.traffic import Entrance, Load, Misroute, Modes, Shares

NAME, SERVER = "api.geo.memory", "memory"
OURS = "simian."  # what marks begin with


class MemorySteering:
    """The answers of the node ``dns``, and the modes of the gateways. Calls land when they return."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def unsupported(self, what: str) -> str:
        """Everything can be had."""
        return ""

    # shares

    def shares(self) -> Shares:
        """See ``Steering.shares``. Raises Unreachable or TimedOut when the DNS server does not answer."""
        self._reach_dns()
        return {home: dict(row) for home, row in self._state.traffic.answered.items()}

    def shift(self, home: str, mark: str, shares: Mapping[str, float]) -> None:
        """See ``Steering.shift``. Raises DriverError for what is no share, too."""
        self._reach_dns()
        regions = self._state.regions
        if strange := sorted({*shares} - {*regions}):
            raise NoSuchTarget(f"no region is called {strange[0]!r}; there are: {', '.join(regions)}")
        row = {region: shares.get(region, 0.0) for region in regions}
        if abs(sum(row.values()) - 1) > 1e-6 or min(row.values()) < 0:
            raise DriverError(f"shares must not be negative and sum to 1, not {dict(shares)}")
        self._state.steer(home, lambda answered: put(answered, mark, row))

    def unshift(self, home: str, mark: str) -> None:
        """See ``Steering.unshift``."""
        self._reach_dns()
        self._state.steer(home, lambda answered: without(answered, mark))

    def entrances(self) -> Sequence[Entrance]:
        """One a home; a gateway's address is that of its node."""
        nodes, regions = self._state.nodes, self._state.regions
        doors = {nodes[name].node.address: region for region in regions for name in self._state.gateways(region)}
        ttl_s = self._state.habits.ttl_s
        return [Entrance(home, NAME, SERVER, subnets_of(regions, home), doors, ttl_s) for home in regions]

    def _reach_dns(self) -> None:
        reached(self._state, "dns", "nothing is known of its answers")

    # modes

    def modes(self) -> Mapping[str, Modes]:
        """See ``Steering.modes``."""
        return {name: self._state.nodes[name].modes for name in self._answering()}

    def set_failover(self, region: str, mark: str, homes: Sequence[str]) -> None:
        """See ``Steering.set_failover``: all gateways are tried; raises naming each that does not answer."""
        self._change(region, lambda name, now: replace(now, failover=tuple(homes), failover_owner=mark))

    def set_misrouted(self, region: str, mark: str, *, mode: Misroute, own: bool) -> None:
        """See ``Steering.set_misrouted``: the same."""
        self._change(region, lambda name, now: replace(now, misrouted=mode, own=own, misrouted_owner=mark))

    def set_limit(self, region: str, mark: str, concurrency: int) -> None:
        """See ``Steering.set_limit``: the same."""
        self._change(region, lambda name, now: replace(now, limit=concurrency, limit_owner=mark))

    def unset(self, region: str, mark: str, was: Mapping[str, Modes]) -> None:
        """See ``Steering.unset``; TimedOut for a gateway that is frozen."""
        self._change(region, lambda name, now: _without(now, mark, was.get(name, Modes())), content_with_dead=True)

    def _change(self, region: str, change: Callable[[str, Modes], Modes], *, content_with_dead: bool = False) -> None:
        errors: list[DriverError] = []
        for name in self._state.gateways(region):
            try:
                now = reached(self._state, name, "its modes are not changed").modes
                self._state.tune(name, change(name, now))
            except DriverError as error:
                if not (content_with_dead and isinstance(error, Unreachable)):
                    errors.append(error)
        if errors:
            kind = TimedOut if any(isinstance(error, TimedOut) for error in errors) else Unreachable
            raise kind("; ".join(map(str, errors))) from errors[0]

    def marks(self) -> Sequence[tuple[str, str]]:
        """See ``Steering.marks``: of shifts by home, of modes by region."""
        self._reach_dns()
        layers = self._state.traffic.layers
        shifts = [(home, layer.mark) for home, placed in layers.items() for layer in placed]
        owners = {
            (self._state.nodes[name].node.region, owner)
            for name, modes in self.modes().items()
            for owner in modes.owners
        }
        return [*shifts, *sorted((region, owner) for region, owner in owners if owner.startswith(OURS))]

    # measured

    def arrivals(self) -> Mapping[str, Mapping[str, int]]:
        """See ``Steering.arrivals``: the requests of the simulated users."""
        self._state.settle()  # what users did up to now counts
        return {name: dict(self._state.nodes[name].arrivals) for name in self._answering()}

    def load(self) -> Mapping[str, Load]:
        """See ``Steering.load``."""
        followed = self._state.traffic.followed(self._state.clock.elapsed())
        return mid_tiers(self._state, services_now(self._state), followed)

    def _answering(self) -> list[str]:
        every = [name for region in self._state.regions for name in self._state.gateways(region)]
        return [name for name in every if self._state.condition(name) == "up"]


def _without(now: Modes, mark: str, was: Modes) -> Modes:
    if now.failover_owner == mark:
        now = replace(now, failover=was.failover, failover_owner=was.failover_owner)
    if now.misrouted_owner == mark:
        now = replace(now, misrouted=was.misrouted, own=was.own, misrouted_owner=was.misrouted_owner)
    if now.limit_owner == mark:
        now = replace(now, limit=was.limit, limit_owner=was.limit_owner)
    return now


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemorySteering:
    """Steering of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemorySteering(state_from(settings, shared))
