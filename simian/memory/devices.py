"""What users' devices meet: from home region and moment to every way a request can end, with its share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from simian.memory.answers import Answer, Answers, both, in_turn
from simian.memory.services import USERS, Services
from simian.memory.state import MemoryState
from simian.memory.traffic import Way


class Trip(NamedTuple):
    """One way a request can end: the answer, the region that served it and by which way."""

    answer: Answer
    region: str
    way: Way


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a user of one home is taken by the gateways of one region."""

    way: Way
    region: str


def routed(state: MemoryState, home: str, at_region: str) -> Routed:
    """By the modes of the gateways of ``at_region``."""
    modes = state.modes[at_region]
    if home != at_region:
        return Routed("direct", at_region) if modes.failover else Routed(modes.foreign, home)
    others = [region for region in state.regions if region != home]
    if modes.own == "direct" or not others:
        return Routed("direct", home)
    saviours = [region for region in others if state.modes[region].failover]
    return Routed(modes.own, (saviours or others)[0])


class Devices:
    """The trips of all devices at one moment."""

    def __init__(self, state: MemoryState, services: Services) -> None:
        self._state, self._services = state, services

    def trips(
        self, home: str, *, write: bool, followed: Mapping[str, float], unwarned: Mapping[str, float]
    ) -> list[Trip]:
        """Every trip of users of this home. ``followed``: serving region -> share of the devices sent there.

        ``unwarned``: gateway -> share of its devices that would still ask it first; the others know it to be bad.
        """
        found: list[Trip] = []
        for region, share in followed.items():
            if share > 0:
                gateways = self._services.pool("gateway", region)
                to = routed(self._state, home, region)
                for index in range(len(gateways)):
                    ring = gateways[index:] + gateways[:index]
                    answers = self._from(ring, to, region, write, unwarned.get(ring[0], 1.0))
                    part = share / len(gateways)
                    found += [Trip(a._replace(share=a.share * part), to.region, to.way) for a in answers]
        return found

    def _from(self, ring: list[str], to: Routed, region: str, write: bool, unwarned: float) -> Answers:
        """Devices whose own gateway is the first of the ring."""
        good = [name for name in ring if not self._services.bad(USERS, name)]
        tries = self._state.habits.device_tries

        def go(order: list[str]) -> Answers:
            return in_turn(self._ask(name, to, region, write) for name in order[:tries])

        if tries == 1 or unwarned >= 1:
            return go(ring)
        warned = go((good or ring) if ring[0] not in good else ring[1:] + ring[:1])
        return [a._replace(share=a.share * unwarned) for a in go(ring)] + [
            a._replace(share=a.share * (1 - unwarned)) for a in warned
        ]

    def _ask(self, gateway: str, to: Routed, region: str, write: bool) -> Answers:
        if to.way == "redirect":
            first = self._services.redirect(gateway)
            there = self._services.pool("gateway", to.region)
            own = self._services.pool("gateway", region).index(gateway) % len(there)
            sent = self._services.gateway(there[own], write=write)
            return [a for a in first if not a.ok] + both([a for a in first if a.ok], sent)
        return self._services.gateway(gateway, write=write, far=to.region if to.region != region else None)
