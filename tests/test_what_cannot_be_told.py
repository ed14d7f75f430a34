"""Whole runs whose measuring went wrong: none of them may end as held, whatever else looks well."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from simian.memory import MemoryWorld
from simian.memory.watch import Look, MemoryWatch
from simian.monkey import find_monkeys
from simian.probe import Check, FeedLost, Observation, Slice
from simian.simulation import USERS_CHECKS, Simulation
from simian.verdict import exit_code

CHAOS = find_monkeys().get("chaos")
PAGE = {"name": "page", "probe": {"http": "http://127.0.0.1:9/"}, "tolerance": "== 1", "every_s": 1.0}
Blur = Callable[[Slice], list[Observation]]


class Blurred(MemoryWatch):
    """Hands on what it sees as ``blur`` makes it, while the faults are in place."""

    blur: Blur
    now: Callable[[], bool]

    def wait(self, seconds: float) -> list[Observation]:
        seen = super().wait(seconds)
        return [made for one in seen for made in self._blurred(one)]

    def _blurred(self, one: Observation) -> list[Observation]:
        return self.blur(one) if isinstance(one, Slice) and self.now() else [one]


@dataclass(frozen=True)
class Doubtful(MemoryWorld):
    """A world that is watched badly while the faults are in place."""

    blur: Blur = field(default=lambda seen: [seen])
    look: Look = field(default=lambda: 1.0)
    phases: list[str] = field(default_factory=list)

    def wrong(self) -> bool:
        return bool(self.phases) and self.phases[-1] == "observe"

    def watch(self, checks: Sequence[Check] = (), looks: Mapping[str, Look] | None = None) -> MemoryWatch:
        watch = Blurred(self.users, self.clock, checks, {"page": lambda: self.look() if self.wrong() else 1.0})
        watch.blur, watch.now = self.blur, self.wrong
        return watch


def life(checks: Sequence[Mapping[str, Any]] = USERS_CHECKS, **doubts: Any) -> dict[str, Any]:
    """A chaos run on a healthy world; fails unless it ends in doubt, with everything put back."""
    sim = Simulation.seeded(4)
    before = {name: (one.state, one.held) for name, one in sim.memory.state.nodes.items()}
    world = sim.memory
    sim.memory = doubtful = Doubtful(world.world, world.state, world.users, world.clock, **doubts)
    sim.emit = lambda event: doubtful.phases.append(event["phase"]) if event["event"] == "phase" else None
    record = sim.run(CHAOS, checks=checks, baseline_s=5.0, for_s=20.0)
    code = exit_code(record["outcome"], record["verdict"], record["recovery"])
    assert "observe" in doubtful.phases, record["reasons"]
    assert (record["verdict"], code) == ("unknown", 4), record["reasons"]
    assert record["recovery"] == "clean"
    assert before == {name: (one.state, one.held) for name, one in world.state.nodes.items()}
    return record


def test_the_same_run_seen_well_is_held() -> None:
    with pytest.raises(AssertionError, match="held"):
        life([*USERS_CHECKS, PAGE])


def late(seen: Slice) -> list[Observation]:
    return [replace(seen, late_ms={"p50": 200.0, "p99": 900.0, "max": 950.0})]


def lost(seen: Slice) -> list[Observation]:
    return [FeedLost("gone", seen.start)]


def few(seen: Slice) -> list[Observation]:
    return [replace(seen, rows=())]


@pytest.mark.parametrize(
    ("blur", "said"), [(late, "too late"), (lost, "users"), (few, "needed")], ids=["late", "lost", "few"]
)
def test_users_who_cannot_tell_are_never_content(blur: Blur, said: str) -> None:
    record = life(blur=blur)
    assert any(said in reason for reason in record["reasons"]), record["reasons"]


def crash() -> float:
    raise ValueError("200, and a page that says sorry")


@pytest.mark.parametrize("look", [lambda: math.nan, lambda: math.inf, crash], ids=["nan", "inf", "crash"])
def test_a_probe_that_lies_or_crashes_is_never_content(look: Look) -> None:
    record = life([*USERS_CHECKS, PAGE], look=look)
    assert any("page" in reason for reason in record["reasons"]), record["reasons"]
