"""What gateways do with whose users: served here, proxied to another region, or redirected there."""

from typing import Literal, NamedTuple

from simian.memory.state import MemoryState
from simian.memory.traffic import home_of, picked
from simian.traffic import Shares

Way = Literal["direct", "isthmus", "redirect"]


class Route(NamedTuple):
    """Where a gateway takes a user, and the share of a home's users there who are taken so."""

    way: Way
    region: str
    share: float = 1.0


def route(state: MemoryState, gateway: str, home: str, sent_to: str) -> Route:
    """For one user. ``sent_to``: the region that DNS answers that user at this moment."""
    one = state.nodes[gateway]
    here, modes = one.node.region, one.modes
    if home == here:
        away = modes.own and sent_to != here
        return Route(modes.misrouted, sent_to) if away else Route("direct", here)
    if home in modes.failover and state.habits.obeys_failover:
        return Route("direct", here)
    return Route(modes.misrouted, home)


def route_of_subnet(state: MemoryState, gateway: str, home: str, subnet: str) -> Route:
    """For a user who comes from this subnet; of one whom DNS does not know, it knows no better place."""
    here = state.nodes[gateway].node.region
    dweller = home_of(state.regions, subnet)
    row = state.traffic.answered[dweller] if dweller and state.condition("dns") == "up" else {}
    return route(state, gateway, home, picked(row, subnet) or here)


def routes(state: MemoryState, gateway: str, home: str, followed: Shares) -> list[Route]:
    """For all users of a home who arrive there: those whose answer is an old one may be taken elsewhere."""
    here = state.nodes[gateway].node.region
    if home != here:
        return [route(state, gateway, home, here)]
    stale, saviour = _stale(state, home, followed), _saviour(state, home)
    if not stale or not saviour:
        return [route(state, gateway, home, here)]
    split = [(stale, route(state, gateway, home, saviour)), (1 - stale, route(state, gateway, home, here))]
    return [each._replace(share=share) for share, each in split if share > 0]


def route_redirected(state: MemoryState, gateway: str, home: str, came_from: str) -> Route:
    """For users whom a gateway of another region has redirected here."""
    here = state.nodes[gateway].node.region
    answered = home == here and state.traffic.answered[home].get(came_from, 0.0) > 0
    return route(state, gateway, home, came_from if answered else here)


def _stale(state: MemoryState, home: str, followed: Shares) -> float:
    """The share of those still coming home whom DNS answers another region by now."""
    coming = followed[home].get(home, 0.0)
    return max(0.0, coming - state.traffic.answered[home].get(home, 0.0)) / coming if coming > 0 else 0.0


def _saviour(state: MemoryState, home: str) -> str | None:
    """Of the other regions that DNS answers users of this home, one that serves them, if there is such a one."""
    others = [region for region, share in state.traffic.answered[home].items() if share > 0 and region != home]
    serving = [r for r in others if any(home in state.nodes[name].modes.failover for name in state.gateways(r))]
    return next(iter(serving or others), None)
