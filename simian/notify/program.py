"""Running a program to its end, or ending it with all that it started."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence


def run_to_its_end(arguments: Sequence[str], given: bytes, limit_s: float) -> int:
    """Its exit code. No shell, no environment but a plain PATH, nothing of what it prints is kept.

    Raises OSError where it cannot be started, TimeoutExpired where it had to be ended.
    """
    process = subprocess.Popen(
        list(arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
    )
    with process:
        try:
            process.communicate(given, timeout=limit_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode
