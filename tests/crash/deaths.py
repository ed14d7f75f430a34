"""Deaths in memory: a run is lived once, and at each of its crash points a fork dies and is recovered from.

The child is what SIGKILL leaves behind: the world as it is at that moment and the journal's file, nothing of the
runner.
"""

import gc
import itertools
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from simian.crash_points import CrashPoint, no_crash
from simian.guardian import close_harmless, recover_each, take_over
from simian.hands import OneByOne
from simian.journal import Journal
from simian.memory import MemoryWorld
from simian.monkey import find_monkeys
from simian.simulation import Simulation
from simian.world import guarded

from ..figures import note_figures

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


def in_a_child(what: Callable[[], float], report: Path) -> tuple[str, float]:
    """Do this in a fork of the process. What went wrong there, empty when nothing did; what it returned."""
    report.write_text("the child ended without a word")
    pid = os.fork()
    if pid == 0:
        try:
            gc.disable()  # it ends soon, and a collection would copy every page of the parent
            report.write_text(f"ok {what()}")
        except BaseException:
            report.write_text(traceback.format_exc())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    said = report.read_text()
    return ("", float(said[3:])) if said.startswith("ok ") else (said, 0.0)


class Deaths:
    """A crash point at which a fork of the process dies and is recovered from, while the original lives on.

    ``then`` gets the point and a folder of its own, which is gone afterwards; ``only``: these points, not all.
    ``simulated_s`` adds up what recovery took. With seed 0 it dies each time that a point is passed; with another the
    first time and, as what comes later is much like it, the k-th time with a chance of one in k.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        memory: MemoryWorld,
        then: Callable[[str, Path], None],
        only: Collection[str] = (),
        rare: float = 0.03,
    ) -> None:
        self.folder, self.memory, self.then, self.only = folder, memory, then, only
        self.died: list[str] = []
        self.wrong: list[str] = []
        self.simulated_s = 0.0
        self._rng, self._rare, self._read_before = Random(seed), rare, False
        self._every_time = seed == 0
        self._count: dict[str, Any] = {}

    def __call__(self, name: str) -> None:
        k = next(self._count.setdefault(name, itertools.count(1)))
        again = is_read(name, READS | MANY) and self._read_before
        self._read_before = is_read(name, READS | MANY)
        if self._every_time:
            wanted = not again or (not is_read(name, MANY) and self._rng.random() < self._rare)
        else:
            wanted = self._rng.random() * k < 1
        if f"{name}#{k}" in self.only or (wanted and not self.only):
            self._die(f"{name}#{k}")

    def _die(self, point: str) -> None:
        self.died.append(point)
        said, simulated_s = in_a_child(lambda: self._in_the_child(point), self.folder / "report")
        self.simulated_s += simulated_s
        if said:
            self.wrong.append(f"{point}: {said}")

    def _in_the_child(self, point: str) -> float:
        died_at, own = self.memory.clock.elapsed(), self.folder / f"died-{point}"
        self.memory.users.leave()  # nobody watches them any more: the watcher is dead
        own.mkdir()
        self.then(point, own)
        shutil.rmtree(own)
        return self.memory.clock.elapsed() - died_at


def reopened(journal: Path, folder: Path) -> Journal:
    """A journal of one's own, in this folder, on a copy of the file as it is on disk at this moment."""
    for part in (journal.name, f"{journal.name}-wal"):  # not found by a pattern: each child would compile that anew
        with suppress(FileNotFoundError):
            shutil.copyfile(journal.parent / part, folder / part)
    return Journal(folder / journal.name)


def recover(memory: MemoryWorld, journal: Journal, crash: CrashPoint = no_crash) -> None:
    """As ``simian.cli.mend.recover_all`` does, with a journal and a world at hand."""
    world = guarded(memory.world, lambda label, *_: crash(f"{label}:before"), lambda label, *_: crash(f"{label}:after"))

    def take(row: Mapping[str, Any]) -> list[str]:
        entries, hands = journal.still_open(row["run"]), OneByOne(Random(1))
        why = "its runner died"
        return take_over(row["run"], why, entries, world=world, hands=hands, journal=journal, crash=crash)

    recover_each(journal.with_open_faults, take)
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


def live(sim: Simulation, monkey: str, crash: CrashPoint, journal: Path, **options: Any) -> dict[str, Any]:
    """A whole run of this monkey, with its journal in this file; ``options`` beside those of ``MONKEYS``."""
    sim.crash, sim.journal = crash, Journal(journal, crash)
    gc.unfreeze()  # what the run before has left: a process that grows takes ever longer to fork
    gc.collect()
    gc.freeze()  # the children share these pages for as long as nobody writes to them
    asked: dict[str, Any] = {"checks": CHECKS, "baseline_s": 5.0, "for_s": 6.0, "exposure": "assumed"}
    found = None if monkey == "by hand" else find_monkeys().get(monkey.removeprefix("hard "))
    asked |= MONKEYS[monkey]
    if options:
        asked["options"] = {**asked.get("options", {}), **options}
    return sim.run(found, RUN, **asked)


@contextmanager
def counted(what: str, monkey: str, seed: int, deaths: Deaths) -> Iterator[None]:
    """Note how many deaths a run had and how long they took."""
    began, born = time.perf_counter(), deaths.memory.clock.elapsed()
    yield
    simulated_s = deaths.simulated_s + deaths.memory.clock.elapsed() - born
    note_figures(what=what, monkey=monkey, seed=seed, lives=len(deaths.died), wrong=len(deaths.wrong),
                 seconds=time.perf_counter() - began, simulated_s=simulated_s)  # fmt: skip
