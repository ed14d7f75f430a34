"""What became of the data: what writers were told, against what every replica and cache has. Pure.

A write is named by its value, which no other write has. By the store's rules (last write wins) each key must end as
the latest acknowledged write of it, or as a later one whose answer never came: that one may have been made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simian.world import Cell

DATA_CHECKS = ("nothing lost", "nothing stale", "converged")
EXAMPLES = 5
Cells = Mapping[str, Mapping[str, Cell]]  # node -> key -> cell


@dataclass(frozen=True, slots=True)
class Write:
    """One write: the region whose front door it went through, when by its writer's clock, and what it was told."""

    key: str
    value: str
    at_us: int
    region: str
    acknowledged: bool

    @property
    def rank(self) -> tuple[int, str]:
        """The larger wins."""
        return self.at_us, self.value


class Written:
    """All writes of a run, by key."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Write]] = {}
        self.count = self.acknowledged = 0

    def add(self, write: Write) -> None:
        """Note one."""
        self._by_key.setdefault(write.key, []).append(write)
        self.count += 1
        self.acknowledged += write.acknowledged

    @property
    def keys(self) -> list[str]:
        """Every key that was written, in order of the first write."""
        return list(self._by_key)

    def expected(self, key: str) -> Write | None:
        """The latest acknowledged write of a key; ``None``: none was."""
        told = [write for write in self._by_key[key] if write.acknowledged]
        return max(told, key=lambda write: write.rank) if told else None

    def of_value(self, key: str, value: str | None) -> Write | None:
        """The write that this value came from; ``None``: not one of ours."""
        return next((write for write in self._by_key[key] if write.value == value), None)


@dataclass
class Found:
    """Keys with one thing wrong: how many, and examples."""

    keys: set[str] = field(default_factory=set)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, key: str, wanted: Write, found: str, where: Iterable[str]) -> None:
        """Note one."""
        self.keys.add(key)
        if len(self.examples) < EXAMPLES:
            self.examples.append({"key": key, "wanted": wanted.value, "found": found, "where": ", ".join(where)})

    def to_json(self) -> dict[str, Any]:
        """Count and examples."""
        return {"count": len(self.keys), "examples": self.examples}


@dataclass
class Comparison:
    """What is wrong with the data: lost (acknowledged, and gone everywhere), stale (older than the winner), conflicting
    (replicas differ). ``behind``: nodes that do not have the winner of every key."""

    lost: Found = field(default_factory=Found)
    stale: Found = field(default_factory=Found)
    conflicting: Found = field(default_factory=Found)
    behind: set[str] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost.keys or self.stale.keys or self.conflicting.keys)


def compare(written: Written, replicas: Cells, caches: Cells) -> Comparison:
    """Every key in every replica and cache against what its writers were told."""
    made = Comparison()
    for key in written.keys:
        _compare_key(made, written, key, {node: cells.get(key) for node, cells in replicas.items()},
                     {node: cells[key] for node, cells in caches.items() if key in cells})  # fmt: skip
    return made


def _compare_key(
    made: Comparison, written: Written, key: str, replicas: Mapping[str, Cell | None], caches: Mapping[str, Cell]
) -> None:
    expected = written.expected(key)
    values = {node: cell.value if cell else None for node, cell in replicas.items()}
    ranks = {node: _rank(written, key, value) for node, value in values.items()}
    best = max(ranks.values(), default=None)
    if best is None or (expected is None and best == NOTHING):
        return  # never acknowledged, and not made either
    winner = max([best, expected.rank] if expected else [best])
    wanted = expected or written.of_value(key, winner[1])
    assert wanted is not None, "a rank above nothing is that of a write"
    if expected is not None and best < expected.rank:
        made.lost.add(key, expected, _shown(values), values)
    old = [node for node, rank in ranks.items() if rank < winner]
    made.behind.update(old)
    if len(set(values.values())) > 1:
        made.conflicting.add(key, wanted, _shown(values), old)
    behind = [node for node, cell in caches.items() if _rank(written, key, cell.value) < winner]
    made.behind.update(behind)
    if behind or (old and best >= winner):
        found = _shown({**values, **{node: caches[node].value for node in behind}})
        made.stale.add(key, wanted, found, [*old, *behind])


NOTHING = (-1, "")


def _rank(written: Written, key: str, value: str | None) -> tuple[int, str]:
    """By the time its writer gave it, not by the one that the store says: a store whose clock is wrong loses."""
    write = written.of_value(key, value)
    return write.rank if write else NOTHING


def _shown(values: Mapping[str, str | None]) -> str:
    return ", ".join(sorted({value or "nothing" for value in values.values()}))


def figures(
    written: Written, last: Comparison, converged_s: Mapping[str, float | None], bound_s: float
) -> dict[str, Any]:
    """The comparison as the report shows it."""
    return {
        "keys": len(written.keys),
        "acknowledged": written.acknowledged,
        "unanswered": written.count - written.acknowledged,
        "lost": last.lost.to_json(),
        "stale": last.stale.to_json(),
        "conflicting": last.conflicting.to_json(),
        "converged_s": dict(converged_s),
        "bound_s": bound_s,
    }


def verdicts(asked: Sequence[str], written: Written, last: Comparison | None, why: str, bound_s: float) -> list[Any]:
    """One line a data check, of the shape of the steady state's: (check, verdict, seen, where, hint)."""
    found = {"nothing lost": "lost", "nothing stale": "stale", "converged": "conflicting"}
    return [_verdict(check, found[check], written, last, why, bound_s) for check in asked]


def _verdict(check: str, what: str, written: Written, last: Comparison | None, why: str, bound_s: float) -> Any:
    if last is None or not written.acknowledged:
        return check, "unknown", why or "no write was acknowledged, so nothing could have been lost", "", ""
    bad: Found = getattr(last, what)
    keys = len(written.keys)
    if not bad.keys:
        return check, "held", f"0 of {keys} keys {what}, {written.acknowledged} writes acknowledged", "", ""
    example = bad.examples[0]
    seen = f"{len(bad.keys)} of {keys} keys {what} {bound_s:g} s after the regions could speak again"
    text = f"{seen}; {example['key']} should be {example['wanted']} and is {example['found']}"
    # Caches are filled from the replicas: where those differ, what is stale in caches is not the caches' fault.
    cause = "conflicting" if what == "stale" and last.conflicting.keys else what
    return check, "broken", text, example["where"], _HINTS[cause]


_HINTS = {
    "lost": "look at the order in which concurrent writes win (clocks), at hints that are dropped or expire, at repair",
    "stale": "look at invalidations between the regions (queue, consumer) and at reads that refill caches",
    "conflicting": "look at hints and repair between the replicas named, and at the clocks of those who write",
}
