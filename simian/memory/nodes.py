"""A node of the memory world, and what is inside it: rules, modes, counts, data."""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from simian_filters.distribution import Distribution

from simian.topology import Node, NodeState
from simian.traffic import Modes
from simian.world import Cell, Rule

USUAL_MS = 5.0  # that a request is under way when all is well


@dataclass(slots=True)
class RuleInPlace:
    """A rule inside a node, its own die and what it saw. ``expires_at``: elapsed seconds."""

    rule: Rule
    die: Random
    expires_at: float
    saw: int = 0
    hit: int = 0

    def hits(self) -> bool:
        """Whether the next request is hit; counts it and takes one number from the die."""
        self.saw += 1
        hit = self.die.random() < self.rule.share
        self.hit += hit
        return hit

    def delay_ms(self) -> float:
        """How long this hit waits."""
        return Distribution.parse(self.rule.delay).draw(self.die) if self.rule.delay else 0.0


@dataclass(slots=True)
class MemoryNode:
    """A node's fixed part (``node``) and its state. Times are elapsed seconds; ``since`` is the wall clock's.

    ``held``: it was ended on purpose and nothing restarts it. ``warm_from``: since when its cache is being filled.
    ``rules``, ``modes`` and ``arrivals`` (a gateway's users by home) live in the memory of its process, as does what a
    cache has in ``cells``; a store has it on disk.
    """

    node: Node
    capacity_rps: float = 120.0
    start_delay_s: float = 0.4
    state: NodeState = "running"
    held: bool = False
    starts: int = 1
    since: float = 0.0
    ready_at: float = float("-inf")
    warm_from: float = float("-inf")
    rules: dict[str, RuleInPlace] = field(default_factory=dict)
    modes: Modes = field(default_factory=Modes)
    arrivals: Counter[str] = field(default_factory=Counter)
    cells: dict[str, Cell] = field(default_factory=dict)

    def forget(self) -> None:
        """Its process ends, and what was in its memory is gone."""
        self.rules.clear()
        self.arrivals.clear()
        self.modes = Modes()
        if self.node.service == "cache":
            self.cells.clear()

    @property
    def carries_rps(self) -> float:
        """Requests a second that a gateway lets in: its capacity, or less under a small limit of those under way."""
        return min(self.capacity_rps, self.modes.limit * 1000 / USUAL_MS)

    @property
    def seen(self) -> Node:
        """The node as a value, as it is now."""
        return replace(self.node, state=self.state, since=None if self.state == "stopped" else self.since)

    @property
    def incarnation(self) -> str | None:
        """Another text for each start; ``None`` while down."""
        return None if self.state == "stopped" else f"{self.starts}-{self.since:.3f}"
