"""What values a check may have: ``>= 99.9 %``, ``<= 250 ms``, ``<= 1.5 x baseline``, ``== 0``."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

UnitKind = Literal["share", "ms", "plain", "relative"]

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
UNITS: dict[str, tuple[UnitKind, float]] = {
    "": ("plain", 1.0),
    "%": ("share", 0.01),
    "us": ("ms", 0.001),
    "ms": ("ms", 1.0),
    "s": ("ms", 1000.0),
    "m": ("ms", 60_000.0),
    "x baseline": ("relative", 1.0),
}
FORMS = "'>= 99.9 %', '<= 250 ms', '<= 1.5 x baseline', '== 0'"
_SHAPE = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([a-zA-Z% ]*?)\s*\Z")
_FEWEST = 30  # below so many requests no share says anything
_STRICT = 500  # for "none at all" (100 %, 0 %), where the rule of three would ask for infinitely many


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit for a check's value.

    ``value`` is a share (0..1), milliseconds, a plain number or a factor of the run's own baseline, as ``kind`` says.
    """

    text: str
    op: str
    value: float
    kind: UnitKind

    @classmethod
    def parse(cls, text: str) -> "Tolerance":
        """Read it from its text. Raises ValueError that says what would be right."""
        found = _SHAPE.match(text) if isinstance(text, str) and len(text) <= 100 else None
        if found is None:
            raise ValueError(f"{text!r:.60} is no tolerance; right would be {FORMS}")
        op, number, unit = found.group(1), found.group(2), " ".join(found.group(3).split())
        if unit not in UNITS:
            raise ValueError(f"{text!r:.60} has the unknown unit {unit!r:.20}; right would be {FORMS}")
        kind, factor = UNITS[unit]
        value = round(float(number) * factor, 12)  # so that 99.9 % is the share 0.999 and 999 of 1,000 hold
        _check_range(text, kind, value)
        return cls(" ".join(text.split()), op, value, kind)

    def limit(self, baseline: float | None) -> float | None:
        """The number to compare with; ``None`` while a relative tolerance has no baseline."""
        if self.kind != "relative":
            return self.value
        return None if baseline is None else self.value * baseline

    def holds(self, value: float | None, baseline: float | None = None) -> bool | None:
        """Whether the value lies within; ``None`` when that cannot be said."""
        limit = self.limit(baseline)
        if value is None or limit is None or not math.isfinite(value):
            return None
        return OPERATORS[self.op](value, limit)

    def needed(self, baseline: float | None = None) -> int:
        """How many requests a share needs before it may be called held: the rule of three (99.9 %: 3,000)."""
        limit = self.limit(baseline)
        if limit is None:
            return _STRICT
        room = 1.0 - limit if self.op.startswith(">") else limit
        if self.op in ("==", "!=") or room <= 1e-9:
            return _STRICT
        return max(_FEWEST, math.ceil(round(3.0 / room, 6)))


def _check_range(text: str, kind: UnitKind, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{text!r:.60} is out of range; right would be {FORMS}")
    if kind == "share" and not 0.0 <= value <= 1.0:
        raise ValueError(f"{text!r:.60} is no share; right would be 0 % to 100 %")
    if kind in ("ms", "relative") and value <= 0:
        raise ValueError(f"{text!r:.60} can never hold; right would be a number above 0")
