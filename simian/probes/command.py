"""One command of the operator's own: an argument list, never a shell."""

import os
import subprocess
from typing import Literal

from simian.probe import Reading, probe

MOST_BYTES = 64 * 1024


@probe("command")
def run(
    arguments: list[str],
    expect: int = 0,
    measure: Literal["ok", "number"] = "ok",
    environment: dict[str, str] | None = None,
) -> Reading:
    """1.0 when the command ends with the exit code ``expect``, else 0.0; or the number it prints.

    It gets no shell, no input and no environment but a plain PATH and what ``environment`` names.
    """
    if not arguments:
        raise ValueError('command: an argument list, such as ["/usr/bin/pg_isready", "-q"]')
    surroundings = {"PATH": os.defpath, "LANG": "C.UTF-8"} | (environment or {})
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=surroundings
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read(MOST_BYTES).decode("utf-8", "replace").strip()
        process.stdout.close()
        code = process.wait()
    if measure == "ok":
        return Reading(float(code == expect), f"exit code {code}")
    if code != expect:
        raise ValueError(f"exit code {code}; {printed[:100]}")
    return Reading(float(printed.split()[-1] if printed else "nothing"), printed[:100])
