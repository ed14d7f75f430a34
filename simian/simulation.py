"""Whole runs on the memory world: the same runner, journal, recovery and verdicts, in milliseconds, from a seed.

For trying a monkey of one's own (docs/memory-world.md), and for dying at every point of a run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from simian.attention import Tools
from simian.crash_points import CrashPoint, no_crash
from simian.exposure import exposure_of
from simian.guards import Guards
from simian.halt import HaltLever
from simian.hands import OneByOne
from simian.journal import Journal
from simian.lease import NoGuardian
from simian.memory import MemoryWorld, build_memory_world
from simian.memory.watch import Look
from simian.monkey import Monkey
from simian.probe import AbortCondition, Check
from simian.record import record_of
from simian.request import RunRequest
from simian.runner import Runner
from simian.steady_state import SteadyState
from simian.world import guarded

USERS_CHECKS: tuple[Mapping[str, Any], ...] = (
    {"name": "streams start", "probe": {"users": "success_share", "kind": "play"}, "tolerance": ">= 99.5 %"},
    {"name": "requests succeed", "probe": {"users": "success_share"}, "tolerance": ">= 99.9 %"},
    {"name": "latency", "probe": {"users": "p99_ms"}, "tolerance": "<= 1000 ms"},
)
FOREVER_S = 1e9
OWN = ("journal", "crash", "why_stop", "emit", "looks")  # options of a simulation, not of its world


def _never() -> str:
    return ""


def _unheard(event: Mapping[str, Any]) -> None:
    return None


@dataclass
class Simulation:
    """One memory world and the runs on it. Everything follows from ``seed``; nothing outside is touched.

    ``memory`` may be hurt or weakened by hand before and between runs. ``why_stop`` stands for signals. ``looks``
    are the probes of checks that are not on users, by the check's name, and those of guards, as ``guard: file PATH``.
    """

    seed: int = 0
    memory: MemoryWorld = field(default_factory=build_memory_world)
    journal: Journal = field(default_factory=lambda: Journal(Path(":memory:")))
    crash: CrashPoint = no_crash
    why_stop: Callable[[], str] = _never
    emit: Callable[[Mapping[str, Any]], None] = _unheard
    folder: Path = field(default_factory=lambda: Path(mkdtemp(prefix="simian-")))
    looks: Mapping[str, Look] = field(default_factory=dict)

    @classmethod
    def seeded(cls, seed: int, **options: Any) -> "Simulation":
        """A simulation of the default world; ``weaknesses``, ``feed`` and the like go to ``build_memory_world``."""
        own = {name: options.pop(name) for name in OWN if name in options}
        return cls(seed=seed, memory=build_memory_world(seed, **options), **own)

    def request(self, run: str = "simulated", **asked: Any) -> RunRequest:
        """A request for this world; ``asked`` are fields of ``RunRequest``."""
        plain = RunRequest(run, "memory", self.seed, {}, str(self.folder), checks=USERS_CHECKS)
        return replace(plain, **{"limits": {"radius": "system"}, **asked})

    def runner(self, monkey: Monkey | None, request: RunRequest) -> Runner:
        """The runner of that request, its row in the journal begun."""
        clock = self.memory.clock
        checks = [Check.from_json(check) for check in request.checks]
        aborts = [AbortCondition.from_json(abort) for abort in request.aborts]
        exposure, guards = exposure_of(request.exposure), Guards(request.guards)
        world = guarded(self.memory.world, self._before, self._after)
        tools = Tools(
            world=world,
            journal=self.journal,
            hands=OneByOne(Random(self.seed)),
            watch=self.memory.watch([*checks, *exposure.checks, *guards.checks], self.looks),
            lease=NoGuardian(),
            lever=HaltLever(self.folder / "halt"),
            emit=self.emit,
            why_stop=self.why_stop,
            crash=self.crash,
            tick_s=FOREVER_S,
        )
        self.journal.begin(request.run, at=clock.now(), owner=(0, ""), request=request.to_json(), world={})
        named = replace(request, monkey=monkey.name if monkey else None)
        return Runner(named, monkey, tools, SteadyState(checks, aborts), exposure, guards)

    def _before(self, label: str, *args: object) -> None:
        self.crash(f"{label}:before")

    def _after(self, label: str, *args: object) -> None:
        self.crash(f"{label}:after")

    def run(self, monkey: Monkey | None, run: str = "simulated", **asked: Any) -> dict[str, Any]:
        """Live a whole run and return its record."""
        request = self.request(run, monkey=monkey.name if monkey else None, **asked)
        self.runner(monkey, request).run()
        return record_of(self.journal, run)
