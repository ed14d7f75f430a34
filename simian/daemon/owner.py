"""Which daemon: machine, boot, pid and start, so that none is ever taken for another."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from simian.owner import Owner


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""


@dataclass(frozen=True)
class Daemon:
    """One daemon, alive or not. ``host`` names machine and state folder: daemons that share it share a journal."""

    host: str
    boot: str
    pid: int
    start_time: str

    @classmethod
    def me(cls, folder: Path, pid: int | None = None) -> "Daemon":
        """This process, with the state folder of its system."""
        owner = Owner.of(pid or os.getpid())
        return cls(f"{platform.node()}:{folder}", _boot(), owner.pid, owner.start_time)

    @classmethod
    def named(cls, name: str) -> "Daemon":
        """From ``name``; what is no such name is a daemon on no machine we know."""
        parts = name.rsplit("|", 3)
        if len(parts) != 4 or not parts[2].isdigit():
            return cls(name, "", -1, "-")
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    @property
    def name(self) -> str:
        """Its name in the rows."""
        return f"{self.host}|{self.boot}|{self.pid}|{self.start_time}"

    @property
    def alive(self) -> bool:
        """Whether this very process lives on this machine."""
        return self.boot == _boot() and Owner(self.pid, self.start_time).alive
