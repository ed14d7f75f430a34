"""simian breaks a multi-region system on purpose, watches its users, and always puts back what it broke.

What a monkey or probe of one's own needs is importable from here; it is loaded when it is first asked for, so that
``import simian`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simian.faults import (
        Crash,
        Cut,
        Delay,
        FailoverMode,
        Kill,
        Misrouted,
        Pause,
        RequestDelay,
        RequestError,
        Shift,
        Stop,
        Throttle,
    )
    from simian.monkey import Radius, monkey
    from simian.plan import Stage
    from simian.probe import Reading, probe
    from simian.secrets import Secret
    from simian.topology import Link, Node, Region, Topology, Zone

__version__ = "0.1.0"

_HOMES = {
    "simian.faults": (
        *("Crash", "Cut", "Delay", "FailoverMode", "Kill", "Misrouted", "Pause", "RequestDelay", "RequestError"),
        *("Shift", "Stop", "Throttle"),
    ),
    "simian.monkey": ("Radius", "monkey"),
    "simian.plan": ("Stage",),
    "simian.probe": ("Reading", "probe"),
    "simian.secrets": ("Secret",),
    "simian.topology": ("Link", "Node", "Region", "Topology", "Zone"),
}
# `simian.monkey` and `simian.probe` are modules, too; those are callable as the decorators of their name, so that it
# does not matter which of the two `from simian import monkey` finds.
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Crash",
    "Cut",
    "Delay",
    "FailoverMode",
    "Kill",
    "Link",
    "Misrouted",
    "Node",
    "Pause",
    "Radius",
    "Reading",
    "Region",
    "RequestDelay",
    "RequestError",
    "Secret",
    "Shift",
    "Stage",
    "Stop",
    "Throttle",
    "Topology",
    "Zone",
    "__version__",
    "monkey",
    "probe",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'simian' has no attribute {name!r}")
