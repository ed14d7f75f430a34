"""What users' devices meet: from home region and moment to every way a request can end, with its share."""

from simian.memory.answers import Answers, both, in_turn
from simian.memory.routing import Route, route_redirected, routes
from simian.memory.services import USERS, Services
from simian.memory.state import MemoryState
from simian.traffic import Shares

_MISDIRECTED = 421  # what stands for a second redirect: no good answer, and no other gateway would say another


class Devices:
    """What becomes of all devices' requests at one moment. ``followed``: home -> region -> share of its devices."""

    def __init__(self, state: MemoryState, services: Services, followed: Shares) -> None:
        self._state, self._services, self._followed = state, services, followed

    def answers(self, home: str, *, write: bool, unwarned: dict[str, float]) -> Answers:
        """Every way in which a request of users of this home can end.

        ``unwarned``: gateway -> share of its devices that would still ask it first; the others know it to be bad.
        """
        found: Answers = []
        for region, share in self._followed[home].items():
            if share > 0:
                gateways = self._services.pool("gateway", region)
                for index in range(len(gateways)):
                    ring = gateways[index:] + gateways[:index]
                    part = share / len(gateways)
                    found += [
                        answer._replace(share=answer.share * part)
                        for answer in self._from(ring, home, write, unwarned.get(ring[0], 1.0))
                    ]
        return found

    def _from(self, ring: list[str], home: str, write: bool, unwarned: float) -> Answers:
        """Devices whose own gateway is the first of the ring."""
        good = [name for name in ring if not self._services.bad(USERS, name)]
        tries = self._state.habits.device_tries

        def go(order: list[str]) -> Answers:
            return in_turn(self._routed(name, home, write) for name in order[:tries])

        if tries == 1 or unwarned >= 1:
            return go(ring)
        warned = go((good or ring) if ring[0] not in good else ring[1:] + ring[:1])
        return _part(go(ring), unwarned) + _part(warned, 1 - unwarned)

    def _routed(self, gateway: str, home: str, write: bool) -> Answers:
        # Whose answer is old is told anew at each gateway that is tried: all of a region have the same share of them.
        ways = routes(self._state, gateway, home, self._followed)
        if len(ways) == 1:
            return self.visit(gateway, home, ways[0], write=write)
        return [a for way in ways for a in _part(self.visit(gateway, home, way, write=write), way.share)]

    def visit(self, gateway: str, home: str, way: Route, *, write: bool, follow: bool = True) -> Answers:
        """What a user meets at a gateway that takes them this way; one redirect is followed if ``follow``."""
        if way.way != "redirect":
            return self._services.gateway(gateway, write=write, far=way.region if way.way == "isthmus" else None)
        first = self._services.redirect(gateway)
        if not follow:
            return first
        here = self._state.nodes[gateway].node.region
        there = self._services.pool("gateway", way.region)
        own = self._services.pool("gateway", here).index(gateway) % len(there)
        sent = self._redirected(there[own], home, here, write)
        return [a for a in first if not a.ok] + both([a for a in first if a.ok], sent)

    def _redirected(self, gateway: str, home: str, came_from: str, write: bool) -> Answers:
        """The place a user was redirected to: what it does with them is the answer, unless it is a redirect again."""
        way = route_redirected(self._state, gateway, home, came_from)
        if way.way == "redirect":
            again = self._services.redirect(gateway)
            return [a._replace(status=_MISDIRECTED, errors=("status_307",)) if a.ok else a for a in again]
        return [a._replace(way="redirect") for a in self.visit(gateway, home, way, write=write)]


def _part(answers: Answers, share: float) -> Answers:
    return [answer._replace(share=answer.share * share) for answer in answers]
