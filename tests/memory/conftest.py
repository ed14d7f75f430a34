"""A watched memory world, and what its users saw, added up."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from simian.histogram import Histogram
from simian.memory import MemoryWorld, build_memory_world
from simian.memory.watch import MemoryWatch
from simian.probe import Observation, Slice


@dataclass
class Seen:
    """Slices, added up; ``of``: home region -> its users' counts."""

    slices: list[Slice]
    of: dict[str, Counter[str]] = field(default_factory=dict)
    hops: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    served: dict[str, Counter[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)

    def __post_init__(self) -> None:
        for one in self.slices:
            self.hops.update(one.hops)
            self.faults.update(one.faults)
            self.errors.update(one.errors)
            for row in one.rows:
                counts = {"ended": row.ended, "ok": row.ok, "first": row.first_failed, "shed": row.shed}
                self.of.setdefault(row.home, Counter()).update(counts)
                self.served.setdefault(row.home, Counter()).update(row.served)
                self.ways.update(row.ways)
                self.latency.merge(Histogram.from_json({str(key): count for key, count in row.latency.items()}))

    def total(self, what: str) -> int:
        return sum(counts[what] for counts in self.of.values())

    def share(self, what: str = "ok", home: str | None = None) -> float:
        rows = [self.of[home]] if home else list(self.of.values())
        return sum(row[what] for row in rows) / sum(row["ended"] for row in rows)

    def tries_of(self, node: str) -> int:
        return sum(count for hop, count in self.hops.items() if hop.rstrip("!~+-").endswith(f">{node}"))


@dataclass
class Watched:
    made: MemoryWorld
    watch: MemoryWatch

    def go(self, seconds: float) -> Seen:
        """Let time pass; what users saw in it."""
        until = self.made.clock.elapsed() + seconds
        found: list[Observation] = []
        while self.made.clock.elapsed() < until:
            found += self.watch.wait(until - self.made.clock.elapsed())
        self.made.state.settle()
        return Seen([one for one in [*found, *self.watch.wait(0)] if isinstance(one, Slice)])

    def kill(self, names: Iterable[str]) -> None:
        for name in names:
            self.made.world.platform.kill(name)


@pytest.fixture
def watched() -> Callable[..., Watched]:
    def make(**options: Any) -> Watched:
        made = build_memory_world(**options)
        watch = made.watch()
        watch.start()
        return Watched(made, watch)

    return make
