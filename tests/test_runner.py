"""Whole runs on the memory world, judged by looking at the world itself and never at simian's own notes."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian import Kill, Radius, Stage, Topology, monkey
from simian.errors import JournalError, LeaseLost
from simian.fault import Fault
from simian.halt import HaltLever
from simian.journal import Journal
from simian.lease import NoGuardian
from simian.memory import MemoryWorld
from simian.memory.unreliable import WRITES, Unreliable
from simian.monkey import Monkey, find_monkeys
from simian.owner import Owner
from simian.simulation import Simulation
from simian.verdict import exit_code

SEEDS = max(30, int(os.environ.get("SIMIAN_SEEDS", "0")))
ROUGH = ({"name": "requests succeed", "probe": {"users": "success_share"}, "tolerance": ">= 99 %"},)
SHORT: dict[str, Any] = {"checks": ROUGH, "baseline_s": 5.0, "for_s": 6.0}
FOUND = find_monkeys()
ALL = {"chaos": {}, "gorilla": {}, "latency": {"error_share": "5%"}}
PORTS = ("platform", "network", "requests")


def picture(memory: MemoryWorld) -> dict[str, Any]:
    state = memory.state
    nodes = {name: (one.state, one.held, state.ready(one), tuple(one.rules)) for name, one in state.nodes.items()}
    return nodes | {name: (one.enabled, tuple(one.ours), tuple(one.foreign)) for name, one in state.links.items()}


def code(record: Mapping[str, Any]) -> int:
    return exit_code(record["outcome"], record["verdict"], record["recovery"], leashed=record["leashed"])


def by_hand(*faults: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"stage": "by hand", "settle_s": 1.0, "faults": list(faults)}]


class Writes:
    """A driver whose writing calls go one way and whose reads another; ``made`` counts the writes."""

    def __init__(self, driver: object, writer: object) -> None:
        self._driver, self._writer = driver, writer
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in WRITES:
            return getattr(self._driver, name)
        method = getattr(self._writer, name)

        def call(*args: Any, **options: Any) -> Any:
            self.made.append(name)
            return method(*args, **options)

        return call


def with_writers(sim: Simulation, make: Callable[[object], object]) -> list[Writes]:
    """Put another writer into each port of the simulation."""
    world = sim.memory.world
    ports = {port: Writes(getattr(world, port), make(getattr(world, port))) for port in PORTS}
    sim.memory = replace(sim.memory, world=replace(world, **ports))  # type: ignore[arg-type]
    return list(ports.values())


class Liar:
    """Says that it did, and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **options: None


# --- a healthy system holds


@pytest.mark.parametrize("name", ALL)
def test_a_healthy_system_holds_and_is_as_before(name: str) -> None:
    for seed in range(SEEDS):
        sim = Simulation.seeded(seed)
        before = picture(sim.memory)
        record = sim.run(FOUND.get(name), options=ALL[name], for_s=20.0)
        assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), (
            seed,
            record["reasons"],
        )
        assert code(record) == 0
        assert picture(sim.memory) == before, seed
        assert record["faults"], seed
        for fault in record["faults"]:
            assert fault["evidence"]["held"] is True, (seed, fault)
            assert fault["exposure"] > 0, (seed, fault)
            assert fault["state"] == "undone", (seed, fault)
            assert fault["injected"] < fault["undone"]
        phases = [phase["phase"] for phase in record["phases"]]
        assert phases == ["plan", "preflight", "baseline", "inject", "observe", "recover", "verify", "report"]
        assert record["notes"] == []
        assert record["weaknesses"] == []


def test_the_same_seed_gives_the_same_run() -> None:
    def told(seed: int) -> dict[str, Any]:
        record = Simulation.seeded(seed).run(FOUND.get("gorilla"), **SHORT)
        return {key: record[key] for key in ("plan_hash", "faults", "phases", "traffic", "verdict", "steady_state")}

    assert told(3) == told(3)
    assert told(3)["plan_hash"] != told(6)["plan_hash"]


@pytest.mark.parametrize(
    "words",
    [
        {"kill": "store-east-a"},
        {"stop": "members-west-b"},
        {"crash": "gateway-east-a"},
        {"pause": "cache-east-b"},
        {"cut": "members-east-a--cache-east-a"},
        {"cut": "members-east-a--cache-east-a", "how": "blackhole", "direction": "backward"},
        {"delay": "members-east-a--cache-east-a", "by": "constant:20ms"},
        {"throttle": "members-east-a--cache-east-a", "rate_kb_s": 500},
        {"request_delay": "members-east-a", "share": 0.5, "by": "constant:80ms"},
        {"request_error": "members-east-a", "share": 0.2, "status": 500},
        {"request_error": "gateway-east-a", "side": "client", "callee": "members", "share": 0.2},
    ],
    ids=lambda words: f"{next(iter(words))} {words.get('how', words.get('side', ''))}".strip(),
)
def test_each_fault_is_proven_felt_and_undone(words: dict[str, Any]) -> None:
    sim = Simulation.seeded(5)
    before = picture(sim.memory)
    hurt = []
    sim.emit = lambda event: hurt.append(picture(sim.memory) != before) if event["event"] == "evidence" else None
    record = sim.run(None, stages=by_hand(words), **{**SHORT, "for_s": 20.0})
    assert record["verdict"] == "held", record["reasons"]
    if "crash" not in words:  # a crashed node is back before its new incarnation is seen
        assert hurt == [True]
    assert picture(sim.memory) == before


# --- a weak one is found out


@pytest.mark.parametrize(
    ("weakness", "service", "culprit"),
    [("single-instance", "members", "members-east-a"), ("no-next-gateway", "gateway", "gateway-")],
)
def test_a_planted_weakness_is_broken_and_named(weakness: str, service: str, culprit: str) -> None:
    for seed in range(5):
        sim = Simulation.seeded(seed, weaknesses=[weakness])
        before = picture(sim.memory)
        record = sim.run(FOUND.get("chaos"), options={"service": service, "how": "kill"})
        assert record["verdict"] == "broken", (seed, record["reasons"])
        assert code(record) == 1
        assert record["weaknesses"], seed
        assert culprit in str(record["weaknesses"]), seed
        assert picture(sim.memory) == before, seed


def test_two_dead_stores_of_three_are_a_weakness_and_end_the_run_early() -> None:
    sim = Simulation.seeded(1)
    before = picture(sim.memory)
    record = sim.run(FOUND.get("chaos"), radius="system", options={"node": ["store-east-a"]}, for_s=20.0)
    assert record["verdict"] == "held", "one is enough to lose"
    stages = by_hand({"kill": "store-east-a"}, {"kill": "store-east-b"})
    record = sim.run(None, "second", stages=stages, for_s=600.0)
    assert (record["outcome"], record["verdict"], code(record)) == ("aborted", "broken", 1), record["reasons"]
    assert picture(sim.memory) == before
    assert sim.memory.clock.elapsed() < 300, "it did not wait for the end of its time"


def test_an_abort_condition_ends_the_run() -> None:
    sim = Simulation.seeded(2)
    before = picture(sim.memory)
    checks = ({"name": "first tries", "probe": {"users": "first_try_share"}, "tolerance": ">= 50 %"},)
    aborts = ({"check": "first tries", "below": 0.995},)
    asked = {"checks": checks, "aborts": aborts, "baseline_s": 5.0, "for_s": 60.0}
    record = sim.run(FOUND.get("gorilla"), **asked)
    assert record["outcome"] == "aborted", record["reasons"]
    assert any("first tries" in reason for reason in record["reasons"])
    assert code(record) == 4
    assert picture(sim.memory) == before


def test_a_system_that_is_not_well_is_left_alone() -> None:
    sim = Simulation.seeded(3)
    for name in ("store-east-a", "store-east-b"):
        sim.memory.world.platform.kill(name)
    before = picture(sim.memory)
    record = sim.run(FOUND.get("chaos"), options={"service": "members"}, **SHORT)
    assert (record["outcome"], code(record)) == ("refused", 3)
    assert "the steady state does not hold before the run" in record["reasons"][0]
    assert picture(sim.memory) == before
    assert record["faults"] == []


# --- ending a run


MOMENTS = ["plan", "preflight", "baseline", "inject", "injected", "proven", "observe", "recover", "verify", "report"]


@pytest.mark.parametrize("phase", MOMENTS)
@pytest.mark.parametrize("name", ALL)
def test_a_signal_in_any_phase_ends_in_the_world_as_before(name: str, phase: str) -> None:
    sim = Simulation.seeded(7)
    before, reached = picture(sim.memory), []
    words = {"phase": "phase", "fault": "state"}
    sim.emit = lambda event: reached.append(
        "proven" if event["event"] == "evidence" else event.get(words.get(event["event"], ""), "")
    )
    sim.why_stop = lambda: "SIGTERM" if phase in reached else ""
    record = sim.run(FOUND.get(name), options=ALL[name], **SHORT)
    assert picture(sim.memory) == before
    assert record["recovery"] == "clean"
    if phase in ("recover", "verify", "report"):
        assert record["outcome"] == "completed", "nothing stops the undo any more"
        return
    assert record["outcome"] == "aborted"
    assert record["reasons"][0] == "aborted: SIGTERM"
    assert code(record) == 4
    assert bool(record["faults"]) == (phase in ("injected", "proven", "observe"))
    assert all(fault["state"] == "undone" for fault in record["faults"])


def test_a_halt_in_the_middle_ends_the_run_and_forbids_the_next() -> None:
    sim = Simulation.seeded(8)
    before, lever = picture(sim.memory), HaltLever(sim.folder / "halt")

    def pull(event: Mapping[str, Any]) -> None:
        if event["event"] == "phase" and event["phase"] == "observe":
            lever.pull("incident 7")

    sim.emit = pull
    record = sim.run(FOUND.get("gorilla"), **SHORT)
    assert record["outcome"] == "aborted"
    assert record["reasons"][0] == "aborted: halted: incident 7"
    assert picture(sim.memory) == before
    again = sim.run(FOUND.get("gorilla"), "next", **SHORT)
    assert again["outcome"] == "refused"
    assert "incident 7" in again["reasons"][0]
    assert lever.release()
    sim.emit = lambda event: None
    assert sim.run(FOUND.get("gorilla"), "third", **SHORT)["outcome"] == "completed"


# --- honesty


@pytest.mark.parametrize(
    "words",
    [
        {"kill": "store-east-a"},
        {"crash": "store-east-a"},
        {"pause": "store-east-a"},
        {"cut": "members-east-a--cache-east-a"},
        {"delay": "members-east-a--cache-east-a"},
        {"throttle": "members-east-a--cache-east-a"},
        {"request_delay": "members-east-a", "share": 0.5},
        {"request_error": "members-east-a", "share": 0.5},
    ],
    ids=lambda words: next(iter(words)),
)
def test_a_fault_that_does_nothing_is_never_held(words: dict[str, Any]) -> None:
    sim = Simulation.seeded(9)
    with_writers(sim, lambda driver: Liar())
    record = sim.run(None, stages=by_hand(words), exposure="assumed", **SHORT)
    assert record["verdict"] == "unknown"
    assert record["faults"][0]["evidence"]["held"] is not True
    assert "is not proven to have been in place" in record["reasons"][0]
    assert code(record) == 4


@pytest.mark.parametrize(
    "words",
    [
        {"delay": "members-east-a--cache-east-a", "by": "constant:0ms"},
        {"throttle": "members-east-a--cache-east-a", "rate_kb_s": 1e9},
        {"request_delay": "members-east-a", "by": "constant:0ms"},
        {"request_error": "cache-east-a"},
        {"cut": "members-east-a--cache-east-a", "how": "refuse", "direction": "forward"},
    ],
)
def test_a_fault_that_could_prove_nothing_is_refused(words: dict[str, Any]) -> None:
    sim = Simulation.seeded(9)
    writers = with_writers(sim, lambda driver: driver)
    record = sim.run(None, stages=by_hand(words), **SHORT)
    assert (record["outcome"], code(record)) == ("refused", 3), record["reasons"]
    assert not any(writer.made for writer in writers)


def test_a_fault_that_no_user_met_is_unknown_unless_that_is_meant() -> None:
    stages = by_hand({"cut": "gateway-east--gateway-west-a"})  # used only while one region helps the other
    record = Simulation.seeded(1).run(None, stages=stages, **SHORT)
    assert record["verdict"] == "unknown"
    assert record["faults"][0]["exposure"] == 0
    assert "no user's request met the cut" in record["reasons"][0]
    meant = Simulation.seeded(1).run(None, stages=stages, exposure="assumed", **SHORT)
    assert meant["verdict"] == "held"
    assert meant["exposure_assumed"]


def test_without_a_check_nothing_is_held() -> None:
    record = Simulation.seeded(1).run(FOUND.get("chaos"), checks=(), baseline_s=1.0, for_s=5.0)
    assert (record["outcome"], record["verdict"]) == ("completed", "unknown")


def test_somebody_elses_change_is_a_note_and_what_is_ours_and_remains_is_stuck() -> None:
    sim = Simulation.seeded(1)

    def meddle(event: Mapping[str, Any]) -> None:
        if event["event"] == "phase" and event["phase"] == "observe":
            sim.memory.world.platform.kill("queue-west")

    sim.emit = meddle
    record = sim.run(None, stages=by_hand({"kill": "store-east-a"}), **{**SHORT, "recover_within_s": 5.0})
    assert record["recovery"] == "clean"
    assert ["queue-west" in note for note in record["notes"]] == [True]

    sim = Simulation.seeded(1)
    platform = sim.memory.world.platform
    sim.memory = replace(
        sim.memory,
        world=replace(sim.memory.world, platform=Deaf(platform, "start")),  # type: ignore[arg-type]
    )
    record = sim.run(None, stages=by_hand({"kill": "store-east-a"}), **{**SHORT, "recover_within_s": 5.0})
    assert (record["recovery"], code(record)) == ("stuck", 5)
    assert 'run "simian recover"' in " ".join(record["reasons"])
    assert record["faults"][0]["state"] == "stuck"


class Deaf:
    """A driver that does nothing when called by this name."""

    def __init__(self, driver: object, name: str) -> None:
        self._driver, self._name = driver, name

    def __getattr__(self, name: str) -> Any:
        return (lambda *args: None) if name == self._name else getattr(self._driver, name)


# --- drivers that misbehave


@pytest.mark.parametrize("mode", Unreliable.MODES)
@pytest.mark.parametrize("name", ["chaos", "gorilla", "latency", "links"])
def test_whatever_drivers_do_the_world_is_as_before_or_named_stuck(name: str, mode: str) -> None:
    for seed in range(6):
        sim = Simulation.seeded(seed)
        before, rng = picture(sim.memory), Random(seed)
        with_writers(sim, lambda driver: Unreliable(driver, rng, sim.memory.clock, modes={mode: 0.3}))  # noqa: B023
        links = by_hand({"cut": "members-east-a--cache-east-a"}, {"delay": "members-west-a--queue-west"})
        asked: dict[str, Any] = {"stages": links} if name == "links" else {"options": ALL[name]}
        found = None if name == "links" else FOUND.get(name)
        record = sim.run(found, exposure="assumed", **asked, **SHORT)
        told = (seed, record["outcome"], record["verdict"], record["reasons"])
        sim.memory.clock.wait(60.0)  # what was late has landed, and what expires has expired
        if record["recovery"] == "clean":
            assert picture(sim.memory) == before, told
        else:
            assert any(reason.startswith("stuck: ") for reason in record["reasons"]), told
        if record["verdict"] == "held":
            assert record["outcome"] == "completed", told
            assert all(fault["evidence"]["held"] is True for fault in record["faults"]), told
        else:
            assert record["reasons"], told


def test_a_call_that_timed_out_is_undone_again_until_it_can_no_longer_land() -> None:
    for late_s in (0.5, 5.0, 14.0):
        sim = Simulation.seeded(1)
        before, clock = picture(sim.memory), sim.memory.clock
        platform = sim.memory.world.platform
        late = Unreliable(platform, Random(1), clock, modes={"later": 1.0}, late_s=late_s)
        mixed = Writes(platform, platform)
        mixed.kill = late.kill  # type: ignore[attr-defined]
        sim.memory = replace(sim.memory, world=replace(sim.memory.world, platform=mixed))  # type: ignore[arg-type]
        record = sim.run(None, stages=by_hand({"kill": "store-east-a"}), **SHORT)
        assert (record["outcome"], record["recovery"]) == ("aborted", "clean"), record["reasons"]
        assert picture(sim.memory) == before
        clock.wait(60.0)
        assert picture(sim.memory) == before, f"a call {late_s} s late broke it after the run"


def test_a_driver_that_raises_what_nobody_expects_does_not_keep_undo_from_happening() -> None:
    sim = Simulation.seeded(1)
    before, platform = picture(sim.memory), sim.memory.world.platform

    class Odd(Deaf):
        def kill(self, node: str) -> None:
            platform.kill(node)
            if node == "gateway-east-a":
                raise RuntimeError("a defect")

    sim.memory = replace(sim.memory, world=replace(sim.memory.world, platform=Odd(platform, "")))  # type: ignore[arg-type]
    record = sim.run(FOUND.get("gorilla"), options={"zone": "east-a"}, **SHORT)
    assert (record["outcome"], record["recovery"]) == ("aborted", "clean")
    assert "a defect" in record["reasons"][0]
    assert picture(sim.memory) == before


# --- the journal and the guardian


@pytest.mark.parametrize("phase", ["preflight", "baseline", "inject", "observe", "recover", "verify", "report"])
@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_is_full_from_any_phase_on_leaves_nothing_broken(name: str, phase: str) -> None:
    sim = Simulation.seeded(4)
    before, full = picture(sim.memory), []

    def crash(point: str) -> None:
        if point == f"phase.{phase}":
            full.append(point)
        if full and point.startswith("journal.") and point.endswith(":before"):
            raise JournalError("the disk is full")

    sim.journal = Journal(Path(":memory:"), crash)
    sim.crash = crash
    try:
        sim.run(FOUND.get(name), options=ALL[name], **SHORT)
    finally:
        assert picture(sim.memory) == before


class Lost(NoGuardian):
    """A guardian that dies while it is told what will be done."""

    def intend(self, entries: Any) -> None:
        self.alone = True
        raise LeaseLost("the guardian did not say 'ack': it is gone")


def test_a_guardian_lost_before_it_holds_the_intents_leaves_no_open_fault_behind() -> None:
    sim = Simulation.seeded(4)
    before = picture(sim.memory)
    runner = sim.runner(FOUND.get("gorilla"), sim.request(monkey="gorilla", **SHORT))
    runner.tools.lease = Lost()
    runner.run()
    row = sim.journal.run_row("simulated")
    assert (row["outcome"], row["recovery"]) == ("aborted", "clean")
    assert sim.journal.with_open_faults() == [], "an ended run that is clean has nothing open"
    assert picture(sim.memory) == before


def test_a_runner_that_lost_its_lease_touches_nothing_more() -> None:
    sim = Simulation.seeded(4)
    runner = sim.runner(FOUND.get("gorilla"), sim.request(monkey="gorilla", **SHORT))
    writers = with_writers(sim, lambda driver: driver)
    runner.tools.world = sim.memory.world

    class Taken(NoGuardian):
        def check(self) -> None:
            if any(writer.made for writer in writers):
                raise LeaseLost("the lease of 5 s has run out; the guardian takes over")

    runner.tools.lease = Taken()
    with pytest.raises(LeaseLost):
        runner.run()
    assert {name for writer in writers for name in writer.made} == {"kill"}
    assert sim.journal.run_row("simulated")["ended"] is None, "the guardian closes it"


# --- leash, locks, stages


def test_a_leashed_run_touches_nothing() -> None:
    for name in ALL:
        sim = Simulation.seeded(4)
        before, writers = picture(sim.memory), with_writers(sim, lambda driver: Liar())
        record = sim.run(FOUND.get(name), leashed=True, **SHORT)
        assert not any(writer.made for writer in writers)
        assert picture(sim.memory) == before
        assert record["plan"]["stages"][0]["faults"], "what it would have done is recorded"
        assert (record["outcome"], code(record)) == ("completed", 0)
        assert record["reasons"] == ["leashed: nothing was touched"]
        assert sim.journal.lock("next", [("node", "store-east-a")]) == []


def test_a_target_held_by_another_run_is_refused_by_its_name() -> None:
    sim, me = Simulation.seeded(4), Owner.me()
    sim.journal.begin("other", at=sim.memory.clock.now(), owner=(me.pid, me.start_time), request={}, world={})
    assert sim.journal.lock("other", [("node", "store-east-a"), ("link", "members-east-a--cache-east-a")]) == []
    taken = sim.run(FOUND.get("chaos"), "second", options={"node": ["store-east-a"]}, **SHORT)
    assert taken["reasons"] == ["refused: store-east-a (node) is held by run other"]
    assert code(taken) == 3
    another_layer = by_hand({"request_delay": "store-east-a", "share": 0.5})
    free = sim.run(None, "third", stages=another_layer, exposure="assumed", **SHORT)
    assert free["outcome"] == "completed", free["reasons"]
    assert sim.run(None, "fourth", stages=another_layer, exposure="assumed", **SHORT)["outcome"] == "completed"


def test_stages_go_in_one_by_one_and_come_out_backwards() -> None:
    @monkey(radius=Radius.SYSTEM)
    def slowly(topology: Topology, rng: Random) -> list[Stage]:
        names = ["cache-east-a", "cache-east-b", "cache-west-a"]
        return [Stage(f"{n}", (Kill(name),), settle_s=3.0) for n, name in enumerate(names)]

    sim = Simulation.seeded(4)
    record = sim.run(slowly, **SHORT)
    assert record["outcome"] == "completed", record["reasons"]
    injected = [fault["injected"] for fault in record["faults"]]
    undone = [fault["undone"] for fault in record["faults"]]
    assert injected == sorted(set(injected))
    assert undone == sorted(set(undone), reverse=True)


def test_a_gate_that_does_not_hold_keeps_the_next_stage_from_being_touched() -> None:
    sim = Simulation.seeded(4)
    before = picture(sim.memory)
    stages = [
        {"stage": "both", "settle_s": 8.0, "faults": [{"kill": "store-east-a"}, {"kill": "store-east-b"}]},
        {"stage": "never", "faults": [{"kill": "gateway-west-a"}]},
    ]
    record = sim.run(None, stages=stages, **SHORT)
    assert record["outcome"] == "aborted"
    assert [fault["target"] for fault in record["faults"]] == ["store-east-a", "store-east-b"]
    assert picture(sim.memory) == before


# --- monkeys that misbehave


def _monkey(function: Callable[..., Any]) -> Monkey:
    return monkey(radius=Radius.SYSTEM, name="odd")(function)


def _exits(topology: Topology, rng: Random) -> list[Fault]:
    raise SystemExit("bye")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (_monkey(_exits), "SystemExit: bye"),
        (_monkey(lambda topology, rng: []), "found nothing to break"),
        (_monkey(lambda topology, rng: None), "returned NoneType"),
        (_monkey(lambda topology, rng: ["store-east-a"]), "returned str among its faults"),
        (_monkey(lambda topology, rng: [Kill("nobody")]), "no node is called 'nobody'"),
        (_monkey(lambda topology, rng: [Kill("proxy-east")]), "is an instrument"),
        (_monkey(lambda topology, rng: [Kill("dns")]), "is an instrument"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_monkey_that_misbehaves_is_refused(odd: Monkey, said: str) -> None:
    sim = Simulation.seeded(1)
    writers = with_writers(sim, lambda driver: driver)
    record = sim.run(odd, **SHORT)
    assert (record["outcome"], code(record)) == ("refused", 3)
    assert said in " ".join(record["reasons"])
    assert not any(writer.made for writer in writers)
