"""What this process may not do, whatever it is made to: reach a socket of an engine, start a program.

A web page is what strangers get at first; an engine's socket is root. So the interpreter itself is asked (PEP 578) to
refuse, for as long as the process lives.
"""

import sys
from collections.abc import Callable

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


class Fenced(RuntimeError):
    """The process tried what it may not."""


def fence(socket: str) -> None:
    """From now on, and for good: of Unix sockets only this one may be connected to, and no program is started."""
    sys.addaudithook(hook(socket))


def hook(socket: str) -> Callable[[str, tuple[object, ...]], None]:
    """What decides. Raises Fenced."""

    def decide(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            place = arguments[1]
            if isinstance(place, str | bytes) and place not in (socket, socket.encode()):
                raise Fenced(f"the web process may not connect to {place!r}, only to the daemon's socket")
        elif event in _PROGRAMS:
            raise Fenced("the web process starts no programs")

    return decide
