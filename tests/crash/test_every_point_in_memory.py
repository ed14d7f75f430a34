"""Death at every point of a run on the memory world: whoever comes next puts everything back, from the journal alone.

A run is lived once. At each point the process is forked, and the child is what SIGKILL leaves behind: the world as it
is at that moment and the journal's file, nothing of the runner. It recovers the way ``simian recover`` does, looks at
the world itself, and says what is wrong. So no run has to be lived twice, and no ``finally`` of the dead one helps.

Between two writes nothing changes, so of the reads that follow one another one stands for all (and a few more are
drawn). ``SIMIAN_SEEDS`` is how many seeds each monkey is tried with, at the least.
"""

import os
import signal
from pathlib import Path

import pytest

from simian.journal import Journal
from simian.simulation import Simulation

from .deaths import MONKEYS, RUN, SEEDS, Deaths, check, counted, live, picture, recover, reopened

# The tests before this one may have left threads behind; the forks here touch nothing that those could hold.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

# Chaos has more than one way to break a node, and its runs are the shortest.
RUNS = [(monkey, seed) for monkey in MONKEYS for seed in range(SEEDS * (4 if monkey == "chaos" else 1))]


@pytest.mark.parametrize(("monkey", "seed"), RUNS)
def test_wherever_a_runner_dies_everything_is_put_back(monkey: str, seed: int, quick: Path) -> None:
    sim, file = Simulation.seeded(seed), quick / "journal.db"
    before = picture(sim.memory)

    def die(point: str, own: Path) -> None:
        journal = reopened(file, own)
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(quick, seed, sim.memory, die)
    with counted("the runner dies", monkey, seed, deaths):
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
@pytest.mark.parametrize("monkey", ["gorilla", "by hand", "kong", "hard kong"] if SEEDS > 1 else ["by hand"])
def test_wherever_recovery_dies_too_the_next_one_puts_everything_back(monkey: str, seed: int, quick: Path) -> None:
    sim, file = Simulation.seeded(seed), quick / "journal.db"
    before = picture(sim.memory)

    def die_again(copy: Path, own: Path) -> None:
        journal = reopened(copy, own)
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    def die(point: str, own: Path) -> None:
        first = reopened(file, own)
        if not first.with_open_faults():
            return
        again = Deaths(own, seed, sim.memory, lambda _, folder: die_again(first.path, folder))
        with counted("recovery dies", monkey, seed, again):
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
    deaths = Deaths(quick, seed, sim.memory, die, wanted)
    live(sim, monkey, deaths, file)
    assert "phase.observe#1" in deaths.died
    assert not deaths.wrong, f"monkey {monkey}, seed {seed}:\n{deaths.wrong[0]}"


@pytest.mark.parametrize("jump_s", [-7_200.0, 7_200.0])
@pytest.mark.parametrize("monkey", ["latency", "hard kong"])
def test_a_time_of_day_that_jumps_in_the_middle_of_a_run_changes_nothing(
    monkey: str, jump_s: float, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, file, at = Simulation.seeded(0), quick / "journal.db", [0.0]
    before, clock, now = picture(sim.memory), sim.memory.clock, sim.memory.clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + at[0])

    def die(point: str, own: Path) -> None:
        journal = reopened(file, own)
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(quick, 0, sim.memory, die, ["phase.observe#1", "phase.recover#1"])

    def jump_or_die(name: str) -> None:
        at[0] = jump_s if name == "phase.observe" else at[0]
        deaths(name)

    began = clock.elapsed()
    record = live(sim, monkey, jump_or_die, file)
    assert (record["outcome"], record["recovery"]) == ("completed", "clean"), record["reasons"]
    assert picture(sim.memory) == before
    assert clock.elapsed() - began < 600, "it waited for a time of day"
    assert deaths.died == ["phase.observe#1", "phase.recover#1"]
    assert not deaths.wrong, deaths.wrong[0]


def test_what_is_not_put_back_would_be_noticed(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim, file = Simulation.seeded(0), quick / "journal.db"
    before = picture(sim.memory)
    monkeypatch.setattr("simian.faults.node.NodeFault.undo", lambda fault, world, mark: None)

    def die(point: str, own: Path) -> None:
        if not point.startswith("phase."):
            return
        journal = reopened(file, own)
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(quick, 0, sim.memory, die)
    live(sim, "chaos", deaths, file)
    wrong = [text.partition("#")[0] for text in deaths.wrong]
    assert wrong == ["phase.observe", "phase.recover", "phase.verify", "phase.report"]


def test_a_killed_process_leaves_a_journal_that_says_what_to_undo(quick: Path) -> None:
    """The fork stands for SIGKILL; here it is one: nothing of what the journal was told is lost."""
    file = quick / "journal.db"
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
