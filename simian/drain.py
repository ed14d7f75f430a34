"""Waiting until nobody arrives in a region any more: by what users tell, else by what all its gateways have counted."""

from collections import Counter
from dataclasses import dataclass, field

from simian.attention import Aborted, Attention, Tools
from simian.plan import Stage
from simian.steady_state import CheckVerdict
from simian.topology import Topology

DRAIN_WITHIN_S = 30.0
LOOK_EVERY_S = 0.5
ASKED_WITHIN_S = 10.0
FEWEST_TRIES = 20  # before anything is said of a share
LEFTOVER_SHARE = 0.002  # of all tries: fewer are stragglers that no evacuation waits for
QUIET_LOOKS = 2


@dataclass
class Drain:
    """Of one region. Users' own feed tells of tries that reached no gateway, too: where it tells enough it decides."""

    stage: Stage
    tools: Tools
    attention: Attention
    topology: Topology
    _counted: dict[str, int] = field(default_factory=dict)
    _came: Counter[str] | None = None  # by region, since the last look that saw enough; None: cannot be told

    def __post_init__(self) -> None:
        self.region = self.stage.drained
        self._homes = {node.name: node.region for node in self.topology.nodes if node.visit}
        self._gateways = {name for name, region in self._homes.items() if region == self.region}
        self._tried = self.attention.exposure.tries(self._gateways)

    def wait(self) -> None:
        """Return when it has drained. Raises ``Aborted``, *broken*, when users go on to arrive there."""
        clock = self.tools.world.clock
        until, quiet, last = clock.elapsed() + DRAIN_WITHIN_S, 0, (0, 0)
        self._count()
        while quiet < QUIET_LOOKS:
            self.attention.live(LOOK_EVERY_S)
            here, every = self._look()
            if every >= FEWEST_TRIES:
                last = here, every
                quiet = quiet + 1 if here <= LEFTOVER_SHARE * every else 0
            if clock.elapsed() >= until and quiet < QUIET_LOOKS:
                return self._give_up(*last)
        self.attention.moment("drained", region=self.region)

    def _give_up(self, here: int, every: int) -> None:
        """A region whose gateways were killed with it has nobody left to count; where users go is proven elsewhere."""
        if every or self.stage.judged:
            raise _not_drained(self.region, here, every)
        self.attention.moment("uncounted", region=self.region, detail="nobody is left there who counts arrivals")

    def _look(self) -> tuple[int, int]:
        """Tries in the region and in all, since the last look that saw enough of them."""
        tried = self.attention.exposure.tries(self._gateways)
        here, every = tried[0] - self._tried[0], tried[1] - self._tried[1]
        self._count()
        if every < FEWEST_TRIES and self._came is not None:
            here, every = self._came[self.region], self._came.total()
        if every >= FEWEST_TRIES:
            self._tried, self._came = tried, Counter()
        return here, every

    def _count(self) -> None:
        """Add what has come since the last time."""
        now = self._arrivals()
        if any(now.get(gateway, -1) < self._counted.get(gateway, 0) for gateway in self._gateways):
            self._came = None  # who came to one that says nothing, or has begun anew, is not known
        elif self._came is None:
            self._came = Counter()
        else:
            for gateway, many in now.items():
                self._came[self._homes.get(gateway, "")] += max(0, many - self._counted.get(gateway, many))
        self._counted = now

    def _arrivals(self) -> dict[str, int]:
        """Gateway -> users' requests that it has counted; of those that answer."""
        steering, hands = self.tools.world.steering, self.tools.hands
        if steering.unsupported("arrivals"):
            return {}
        [asked] = hands.each([steering.arrivals], deadline_s=ASKED_WITHIN_S, idle=self.attention.tick)
        return {gateway: sum(by_home.values()) for gateway, by_home in (asked.value or {}).items()}


def _not_drained(region: str, here: int, every: int) -> Aborted:
    text = f"{region} did not drain within {DRAIN_WITHIN_S:g} s"
    if not every:
        return Aborted(f"aborted: {text}: nobody saw where users arrive")
    seen = f"{here} of {every} tries of users still went to {region} {DRAIN_WITHIN_S:g} s after the last shift"
    hint = "look at devices and resolvers that keep an answer longer than its TTL, and at names that bypass the switch"
    weakness = CheckVerdict("users leave", "broken", "all of them", None, here / every, None, every, seen, region, hint)
    return Aborted(f"aborted: {text}", weakness)
