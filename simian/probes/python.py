"""A Python function that is installed beside simian."""

import importlib
from typing import Any

from simian.probe import Probe, Reading, probe


@probe("python")
def call(function: str, options: dict[str, Any] | None = None) -> Reading:
    """What ``module:function`` returns, a number or a Reading, called with ``options``."""
    module, _, name = function.partition(":")
    if not module or not name:
        raise ValueError(f"{function!r:.80} is no function; right would be module:function")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    seen = found.function(**(options or {})) if isinstance(found, Probe) else found(**(options or {}))
    return seen if isinstance(seen, Reading) else Reading(seen)
