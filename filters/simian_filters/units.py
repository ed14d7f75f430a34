"""Durations and shares as people write them: ``500ms``, ``30s``, ``5m``, ``24h``; ``10%`` or ``0.1``.

Everything here raises ``ValueError`` with a sentence that says what was wrong and what would be right.
"""

import math
import re

LONGEST_S = 366 * 86_400.0  # beyond a year a duration is a slip of the pen, and sleeps overflow

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
_DURATION = re.compile(rf"({_NUMBER})\s*(ms|s|m|h)")
_SHARE = re.compile(rf"({_NUMBER})\s*(%?)")
_MS = {"ms": 1.0, "s": 1_000.0, "m": 60_000.0, "h": 3_600_000.0}
_LONGEST_TEXT = 64


def shown(text: str) -> str:
    """The text as a message quotes it: never more than a line of it."""
    return repr(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…")


def parse_duration_ms(text: str) -> float:
    """Milliseconds, 0 or more, of ``500ms``, ``30s``, ``5m`` or ``24h``. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{shown(text)} is no duration; write a number and a unit: 500ms, 30s, 5m, 24h")
    value = float(found[1]) * _MS[found[2]] + 0.0  # + 0.0: no negative zero
    if value < 0:
        raise ValueError(f"{shown(text)} is negative; a duration is 0 or more, such as 500ms")
    if not math.isfinite(value) or value > LONGEST_S * 1_000:
        raise ValueError(f"{shown(text)} is too long; a duration is at most {LONGEST_S / 3600:.0f}h")
    return value


def parse_duration_s(text: str) -> float:
    """Seconds, 0 or more, of ``500ms``, ``30s``, ``5m`` or ``24h``. Raises ValueError."""
    return parse_duration_ms(text) / 1_000


def parse_share(text: str) -> float:
    """A share between 0 and 1, of ``10%`` or ``0.1``. Raises ValueError."""
    found = _SHARE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{shown(text)} is no share; write 10% or 0.1")
    share = float(found[1]) / (100 if found[2] else 1) + 0.0  # + 0.0: no negative zero
    if share < 0:
        raise ValueError(f"{shown(text)} is negative; a share lies between 0% and 100%")
    if not share <= 1:
        raise ValueError(f"{shown(text)} is over 100 %; a share lies between 0% and 100%: 10% is the same as 0.1")
    return share


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number: ``100``, ``0.1``."""
    return repr(float(value)).removesuffix(".0")
