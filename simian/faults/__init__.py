"""Every kind of fault. Closed to the package: a fault must be undoable with every plug-in gone."""

from simian.faults.link import Cut, Delay, Throttle
from simian.faults.node import Crash, Kill, Pause, Stop
from simian.faults.request import RequestDelay, RequestError
from simian.faults.steering import FailoverMode, Misrouted, Shift

__all__ = [
    "Crash",
    "Cut",
    "Delay",
    "FailoverMode",
    "Kill",
    "Misrouted",
    "Pause",
    "RequestDelay",
    "RequestError",
    "Shift",
    "Stop",
    "Throttle",
]
