"""How much each gateway and each region's mid-tier is asked to carry, and what share of it is too much."""

from simian.memory.devices import routed
from simian.memory.services import USERS, Services
from simian.memory.state import MemoryState
from simian.memory.traffic import Shares

_ROUNDS = 60


def shed_shares(state: MemoryState, services: Services, followed: Shares) -> dict[str, float]:
    """Gateway or region -> the share of requests turned away there; only those that are overloaded."""
    gateways, mid_tiers = _loads(state, services, followed)
    shed = {name: _shed(load, state.nodes[name].capacity_rps, _tries(state, services, state.nodes[name].node.region))
            for name, load in gateways.items()}  # fmt: skip
    for region, load in mid_tiers.items():
        capacity = sum(state.nodes[name].capacity_rps for name in _good(services, "members", region))
        if capacity:
            shed[region] = _shed(load, capacity, _tries(state, services, region))
    return {name: share for name, share in shed.items() if share > 0}


def _good(services: Services, service: str, region: str) -> list[str]:
    return [name for name in services.pool(service, region) if not services.bad(USERS, name)]


def _tries(state: MemoryState, services: Services, region: str) -> int:
    """A device asks each good gateway of its answer once."""
    return max(1, min(state.habits.device_tries, len(_good(services, "gateway", region))))


def _loads(state: MemoryState, services: Services, followed: Shares) -> tuple[dict[str, float], dict[str, float]]:
    gateways: dict[str, float] = {}
    mid_tiers: dict[str, float] = {}
    each_rps = state.habits.rate_rps / max(1, len(state.regions))
    for home, row in followed.items():
        for region, share in row.items():
            to = routed(state, home, region)
            mid_tiers[to.region] = mid_tiers.get(to.region, 0.0) + each_rps * share
            for at in {region, to.region}:
                _spread(gateways, services, at, each_rps * share)
    return gateways, mid_tiers


def _spread(gateways: dict[str, float], services: Services, region: str, rps: float) -> None:
    """Each gateway's devices ask it, or the next good one."""
    ring = services.pool("gateway", region)
    good = _good(services, "gateway", region)
    for index, _ in enumerate(ring):
        takes = next((name for name in ring[index:] + ring[:index] if name in good), None)
        if takes is not None:
            gateways[takes] = gateways.get(takes, 0.0) + rps / len(ring)


def _shed(demand_rps: float, capacity_rps: float, tries: int) -> float:
    """The share turned away, with devices that try again: the least that keeps what is let in within capacity."""
    if demand_rps <= capacity_rps:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        asked_rps = demand_rps * sum(middle**i for i in range(tries))
        low, high = (middle, high) if asked_rps * (1 - middle) > capacity_rps else (low, middle)
    return high
