"""Schedules as people write them, on the line and in simian.yaml, and as they are told."""

import re
import zlib
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from simian_filters.units import parse_duration_s

from simian.errors import UsageError
from simian.schedule.when import moment_of, text_of

_CHANCE = re.compile(r"\s*mean\s+(\d+(?:\.\d+)?)\s*d\s*(?:,\s*min\s+(\d+)\s*d\s*)?", re.IGNORECASE)
KINDS = ("cron", "every", "chance", "at")


def when_words(given: Mapping[str, str | None], zone: ZoneInfo) -> dict[str, Any]:
    """``when`` from the one of ``cron``, ``every``, ``chance``, ``at`` that is given. Raises UsageError."""
    there = {kind: text for kind in KINDS if (text := given.get(kind)) is not None}
    if len(there) != 1:
        said = " and ".join(there) or "nothing"
        raise UsageError(f"a schedule is due by one of {', '.join(KINDS)}, not by {said}")
    ((kind, text),) = there.items()
    match kind:
        case "cron":
            return {"cron": " ".join(text.split())}
        case "every":
            return {"every_s": span_s("every", text)}
        case "at":
            return {"at": text_of(moment_of(text, zone))}
        case _:
            return {"chance": _chance(text)}


def span_s(key: str, text: str) -> float:
    """Seconds of ``30s``, ``5m``, ``24h``, and of days: ``2d``. Raises UsageError."""
    days = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*d\s*", text)
    if days:
        return float(days[1]) * 86_400.0
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from error


def _chance(text: str) -> dict[str, Any]:
    matched = _CHANCE.fullmatch(text)
    if not matched:
        raise UsageError(f'chance {text!r} cannot be read; right would be "mean 2d" or "mean 2d, min 1d", in work days')
    return {"mean_days": float(matched[1]), "min_days": int(matched[2] or 1)}


def seed_of(name: str) -> int:
    """The seed of a declared schedule that names none: always the same, so that its previews are."""
    return zlib.crc32(name.encode())


def told_when(when: Mapping[str, Any]) -> str:
    """``when`` in a few words."""
    if "cron" in when:
        return f"cron {when['cron']}"
    if "every_s" in when:
        return f"every {told_span(when['every_s'])}"
    if "at" in when:
        return f"at {when['at'][:16]}Z"
    chance = when["chance"]
    return f"chance, mean {chance['mean_days']:g} d, min {chance.get('min_days', 1)} d"


def told_span(seconds: float) -> str:
    """A duration as ``span_s`` reads it."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
