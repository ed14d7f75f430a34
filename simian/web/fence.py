"""What this process may not do, whatever it is made to: reach an engine or anything else, start a program.

A web page is what strangers get at first; an engine's socket is root. So the interpreter itself is asked (PEP 578) to
refuse, for as long as the process lives. A library in C is not seen by it: libpq connects by itself. So whoever opens a
database says which beforehand (``simian.history.database``), and only the one of the settings is opened.
"""

import os
import sys
from collections.abc import Callable

from simian.history.database import OPENS, address, shown

_PROGRAMS = (
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
)
_CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")


class Fenced(RuntimeError):
    """The process tried what it may not."""


def fence(socket: str, history: str) -> None:
    """From now on, and for good: one Unix socket, one database, and no program. Raises UsageError for no database."""
    sys.addaudithook(hook(socket, shown(address(history))))


def hook(socket: str, database: str) -> Callable[[str, tuple[object, ...]], None]:
    """What decides; ``database``: as ``shown``. Raises Fenced."""

    def decide(event: str, arguments: tuple[object, ...]) -> None:
        if event in _CONNECTS:
            place = arguments[1]  # of ``sendmsg`` None, where it is connected already
            if place is not None and place not in (socket, socket.encode()):
                raise Fenced(f"the web process may not connect to {place!r}, only to the daemon's socket")
        elif event == OPENS or event == "sqlite3.connect":
            named = str(arguments[0]) if event == OPENS else _file(arguments[0])
            if named != database:
                raise Fenced(f"the web process may not open {named}, only the history of its settings")
        elif event in _PROGRAMS:
            raise Fenced("the web process starts no programs")

    return decide


def _file(given: object) -> str:
    return os.path.abspath(os.fsdecode(given)) if isinstance(given, str | bytes | os.PathLike) else repr(given)
