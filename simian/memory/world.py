"""A whole world in memory: every port, one state, one clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simian.data.memory import MemoryData
from simian.memory.build import REGIONS, SERVICES, ZONES, Regions, build_state
from simian.memory.clock import SimulatedClock
from simian.memory.replication import Replication
from simian.memory.state import MemoryState
from simian.memory.users import Users
from simian.memory.watch import Look, MemoryWatch
from simian.networks.memory import MemoryNetwork
from simian.observers.memory import MemoryObserver
from simian.platforms.memory import MemoryPlatform
from simian.probe import Check
from simian.requests.memory import MemoryRequests
from simian.steering.memory import MemorySteering
from simian.topology import Topology
from simian.world import World


@dataclass(frozen=True, slots=True)
class MemoryWorld:
    """``world``: all ports. ``state``: what is behind them, for tests to look at and to change by hand.

    Without ``feed`` the users are there and tell nothing, as in a system that has no users' feed.
    """

    world: World
    state: MemoryState
    users: Users
    clock: SimulatedClock
    feed: bool = True

    def watch(self, checks: Sequence[Check] = (), looks: Mapping[str, Look] | None = None) -> MemoryWatch:
        """What a runner waits on: the users' slices, and ``looks`` (check's name -> callable) for the other checks."""
        return MemoryWatch(self.users if self.feed else None, self.clock, checks, looks)

    @property
    def topology(self) -> Topology:
        """The system as seen now."""
        nodes, links = tuple(self.world.platform.nodes()), tuple(self.world.network.links())
        return Topology("memory", nodes, links, self.world.steering.shares())


def build_memory_world(
    seed: int = 0,
    regions: Regions = REGIONS,
    zones: Sequence[str] = ZONES,
    services: Sequence[str] = SERVICES,
    clock: SimulatedClock | None = None,
    weaknesses: Iterable[str] = (),
    feed: bool = True,
) -> MemoryWorld:
    """A world like the lab, in memory: the same names, 38 links with two regions and three zones.

    Other ``regions``, also of different sizes and without zones: ``build_state``. The same seed and the same calls
    give the same bytes. Raises UsageError with every wrong name.
    """
    state = build_state(seed=seed, regions=regions, zones=zones, services=services, clock=clock, weaknesses=weaknesses)
    ports = World(
        platform=MemoryPlatform(state),
        network=MemoryNetwork(state),
        requests=MemoryRequests(state),
        steering=MemorySteering(state),
        data=MemoryData(Replication(state)),
        observer=MemoryObserver(state),
        clock=state.clock,
    )
    return MemoryWorld(ports, state, Users(state), state.clock, feed)
