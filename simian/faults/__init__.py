"""Every kind of fault. Closed to the package: a fault must be undoable with every plug-in gone."""

from simian.faults.link import Cut, Delay, Throttle
from simian.faults.node import Crash, Kill, Pause, Stop
from simian.faults.request import RequestDelay, RequestError

__all__ = ["Crash", "Cut", "Delay", "Kill", "Pause", "RequestDelay", "RequestError", "Stop", "Throttle"]
