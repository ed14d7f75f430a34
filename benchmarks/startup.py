"""How long commands take to begin: beside Chaos Toolkit's `chaos --help`, and beside importing all that simian needs.

    python benchmarks/startup.py [--rounds 5] [--json FILE] [--quick]

The peer is the `chaos` on PATH (python -m venv v; v/bin/pip install chaostoolkit==1.19.0). Each command runs in a
folder with a small system and a long history, once unmeasured for caches and compiled files, then in turns. All find
their compiled files there, ours and the peer's: what pip has installed has them, a checkout need not.
"""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from operator import attrgetter
from pathlib import Path

from peers import Goal, Report, Row, Used, compared, interleaved, run, used

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
IMPORTS = (
    "Most of it is the interpreter and Typer, as of `--help`; the rest are sqlite3 and our modules. SQLAlchemy (runs "
    "not in the history yet, or a history in PostgreSQL), or what checks a simian.yaml that is new, takes longer to "
    "import than all of that, and must not be imported here."
)
RUNS, QUICK_RUNS = 10_000, 100
REMEDY = "make a virtual environment with chaostoolkit==1.19.0 and put its bin folder at the end of PATH"


def fill(file: Path, count: int) -> None:
    """Put so many runs into a history, past our code: it is not what is measured."""
    rows = ((f"many-{i:09}", "chaos", "completed", "held", 1_700_000_000_000_000 + i * 1_000_000) for i in range(count))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        columns = "run, monkey, outcome, verdict, started, more"
        connection.executemany(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, '{{}}')", rows)
        connection.execute("COMMIT")


def command(words: tuple[str, ...], folder: str) -> Callable[[], Used]:
    """The measure of that command, run there."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"SIMIAN_STATE": folder, "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled"))}
    return lambda: used(*words, cwd=folder, env=environment)


def with_history(folder: str, runs: int) -> None:
    """Fill the history that the command line uses there."""
    Path(folder, "simian.yaml").write_text(SYSTEM)
    command(PAGE, folder)()  # makes it
    (file,) = Path(folder).rglob("history.db")
    fill(file, runs)


def rows(ours: list[Used], what: str, peer: list[Used] | None, name: str, goal: Goal) -> list[Row]:
    """Elapsed, and the processor's time, which a busy machine disturbs less."""
    return [
        compared(f"{what}, {kind}", "ms", list(map(ms, ours)), list(map(ms, peer)) if peer else None, name, goal)
        for kind, ms in (("elapsed", attrgetter("elapsed_ms")), ("CPU", attrgetter("cpu_ms")))
    ]


def measure(report: Report) -> None:
    """All commands in turns; the peer among them where it is."""
    chaos = report.program("chaos", REMEDY, "--version")
    commands = [(*SIMIAN, "--help"), PAGE, (sys.executable, "-c", f"import {EVERYTHING}")]
    with tempfile.TemporaryDirectory() as folder:
        with_history(folder, QUICK_RUNS if report.quick else RUNS)
        commands += [(chaos, "--help")] if chaos else []
        measures = [command(words, folder) for words in commands]
        interleaved(1, *measures)
        shown, page, everything, *peer = interleaved(report.rounds, *measures)
    toolkit = peer[0] if peer else None
    report.rows += rows(shown, "simian --help", toolkit, "chaos --help", Goal(0.5))
    report.rows += rows(page, "simian history", toolkit, "chaos --help", Goal(0.5, why=IMPORTS))
    report.rows += rows(shown, "simian --help", everything, "importing all of it", Goal(0.15))


if __name__ == "__main__":
    run("startup", __doc__, measure)
