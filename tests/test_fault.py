"""Faults as values: stored, read back, written by hand, refused, and undone in any order any number of times."""

import contextlib
import json
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simian import (
    Crash,
    Cut,
    Delay,
    FailoverMode,
    Kill,
    Misrouted,
    Pause,
    RequestDelay,
    RequestError,
    Shift,
    Stop,
    Throttle,
)
from simian.errors import DriverError, Refused, TimedOut, Unreachable
from simian.fault import KINDS, Control, Fault, fault_from_json, fault_from_words
from simian.faults.request import binomial_interval
from simian.memory import MemoryWorld, build_memory_world

LINK = "members-east-a--cache-east-a"
EVERY: list[Fault] = [
    Kill("store-east-a"),
    Crash("store-east-b"),
    Stop("members-east-a"),
    Pause("gateway-west-a"),
    Cut(LINK, how="blackhole", direction="forward"),
    Delay(LINK, by="normal:100ms,20ms", direction="both"),
    Throttle(LINK, rate_kb_s=12.5, direction="backward"),
    RequestDelay(
        "members-east-a", share=0.25, side="client", callee="store", seed=7, by="lognormal:p50=80ms,p99=400ms"
    ),
    RequestError("members-east-b", share=0.01, seed=2**31, status=500),
    Shift("east", {"east": 1.0, "west": 0.0}, {"east": 0.25, "west": 0.75}, [{"east": 0.5, "west": 0.5}]),
    FailoverMode("west", ["east"]),
    Misrouted("east", "redirect"),
]


def kind_of(fault: Fault) -> str:
    return fault.kind


# --- as data


def test_every_kind_is_tried_here() -> None:
    assert {fault.kind for fault in EVERY} == set(KINDS)


@pytest.mark.parametrize("fault", EVERY, ids=kind_of)
def test_a_fault_survives_the_journal(fault: Fault) -> None:
    text = json.dumps(fault.to_json())
    again = fault_from_json(json.loads(text))
    assert again == fault
    assert type(again) is type(fault)
    assert json.loads(text)["kind"] == fault.kind
    assert json.loads(text)["version"] == fault.version


@pytest.mark.parametrize("fault", EVERY, ids=kind_of)
def test_a_prepared_fault_survives_the_journal_with_what_undo_needs(fault: Fault) -> None:
    prepared = fault.prepare(build_memory_world().world)
    assert fault_from_json(json.loads(json.dumps(prepared.to_json()))) == prepared


@pytest.mark.parametrize("fault", EVERY, ids=kind_of)
def test_a_fault_of_another_version_or_with_strange_fields_is_not_guessed_at(fault: Fault) -> None:
    with pytest.raises(ValueError, match=f"version {fault.version} here, the journal says 99"):
        fault_from_json({**fault.to_json(), "version": 99})
    with pytest.raises(ValueError, match="has no 'colour'; it has: "):
        fault_from_json({**fault.to_json(), "colour": "red"})
    lacking = fault.to_json()
    del lacking[fault.aim]
    with pytest.raises(ValueError, match=f"needs {fault.aim}"):
        fault_from_json(lacking)


@pytest.mark.parametrize("kind", ["kil", "meteor", "", "None"])
def test_an_unknown_kind_names_those_there_are(kind: str) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'kill'|there are: crash, cut, delay"):
        fault_from_json({"kind": kind, "version": 1, "node": "a"})


@pytest.mark.parametrize("fault", EVERY, ids=kind_of)
def test_a_fault_is_frozen_and_compares_by_value(fault: Fault) -> None:
    with pytest.raises(AttributeError):
        setattr(fault, fields(fault)[0].name, "another")
    assert fault == replace(fault)
    assert fault != replace(fault, **{fault.aim: "another"})


# --- by hand


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"kill": "web-1"}, Kill("web-1")),
        ({"cut": LINK, "how": "blackhole"}, Cut(LINK, how="blackhole")),
        ({"delay": LINK, "by": "normal:100ms,20ms"}, Delay(LINK, by="normal:100ms,20ms")),
        ({"throttle": LINK, "rate-kb-s": 50}, Throttle(LINK, rate_kb_s=50)),
        ({"request-delay": "web", "share": 0.5}, RequestDelay("web", share=0.5)),
        ({"request_error": "web", "status": 500, "share": 1}, RequestError("web", status=500, share=1)),
    ],
)
def test_faults_are_written_by_hand(words: dict[str, Any], fault: Fault) -> None:
    assert fault_from_words(words) == fault


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "no fault is called ''"),
        ({"kil": "web-1"}, "did you mean 'kill'"),
        ({"kill": "web-1", "stop": "web-1"}, "names exactly one kind, here: kill, stop"),
        ({"kill": "web-1", "how": "hard"}, "a kill has no 'how'; it has: node"),
        ({"cut": LINK, "how": "gently"}, "a cut is 'refuse' or 'blackhole', not 'gently'"),
        ({"cut": LINK, "direction": "up"}, "a direction is 'both', 'forward' or 'backward', not 'up'"),
        ({"throttle": LINK, "rate_kb_s": 0}, "a number above 0, not 0"),
        ({"throttle": LINK, "rate_kb_s": float("nan")}, "not nan"),
        ({"throttle": LINK, "rate_kb_s": float("inf")}, "not inf"),
        ({"throttle": LINK, "rate_kb_s": True}, "not True"),
        ({"throttle": LINK, "rate_kb_s": "fast"}, "not 'fast'"),
        ({"delay": LINK, "by": "soon"}, "soon"),
        ({"request_delay": "web", "share": 0}, "a share lies above 0"),
        ({"request_delay": "web", "share": 1.01}, "a share lies above 0"),
        ({"request_delay": "web", "share": float("nan")}, "a share lies above 0"),
        ({"request_delay": "web", "side": "both"}, "'client' or 'server', not 'both'"),
        ({"request_error": "web", "status": 200}, "from 400 to 599, not 200"),
        ({"request_error": "web", "status": "503"}, "from 400 to 599, not '503'"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        fault_from_words(words)
    assert said in str(caught.value)


def test_a_node_or_link_may_be_given_itself() -> None:
    topology = build_memory_world().topology
    assert Kill(topology.node("store-east-a")) == Kill("store-east-a")  # type: ignore[arg-type]
    assert Delay(topology.link(LINK)).target == LINK  # type: ignore[arg-type]


# --- the interval that evidence of requests is judged by


def exact(n: int, share: float, tail: float = 0.005) -> tuple[int, int]:
    """By fractions: the first count from either end at which more than the tail is reached."""
    from fractions import Fraction
    from math import comb

    p, limit = Fraction(share).limit_denominator(10_000), Fraction(tail).limit_denominator(10_000)
    mass = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]

    def trim(values: list[Fraction]) -> int:
        total = Fraction(0)
        for k, value in enumerate(values):
            total += value
            if total > limit:
                return k
        return n

    return trim(mass), n - trim(mass[::-1])


@pytest.mark.parametrize("n", [1, 2, 15, 60, 120, 240])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99])
def test_the_interval_is_exact(n: int, share: float) -> None:
    assert binomial_interval(n, share) == exact(n, share)


@pytest.mark.parametrize(
    ("n", "share", "interval"), [(0, 0.5, (0, 0)), (10, 0.0, (0, 0)), (10, 1.0, (10, 10)), (960, 0.1, (73, 121))]
)
def test_the_interval_at_its_ends(n: int, share: float, interval: tuple[int, int]) -> None:
    assert binomial_interval(n, share) == interval


def test_an_honest_request_fault_is_hardly_ever_called_a_lie() -> None:
    """Twelve faults a run, each with a 1 % interval looked at once, would leave one run in nine unknown by chance."""
    wrong = []
    for seed in range(60):
        memory = build_memory_world(seed)
        topology = memory.topology
        for number, node in enumerate(n for n in topology.nodes if n.service == "members"):
            given = RequestError(node.name, share=0.1, seed=seed * 100 + number)
            control = given.control(memory.world, topology)
            given.inject(memory.world, "simian.t.1")
            found = given.evidence(memory.world, topology, "simian.t.1", control)
            wrong += [(seed, node.name, found.seen)] if found.held is not True else []
    assert not wrong


@pytest.mark.parametrize(("planned", "real"), [(0.1, 0.6), (0.5, 0.2), (1.0, 0.9)])
def test_another_share_than_planned_is_disproven(planned: float, real: float) -> None:
    memory = build_memory_world(3)
    given = RequestError("members-east-a", share=planned)
    control = given.control(memory.world, memory.topology)
    replace(given, share=real).inject(memory.world, "simian.t.1")
    assert given.evidence(memory.world, memory.topology, "simian.t.1", control).held is False


# --- undo


def picture(memory: MemoryWorld) -> dict[str, Any]:
    state = memory.state
    nodes = {name: (one.state, one.held, state.ready(one), tuple(one.rules)) for name, one in state.nodes.items()}
    links = {name: (one.enabled, tuple(one.ours), tuple(one.foreign)) for name, one in state.links.items()}
    steered = {f"users of {home}": state.traffic.home(home) for home in state.regions}
    modes = {f"modes of {r}": [state.nodes[name].modes for name in state.gateways(r)] for r in state.regions}
    return {**nodes, **links, **steered, **modes}


@pytest.mark.parametrize("fault", EVERY, ids=kind_of)
def test_undo_can_be_repeated_and_needs_no_inject(fault: Fault) -> None:
    memory = build_memory_world()
    before, world = picture(memory), memory.world
    prepared = fault.prepare(world)
    prepared.undo(world, "simian.r.1")
    assert picture(memory) == before
    prepared.inject(world, "simian.r.1")
    assert picture(memory) != before
    assert not prepared.gone(world, "simian.r.1")
    for _ in range(3):
        prepared.undo(world, "simian.r.1")
        memory.clock.wait(5)
        assert picture(memory) == before
        assert prepared.gone(world, "simian.r.1")


@pytest.mark.parametrize("fault", [fault for fault in EVERY if fault.layer != "steering"], ids=kind_of)
def test_undo_is_content_when_the_target_is_gone(fault: Fault) -> None:
    memory = build_memory_world()
    prepared = fault.prepare(memory.world)
    prepared.inject(memory.world, "simian.r.1")
    if fault.layer == "link":
        del memory.state.links[fault.target]
    else:
        memory.state.remove(fault.target)
    prepared.undo(memory.world, "simian.r.1")
    assert prepared.gone(memory.world, "simian.r.1")


@pytest.mark.parametrize("fault", [fault for fault in EVERY if fault.layer in ("link", "request")], ids=kind_of)
def test_undo_takes_out_its_own_mark_and_nobody_elses(fault: Fault) -> None:
    memory = build_memory_world()
    prepared = fault.prepare(memory.world)
    prepared.inject(memory.world, "simian.other.1")
    others = picture(memory)
    prepared.inject(memory.world, "simian.mine.1")
    prepared.undo(memory.world, "simian.mine.1")
    assert picture(memory) == others


def test_a_link_that_was_cut_by_somebody_is_refused_and_never_enabled() -> None:
    memory = build_memory_world()
    memory.state.links[LINK].enabled = False
    for fault in EVERY:
        if fault.layer == "link":
            with pytest.raises(Refused, match="is cut already"):
                fault.prepare(memory.world)


def test_a_target_that_carries_ours_already_is_refused() -> None:
    memory = build_memory_world()
    Delay(LINK).inject(memory.world, "simian.old.1")
    with pytest.raises(Refused, match=r"simian\.old\.1; run \"simian recover\""):
        Delay(LINK).prepare(memory.world)
    RequestError("members-east-a").inject(memory.world, "simian.old.2")
    with pytest.raises(Refused, match=r"simian\.old\.2"):
        RequestDelay("members-east-a").prepare(memory.world)


def test_a_positive_control_that_fails_refuses() -> None:
    memory = build_memory_world()
    topology = memory.topology
    for fault in EVERY:
        hurt = build_memory_world()
        behind = {"cut": "cache-east-a", "delay": "cache-east-a", "throttle": "cache-east-a"}
        behind |= {"shift": "dns", "failover_mode": "gateway-west-a", "misrouted": "gateway-east-a"}
        hurt.world.platform.kill(behind.get(fault.kind, fault.target))
        with pytest.raises((Refused, DriverError)):
            fault.prepare(hurt.world).control(hurt.world, topology)


class AnyOrder(RuleBasedStateMachine):
    """Faults come and go in any order, some twice, some on top of each other, and targets vanish in between."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = build_memory_world(zones=("a", "b"))
        self.before = picture(self.memory)
        self.prepared = [fault.prepare(self.memory.world) for fault in EVERY if "west" not in fault.target]
        self.prepared += [Pause("members-east-b").prepare(self.memory.world), Cut(LINK).prepare(self.memory.world)]
        self.lost: set[str] = set()
        self.marks = {index: f"simian.r.{index}" for index in range(len(self.prepared))}

    @rule(index=st.integers(0, 9), wait_s=st.sampled_from([0.0, 0.1, 3.0, 30.0]))
    def inject(self, index: int, wait_s: float) -> None:
        fault = self.prepared[index % len(self.prepared)]
        # Lost, down or frozen by another of these; users who have been moved already are not moved by another.
        with contextlib.suppress(DriverError):
            fault.inject(self.memory.world, self.marks[index % len(self.prepared)])
        self.memory.clock.wait(wait_s)

    @rule(index=st.integers(0, 9))
    def undo(self, index: int) -> None:
        fault = self.prepared[index % len(self.prepared)]
        try:
            fault.undo(self.memory.world, self.marks[index % len(self.prepared)])
        except (Unreachable, TimedOut):
            assert fault.layer in ("request", "steering"), "only a service that is down cannot be asked"
        except DriverError:
            assert fault.kind in ("shift", "failover_mode"), "users who would be sent to a dead region stay"

    @rule(name=st.sampled_from(["store-east-a", "members-east-b", LINK]))
    def lose(self, name: str) -> None:
        if name not in self.lost:
            self.lost.add(name)
            self.memory.state.links.pop(name) if "--" in name else self.memory.state.remove(name)

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        now = picture(self.memory)
        ours = {fault.target for fault in self.prepared} | {"users of east", "modes of east"}
        assert {k: v for k, v in now.items() if k not in ours} == {
            k: v for k, v in self.before.items() if k not in ours
        }

    def teardown(self) -> None:
        for _ in range(2):  # a rule can be taken out once its service is back: as recovery does, again
            for index in range(len(self.prepared)):
                self.undo(index)
            self.memory.clock.wait(10)
        left = {name: value for name, value in self.before.items() if name not in self.lost}
        assert picture(self.memory) == left


AnyOrder.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = AnyOrder.TestCase


def test_a_kind_needs_all_its_verbs() -> None:
    @dataclass(frozen=True)
    class Half(Fault):
        node: str
        kind: ClassVar[str] = "half"

    memory, half = build_memory_world(), Half("store-east-a")
    control = Control("", {})
    for call in (
        lambda: half.inject(memory.world, "m"),
        lambda: half.undo(memory.world, "m"),
        lambda: half.gone(memory.world, "m"),
        lambda: half.control(memory.world, memory.topology),
        lambda: half.evidence(memory.world, memory.topology, "m", control),
    ):
        with pytest.raises(NotImplementedError):
            call()
