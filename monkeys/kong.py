"""Kong: take a whole region away, its users moved elsewhere first (or, hard, after), and bring all back."""

from collections.abc import Iterator, Mapping
from random import Random

from simian import FailoverMode, Kill, Misrouted, Radius, Shift, Stage, Topology, monkey
from simian.errors import Refused
from simian.fault import Fault

SETTLE_S = 3.0
NOTICE_WITHIN_S = 10.0  # how long a hard kong waits for somebody to notice before users are moved
DEADLINE_S = 2.5  # a request that was under way when its users were moved has ended after that


@monkey(radius=Radius.REGION)
def kong(
    topology: Topology, rng: Random, *, region: str | None = None, steps: str = "75,50,25,0", hard: bool = False
) -> list[Stage]:
    """Take a region away: move its users step by step, shut it down, hold, and bring it and its users back.

    :param region: the region to leave; else the die chooses
    :param steps: percent of the region's own users still served at home, step by step down to 0
    :param hard: kill everything of the region first, then move its users as fast as the system can
    """
    percents = _percents(steps)
    regions = [one.name for one in topology.regions]
    left = topology.region(region).name if region else rng.choice(regions)
    saviours = [name for name in regions if name != left]
    if not saviours:
        raise Refused(f"there is no region but {left}; Kong needs one that takes its users")
    if not any(row.get(left) for row in topology.shares.values()):
        raise Refused(f"no users are known to be sent to {left}; add a `steering:` section to simian.yaml")
    ways = _Leaving(topology, left, saviours)
    return ways.hard(percents) if hard else list(ways.planned(percents))


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

    def planned(self, percents: list[float]) -> Iterator[Stage]:
        yield from self._failover(judged=True)
        if self._gateways(self.left):
            yield Stage("mis-routed users", (Misrouted(self.left),), settle_s=0.5)
        before = 100.0
        for percent in percents:
            drained = "" if percent else self.left
            yield Stage(f"shift to {percent:g} %", self._shifts(before, percent), settle_s=SETTLE_S, drained=drained)
            before = percent
        dark = self.topology.candidates(region=self.left, where=lambda node: bool(node.zone) and not node.visit)
        kills = tuple(Kill(node.name, evacuated=self.left) for node in dark)
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
        modes = [FailoverMode(saviour, sorted(self.homes)) for saviour in self.saviours if self._gateways(saviour)]
        if modes:
            yield Stage("failover mode", tuple(modes), settle_s=0.5 if judged else 0.0, gate=False, judged=judged)

    def _gateways(self, region: str) -> bool:
        return any(node.visit for node in self.topology.candidates(region=region))

    def _shifts(self, before: float, after: float, back: list[float] | None = None) -> tuple[Fault, ...]:
        return tuple(
            Shift(home, self._at(row, before), self._at(row, after), [self._at(row, percent) for percent in back or []])
            for home, row in self.homes.items()
        )

    def _at(self, row: Mapping[str, float], percent: float) -> dict[str, float]:
        """The row with this percentage of its users still at the region, the others spread over the saviours."""
        kept = round(row[self.left] * percent / 100, 4)
        moved = (row[self.left] - kept) / len(self.saviours)
        return {name: kept if name == self.left else round(share + moved, 4) for name, share in row.items()}
