"""What judging a check means: a verdict of three values, phase by phase, and an alarm for the guard."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from simian.probe import Check, Observation
from simian.tolerance import UnitKind

# "moving": users are being moved after a blow that was dealt first; what they lose until then is told, not judged.
Phase = Literal["baseline", "moving", "during", "after"]
Verdict = Literal["held", "broken", "unknown"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what was seen."""

    verdict: Verdict
    seen: str = ""


class Judge(Protocol):
    """What the steady state asks of a check."""

    check: Check
    alarmed: str
    noticed: str  # what would have been an alarm, had it not come while moving
    unit: UnitKind

    def take(self, phase: Phase, seen: Observation) -> None:
        """Count an observation, if it is this check's."""
        ...

    def forget(self, phase: Phase) -> None:
        """Count this phase from nothing again."""
        ...

    def value(self, phase: Phase) -> float | None:
        """The check's value over a phase (``after``: over its latest stretch)."""
        ...

    def count(self, phase: Phase) -> int:
        """Requests or readings of a phase."""
        ...

    def recent(self, seconds: float) -> float | None:
        """The value of the last seconds, for abort conditions."""
        ...

    def holds_now(self, phase: Phase) -> bool | None:
        """Whether it holds, for gates."""
        ...

    def judge(self, blind: bool, blind_after: bool = False) -> Judgement:
        """The verdict. ``blind``: the users' feed was missing or void for too long during; ``blind_after``: since."""
        ...

    def where(self) -> str:
        """Where it was worst, once it is broken."""
        ...


def shown(value: float | None, kind: UnitKind) -> str:
    """A value as people read it: ``99.95 %``, ``250 ms``, ``3``."""
    if value is None:
        return "nothing"
    if kind == "share":
        return f"{value * 100:.5g} %"
    return f"{value:.4g} ms" if kind == "ms" else f"{value:.6g}"


def probe_text(settings: Mapping[str, object]) -> str:
    """``http http://127.0.0.1:8080/health, expect 200``."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())
