"""Named points at which a process can be made to die, to prove that dying there leaves nothing broken.

A crash point is an argument: a callable that gets the point's name. The null object does nothing; the composition
root fills in ``CrashAt`` from ``SIMIAN_CRASH_AT`` (``NAME`` or ``NAME#K`` for the K-th time that point is reached).
"""

import os
import signal
from collections.abc import Callable

CrashPoint = Callable[[str], None]


def no_crash(name: str) -> None:
    """The null crash point."""


class CrashAt:
    """Kill this process by SIGKILL when the point ``spec`` is reached; prints nothing, flushes nothing."""

    def __init__(self, spec: str) -> None:
        self.name, _, times = spec.partition("#")
        self.left = int(times or 1)

    def __call__(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Recording:
    """Keeps the names of the points reached, in order: how a harness learns which there are."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
