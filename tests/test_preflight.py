"""The ladder of refusals: each rung as a table, and every reason at once."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian import Cut, Kill, Radius, RequestError, Stage
from simian.errors import JournalError, Refused
from simian.fault import Fault
from simian.halt import HaltLever
from simian.hands import OneByOne
from simian.journal import Journal
from simian.memory import MemoryWorld, build_memory_world
from simian.owner import Owner
from simian.plan import Plan, reach_of
from simian.platforms.docker_containers import production_mark
from simian.preflight import Case, climb, controls, prepared
from simian.request import RunRequest
from simian.topology import Topology

LINK = "members-east-a--cache-east-a"


@dataclass
class Scene:
    """A case that may go ahead, to be spoiled."""

    folder: Path
    memory: MemoryWorld = field(default_factory=build_memory_world)
    faults: tuple[Fault, ...] = (Kill("store-east-a"),)
    asked: dict[str, Any] = field(default_factory=dict)
    may_reach: Radius = Radius.SYSTEM
    topology: Topology | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal.db")
        self.lever = HaltLever(self.folder / "halt")

    @property
    def case(self) -> Case:
        topology = self.topology or self.memory.topology
        request = replace(RunRequest("me", "memory", 1, {}, str(self.folder)), **self.asked)
        radius = reach_of([f for f in self.faults if f.target != "nobody"], topology)
        plan = Plan("m", {}, 1, radius, (Stage("s", self.faults),), topology.hash, self.may_reach)
        return Case(request, plan, topology, self.memory.world, self.journal, OneByOne(Random(1)), self.lever)

    def begin(self, run: str, owner: Owner | None = None) -> None:
        who = owner or Owner(2**22 + 1, "1")
        self.journal.begin(run, at=self.memory.clock.now(), owner=(who.pid, who.start_time), request={}, world={})


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_plan_without_fault_may_go_ahead(scene: Scene) -> None:
    assert climb(scene.case) == []


# --- the operator's word


def test_halted(scene: Scene) -> None:
    scene.lever.pull("incident 7")
    assert climb(scene.case) == ['halted: incident 7; run "simian resume" when it is over']


@pytest.mark.parametrize(
    ("calendar", "said"),
    [
        ({"days": "sat,sun"}, "closed: tue is none of sat,sun"),  # the simulated clock begins on Tuesday 22:13:20 UTC
        ({"hours": "09:00-15:00", "zone": "UTC"}, "closed: it is 22:13 in UTC, open are 09:00-15:00"),
        ({"zone": "Nowhere/Land"}, "closed: the calendar cannot be read"),
        ({"hours": "from nine"}, "closed: the calendar cannot be read"),
        ({"days": "mon-fri", "hours": "22:00-23:00"}, ""),
    ],
)
def test_opening_hours(scene: Scene, calendar: dict[str, Any], said: str) -> None:
    scene.asked = {"calendar": calendar}
    reasons = climb(scene.case)
    assert reasons == [] if not said else said in reasons[0]


# --- other runs


def test_what_a_dead_run_left_comes_first(scene: Scene) -> None:
    scene.begin("dead")
    scene.journal.intend("dead", [(1, "s", Kill("a"), {})], 1.0)
    assert climb(scene.case) == ['run dead left faults in place; run "simian recover" first']
    scene.journal.end("dead", at=2.0, outcome="crashed", verdict="unknown", recovery="stuck", reasons=[])
    assert climb(scene.case) == ['run dead left faults in place; run "simian recover" first']
    scene.journal.mark("dead", 1, "undone", undone=3.0)
    assert climb(scene.case) == []


def test_a_living_run_is_in_nobodys_way_but_counts(scene: Scene) -> None:
    scene.begin("alive", Owner.me())
    scene.begin("dead")
    scene.journal.intend("alive", [(1, "s", Kill("a"), {})], 1.0)
    assert climb(scene.case) == []
    scene.asked = {"limits": {"at_once": 1, "radius": "system"}}
    assert climb(scene.case) == ["limits.at_once is 1 and run alive goes on; wait for it or abort it"]


def test_runs_a_day(scene: Scene) -> None:
    scene.asked = {"limits": {"runs_per_day": 2, "radius": "system"}}
    now = scene.memory.clock.now()
    for run, ago_s in (("a", 100.0), ("b", 86_500.0), ("c", 10.0)):
        scene.begin(run, Owner.me())
        scene.journal.intend(run, [(1, "s", Kill("a"), {})], now)
        scene.journal.mark(run, 1, "undone", injected=now - ago_s)
        expected = ["limits.runs_per_day is 2 and 2 runs have injected in the last 24 h"] if run == "c" else []
        assert climb(scene.case) == expected, run


def test_a_journal_that_cannot_be_read_refuses_and_hides_no_other_reason(scene: Scene) -> None:
    scene.lever.pull("x")

    class Lost:
        def __getattr__(self, name: str) -> Any:
            raise JournalError("the journal is gone")

    reasons = climb(replace(scene.case, journal=Lost()))  # type: ignore[arg-type]
    assert reasons[0].startswith("halted")
    assert "left open: the journal is gone" in reasons


# --- the radius


@pytest.mark.parametrize(
    ("faults", "may_reach", "asked", "whose"),
    [
        (("store-east-a", "cache-east-a"), Radius.NODE, {}, "the monkey's radius is node"),
        (("store-east-a", "cache-east-a"), Radius.ZONE, {"radius": "node"}, "the experiment's radius is node"),
        (("store-east-a", "store-east-b"), Radius.SYSTEM, {"limits": {}}, "limits.radius radius is zone"),
        (("store-east-a", "store-west-a"), Radius.SYSTEM, {"limits": {"radius": "region"}}, "radius is region"),
        (("store-east-a", "store-west-a"), Radius.SYSTEM, {"limits": {"radius": "system"}}, ""),
        (("store-east-a", "cache-east-a"), Radius.ZONE, {"limits": {}}, ""),
    ],
)
def test_the_smallest_radius_counts(
    scene: Scene, faults: tuple[str, ...], may_reach: Radius, asked: dict[str, Any], whose: str
) -> None:
    scene.faults, scene.may_reach, scene.asked = tuple(Kill(name) for name in faults), may_reach, asked
    reasons = climb(scene.case)
    assert reasons == [] if not whose else (len(reasons) == 1 and whose in reasons[0])


# --- targets


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Kill("proxy-east"), "proxy-east is an instrument, never a candidate"),
        (Kill("users"), "users is an instrument"),
        (RequestError("dns"), "dns is an instrument"),
        (Kill("nobody"), "no node is called 'nobody'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_targets_that_are_none(scene: Scene, fault: Fault, said: str) -> None:
    scene.faults = (fault,)
    assert said in " ".join(climb(scene.case))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enabled": False}, "has not opted in; label it simian.enabled=true"),
        ({"state": "stopped"}, "is stopped already; start it, or choose another"),
        ({"state": "paused"}, "is paused already"),
        ({"state": "unknown"}, "is unknown already"),
    ],
)
def test_targets_that_are_not_fit(scene: Scene, change: dict[str, Any], said: str) -> None:
    whole = scene.memory.topology
    nodes = tuple(replace(n, **change) if n.name == "store-east-a" else n for n in whole.nodes)
    scene.topology = replace(whole, nodes=nodes)
    [reason] = climb(scene.case)
    assert said in reason


@pytest.mark.parametrize(
    ("never", "refused"),
    [(["store-*"], True), (["*-east-a"], True), (["store-east-a"], True), (["Store-*"], False), (["cache-*"], False)],
)
def test_targets_that_are_never_to_be_hit(scene: Scene, never: list[str], refused: bool) -> None:
    scene.asked = {"limits": {"never": never}}
    assert bool(climb(scene.case)) == refused


def test_what_is_marked_as_production_is_refused_unless_the_operators_file_allows_it(scene: Scene) -> None:
    whole = scene.memory.topology
    marked = {"store-east-a": "environment=production", "members-east-a": "simian.production=true"}
    nodes = (replace(node, production=marked.get(node.name, "")) for node in whole.nodes)
    scene.topology = replace(whole, nodes=tuple(nodes))
    for fault, node in ((Kill("store-east-a"), "store-east-a"), (Cut(LINK), "members-east-a")):
        scene.faults = (fault,)
        scene.asked = {"limits": {"radius": "system"}}
        assert f"{node} is marked as production ({marked[node]})" in " ".join(climb(scene.case))
        scene.asked = {"limits": {"radius": "system", "production": "allowed"}}
        assert climb(scene.case) == []


@pytest.mark.parametrize(
    ("labels", "mark"),
    [
        ({"simian.production": "true"}, "simian.production=true"),
        ({"environment": "Production"}, "environment=Production"),
        ({"env": "prod", "stage": "live"}, "env=prod"),
        ({"stage": "live"}, "stage=live"),
        ({"simian.production": "false", "environment": "staging", "name": "prod"}, ""),
        ({}, ""),
    ],
)
def test_containers_carry_the_marks_that_people_give_them(labels: dict[str, str], mark: str) -> None:
    assert production_mark(labels) == mark


@pytest.mark.parametrize("never", ["members-*--*", "cache-*", "members-east-a"])
def test_a_link_is_never_hit_when_an_end_is_not(scene: Scene, never: str) -> None:
    scene.faults, scene.asked = (Cut(LINK),), {"limits": {"never": [never]}}
    assert "is never to be hit" in climb(scene.case)[0]


@pytest.mark.parametrize("link", [LINK, "members-west--queue-east"])
def test_a_link_to_or_from_who_has_not_opted_in_is_refused(scene: Scene, link: str) -> None:
    whole = scene.memory.topology
    for end in {whole.link(link).source, whole.link(link).target}:
        shy = {n.name for n in whole.nodes if n.name == end or f"{n.service}-{n.region}" == end}
        scene.topology = replace(whole, nodes=tuple(replace(n, enabled=n.name not in shy) for n in whole.nodes))
        scene.faults, scene.asked = (Cut(link),), {"limits": {"radius": "system"}}
        assert climb(scene.case) == [f"{name} has not opted in; label it simian.enabled=true" for name in sorted(shy)]


# --- the rest


def test_what_cannot_be_verified_is_refused(scene: Scene) -> None:
    scene.asked = {"verify": ["all is well"]}
    known = "nothing lost, nothing stale, converged"
    assert climb(scene.case)[0] == f"verify: there is no 'all is well'; there are: {known}"


def test_another_plan_than_the_one_agreed_to_is_refused(scene: Scene) -> None:
    scene.asked = {"confirmed_plan_hash": scene.case.plan.hash}
    assert climb(scene.case) == []
    scene.asked = {"confirmed_plan_hash": "0" * 16}
    assert "not the one agreed to" in climb(scene.case)[0]


def test_every_reason_at_once(scene: Scene) -> None:
    scene.lever.pull("x")
    scene.begin("dead")
    scene.journal.intend("dead", [(1, "s", Kill("a"), {})], 1.0)
    scene.faults = (Kill("store-east-a"), Kill("store-west-a"), Kill("dns"), Kill("nobody"))
    scene.may_reach = Radius.NODE
    scene.asked = {
        "radius": "zone", "limits": {"radius": "node"}, "calendar": {"days": "sun"},
        "verify": ["all is well"], "confirmed_plan_hash": "?",
    }  # fmt: skip
    reasons = climb(scene.case)
    assert len(reasons) == 10, "\n".join(reasons)


def test_prepare_and_controls_refuse_with_every_reason(scene: Scene) -> None:
    scene.faults = (Cut(LINK), RequestError("cache-east-a"), Cut("members-east-b--cache-east-b"), Kill("store-east-a"))
    for link in (LINK, "members-east-b--cache-east-b"):
        scene.memory.state.links[link].enabled = False
    with pytest.raises(Refused) as caught:
        prepared(scene.case)
    assert len(caught.value.reasons) == 3
    scene.memory.world.platform.pause("store-east-a")
    with pytest.raises(Refused) as caught:
        controls(scene.case)
    assert [reason for reason in caught.value.reasons if "store-east-a does not answer before the injection" in reason]


def test_a_prepared_plan_is_the_same_plan_with_what_undo_needs(scene: Scene) -> None:
    scene.faults = (Cut(LINK), Kill("store-east-a"))
    plan = prepared(scene.case)
    assert [fault.target for fault in plan.faults] == [LINK, "store-east-a"]
    assert plan.faults[0].was["enabled"] is True  # type: ignore[attr-defined]
    assert replace(plan, stages=scene.case.plan.stages) == scene.case.plan
    assert all(control.seen for control in controls(replace(scene.case, plan=plan)))
