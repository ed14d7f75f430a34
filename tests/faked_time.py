"""The time of day of some processes, changed while they run: by libfaketime, where it is installed."""

import os
from pathlib import Path

from .real_parts import part_missing

PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime", "/opt/homebrew/lib/faketime")
# libfaketime 0.9.10 calls a sleep until a moment of the monotonic clock invalid where it leaves that clock alone, and
# this is how Python sleeps.
SLEEP = """
import select, time

def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)

time.sleep = sleep
"""


def _library() -> Path:
    found = [each for place in PLACES for each in Path("/").glob(f"{place[1:]}/libfaketimeMT.*")]
    if not found:
        part_missing("faketime", "no libfaketime is found; install faketime")
    return found[0]


class FakedTime:
    """What clocks on the wall show to Python's processes with this environment; how long things take is left alone."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "time"
        own = folder / "python"
        own.mkdir()
        (own / "sitecustomize.py").write_text(SLEEP)
        self.environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(own), os.environ.get("PYTHONPATH")])),
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # as older ones call it
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """By how much it differs from this machine's from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.replace(self._file)
