"""Faults of links: cut, delay, throttle."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from simian_filters.distribution import Distribution

from simian.errors import NoSuchTarget
from simian.fault import Control, Evidence, Exposed, Fault, fault, refuse_unless, with_target_name
from simian.topology import Link, Node, Topology
from simian.world import CutHow, Direction, LinkReading, World

EXCHANGES = 9  # odd, so that the median is one of them


def _reading(was: Mapping[str, Any], link: str) -> LinkReading:
    if not was:
        return LinkReading(link=link, enabled=True)
    return LinkReading(was["link"], was["enabled"], tuple(was["marks"]), tuple(was["foreign"]), was["proxy"])


@dataclass(frozen=True)
class LinkFault(Fault):
    """What the faults of links share. ``was`` is the link as it was before, taken in ``prepare``."""

    link: str
    was: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        with_target_name(self)

    @property
    def before(self) -> LinkReading:
        """The link as it was before."""
        return _reading(self.was, self.link)

    def unsupported(self, world: World) -> str:
        """Why the network driver cannot do this; empty when it can."""
        raise NotImplementedError

    def places(self, topology: Topology) -> list[Node]:
        """Cutting a link takes nothing from the region of its target but what comes from the source's side."""
        link = topology.link(self.link)
        ends = {link.source, link.target}
        return [n for n in topology.nodes if n.name in ends or f"{n.service}-{n.region}" in ends]

    def prepare(self, world: World) -> Self:
        """Refuse what the driver cannot do and what is already hurt; keep the reading for undo."""
        why = self.unsupported(world)
        refuse_unless(not why, f"{self.kind} of {self.link}: {why}")
        reading = world.network.read(self.link)
        refuse_unless(reading.enabled, f"{self.link} is cut already; enable it first, or choose another link")
        refuse_unless(not reading.marks, f'{self.link} carries {", ".join(reading.marks)}; run "simian recover"')
        plain = {"marks": list(reading.marks), "foreign": list(reading.foreign)}  # as the journal will give it back
        return replace(self, was=asdict(reading) | plain)

    def control(self, world: World, topology: Topology) -> Control:
        """An application answer comes back across the link."""
        seen = world.observer.exchange(topology.link(self.link))
        refuse_unless(seen.answered, f"nothing comes across {self.link} before the injection ({seen.detail})")
        return Control(f"answered in {seen.elapsed_ms:.1f} ms", {"elapsed_ms": seen.elapsed_ms})

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that reached across the link."""
        return exposed.count_link(topology.link(self.link))

    def undo(self, world: World, mark: str) -> None:
        """Take out what carries the mark; content with a link that exists no more."""
        try:
            world.network.mend(self.link, mark, self.before)
        except NoSuchTarget:
            return

    def gone(self, world: World, mark: str) -> bool:
        """Whether the link carries nothing of ours and is enabled as before."""
        try:
            reading = world.network.read(self.link)
        except NoSuchTarget:
            return True
        return mark not in reading.marks and reading.enabled == self.before.enabled


@fault("cut")
@dataclass(frozen=True)
class Cut(LinkFault):
    """No byte across: ``refuse`` closes and refuses connections, ``blackhole`` swallows bytes in silence.

    ``partition``: one of the cuts that part two regions, which users feel through whichever of the links they use.
    """

    how: CutHow = "refuse"
    direction: Direction = "both"
    partition: bool = False
    layer = "link"
    aim = "link"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in ("refuse", "blackhole"):
            raise ValueError(f"a cut is 'refuse' or 'blackhole', not {self.how!r}")
        if self.direction not in ("both", "forward", "backward"):
            raise ValueError(f"a direction is 'both', 'forward' or 'backward', not {self.direction!r}")

    def unsupported(self, world: World) -> str:
        """Why this cut cannot be made here."""
        return world.network.unsupported("cut", how=self.how, direction=self.direction)

    def exposure(self, exposed: Exposed, topology: Topology, mark: str) -> int:
        """Users' requests that reached across the link; of a partition, across any link between the two regions."""
        if not self.partition:
            return super().exposure(exposed, topology, mark)
        own = topology.link(self.link)
        ends = (own.source_region, own.target_region)
        parted = [*topology.links_between(*ends), *topology.links_between(*reversed(ends))]
        return sum(exposed.count_link(link) for link in parted)

    def inject(self, world: World, mark: str) -> None:
        """Cut it."""
        world.network.cut(self.link, mark, how=self.how, direction=self.direction)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """No application byte comes back across, twice."""
        link = topology.link(self.link)
        seen = [world.observer.exchange(link) for _ in range(2)]
        lost = [exchange for exchange in seen if not exchange.answered]
        text = f"nothing came back on {len(lost)} of {len(seen)} exchanges ({seen[-1].detail})"
        return Evidence(len(lost) == len(seen), control.seen, text)


def _median_ms(world: World, link: Link, timeout_s: float) -> float | None:
    seen = [world.observer.exchange(link, timeout_s=timeout_s) for _ in range(EXCHANGES)]
    answered = [exchange.elapsed_ms for exchange in seen if exchange.answered]
    return statistics.median(answered) if len(answered) * 2 > EXCHANGES else None


@fault("delay")
@dataclass(frozen=True)
class Delay(LinkFault):
    """Hold every byte back by a time drawn from the distribution ``by``; connections are kept."""

    by: str = "constant:100ms"
    direction: Direction = "forward"
    layer = "link"
    aim = "link"
    soft = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "by", Distribution.parse(str(self.by)).text)

    @property
    def distribution(self) -> Distribution:
        """``by``, parsed."""
        return Distribution.parse(self.by)

    @property
    def planned_ms(self) -> float:
        """How far the median of an exchange should move."""
        return self.distribution.median_ms * (2 if self.direction == "both" else 1)

    def unsupported(self, world: World) -> str:
        """Why this delay cannot be given here."""
        return world.network.unsupported("delay", direction=self.direction, by=self.distribution)

    def caveat(self, world: World) -> str:
        """How the network driver's delay differs from what was asked."""
        return world.network.caveat("delay", by=self.distribution)

    def prepare(self, world: World) -> Self:
        """A delay of nothing would prove nothing."""
        refuse_unless(self.planned_ms > 0, f"a delay of {self.by} on {self.link} does nothing; give a longer one")
        return super().prepare(world)

    def control(self, world: World, topology: Topology) -> Control:
        """The median time of an exchange."""
        median_ms = _median_ms(world, topology.link(self.link), 1.0)
        refuse_unless(median_ms is not None, f"too few exchanges came back across {self.link} before the injection")
        return Control(f"median {median_ms:.1f} ms of {EXCHANGES} exchanges", {"median_ms": median_ms})

    def inject(self, world: World, mark: str) -> None:
        """Slow it."""
        world.network.delay(self.link, mark, by=self.distribution, direction=self.direction)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """The median of the exchanges moved by at least half of what was planned."""
        median_ms = _median_ms(world, topology.link(self.link), 1.0 + self.planned_ms * 4 / 1000)
        if median_ms is None:
            return Evidence(None, control.seen, "too few exchanges came back to take a median")
        moved_ms = median_ms - float(control.figures["median_ms"] or 0.0)
        text = f"median {median_ms:.1f} ms: {moved_ms:.1f} ms more, planned {self.planned_ms:.1f}"
        return Evidence(moved_ms >= self.planned_ms / 2, control.seen, text)


@fault("throttle")
@dataclass(frozen=True)
class Throttle(LinkFault):
    """Let at most ``rate_kb_s`` kilobytes a second through."""

    rate_kb_s: float = 100.0
    direction: Direction = "both"
    layer = "link"
    aim = "link"
    soft = True

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = self.rate_kb_s
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
            raise ValueError(f"a throttle's rate_kb_s is a number above 0, not {rate!r}")

    @property
    def size_b(self) -> int:
        """Bytes that take about two seconds at the planned rate: enough to tell it from a link without one."""
        return max(2_048, min(int(self.rate_kb_s * 2_000), 4_000_000))

    def unsupported(self, world: World) -> str:
        """Why this throttle cannot be given here."""
        return world.network.unsupported("throttle", direction=self.direction)

    def _rate_kb_s(self, world: World, topology: Topology) -> float | None:
        timeout_s = 3 * self.size_b / (self.rate_kb_s * 1_000) + 2
        seen = world.observer.exchange(topology.link(self.link), timeout_s=timeout_s, size_b=self.size_b)
        if not seen.transferred_b:
            return None
        return seen.transferred_b / max(seen.elapsed_ms, 0.001)

    def control(self, world: World, topology: Topology) -> Control:
        """The link is clearly faster than what is planned."""
        rate = self._rate_kb_s(world, topology)
        refuse_unless(rate is not None, f"no bytes came across {self.link} before the injection")
        fast = (rate or 0) > 1.5 * self.rate_kb_s
        refuse_unless(fast, f"{self.link} carries {rate:.0f} KB/s: {self.rate_kb_s:g} KB/s would do nothing")
        return Control(f"{rate:.0f} KB/s", {"rate_kb_s": rate})

    def inject(self, world: World, mark: str) -> None:
        """Narrow it."""
        world.network.throttle(self.link, mark, rate_kb_s=self.rate_kb_s, direction=self.direction)

    def evidence(self, world: World, topology: Topology, mark: str, control: Control) -> Evidence:
        """Bytes a second lie near or under the planned rate (30 % for bursts in buffers)."""
        rate = self._rate_kb_s(world, topology)
        if rate is None:
            return Evidence(None, control.seen, "no bytes came across to measure")
        return Evidence(rate <= self.rate_kb_s * 1.3, control.seen, f"{rate:.0f} KB/s, planned {self.rate_kb_s:g}")
