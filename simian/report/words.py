"""Numbers, times and lists as people read them. Times are UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime

from simian.tolerance import Tolerance

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]  # whatever the locale
NOTHING = "-"


def epoch_s(moment: str | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 text (no zone: UTC). Raises ValueError."""
    if moment is None:
        return None
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def clock_time(at: float | None) -> str:
    """``10:00:21``."""
    return NOTHING if at is None else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def day(at: float) -> str:
    """``22 Nov 2026``."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def span(seconds: float | None) -> str:
    """``0.4 s``, ``30 s``, ``1 min 2 s``, ``2 h 3 min``."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def milliseconds(ms: float | None) -> str:
    """``9.8 ms``, ``31 ms``, ``1.93 s``."""
    if ms is None:
        return NOTHING
    if ms >= 999.5:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"


def count(number: int, noun: str = "") -> str:
    """``1 fault``, ``4,210 requests``."""
    shown = f"{number:,}"
    if not noun:
        return shown
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeou" else f"{noun}s"
    return f"{shown} {noun if number == 1 else plural}"


def percent(share: float) -> str:
    """``99.95 %``; never ``100 %`` for less than all, never ``0 %`` for more than nothing."""
    for digits in range(2, 7):
        shown = f"{share * 100:.{digits}f}"
        if (float(shown) != 100 or share == 1) and (float(shown) != 0 or share == 0):
            break
    return f"{shown.rstrip('0').rstrip('.')} %"


def part(some: int, whole: int) -> str:
    """``12 of 480 (2.5 %)``."""
    return f"{some:,} of {whole:,} ({percent(some / whole)})" if whole else f"{some:,}"


def measured(value: float | str | bool | None, tolerance: str) -> str:
    """A check's value in the unit that its tolerance is written in."""
    if value is None:
        return NOTHING
    if isinstance(value, bool | str):
        return str(value)
    kind = _kind(tolerance)
    if kind == "share":
        return percent(value)
    return milliseconds(value) if kind == "ms" else f"{value:.4g}"


def _kind(tolerance: str) -> str:
    try:
        return Tolerance.parse(tolerance).kind
    except ValueError:  # words of somebody's own check: its numbers have no unit that we know
        return "plain"


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; ``a, b, c, d, e, f and 9 more``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def grouped(faults: Sequence[str]) -> str:
    """``kill members-east-a and cache-east-a; delay dns``: a kind once, then what it hit."""
    kinds: dict[str, list[str]] = {}
    for name in faults:
        kind, _, target = name.partition(" ")
        kinds.setdefault(kind, []).append(target)
    return "; ".join(f"{kind} {listed(targets)}" for kind, targets in kinds.items())
