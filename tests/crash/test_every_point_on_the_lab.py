"""A runner dies at every crash point there is of each monkey, on a real lab, and its guardian puts everything back.

Which points there are is found out by living each run once on the memory world: the names are the same. Of a point
that is passed several times a time is drawn. ``SIMIAN_SEEDS`` above 1 tries them all; else those below.
"""

import os
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from simian.crash_points import Recording
from simian.simulation import Simulation

from ..figures import note_figures
from .conftest import OwnLab
from .deaths import live

EXPERIMENTS = {
    "chaos": "chaos",
    "gorilla": "gorilla",
    "latency": "latency",
    "kong": "kong",
    "hard kong": "kong-hard",
    "split-brain": "split-brain",
}
FEW = [
    ("gorilla", "journal.intend:after"),
    ("gorilla", "journal.mark_undone:before#2"),
    ("latency", "requests.put:after#2"),
    ("split-brain", "network.mend:before#3"),
]
OFTEN = 6  # that many times a point is passed on the lab too, where a run looks less often
TRIES = 3  # a run that a busy machine's baseline refuses comes to no point of interest


def every(seed: int) -> list[tuple[str, str]]:
    """All crash points of all monkeys, each at one of the times that it is passed."""
    rng, found = Random(seed), []
    for monkey in EXPERIMENTS:
        passed = Recording()
        with TemporaryDirectory() as folder:
            live(Simulation.seeded(seed), monkey, passed, Path(folder) / "journal.db")
        counts = Counter(passed.names)
        found += [(monkey, f"{name}#{rng.randint(1, min(times, OFTEN))}") for name, times in counts.items()]
    return found


@pytest.mark.lab
@pytest.mark.parametrize(("monkey", "point"), every(1) if int(os.environ.get("SIMIAN_SEEDS", "1")) > 1 else FEW)
def test_a_runner_that_dies_at_a_crash_point_is_recovered_by_its_guardian(
    own_lab: OwnLab, monkey: str, point: str
) -> None:
    before = own_lab.world()
    for _ in range(TRIES):
        last = own_lab.newest()
        own_lab.simian("run", f"{EXPERIMENTS[monkey]}.yaml", "--json", SIMIAN_CRASH_AT=point)
        run = own_lab.newest()
        if run.get("run") == last.get("run"):  # it died before the journal knew of it
            break
        run = own_lab.ended(run["run"])
        assert (run["recovery"] or "clean") == "clean", run["reasons"]
        own_lab.is_as(before)
        if run["outcome"] != "refused":
            break
    own_lab.is_as(before)
    reached = run.get("run") == last.get("run") or "died" in run["reasons"]  # of both: whoever came later tells so
    note_figures(monkey=monkey, point=point, reached=reached)
    assert reached or (monkey, point) not in FEW, f"the point {point} was never reached: {run['reasons']}"
