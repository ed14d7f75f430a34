"""The record as one JSON document: the keys of the command line's contract first, then our extra ones."""

import json as library
import math
from collections.abc import Mapping
from typing import Any

FIRST = (
    "run",
    "monkey",
    "experiment",
    "seed",
    "outcome",
    "verdict",
    "recovery",
    "reasons",
    "started",
    "ended",
    "topology_hash",
    "plan_hash",
    "phases",
    "faults",
    "steady_state",
    "weaknesses",
)
_LISTS = ("reasons", "phases", "faults", "steady_state", "weaknesses")


def json(record: Mapping[str, Any], first: tuple[str, ...] = FIRST) -> str:
    """One line and a newline, in ASCII: no character of a name can reach a terminal as it is.

    Every key of ``first`` is there, as the contract has it; not-a-number and infinity, which JSON does not have, are
    null.
    """
    whole = {key: record.get(key, [] if key in _LISTS else None) for key in first} | dict(record)
    return library.dumps(_finite(whole), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
