"""A link of the memory world and what lies on it."""

from dataclasses import dataclass, field
from typing import Literal

from simian_filters.distribution import Distribution

from simian.topology import Link, LinkState
from simian.world import CutHow, Direction

Condition = Literal["up", "refused", "silent"]  # how a caller finds a callee or a way


@dataclass(frozen=True, slots=True)
class Effect:
    """What lies on a link: a ``cut`` has ``how``, a ``delay`` has ``by``, a ``throttle`` has ``rate_kb_s``."""

    kind: Literal["cut", "delay", "throttle"]
    direction: Direction = "both"
    how: CutHow = "refuse"
    by: Distribution | None = None
    rate_kb_s: float = 0.0

    @property
    def refuses(self) -> bool:
        """Whether it closes the link rather than lie on it."""
        return self.kind == "cut" and self.how == "refuse"


@dataclass(frozen=True, slots=True)
class Passage:
    """How bytes fare on a link: whether they pass, what holds them back (once for each direction hit).

    ``rate_kb_s``: how fast an answer comes, so the way from source to target does not count for it.
    """

    condition: Condition = "up"
    delays: tuple[Distribution, ...] = ()
    rate_kb_s: float | None = None


@dataclass(slots=True)
class MemoryLink:
    """A link's fixed part and its state. ``ours`` by mark, ``foreign`` by name; ``proxy``: the node it runs through."""

    link: Link
    proxy: str | None = None
    enabled: bool = True
    cut_at: float | None = None
    ours: dict[str, Effect] = field(default_factory=dict)
    foreign: dict[str, Effect] = field(default_factory=dict)

    @property
    def effects(self) -> list[Effect]:
        """Everything that lies on it, whoever put it there."""
        return [*self.ours.values(), *self.foreign.values()]

    @property
    def state(self) -> LinkState:
        """In one word."""
        if not self.enabled or any(effect.kind == "cut" for effect in self.effects):
            return "cut"
        return "slow" if self.effects else "open"

    def passage(self, proxy: Condition) -> Passage:
        """How bytes fare on it, with its proxy in this condition; its target's own is another matter."""
        effects = self.effects
        if not self.enabled or proxy == "refused" or any(effect.refuses for effect in effects):
            return Passage("refused")
        if proxy == "silent" or any(effect.kind == "cut" for effect in effects):
            return Passage("silent")
        delays = tuple(e.by for e in effects if e.by is not None for _ in range(2 if e.direction == "both" else 1))
        rates = [e.rate_kb_s for e in effects if e.kind == "throttle" and e.direction != "forward"]
        return Passage("up", delays, min(rates, default=None))
