"""The server that clients are measured against: a process of its own that can be frozen, and how many it has served."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.77.0.1"
PATH = "/play?member=east-1"
SCRIPT = Path(__file__).parents[1] / "tests" / "load" / "small_server.py"


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port on ``HOST``; killed at the end, frozen or not."""
    process = subprocess.Popen([sys.executable, "-I", str(SCRIPT)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def url(port: int) -> str:
    """Where clients that are programs of their own go."""
    return f"http://{HOST}:{port}{PATH}"
