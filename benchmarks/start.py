"""How long `simian --help` takes, as a ratio to Chaos Toolkit's `chaos --help` in the same run, interleaved.

The peer is installed once, into a virtual environment of its own beside this file.
Goal: at most 0.5 (median of ``ROUNDS``), in elapsed and in processor time.
"""

import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROUNDS = 9
PEERS = Path(__file__).parent / ".peers"
SIMIAN = [sys.executable, "-m", "simian", "--help"]
PEER = [str(PEERS / "bin" / "chaos"), "--help"]


def installed() -> None:
    """Install the peer unless it is there."""
    if not (PEERS / "bin" / "chaos").exists():
        venv.create(PEERS, with_pip=True)
        subprocess.run([str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q", "chaostoolkit"], check=True)


def timed(command: list[str]) -> tuple[float, float]:
    """Elapsed and processor seconds of one whole command."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - began, used


def main() -> None:
    """Print both medians and their ratio."""
    installed()
    ours, theirs = [], []
    timed(SIMIAN), timed(PEER)  # compiled files and caches are there from now on
    for _ in range(ROUNDS):
        ours.append(timed(SIMIAN))
        theirs.append(timed(PEER))
    for what, index in (("elapsed", 0), ("processor", 1)):
        mine, peers = (statistics.median(row[index] for row in rows) for rows in (ours, theirs))
        print(
            f"simian --help {mine * 1000:.0f} ms, chaos --help {peers * 1000:.0f} ms {what}: ratio {mine / peers:.2f}"
        )


if __name__ == "__main__":
    main()
