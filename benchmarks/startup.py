"""How long commands take to begin: beside Chaos Toolkit's `chaos --help`, and beside importing all that simian needs.

    python benchmarks/startup.py [--rounds 5] [--json FILE] [--quick]

The peer is the `chaos` on PATH (python -m venv v; v/bin/pip install chaostoolkit==1.19.0). Each command runs in a
folder with a small system and a long history, once unmeasured for caches and compiled files, then in turns.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import journal
from peers import Goal, Report, Row, compared, interleaved, run

# What pyproject.toml asks for, by the modules that a tool would use of it.
EVERYTHING = (
    "typer, apscheduler.schedulers.asyncio, toxiproxy, requests, sqlalchemy.orm, alembic.command, pydantic, "
    "ruamel.yaml, rich.console, rich.table, rich.live, httptools, dnslib, platformdirs, docker"
)
SIMIAN = (sys.executable, "-P", "-m", "simian")
PAGE = (*SIMIAN, "history")
SYSTEM = """system: shop
platform: {driver: memory}
network: {driver: memory}
requests: {driver: memory}
observer: {driver: memory}
"""
RUNS, QUICK_RUNS = 10_000, 100
REMEDY = "make a virtual environment with chaostoolkit==1.19.0 and put its bin folder at the end of PATH"
Times = tuple[list[float], list[float]]  # ms elapsed, ms of the processor


def times_ms(command: tuple[str, ...], folder: str) -> tuple[float, float]:
    """Elapsed and of the processor, of one whole command. Raises CalledProcessError when it fails."""
    before, begin = os.times(), time.perf_counter()
    environment = os.environ | {"SIMIAN_STATE": folder}
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    elapsed_s, after = time.perf_counter() - begin, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 * elapsed_s, 1000 * cpu_s


def timed(commands: list[tuple[str, ...]], folder: str, rounds: int) -> list[Times]:
    """Each command's times, a pair of lists with an entry for each round."""
    taken: list[Times] = [([], []) for _ in commands]

    def one(index: int) -> Callable[[], float]:
        def measure() -> float:
            for series, value in zip(taken[index], times_ms(commands[index], folder), strict=True):
                series.append(value)
            return 0.0

        return measure

    interleaved(rounds, *map(one, range(len(commands))))
    return taken


def with_history(folder: str, runs: int) -> None:
    """Fill the history that the command line uses there."""
    Path(folder, "simian.yaml").write_text(SYSTEM)
    times_ms(PAGE, folder)  # makes it
    (file,) = Path(folder).rglob("history.db")
    journal.fill(file, runs)


def rows(ours: Times, what: str, peer: Times | None, name: str, most: float) -> list[Row]:
    """Elapsed, which has the goal, and the processor's time, which a busy machine disturbs less."""
    goal = Goal(most)
    return [
        compared(f"{what}, {kind}", "ms", mine, theirs, name, goal)
        for kind, mine, theirs in zip(("elapsed", "CPU"), ours, peer or (None, None), strict=True)
    ]


def measure(report: Report) -> None:
    """All commands in turns; the peer among them where it is."""
    chaos = report.program("chaos", REMEDY, "--version")
    commands = [(*SIMIAN, "--help"), PAGE, (sys.executable, "-c", f"import {EVERYTHING}")]
    with tempfile.TemporaryDirectory() as folder:
        with_history(folder, QUICK_RUNS if report.quick else RUNS)
        commands += [(chaos, "--help")] if chaos else []
        timed(commands, folder, 1)
        shown, page, everything, *peer = timed(commands, folder, report.rounds)
    toolkit = peer[0] if peer else None
    report.rows += rows(shown, "simian --help", toolkit, "chaos --help", 0.5)
    report.rows += rows(page, "simian history", toolkit, "chaos --help", 0.5)
    report.rows += rows(shown, "simian --help", everything, "importing all of it", 0.15)


if __name__ == "__main__":
    run("startup", __doc__, measure)
