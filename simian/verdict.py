"""Three separate facts of a run, outcome, verdict and recovery, and the exit code they make. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simian.journal import Entry
from simian.tally import nobody_met

HELD, BROKEN, STUCK, REFUSED, UNKNOWN = 0, 1, 5, 3, 4


def worst(verdicts: Sequence[str]) -> str:
    """Broken beats unknown beats held; nothing judged is unknown."""
    for verdict in ("broken", "unknown"):
        if verdict in verdicts:
            return verdict
    return "held" if verdicts else "unknown"


def exit_code(outcome: str, verdict: str, recovery: str, *, leashed: bool = False) -> int:
    """Stuck 5, refused 3, broken 1, aborted or crashed or unknown 4, held 0: the first that applies.

    A leashed run that came to the end of its leash did all it was asked to: 0.
    """
    if recovery == "stuck":
        return STUCK
    if outcome == "refused":
        return REFUSED
    if verdict == "broken":
        return BROKEN
    if leashed and outcome == "completed":
        return HELD
    if outcome != "completed" or verdict != "held":
        return UNKNOWN
    return HELD


def doubts(
    rows: Sequence[Mapping[str, Any]],
    entries: Sequence[Entry],
    *,
    exposure_assumed: bool,
    why_unmet: Callable[[str], str] = nobody_met,
) -> list[str]:
    """Why the faults of a run do not prove anything: no evidence, or nobody met them (``why_unmet`` says of which)."""
    found = []
    for row, entry in zip(rows, entries, strict=True):
        called = f"{entry.fault.kind} of {entry.fault.target}"
        evidence = json.loads(row["evidence"] or "{}")
        if evidence.get("held") is not True:
            seen = evidence.get("seen", "nobody looked")
            found.append(f"unknown: the {called} is not proven to have been in place: {seen}")
        elif not row["exposure"] and not exposure_assumed:
            found.append(f"unknown: {why_unmet(called)}")
    return list(dict.fromkeys(found))
