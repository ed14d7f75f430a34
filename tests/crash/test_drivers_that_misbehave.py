"""Drivers fail, hang, answer late or lie, the runner dies all the same, and its recovery meets the same drivers.

Whatever comes of it, *clean* is never said wrongly: what was late has landed by then, and the world is looked at. What
is stuck is told, and the next recovery, with drivers that work, puts it back.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import pytest

from simian.memory import MemoryWorld
from simian.memory.unreliable import WRITES, unreliable
from simian.simulation import Simulation
from simian.world import PORTS, World

from .deaths import MONKEYS, RUN, SEEDS, Deaths, counted, live, picture, recover, reopened
from .lives import Died, Mortal

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

LANDED_S = 60.0  # by then every call that was under way has landed, and rules that nobody renews have expired
MIXES = {
    "fail": {"unreachable": 0.05},
    "hang": {"hung": 0.02, "slow": 0.05},
    "maybe done": {"lost": 0.05, "done": 0.1, "later": 0.05},
    "lie": {"stale": 0.2},  # of everything: what is looked at, and what drivers tell of their own marks
}
HURT = [  # once while faults are put in place, once while they are all there, and once while they are undone
    *("steering.shift:after#1", "platform.kill:before#3", "phase.observe#1"),
    *("platform.start:after#2", "steering.unshift:before#1", "journal.mark_undone:after#1"),
]
EVERY = [(monkey, how) for monkey in MONKEYS for how in MIXES]
CASES = EVERY if SEEDS > 1 else EVERY[:1]  # each takes a good part of a minute


class Either:
    """Calls go to one driver or, where ``bad`` says so of the call's name, to another."""

    def __init__(self, good: object, other: object, bad: Callable[[str], bool]) -> None:
        self._good, self._other, self._bad = good, other, bad

    def __getattr__(self, name: str) -> object:
        return getattr(self._other if self._bad(name) else self._good, name)


def turned(honest: MemoryWorld, flaky: World, ports: Collection[str], bad: Callable[[str], bool]) -> MemoryWorld:
    """The same memory world, some of its ports now and then behind other drivers."""
    wrapped: dict[str, Any] = {port: Either(getattr(honest.world, port), getattr(flaky, port), bad) for port in ports}
    return replace(honest, world=replace(honest.world, **wrapped))


def after_a_death(sim: Simulation, honest: MemoryWorld, file: Path, own: Path, before: dict[str, object]) -> None:
    """Recover with the drivers as they are, then, where that was not enough, with some that work."""
    journal = reopened(file, own)
    recover(sim.memory, journal)
    honest.clock.wait(LANDED_S)
    if not journal.with_open_faults() and RUN in journal.unfed():
        assert journal.run_row(RUN)["recovery"] == "clean"
        assert picture(honest) == before, "it was said to be clean"
    recover(honest, journal)
    honest.clock.wait(LANDED_S)
    assert picture(honest) == before, {k: v for k, v in picture(honest).items() if before[k] != v}
    assert not journal.with_open_faults()
    assert not journal.unfinished()


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("monkey", "how"), CASES)
def test_wherever_a_runner_dies_among_bad_drivers_clean_is_said_only_of_what_is(
    monkey: str, how: str, seed: int, quick: Path
) -> None:
    sim, file = Simulation.seeded(seed), quick / "journal.db"
    honest, before = sim.memory, picture(sim.memory)
    flaky = unreliable(honest.world, Random(f"{monkey} {seed}"), honest.clock, modes=MIXES[how])
    begun: list[str] = []  # from the first injection on: before it, a bad driver is a refused run and nothing more
    sim.memory = turned(honest, flaky, PORTS, lambda _: bool(begun))
    deaths = Deaths(quick, seed, honest, lambda _, own: after_a_death(sim, honest, file, own, before))

    def die(name: str) -> None:
        begun.extend([name] if name == "phase.inject" else [])
        deaths(name)

    with counted(f"drivers {how}", monkey, seed, deaths):
        record = live(sim, monkey, die, file)
    assert "phase.recover#1" in deaths.died, record["reasons"]
    assert not deaths.wrong, (
        f"monkey {monkey}, seed {seed}: {len(deaths.wrong)} of {len(deaths.died)}:\n{deaths.wrong[0]}"
    )


def test_a_call_that_timed_out_right_before_the_death_is_waited_for(quick: Path) -> None:
    """Between the time-out and its mark in the journal lies a moment, and the call lands after the recovery."""
    sim, file = Simulation.seeded(0), quick / "journal.db"
    honest, before = sim.memory, picture(sim.memory)
    late = unreliable(honest.world, Random(0), honest.clock, modes={"later": 0.5})
    sim.memory = turned(honest, late, ["platform"], lambda name: name in WRITES)
    only = ["journal.mark_doubtful:before#1"]
    deaths = Deaths(quick, 0, honest, lambda _, own: after_a_death(sim, honest, file, own, before), only)
    live(sim, "gorilla", deaths, file)
    assert deaths.died == only
    assert not deaths.wrong, deaths.wrong[0]


def test_a_data_driver_that_no_longer_names_its_regions_keeps_nothing_from_being_undone(quick: Path) -> None:
    sim, file = Simulation.seeded(0), quick / "journal.db"
    honest, before = sim.memory, picture(sim.memory)
    silent = unreliable(honest.world, Random(0), honest.clock, modes={"unreachable": 1.0})
    begun: list[str] = []
    sim.memory = turned(honest, silent, ["data"], lambda name: name == "regions" and bool(begun))

    def crash(name: str) -> None:
        begun.extend([name] if name == "phase.inject" else [])

    record = live(sim, "split-brain", crash, file)
    assert (record["outcome"], record["recovery"]) == ("completed", "clean"), record["reasons"]
    assert picture(honest) == before


def test_a_step_home_that_timed_out_is_waited_for(quick: Path) -> None:
    """A calm return lessens a shift step by step; a step that lands late must not outlive the undo."""
    sim, file = Simulation.seeded(0), quick / "journal.db"
    honest, before = sim.memory, picture(sim.memory)
    late = unreliable(honest.world, Random(0), honest.clock, modes={"later": 1.0}, late_s=10.0)
    recovering: list[str] = []
    sim.memory = turned(honest, late, ["steering"], lambda name: name == "shift" and bool(recovering))
    crash = partial(_note_recovery, recovering)
    record = live(sim, "hard kong", crash, file)
    ended_so = picture(honest)
    honest.clock.wait(LANDED_S)
    assert record["recovery"] == "clean", record["reasons"]
    assert {name for name, _ in late.steering.calls} == {"shift"}
    assert picture(honest) == ended_so == before


def _note_recovery(recovering: list[str], name: str) -> None:
    recovering.extend([name] if name == "phase.recover" else [])


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("how", MIXES if SEEDS > 1 else ["maybe done"])
def test_a_recovery_among_bad_drivers_that_dies_again_and_again_is_made_good_by_the_next(
    how: str, seed: int, quick: Path
) -> None:
    sim, file, rng = Simulation.seeded(seed), quick / "journal.db", Random(f"again {how} {seed}")
    honest, before = sim.memory, picture(sim.memory)
    flaky = unreliable(honest.world, rng, honest.clock, modes=MIXES[how])

    def die_again_and_again(_: str, own: Path) -> None:
        sim.memory = turned(honest, flaky, PORTS, lambda _: True)
        journal = reopened(file, own)
        for _ in range(rng.randint(1, 4)):
            with suppress(Died):
                recover(sim.memory, journal, Mortal(rng.randint(1, 40)))
        journal.close()
        after_a_death(sim, honest, journal.path, Path(mkdtemp(dir=own)), before)

    deaths = Deaths(quick, seed, honest, die_again_and_again, HURT)
    with counted(f"recovery, drivers {how}", "kong", seed, deaths):
        live(sim, "kong", deaths, file)
    assert "phase.observe#1" in deaths.died
    assert not deaths.wrong, f"{how}, seed {seed}: {len(deaths.wrong)} of {len(deaths.died)}:\n{deaths.wrong[0]}"
