"""One process of this machine, known by pid *and* start time: a number the system used again is never taken for it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProcessState = Literal["running", "paused", "stopped"]
_POLL_S = 0.005
_PS_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """``start_time`` is as the kernel tells it, as text (Linux: field 22 of ``/proc/PID/stat``)."""

    pid: int
    start_time: str

    @property
    def text(self) -> str:
        """``<pid>-<start_time>``."""
        return f"{self.pid}-{self.start_time}"

    def state(self) -> ProcessState:
        """``paused`` by a signal, ``stopped`` when this very process is no more (a zombie is no more)."""
        start_time, letter = _look(self.pid)
        if start_time != self.start_time or letter in ("Z", "X", ""):
            return "stopped"
        return "paused" if letter == "T" else "running"

    def send(self, number: int) -> bool:
        """Signal it if it is still this very process; whether it was. Raises PermissionError."""
        with contextlib.ExitStack() as stack:
            if hasattr(os, "pidfd_open"):  # a handle first, so that the number cannot change hands after the look
                try:
                    handle = os.pidfd_open(self.pid)
                except ProcessLookupError:
                    return False
                stack.callback(os.close, handle)
                return self.state() != "stopped" and _sent(lambda: signal.pidfd_send_signal(handle, number))
            return self.state() != "stopped" and _sent(lambda: os.kill(self.pid, number))

    def wait_until(self, state: ProcessState, limit_s: float) -> bool:
        """Wait until it is in that state; whether it was within ``limit_s``."""
        deadline = time.monotonic() + limit_s
        while self.state() != state:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def identity_of(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now, if there is one."""
    start_time, letter = _look(pid)
    return ProcessIdentity(pid, start_time) if start_time and letter not in ("Z", "X") else None


def _sent(send: Callable[[], None]) -> bool:
    try:
        send()
    except ProcessLookupError:  # it ended since we looked
        return False
    return True


def _look(pid: int) -> tuple[str, str]:
    """Start time and state letter; empty ones when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ("", "") if os.path.isdir("/proc/self") else _look_by_ps(pid)
    # The name in parentheses may hold spaces and parentheses of its own; what follows the last one does not.
    letter, *fields = stat[stat.rindex(b")") + 2 :].decode().split()
    if letter == "Z" and int(fields[16]) > 1:  # its first thread has ended; the others still hold its ports and files
        letter = "R"
    return fields[18], letter


def _look_by_ps(pid: int) -> tuple[str, str]:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PS_LIMIT_S)
    stat, _, started = done.stdout.strip().partition(" ")
    return started.strip(), stat[:1]
