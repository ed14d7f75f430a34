"""Death at the points of a run on a system that is not the lab: three regions of different sizes, one without zones."""

from pathlib import Path
from typing import Any

import pytest

from simian.simulation import Simulation

from ..three_regions import REGIONS
from .deaths import SEEDS, Deaths, check, counted, live, picture, recover, reopened

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

RUNS: list[tuple[str, dict[str, Any]]] = [
    ("chaos", {"region": "isle"}),
    ("gorilla", {"zone": "north-a"}),
    ("latency", {}),
    ("kong", {"region": "isle"}),
    ("kong", {"region": "north"}),
    ("hard kong", {"region": "south"}),
    ("split-brain", {"between": "isle,rest"}),
]


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
@pytest.mark.parametrize(("monkey", "options"), RUNS)
def test_wherever_a_runner_dies_everything_is_put_back(
    monkey: str, options: dict[str, Any], seed: int, quick: Path
) -> None:
    sim, file = Simulation.seeded(seed, regions=REGIONS), quick / "journal.db"
    before = picture(sim.memory)

    def die(point: str, own: Path) -> None:
        journal = reopened(file, own)
        recover(sim.memory, journal)
        check(sim.memory, journal, before)

    deaths = Deaths(quick, seed, sim.memory, die)
    with counted("the runner dies", f"{monkey} on three regions", seed, deaths):
        record = live(sim, monkey, deaths, file, **options)
    assert record["outcome"] == "completed", (seed, record["reasons"])
    assert picture(sim.memory) == before, seed
    assert not deaths.wrong, f"seed {seed}: {len(deaths.wrong)} of {len(deaths.died)}:\n{deaths.wrong[0]}"
    assert {"phase.inject#1", "phase.recover#1", "journal.intend:after#1"} <= set(deaths.died)
