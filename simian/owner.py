"""Which process: a pid together with its start time, so that a pid used again is never taken for the same process."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


def start_time_of(pid: int) -> str | None:
    """When a process started, as the kernel tells it; ``None`` when there is none (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    except (ProcessLookupError, PermissionError):
        return None
    state, threads, started = fields[0], int(fields[17]), fields[19]
    return None if state == "Z" and threads <= 1 else started  # other threads end later, and hold its files until then


def _start_time_by_ps(pid: int) -> str | None:
    # Where ps is differs; the PATH is that of whoever runs simian.
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # nosec B607
    return answer.stdout.strip() or None


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that owns something (a run, a guardian's duty)."""

    pid: int
    start_time: str

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "Owner":
        """The process that has this pid now; a start time of "" where it lives no more."""
        return cls(pid, start_time_of(pid) or "")

    @property
    def alive(self) -> bool:
        """Whether this very process still lives."""
        return start_time_of(self.pid) == self.start_time

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it lives no more."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False
