"""Kong and Split-brain on the memory world, whole: verdicts, weaknesses, aborts at every stage, always in the safe
direction. ``SIMIAN_SEEDS`` above the default of a few looks longer; a failure names its seed."""

import os
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from simian.memory import MemoryWorld
from simian.monkey import find_monkeys
from simian.simulation import Simulation
from simian.steering.memory import MemorySteering

SEEDS = range(max(3, int(os.environ.get("SIMIAN_SEEDS", "0"))))
FOUND = find_monkeys()
PLANNED = ["failover mode", "mis-routed users", *(f"shift to {p} %" for p in (75, 50, 25, 0)), "lights-out"]
HARD = ["lights-out", "failover mode", "shift to 0 %"]
DAY_S = 86_400.0


def picture(memory: MemoryWorld) -> dict[str, Any]:
    """The world itself, not what simian has noted of it."""
    state = memory.state
    nodes = {name: (one.state, one.held, state.ready(one), one.modes) for name, one in state.nodes.items()}
    links = {name: (one.enabled, tuple(one.ours)) for name, one in state.links.items()}
    return {**nodes, **links, "steered": {home: state.traffic.home(home) for home in state.regions}}


class Witness:
    """Looks at every change of the world: users must never be sent to a region that cannot serve them."""

    def __init__(self, memory: MemoryWorld) -> None:
        self.state, self.wrong = memory.state, list[str]()
        self._before = self._shares()
        self.state.subscribe(lambda: None, self._look)

    def _shares(self) -> dict[str, dict[str, float]]:
        return {home: dict(self.state.traffic.home(home).now) for home in self.state.regions}

    def serves(self, region: str) -> bool:
        ready, every = Counter[str](), Counter[str]()
        for one in self.state.nodes.values():
            if one.node.region == region and one.node.role == "service":
                every[one.node.service] += 1
                ready[one.node.service] += self.state.ready(one)
        return all(ready[service] * 2 > count for service, count in every.items())

    def _look(self) -> None:
        now = self._shares()
        for home, row in now.items():
            more = [region for region, share in row.items() if share > self._before[home].get(region, 0.0) + 1e-9]
            self.wrong += [f"{home} is sent to {region}, which is dead" for region in more if not self.serves(region)]
            if abs(sum(row.values()) - 1) > 1e-6:
                self.wrong.append(f"the shares of {home} are {row}")
        if not any(self.serves(region) for region in self.state.regions):
            self.wrong.append("no region serves")
        self._before = now


def came_home(record: Mapping[str, Any]) -> list[float]:
    """When each step of the shift was undone, seconds since the epoch."""
    return [m["at"] for m in record["moments"] if m["name"] == "undone" and m["detail"].startswith("shift")]


def stages_of(record: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(fault["stage"] for fault in record["faults"]))


def lived(seed: int, monkey: str, **asked: Any) -> tuple[dict[str, Any], Simulation]:
    """A whole run; that the world is as before and nobody was sent to a dead region holds for each of them."""
    sim = Simulation.seeded(seed, **{name: asked.pop(name) for name in ("weaknesses", "why_stop") if name in asked})
    before, witness = picture(sim.memory), Witness(sim.memory)
    record = sim.run(FOUND.get(monkey), **asked)
    assert picture(sim.memory) == before, f"seed {seed}"
    assert witness.wrong == [], f"seed {seed}"
    return record, sim


def held(record: Mapping[str, Any], seed: int) -> None:
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), (
        f"seed {seed}: {record['reasons']}"
    )
    assert all(fault["evidence"]["held"] and fault["exposure"] for fault in record["faults"]), f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planned_kong_holds_and_no_user_is_failed(seed: int) -> None:
    record, _ = lived(seed, "kong")
    held(record, seed)
    assert stages_of(record) == PLANNED
    assert sum(second["failed"] for second in record["traffic"]) == 0, f"seed {seed}"
    left, saviour = record["figures"]["left"], record["figures"]["saviours"][0]
    back = came_home(record)
    assert len(back) == 4
    assert all(later - earlier >= 3.0 for earlier, later in pairwise(back)), f"seed {seed}: not step by step"
    away = [second for second in record["traffic"] if second["home"] == left and second["served"].get(saviour)]
    assert away, f"seed {seed}: nobody was ever served elsewhere"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hard_kong_holds_once_users_have_been_moved_and_tells_what_was_lost_before(seed: int) -> None:
    record, _ = lived(seed, "kong", options={"hard": True})
    held(record, seed)
    assert stages_of(record) == HARD
    names = [moment["name"] for moment in record["moments"]]
    order = ["dark", "detected", "decided", "shifted", "drained", "hold", "eased", "eased", "eased"]
    assert [name for name in names if name != "undone"] == order, f"seed {seed}"
    assert sum(second["failed"] for second in record["traffic"]) > 0, f"seed {seed}: a lost region hurt nobody"


@pytest.mark.parametrize("seed", SEEDS)
def test_split_brain_holds_and_every_key_is_compared(seed: int) -> None:
    record, _ = lived(seed, "split-brain")
    held(record, seed)
    data = record["figures"]["data"]
    assert data["acknowledged"] > 300, f"seed {seed}"
    assert [data[what]["count"] for what in ("lost", "stale", "conflicting")] == [0, 0, 0], f"seed {seed}"
    assert all(seconds is not None for seconds in data["converged_s"].values()), f"seed {seed}"
    assert max(sum(row["waiting"].values()) for row in record["backlog"]) > 50, f"seed {seed}: nothing queued up"


@pytest.mark.parametrize(
    "options",
    [
        {"how": "refuse"},
        {"how": "blackhole"},
        {"how": "refuse", "direction": "east->west"},
        {"how": "blackhole", "direction": "west->east", "between": "west,east"},
    ],
)
def test_split_brain_in_every_form_holds(options: dict[str, str]) -> None:
    record, _ = lived(1, "split-brain", options=options)
    held(record, 1)


def test_a_kong_with_a_hold_of_a_day_holds() -> None:
    record, sim = lived(1, "kong", for_s=DAY_S)
    held(record, 1)
    assert sim.memory.clock.elapsed() > DAY_S


def test_other_steps_are_planned_as_asked() -> None:
    record, _ = lived(2, "kong", options={"steps": "40,0"})
    held(record, 2)
    assert stages_of(record) == [*PLANNED[:2], "shift to 40 %", "shift to 0 %", "lights-out"]


# --- weaknesses


@pytest.mark.parametrize(
    ("weakness", "checks"),
    [
        ("dropped-hints", {"nothing stale", "converged"}),
        ("lost-invalidations", {"nothing stale"}),
        ("wrong-clock", {"nothing lost"}),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_split_brain_finds_what_becomes_of_the_data(weakness: str, checks: set[str], seed: int) -> None:
    record, _ = lived(seed, "split-brain", weaknesses=[weakness])
    assert record["verdict"] == "broken", f"seed {seed}: {record['reasons']}"
    assert checks <= {one["check"] for one in record["weaknesses"]}, f"seed {seed}"
    assert all(one["where"] and one["hint"] for one in record["weaknesses"])


@pytest.mark.parametrize("seed", SEEDS)
def test_devices_that_ignore_the_ttl_are_seen_as_a_region_that_does_not_drain(seed: int) -> None:
    record, _ = lived(seed, "kong", weaknesses=["sticky-resolver"])
    assert (record["outcome"], record["verdict"]) == ("aborted", "broken"), f"seed {seed}: {record['reasons']}"
    weakness = next(one for one in record["weaknesses"] if one["check"] == "users leave")
    assert "tries of users still went to" in weakness["seen"]
    assert "lights-out" not in stages_of(record)


@pytest.mark.parametrize("seed", SEEDS)
def test_where_users_tell_nothing_the_gateways_counts_say_whether_a_region_has_drained(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simian.tally.Exposure.tries", lambda *_: (0, 0))
    record, _ = lived(seed, "kong")
    held(record, seed)
    assert "drained" in [moment["name"] for moment in record["moments"]]
    sticky, _ = lived(seed, "kong", weaknesses=["sticky-resolver"])
    assert [one["check"] for one in sticky["weaknesses"]] == ["users leave"], f"seed {seed}"
    hard, _ = lived(seed, "kong", options={"hard": True})
    names = [moment["name"] for moment in hard["moments"]]
    assert ("uncounted" in names, "drained" in names) == (True, False), f"seed {seed}: its gateways are dead"


def test_a_gateway_that_counts_nobody_is_no_proof_that_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simian.tally.Exposure.tries", lambda *_: (0, 0))
    told = MemorySteering.arrivals
    mute = lambda steering: {name: many for name, many in told(steering).items() if name != "gateway-east-a"}  # noqa: E731
    monkeypatch.setattr(MemorySteering, "arrivals", mute)
    record, _ = lived(1, "kong", options={"region": "east"})
    assert record["outcome"] == "aborted"
    assert any("nobody saw where users arrive" in reason for reason in record["reasons"]), record["reasons"]
    assert "lights-out" not in stages_of(record)


def test_gateways_that_ignore_their_failover_mode_are_found_before_a_user_is_moved() -> None:
    record, _ = lived(1, "kong", weaknesses=["failover-mode-ignored"])
    assert (record["outcome"], record["verdict"]) == ("aborted", "broken")
    assert stages_of(record) == ["failover mode"]


def test_a_saviour_without_headroom_is_refused_and_broken_when_forced() -> None:
    record, _ = lived(1, "kong", weaknesses=["too-little-headroom"], options={"region": "east"})
    assert record["outcome"] == "refused"
    assert any("west would have to carry 200 requests a second and declares 150" in r for r in record["reasons"])
    forced, _ = lived(1, "kong", weaknesses=["too-little-headroom"], options={"region": "east"}, force_headroom=True)
    assert forced["verdict"] == "broken", forced["reasons"]


# --- aborts


@pytest.mark.parametrize("stage", PLANNED)
def test_an_abort_in_any_stage_undoes_nodes_first_and_users_after(stage: str) -> None:
    reached: list[str] = []

    def stop() -> str:
        return "enough" if reached else ""

    sim = Simulation.seeded(3, why_stop=stop)
    before, witness = picture(sim.memory), Witness(sim.memory)
    undone: list[str] = []

    def hear(event: Mapping[str, Any]) -> None:
        if event["event"] == "fault" and event["state"] == "injected":
            fault = next(entry for entry in stages if entry[0] == event["id"])
            reached.extend([fault[1]] if fault[1] == stage else [])
        if event["event"] == "fault" and event["state"] == "undone":
            undone.append(event["kind"])

    sim.emit = hear
    names = [*PLANNED[:-1], *["lights-out"] * 9]
    stages = list(enumerate(names, 1))
    record = sim.run(FOUND.get("kong"))
    assert record["outcome"] == "aborted"
    assert record["recovery"] == "clean"
    assert picture(sim.memory) == before
    assert witness.wrong == []
    kinds = list(dict.fromkeys(undone))
    assert kinds == [kind for kind in ("kill", "shift", "misrouted", "failover_mode") if kind in kinds]
    assert sum(second["failed"] for second in record["traffic"]) == 0
    assert all(later - earlier < 1.0 for earlier, later in pairwise(came_home(record))), "all at once, not step by step"


def test_users_are_not_sent_back_to_a_region_that_cannot_be_brought_back() -> None:
    sim = Simulation.seeded(1)
    witness = Witness(sim.memory)
    start = sim.memory.state.boot
    sim.memory.state.boot = lambda name: None if "members-east" in name else start(name)  # type: ignore[method-assign]
    record = sim.run(FOUND.get("kong"), options={"region": "east"})
    assert record["recovery"] == "stuck"
    assert witness.wrong == []
    assert sim.memory.state.traffic.home("east").now == {"east": 0.0, "west": 1.0}
    assert any("users of east are not sent back to east, which cannot serve them" in r for r in record["reasons"])
    assert any("only 0 of 3 members ready" in reason for reason in record["reasons"])


def test_users_whom_somebody_else_has_moved_meanwhile_are_left_where_they_are() -> None:
    sim = Simulation.seeded(1)

    def hear(event: Mapping[str, Any]) -> None:
        if event["event"] == "phase" and event["phase"] == "observe":
            sim.memory.state.send({"west": {"east": 0.0, "west": 1.0}, "east": {"east": 0.1, "west": 0.9}})

    sim.emit = hear
    record = sim.run(FOUND.get("kong"), options={"region": "east", "hard": True}, recover_within_s=5.0)
    assert sim.memory.state.traffic.home("east").now == {"east": 0.1, "west": 0.9}
    assert record["recovery"] == "stuck", "what is not as before must be told"
    assert any("shares was" in reason for reason in record["reasons"])
