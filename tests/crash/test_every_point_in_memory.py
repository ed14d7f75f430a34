"""Death at every point of a run on the memory world: whoever comes next puts everything back, from the journal alone.

A run is lived once. At each point the process is forked, and the child is what SIGKILL leaves behind: the world as it
is at that moment and the journal's file, nothing of the runner. It recovers the way ``simian recover`` does, looks at
the world itself, and says what is wrong. So no run has to be lived twice, and no ``finally`` of the dead one helps.

Between two writes nothing changes, so of the reads that follow one another one stands for all (and a few more are
drawn). ``SIMIAN_SEEDS`` is how many seeds each monkey is tried with, at the least.
"""

import itertools
import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian.crash_points import CrashPoint, no_crash
from simian.guardian import close_harmless, take_over
from simian.hands import OneByOne
from simian.journal import Journal
from simian.memory import MemoryWorld
from simian.monkey import find_monkeys
from simian.simulation import Simulation
from simian.world import guarded

# The tests before this one may have left threads behind; the forks here touch nothing that those could hold.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

SEEDS = int(os.environ.get("SIMIAN_SEEDS", "1"))
READS = {
    *("nodes", "links", "read", "ready", "rules", "incarnation", "unsupported", "marks", "caveat", "ask", "exchange"),
    *("shares", "modes", "entrances", "arrivals", "load", "visit", "replicas", "caches", "backlog", "regions"),
}
MANY = {"resolve", "write"}  # hundreds in a row that put nothing in place: one of them stands for all
CHECKS = ({"name": "streams start", "probe": {"users": "success_share"}, "tolerance": ">= 99 %"},)
RUN = "doomed"
BY_HAND = [
    {"stage": "slow", "settle_s": 1.0, "faults": [
        {"delay": "members-east-a--queue-east", "by": "constant:50ms"},
        {"throttle": "store-east--store-west-a", "rate_kb_s": 50},
    ]},
    {"stage": "cut", "settle_s": 1.0, "faults": [
        {"cut": "members-west-a--queue-west"},
        {"cut": "store-west--store-east-b", "how": "blackhole", "direction": "forward"},
        {"pause": "cache-west-a"},
    ]},
    {"stage": "one node", "settle_s": 1.0, "faults": [{"stop": "store-east-a"}, {"crash": "members-east-b"}]},
]  # fmt: skip
MONKEYS: dict[str, dict[str, Any]] = {
    "chaos": {},
    "gorilla": {},
    "latency": {"options": {"service": "gateway"}},
    "kong": {"options": {"steps": "50,0"}},
    "hard kong": {"options": {"steps": "50,0", "hard": True}},
    "split-brain": {},
    "by hand": {"stages": BY_HAND},
}


def picture(memory: MemoryWorld) -> dict[str, Any]:
    """The world itself, not what simian has noted of it."""
    state = memory.state
    nodes = {name: (one.state, one.held, state.ready(one), tuple(one.rules)) for name, one in state.nodes.items()}
    links = {name: (one.enabled, tuple(one.ours), tuple(one.foreign)) for name, one in state.links.items()}
    modes = {f"modes of {name}": one.modes for name, one in state.nodes.items()}
    return nodes | links | modes | {f"users of {home}": state.traffic.home(home) for home in state.regions}


def is_read(point: str, among: set[str]) -> bool:
    return point.partition(":")[0].rpartition(".")[2] in among


def in_a_child(what: Callable[[], None], report: Path) -> str:
    """Do this in a fork of the process; what went wrong there, empty when nothing did."""
    report.write_text("the child ended without a word")
    pid = os.fork()
    if pid == 0:
        try:
            what()
            report.write_text("")
        except BaseException:
            report.write_text(traceback.format_exc())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return report.read_text()


class Deaths:
    """A crash point at which a fork of the process dies and is recovered from, while the original lives on."""

    def __init__(self, folder: Path, seed: int, then: Callable[[str], None], rare: float = 0.03) -> None:
        self.folder, self.then = folder, then
        self.died: list[str] = []
        self.wrong: list[str] = []
        self._rng, self._rare, self._read_before = Random(seed), rare, False
        self._count: dict[str, Any] = {}

    def __call__(self, name: str) -> None:
        k = next(self._count.setdefault(name, itertools.count(1)))
        again = is_read(name, READS | MANY) and self._read_before
        wanted = not again or (not is_read(name, MANY) and self._rng.random() < self._rare)
        self._read_before = is_read(name, READS | MANY)
        if wanted:
            point = f"{name}#{k}"
            self.died.append(point)
            said = in_a_child(lambda: self.then(point), self.folder / "report")
            if said:
                self.wrong.append(f"{point}: {said}")


def reopened(journal: Path, folder: Path) -> Journal:
    """A journal of one's own on a copy of the file as it is on disk at this moment."""
    folder.mkdir()
    for part in journal.parent.glob(f"{journal.name}*"):
        shutil.copy(part, folder / part.name)
    return Journal(folder / journal.name)


def recover(memory: MemoryWorld, journal: Journal, crash: CrashPoint = no_crash) -> None:
    """As ``simian.cli.mend.recover_all`` does, with a journal and a world at hand."""
    world = guarded(memory.world, lambda label, *_: crash(f"{label}:before"), lambda label, *_: crash(f"{label}:after"))
    for row in journal.with_open_faults():
        entries = journal.still_open(row["run"])
        hands = OneByOne(Random(1))
        take_over(row["run"], "its runner died", entries, world=world, hands=hands, journal=journal, crash=crash)
    close_harmless(journal, memory.clock)


def check(memory: MemoryWorld, journal: Journal, before: dict[str, Any]) -> None:
    assert picture(memory) == before, {k: v for k, v in picture(memory).items() if before[k] != v}
    assert not journal.with_open_faults()
    assert not journal.unfinished()
    if RUN not in journal.unfed():
        return  # it died before its first row
    row = journal.run_row(RUN)
    assert row["recovery"] == "clean"
    assert row["outcome"] in ("crashed", "completed")
    assert row["outcome"] == "completed" or (row["verdict"], bool(json.loads(row["reasons"]))) == ("unknown", True)
    every = {(layer, name) for layer in ("node", "link", "request") for name in before}
    every |= {("steering", region) for region in memory.state.regions}
    assert journal.lock("the next run", every) == []


def live(sim: Simulation, monkey: str, crash: CrashPoint, journal: Path) -> dict[str, Any]:
    """A whole run of this monkey, with its journal in this file."""
    sim.crash, sim.journal = crash, Journal(journal, crash)
    asked: dict[str, Any] = {"checks": CHECKS, "baseline_s": 5.0, "for_s": 6.0, "exposure": "assumed"}
    found = None if monkey == "by hand" else find_monkeys().get(monkey.removeprefix("hard "))
    return sim.run(found, RUN, **asked, **MONKEYS[monkey])


# Chaos has more than one way to break a node, and its runs are the shortest.
RUNS = [(monkey, seed) for monkey in MONKEYS for seed in range(SEEDS * (4 if monkey == "chaos" else 1))]


@pytest.mark.parametrize(("monkey", "seed"), RUNS)
def test_wherever_a_runner_dies_everything_is_put_back(monkey: str, seed: int, tmp_path: Path) -> None:
    sim, file = Simulation.seeded(seed), tmp_path / "journal.db"
    before = picture(sim.memory)

    def die(point: str) -> None:
        journal = reopened(file, tmp_path / f"died-{point}")
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(tmp_path, seed, die)
    record = live(sim, monkey, deaths, file)
    assert record["outcome"] == "completed", (seed, record["reasons"])
    assert picture(sim.memory) == before, seed
    assert not deaths.wrong, (
        f"monkey {monkey}, seed {seed}: {len(deaths.wrong)} of {len(deaths.died)}:\n{deaths.wrong[0]}"
    )
    phases = ("plan", "preflight", "baseline", "inject", "observe", "recover", "verify", "report")
    assert {f"phase.{phase}#1" for phase in phases} <= set(deaths.died)
    assert {"journal.intend:before#1", "journal.intend:after#1", "journal.end:before#1"} <= set(deaths.died)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("monkey", ["gorilla", "by hand", "kong", "hard kong"])
def test_wherever_recovery_dies_too_the_next_one_puts_everything_back(monkey: str, seed: int, tmp_path: Path) -> None:
    sim, file = Simulation.seeded(seed), tmp_path / "journal.db"
    before = picture(sim.memory)

    def die_again(copy: Path, point: str) -> None:
        journal = reopened(copy, copy.parent / f"again-{point}")
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    def die(point: str) -> None:
        folder = tmp_path / f"died-{point}"
        first = reopened(file, folder)
        if not first.with_open_faults():
            return
        again = Deaths(folder, seed, lambda second: die_again(first.path, second))
        recover(sim.memory, Journal(first.path, again), again)
        assert again.died
        assert not again.wrong, again.wrong[0]

    # Once the faults are in place, once while some are, and once while they are being undone.
    wanted = {
        "phase.observe#1",
        "platform.kill:after#2",
        "steering.shift:after#1",
        "steering.unshift:before#1",
        "network.cut:before#1",
        "journal.mark_undone:after#1",
    }
    deaths = Deaths(tmp_path, seed, lambda point: die(point) if point in wanted else None)
    live(sim, monkey, deaths, file)
    assert "phase.observe#1" in deaths.died
    assert not deaths.wrong, f"monkey {monkey}, seed {seed}:\n{deaths.wrong[0]}"


def test_what_is_not_put_back_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim, file = Simulation.seeded(0), tmp_path / "journal.db"
    before = picture(sim.memory)
    monkeypatch.setattr("simian.faults.node.NodeFault.undo", lambda fault, world, mark: None)

    def die(point: str) -> None:
        if not point.startswith("phase."):
            return
        journal = reopened(file, tmp_path / f"died-{point}")
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(tmp_path, 0, die)
    live(sim, "gorilla", deaths, file)
    wrong = [text.partition("#")[0] for text in deaths.wrong]
    assert wrong == ["phase.observe", "phase.recover", "phase.verify", "phase.report"]


def test_a_killed_process_leaves_a_journal_that_says_what_to_undo(tmp_path: Path) -> None:
    """The fork stands for SIGKILL; here it is one: nothing of what the journal was told is lost."""
    file = tmp_path / "journal.db"
    pid = os.fork()
    if pid == 0:
        try:

            def crash(name: str) -> None:
                if name == "platform.kill:after":
                    os.kill(os.getpid(), signal.SIGKILL)

            live(Simulation.seeded(4), "gorilla", crash, file)
        finally:
            os._exit(7)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    journal = Journal(file)
    entries = journal.still_open(RUN)
    assert [entry.state for entry in entries] == ["intended"] * 4
    assert {entry.fault.kind for entry in entries} == {"kill"}
