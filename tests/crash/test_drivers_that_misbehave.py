"""Drivers fail, hang, answer late or lie, the runner dies all the same, and its recovery meets the same drivers.

Whatever comes of it, *clean* is never said wrongly: what was late has landed by then, and the world is looked at. What
is stuck is told, and the next recovery, with drivers that work, puts it back.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian.memory import MemoryWorld
from simian.memory.unreliable import WRITES, unreliable
from simian.simulation import Simulation
from simian.world import PORTS, World

from .deaths import MONKEYS, RUN, SEEDS, Deaths, counted, live, picture, recover, reopened

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

LANDED_S = 60.0  # by then every call that was under way has landed, and rules that nobody renews have expired
MIXES = {
    "fail": {"unreachable": 0.05},
    "hang": {"hung": 0.02, "slow": 0.05},
    "maybe done": {"lost": 0.05, "done": 0.1},
    "lie": {"stale": 0.2},  # looks from outside only: nothing can be proven with drivers that lie of their own marks
}
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
    sim.memory = turned(honest, flaky, ["observer"] if how == "lie" else PORTS, lambda _: bool(begun))
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
