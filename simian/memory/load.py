"""How much each gateway and each region's mid-tier is asked to carry, and what share of it is too much."""

from collections import defaultdict
from dataclasses import dataclass, field

from simian.memory.routing import Route, route_redirected, routes
from simian.memory.services import USERS, Moment, Services
from simian.memory.state import MemoryState
from simian.traffic import Load, Shares

_ROUNDS = 60


@dataclass
class Demand:
    """Requests a second by gateway, and by region of the mid-tier that they come to."""

    gateways: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    mid_tiers: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def services_now(state: MemoryState) -> Services:
    """The services as a request of this moment meets them."""
    moment = Moment(ready=frozenset(name for name in state.nodes if state.condition(name) == "up"))
    shed = shed_shares(state, Services(state, moment), state.traffic.followed(state.clock.elapsed()))
    return Services(state, moment._replace(shed=tuple(sorted(shed.items()))))


def shed_shares(state: MemoryState, services: Services, followed: Shares) -> dict[str, float]:
    """Gateway or region -> the share of requests turned away there; only those that are overloaded."""
    demand = _demand(state, services, followed)
    shed = {name: _shed(load, state.nodes[name].carries_rps, _tries(state, services, state.nodes[name].node.region))
            for name, load in demand.gateways.items()}  # fmt: skip
    for region, load in demand.mid_tiers.items():
        capacity = _capacity_rps(state, services, region)
        if capacity:
            shed[region] = _shed(load, capacity, _tries(state, services, region))
    return {name: share for name, share in shed.items() if share > 0}


def mid_tiers(state: MemoryState, services: Services, followed: Shares) -> dict[str, Load]:
    """What each region's mid-tier is asked to carry and can; a region none of whose members answers is left out."""
    demand = _demand(state, services, followed)
    found = {r: Load(demand.mid_tiers.get(r, 0.0), _capacity_rps(state, services, r)) for r in state.regions}
    return {region: load for region, load in found.items() if load.capacity_rps}


def _capacity_rps(state: MemoryState, services: Services, region: str) -> float:
    return sum(state.nodes[name].capacity_rps for name in _good(services, "members", region))


def _good(services: Services, service: str, region: str) -> list[str]:
    return [name for name in services.pool(service, region) if not services.bad(USERS, name)]


def _tries(state: MemoryState, services: Services, region: str) -> int:
    """A device asks each good gateway of its answer once."""
    return max(1, min(state.habits.device_tries, len(_good(services, "gateway", region))))


def _demand(state: MemoryState, services: Services, followed: Shares) -> Demand:
    demand = Demand()
    for home, row in followed.items():
        for region, share in row.items():
            for gateway, rps in _spread(services, region, state.rates_rps[home] * share):
                demand.gateways[gateway] += rps
                for way in routes(state, gateway, home, followed):
                    _take(demand, state, services, home, region, way, rps * way.share)
    return demand


def _take(demand: Demand, state: MemoryState, services: Services, home: str, at: str, way: Route, rps: float) -> None:
    """On from the gateway of the region ``at``, where users came in."""
    if way.way == "direct":
        demand.mid_tiers[way.region] += rps
        return
    for gateway, part_rps in _spread(services, way.region, rps):
        demand.gateways[gateway] += part_rps
        redirected = way.way == "redirect"
        after = route_redirected(state, gateway, home, at) if redirected else Route("direct", way.region)
        if after.way != "redirect":  # a second one is not followed
            _take(demand, state, services, home, way.region, after, part_rps)


def _spread(services: Services, region: str, rps: float) -> list[tuple[str, float]]:
    """Each gateway's devices ask it, or the next good one."""
    ring = services.pool("gateway", region)
    good = _good(services, "gateway", region)
    taken: dict[str, float] = {}
    for index, _ in enumerate(ring):
        takes = next((name for name in ring[index:] + ring[:index] if name in good), None)
        if takes is not None:
            taken[takes] = taken.get(takes, 0.0) + rps / len(ring)
    return list(taken.items()) if rps > 0 else []


def _shed(demand_rps: float, capacity_rps: float, tries: int) -> float:
    """The share turned away, with devices that try again: the least that keeps what is let in within capacity."""
    if demand_rps <= capacity_rps + 1e-9:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        asked_rps = demand_rps * sum(middle**i for i in range(tries))
        low, high = (middle, high) if asked_rps * (1 - middle) > capacity_rps else (low, middle)
    return high
