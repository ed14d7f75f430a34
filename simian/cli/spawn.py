"""Start simian's own processes: afresh, each in a session of its own, no descriptor inherited but its pipes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, cast


def spawn(module: str, *, log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """``python -m module`` with pipes for stdin and stdout; stderr goes to the end of ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # a Ctrl-C of the terminal hits the whole group otherwise
            close_fds=True,  # an inherited pipe end would hide a death
            env=dict(environment),
        )


def pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    """Its stdin and stdout."""
    return cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)


@contextlib.contextmanager
def talk(process: "subprocess.Popen[bytes]") -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Its stdin and stdout, closed in the end."""
    to, of = pipes(process)
    try:
        yield to, of
    finally:
        of.close()
        with contextlib.suppress(OSError):  # what it was to be told and did not live to hear
            to.close()
