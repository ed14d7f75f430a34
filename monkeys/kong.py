"""Kong: take a whole region away, its users moved elsewhere first (or, hard, after), and bring all back."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from simian import FailoverMode, Kill, Misrouted, Node, Radius, Shift, Stage, Topology, monkey
from simian.errors import Refused
from simian.fault import Fault
from simian.traffic import same_shares

SETTLE_S = 3.0
NOTICE_WITHIN_S = 10.0  # how long a hard kong waits for somebody to notice before users are moved
DEADLINE_S = 2.5  # a request that was under way when its users were moved has ended after that


@monkey(radius=Radius.REGION)
def kong(
    topology: Topology,
    rng: Random,
    *,
    region: str | None = None,
    to: str | None = None,
    steps: str = "75,50,25,0",
    hard: bool = False,
) -> list[Stage]:
    """Take a region away: move its users step by step, shut it down, hold, and bring it and its users back.

    :param region: the region to leave; else the die chooses
    :param to: the regions that take its users, like west,north; else all others, each as many as it has gateways for
    :param steps: percent of the region's own users still served at home, step by step down to 0
    :param hard: kill everything of the region first, then move its users as fast as the system can
    """
    percents = _percents(steps)
    regions = [one.name for one in topology.regions]
    used = [name for name in regions if any(row.get(name) for row in topology.shares.values())]
    left = topology.region(region).name if region else rng.choice(used or regions)
    saviours = _saviours(topology, left, to)
    if left not in used:
        why = topology.unknown_shares or "add a `steering:` section to simian.yaml"
        raise Refused(f"no users are known to be sent to {left}; {why}")
    ways = _Leaving(topology, left, saviours)
    return ways.hard(percents) if hard else list(ways.planned(percents))


def _saviours(topology: Topology, left: str, to: str | None) -> list[str]:
    others = [one.name for one in topology.regions if one.name != left]
    if not others:
        raise Refused(f"there is no region but {left}; Kong needs one that takes its users")
    fit = [name for name in others if _gateways(topology, name)] or others
    named = fit if to is None else sorted({topology.region(name.strip()).name for name in to.split(",")})
    unfit = [name for name in named if name not in fit]
    if unfit:
        why = "is the region to leave" if unfit[0] == left else "has no gateway"
        raise ValueError(f"to: {unfit[0]} {why}; users of {left} can go to {', '.join(fit)}")
    return named


def _gateways(topology: Topology, region: str) -> list[Node]:
    return topology.candidates(region=region, where=lambda node: bool(node.visit))


def _percents(steps: str) -> list[float]:
    try:
        found = [float(step) for step in steps.replace("%", "").split(",")]
    except ValueError:
        raise ValueError(f"steps are percents like 75,50,25,0, not {steps!r}") from None
    falling = all(one > other for one, other in zip([100.0, *found], found, strict=False))
    if not falling or found[-1] != 0:
        raise ValueError(f"steps fall from below 100 to 0, like 75,50,25,0; {steps!r} does not")
    return found


class _Leaving:
    """The stages of leaving one region for others."""

    def __init__(self, topology: Topology, left: str, saviours: list[str]) -> None:
        self.topology, self.left, self.saviours = topology, left, saviours
        self.homes = {home: dict(row) for home, row in topology.shares.items() if row.get(left)}
        self.doors = {saviour: len(_gateways(topology, saviour)) or 1 for saviour in saviours}

    def planned(self, percents: list[float]) -> Iterator[Stage]:
        yield from self._failover(judged=True)
        if _gateways(self.topology, self.left):
            yield Stage("mis-routed users", (Misrouted(self.left),), settle_s=0.5)
        before = 100.0
        for percent in percents:
            drained, shifts = "" if percent else self.left, self._shifts(before, percent)
            if shifts:
                yield Stage(f"shift to {percent:g} %", shifts, settle_s=SETTLE_S, drained=drained)
            before = percent
        kills = tuple(Kill(node.name, evacuated=self.left) for node in self._dark())
        if kills:
            yield Stage("lights-out", kills, settle_s=1.0)

    def hard(self, percents: list[float]) -> list[Stage]:
        kills = [Kill(node.name, evacuated=self.left) for node in self.topology.candidates(region=self.left)]
        back = [percent for percent in reversed(percents) if percent]
        shifts = self._shifts(100.0, 0.0, back)
        return [
            Stage("lights-out", tuple(kills), settle_s=NOTICE_WITHIN_S, gate=False, judged=False),
            *self._failover(judged=False),
            Stage("shift to 0 %", shifts, settle_s=DEADLINE_S, gate=False, drained=self.left, judged=False),
        ]

    def _failover(self, *, judged: bool) -> Iterator[Stage]:
        taking = [saviour for saviour in self.saviours if _gateways(self.topology, saviour)]
        modes = [FailoverMode(saviour, sorted(self.homes)) for saviour in taking]
        if modes:
            yield Stage("failover mode", tuple(modes), settle_s=0.5 if judged else 0.0, gate=False, judged=judged)

    def _dark(self) -> list[Node]:
        """All but the gateways; where nodes have zones, one that has none is a regional part, and stays as well."""
        zones = self.topology.region(self.left).zones
        return self.topology.candidates(
            region=self.left, where=lambda node: not node.visit and bool(node.zone or not zones)
        )

    def _shifts(self, before: float, after: float, back: Sequence[float] = ()) -> tuple[Fault, ...]:
        """From one percentage to the other, of each home of which that moves anybody."""
        moved = [
            Shift(home, self._at(row, before), self._at(row, after), [self._at(row, percent) for percent in back])
            for home, row in self.homes.items()
            if not same_shares(self._at(row, before), self._at(row, after))
        ]
        return tuple(moved)

    def _at(self, row: Mapping[str, float], percent: float) -> dict[str, float]:
        """The row with this percentage of its users still at the region, the others spread over the saviours.

        In whole percents, as weights are. They are handed out one by one, each to the saviour that has got the fewest
        for its gateways, so that no saviour's share falls at any step.
        """
        if percent == 100:
            return dict(row)
        kept = round(row[self.left] * percent)
        given = Counter({name: int(share * 100 + 1e-6) for name, share in row.items() if name != self.left})
        stays = Counter(given)
        for _ in range(100 - kept - given.total()):
            given[min(self.saviours, key=lambda name: (given[name] - stays[name] + 0.5) / self.doors[name])] += 1
        return {name: (kept if name == self.left else given[name]) / 100 for name in dict.fromkeys([*row, *given])}
