"""Plans: pure, printable, the same from the same seed; and how far their harm reaches, as a table."""

import json
from random import Random
from typing import Any

import pytest

from simian import Cut, Delay, Kill, Pause, Radius, RequestDelay, RequestError, Stage, Throttle, Topology, monkey
from simian.errors import PluginError, Refused, UsageError
from simian.fault import Fault
from simian.memory import build_memory_world
from simian.plan import MAX_FAULTS, by_hand, plan_from_json, propose, radius_of, reach_of

TOPOLOGY = build_memory_world().topology
LOCAL, FAR, WIDE = "members-east-a--cache-east-a", "gateway-east--gateway-west-a", "members-east--queue-west"


@pytest.mark.parametrize(
    ("names", "radius"),
    [
        ([], Radius.NODE),
        (["store-east-a"], Radius.NODE),
        (["store-east-a", "store-east-a"], Radius.NODE),
        (["store-east-a", "cache-east-a"], Radius.ZONE),
        (["store-east-a", "cache-east-a", "gateway-east-a", "members-east-a"], Radius.ZONE),
        (["store-east-a", "store-east-b"], Radius.REGION),
        (["queue-east"], Radius.NODE),
        (["queue-east", "store-east-a"], Radius.REGION),
        (["store-east-a", "store-west-a"], Radius.SYSTEM),
        (["queue-east", "queue-west"], Radius.SYSTEM),
    ],
)
def test_the_radius_is_geometry(names: list[str], radius: Radius) -> None:
    assert radius_of([TOPOLOGY.node(name) for name in names]) == radius


MANY = [node.name for node in TOPOLOGY.candidates(service="members")]


@pytest.mark.parametrize(
    ("faults", "radius"),
    [
        ([Kill("store-east-a"), Pause("store-east-a")], Radius.NODE),
        ([Kill("store-east-a"), Pause("cache-east-a")], Radius.ZONE),
        ([Cut(LOCAL)], Radius.ZONE),
        ([Cut("members-east-a--cache-east-b")], Radius.REGION),
        ([Cut(FAR)], Radius.SYSTEM),
        ([Cut(WIDE)], Radius.SYSTEM),
        ([Delay(LOCAL), Delay(FAR), Throttle(WIDE)], Radius.NODE),
        ([RequestDelay(name, share=0.5) for name in MANY], Radius.NODE),
        ([RequestError(name, share=0.1) for name in MANY], Radius.NODE),
        ([RequestError(name, share=0.51) for name in MANY], Radius.SYSTEM),
        ([RequestDelay(MANY[0], share=1.0)], Radius.NODE),
        ([RequestDelay(MANY[0], share=1.0), Kill("members-east-b")], Radius.REGION),
    ],
)
def test_only_what_takes_a_target_from_its_users_counts(faults: list[Fault], radius: Radius) -> None:
    assert reach_of(faults, TOPOLOGY) == radius


def _propose(answer: Any) -> Any:
    return propose(monkey(radius=Radius.SYSTEM, name="given")(lambda topology, rng: answer), TOPOLOGY, 7, {})


def test_a_plan_survives_the_journal() -> None:
    stages = [Stage("one", (Kill("store-east-a"), Cut(LOCAL)), 2.5, gate=False), Stage("two", (Delay(FAR),))]
    made = _propose(stages)
    again = plan_from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.hash == made.hash
    assert [fault.target for fault in made.faults] == ["store-east-a", LOCAL, FAR]


def test_a_list_of_faults_is_one_stage() -> None:
    [stage] = _propose([Kill("store-east-a"), Kill("store-east-b")]).stages
    assert (stage.name, len(stage.faults), stage.gate) == ("given", 2, True)


def test_the_hash_covers_what_would_be_done() -> None:
    plans = [
        _propose([Kill("store-east-a")]),
        _propose([Pause("store-east-a")]),
        _propose([Kill("store-east-b")]),
        _propose([Stage("given", (Kill("store-east-a"),), settle_s=9.0)]),
        _propose([Stage("given", (Kill("store-east-a"),), gate=False)]),
    ]
    assert len({made.hash for made in plans}) == len(plans)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ([], Refused, "found nothing to break"),
        (None, PluginError, "returned NoneType; a list of faults or of stages"),
        ({"kill": "a"}, PluginError, "returned dict"),
        (["store-east-a"], PluginError, "returned str among its faults"),
        ([Stage("a", ()), Kill("store-east-a")], PluginError, "returned Stage among its faults"),
        ([Stage("a", ())], Refused, "found nothing to break"),
        ([Kill("nobody")], Refused, "no node is called 'nobody'"),
        ([Cut("nowhere")], Refused, "no link is called 'nowhere'"),
        ([Kill("store-east-a")] * (MAX_FAULTS + 1), Refused, f"at most {MAX_FAULTS}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_is_no_plan_is_told(answer: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        _propose(answer)
    assert said in str(caught.value)


@pytest.mark.parametrize("raised", [SystemExit(1), GeneratorExit(), RuntimeError("odd"), RecursionError("deep")])
def test_whatever_a_monkey_raises_names_the_monkey(raised: BaseException) -> None:
    @monkey(radius=Radius.NODE)
    def wild(topology: Topology, rng: Random) -> list[Fault]:
        raise raised

    with pytest.raises(PluginError, match="monkey 'wild' raised"):
        propose(wild, TOPOLOGY, 1, {})


def test_a_person_who_interrupts_a_monkey_is_heard() -> None:
    @monkey(radius=Radius.NODE)
    def slow(topology: Topology, rng: Random) -> list[Fault]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose(slow, TOPOLOGY, 1, {})


def test_stages_by_hand_tell_every_problem_at_once() -> None:
    stages = [
        {"stage": "one", "faults": [{"kil": "a"}, {"kill": "store-east-a"}]},
        {"stage": "two", "faults": [{"cut": LOCAL, "how": "gently"}]},
    ]
    with pytest.raises(UsageError) as caught:
        by_hand(stages, TOPOLOGY, 1)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["stage 1 (one)", "stage 2 (two)"]


def test_stages_by_hand_are_a_plan() -> None:
    stages = [{"stage": "one", "settle_s": 5.0, "gate": False, "faults": [{"kill": "store-east-a"}]}]
    made = by_hand(stages, TOPOLOGY, 1)
    assert made.stages == (Stage("one", (Kill("store-east-a"),), 5.0, gate=False),)
    assert (made.monkey, made.radius, made.may_reach) == (None, Radius.NODE, Radius.SYSTEM)
    assert made.topology_hash == TOPOLOGY.hash
