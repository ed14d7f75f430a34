"""Processes known by pid *and* start time, so that a number used again by the system is never taken for ours."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Identity:
    """One process of this machine; ``start_time`` as the kernel tells it, as text."""

    pid: int
    start_time: str

    @property
    def text(self) -> str:
        """``<pid>-<start_time>``: what a node calls its incarnation."""
        return f"{self.pid}-{self.start_time}"

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_time_of(self.pid) == self.start_time

    def send(self, number: int) -> bool:
        """Signal it, if it is still this very process; whether it was."""
        if not self.alive():
            return False
        with contextlib.suppress(ProcessLookupError):  # it ended in between: what was wanted
            os.kill(self.pid, number)
        return True

    @classmethod
    def own(cls) -> "Identity":
        """This process."""
        pid = os.getpid()
        return cls(pid, start_time_of(pid) or "0")

    @classmethod
    def from_json(cls, shape: dict[str, Any]) -> "Identity | None":
        """From ``{"pid": …, "start_time": …}``; ``None`` where there was no process yet."""
        return cls(int(shape["pid"]), str(shape["start_time"])) if shape.get("pid") else None


def start_time_of(pid: int) -> str | None:
    """When this process started, in the kernel's own words; ``None`` when there is none (or only its zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None if os.path.isdir("/proc/self") else _start_time_by_ps(pid)
    # The name in parentheses may hold spaces and parentheses of its own; what follows the last one does not.
    state, *fields = stat[stat.rindex(b")") + 2 :].split()
    others = int(fields[16]) > 1  # threads that end after the first one hold the ports and files until they have
    return None if state in (b"Z", b"X") and not others else fields[18].decode()


def _start_time_by_ps(pid: int) -> str | None:
    # Where ps is differs; the PATH is that of whoever runs the lab.
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # nosec B607
    state, _, started = done.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def end_all(identities: Iterable[Identity], *, grace_s: float = 2.0) -> None:
    """End them in good order; kill those which have not ended after ``grace_s``. Returns when none is left."""
    left = [identity for identity in identities if identity.send(signal.SIGTERM)]
    for identity in left:
        identity.send(signal.SIGCONT)  # a paused process must run to hear of it
    left = wait_for_end(left, grace_s)
    for identity in left:
        identity.send(signal.SIGKILL)
    wait_for_end(left, grace_s)


def wait_for_end(identities: Iterable[Identity], timeout_s: float) -> list[Identity]:
    """Wait until they have ended; returns those that have not by then."""
    deadline = time.monotonic() + timeout_s
    left = [identity for identity in identities if identity.alive()]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [identity for identity in left if identity.alive()]
    return left
