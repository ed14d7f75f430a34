"""What the users saw, counted by slice, home and kind as docs/wire.md has it."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from simian.histogram import Histogram


@dataclass(slots=True)
class Outcome:
    """One request from its intended start to its end. ``region`` and ``way`` are of the answer that was good."""

    home: str
    kind: str
    ok: bool = False
    first_failed: bool = False
    shed: int = 0
    region: str = ""
    way: str = ""
    latency_ms: float = 0.0
    hops: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _Row:
    def __init__(self) -> None:
        self.ended = self.ok = self.first_failed = self.shed = 0
        self.served: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.latency = Histogram()

    def add(self, outcome: Outcome) -> None:
        self.ended += 1
        self.ok += outcome.ok
        self.first_failed += outcome.first_failed
        self.shed += outcome.shed
        self.latency.record(outcome.latency_ms)
        if outcome.ok:
            self.served[outcome.region] += 1
            self.ways[outcome.way] += 1

    def to_json(self) -> dict[str, Any]:
        return {
            "ended": self.ended, "ok": self.ok, "failed": self.ended - self.ok, "first_failed": self.first_failed,
            "shed": self.shed, "served": dict(self.served), "ways": dict(self.ways), "latency": self.latency.to_json(),
        }  # fmt: skip


class Tally:
    """Counts until ``cut`` hands out what has come together and begins anew."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        self._late_ms: list[float] = []
        self._hops: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    def began(self, late_ms: float) -> None:
        """A request was started, so much after it was meant to."""
        self._late_ms.append(late_ms)

    def ended(self, outcome: Outcome) -> None:
        """A request has come to its end, good or bad."""
        key = (outcome.home, outcome.kind)
        if key not in self._rows:
            self._rows[key] = _Row()
        self._rows[key].add(outcome)
        self.tried(outcome)

    def tried(self, outcome: Outcome) -> None:
        """Count what its tries have met so far, which the outcome then forgets: its request may go on."""
        for hop in outcome.hops:  # Counter.update is for many
            self._hops[hop] += 1
        for fault in outcome.faults:
            self._faults[fault] += 1
        for error in outcome.errors:
            self._errors[error] += 1
        for told in (outcome.hops, outcome.faults, outcome.errors):
            told.clear()

    def cut(self, start: float, seconds: float) -> dict[str, Any]:
        """The slice that began at ``start`` (epoch seconds) and lasted ``seconds``; counting begins anew."""
        rows = [{"home": home, "kind": kind, **row.to_json()} for (home, kind), row in sorted(self._rows.items())]
        made = {
            "type": "slice", "start": start, "seconds": seconds, "late_ms": _spread(self._late_ms),
            "sent": len(self._late_ms), "rows": rows, "hops": dict(self._hops), "faults": dict(self._faults),
            "errors": dict(self._errors),
        }  # fmt: skip
        self._begin()
        return made


def _spread(values: Iterable[float]) -> dict[str, float]:
    """p50, p99 (nearest rank) and maximum, in ms to the microsecond; zeros where nothing was sent."""
    ranked = sorted(values)
    if not ranked:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    shares = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    return {name: round(ranked[math.ceil(share * len(ranked)) - 1], 3) for name, share in shares.items()}
