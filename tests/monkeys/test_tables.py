"""The monkeys that come with simian, as tables: topology x options x seed -> what they would break."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from simian import Crash, Delay, Kill, Pause, Radius, RequestDelay, RequestError, Stop
from simian.errors import Refused, UsageError
from simian.memory import build_memory_world
from simian.monkey import find_monkeys
from simian.plan import Plan, propose
from simian.topology import Node, Topology

FOUND = find_monkeys()
TOPOLOGY = build_memory_world().topology
ZONES = [f"{region}-{zone}" for region in ("east", "west") for zone in "abc"]
INSTRUMENTS = {node.name for node in TOPOLOGY.nodes if node.role == "instrument"}
REGIONAL = {node.name for node in TOPOLOGY.nodes if node.zone is None}


def plan(monkey: str, seed: int = 0, topology: Topology = TOPOLOGY, **options: Any) -> Plan:
    return propose(FOUND.get(monkey), topology, seed, options)


def targets(made: Plan) -> list[str]:
    return [fault.target for fault in made.faults]


def test_all_three_come_through_the_entry_points() -> None:
    assert FOUND.broken == []
    assert {name: FOUND.get(name).radius for name in ("chaos", "gorilla", "latency")} == {
        "chaos": Radius.NODE,
        "gorilla": Radius.ZONE,
        "latency": Radius.NODE,
    }
    assert all("simian_monkeys" in FOUND.get(name).origin for name in ("chaos", "gorilla", "latency"))


# --- the die


@pytest.mark.parametrize("monkey", ["chaos", "gorilla", "latency"])
def test_the_same_seed_gives_the_same_plan(monkey: str) -> None:
    shuffled = replace(TOPOLOGY, nodes=tuple(reversed(TOPOLOGY.nodes)), links=tuple(reversed(TOPOLOGY.links)))
    hashes = set()
    for seed in range(1_000):
        made = plan(monkey, seed)
        assert made.hash == plan(monkey, seed, shuffled).hash, f"seed {seed}: the order of the topology shows"
        hashes.add(made.hash)
    assert len(hashes) > 500, "another seed hardly changes anything"


def test_states_and_times_do_not_change_a_plan() -> None:
    hurt = replace(TOPOLOGY, nodes=tuple(replace(n, state="stopped", since=1.0) for n in TOPOLOGY.nodes))
    assert [plan("chaos", s).hash for s in range(50)] == [plan("chaos", s, hurt).hash for s in range(50)]


def test_ten_thousand_selections_never_hit_an_instrument_or_who_has_not_opted_in() -> None:
    shy = {"gateway-east-a", "members-west-b", "store-east-c", "queue-west"}
    nodes = tuple(replace(n, enabled=n.name not in shy) for n in TOPOLOGY.nodes)
    topology, hit = replace(TOPOLOGY, nodes=nodes), set()
    for seed in range(10_000):
        monkey = ("chaos", "gorilla", "latency")[seed % 3]
        hit.update(targets(plan(monkey, seed, topology)))
    assert not hit & (INSTRUMENTS | shy)
    assert hit == {n.name for n in TOPOLOGY.nodes} - INSTRUMENTS - shy, "everybody else has their turn"


# --- chaos


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"node": ["store-east-a"], "how": "kill"}, [Kill("store-east-a")]),
        ({"node": ["store-east-a"], "how": "crash"}, [Crash("store-east-a")]),
        ({"node": ["store-east-a"], "how": "stop"}, [Stop("store-east-a")]),
        ({"node": ["store-east-a"], "how": "pause"}, [Pause("store-east-a")]),
        ({"node": ["queue-west", "queue-west"], "how": "kill"}, [Kill("queue-west")]),
        (
            {"node": ["members-west-a", "store-east-a"], "how": "kill"},
            [Kill("members-west-a"), Kill("store-east-a")],
        ),
    ],
)
def test_chaos_hits_the_nodes_it_is_told(options: dict[str, Any], expected: list[Kill]) -> None:
    assert plan("chaos", 1, **options).faults == expected


@pytest.mark.parametrize(
    ("options", "count", "prefix", "radius"),
    [
        ({}, 1, "", Radius.NODE),
        ({"service": "store"}, 1, "store-", Radius.NODE),
        ({"region": "west"}, 1, "", Radius.NODE),
        ({"service": "store", "region": "east", "count": 2}, 2, "store-east-", Radius.REGION),
        ({"service": "queue", "count": 2}, 2, "queue-", Radius.SYSTEM),
    ],
)
def test_chaos_chooses_among_what_is_asked(options: dict[str, Any], count: int, prefix: str, radius: Radius) -> None:
    for seed in range(50):
        made = plan("chaos", seed, **options)
        assert len(set(targets(made))) == count
        assert all(name.startswith(prefix) for name in targets(made))
        assert made.radius == radius
        if "region" in options:
            assert all(TOPOLOGY.node(name).region == options["region"] for name in targets(made))


def test_chaos_knows_four_ways_and_the_die_finds_them_all() -> None:
    assert {plan("chaos", seed).faults[0].kind for seed in range(100)} == {"kill", "crash", "stop", "pause"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "count is 0"),
        ({"count": 27}, "there are 26 candidates"),
        ({"service": "nobody"}, "no node of service 'nobody'"),
        ({"region": "north"}, "no region is called 'north'"),
        ({"node": ["nobody"]}, "no node is called 'nobody'"),
        ({"how": "explode"}, "how is 'explode'; there are: kill, crash, stop, pause"),
        ({"hwo": "kill"}, "did you mean 'how'?"),
    ],
)
def test_chaos_says_what_would_have_been_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, Refused)) as caught:
        plan("chaos", **options)
    assert said in str(caught.value)


# --- gorilla


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_falls_whole_and_nothing_else_does(zone: str) -> None:
    made = plan("gorilla", 1, zone=zone)
    assert targets(made) == [f"{service}-{zone}" for service in ("cache", "gateway", "members", "store")]
    assert {fault.kind for fault in made.faults} == {"kill"}
    assert made.radius == Radius.ZONE
    assert len(made.stages) == 1


def test_regional_parts_and_instruments_never_fall_with_a_zone() -> None:
    hit = {name for seed in range(300) for name in targets(plan("gorilla", seed))}
    assert not hit & (REGIONAL | INSTRUMENTS)
    assert {TOPOLOGY.node(name).zone for name in hit} == set(ZONES)


def test_gorilla_stays_in_the_region_it_is_told() -> None:
    for seed in range(50):
        assert {TOPOLOGY.node(n).region for n in targets(plan("gorilla", seed, region="west"))} == {"west"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"zone": "east-z"}, "no zone is called 'east-z'"),
        ({"region": "north"}, "no region is called 'north'"),
        ({"zone": "east-a", "region": "west"}, "zone east-a is not in region west"),
    ],
)
def test_gorilla_says_what_would_have_been_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan("gorilla", **options)
    assert said in str(caught.value)


def test_gorilla_on_a_system_without_zones_says_so() -> None:
    flat = Topology("flat", (Node("web-1", "web", "here"), Node("web-2", "web", "here")))
    with pytest.raises((UsageError, Refused), match="zone"):
        plan("gorilla", topology=flat)


# --- latency


def test_latency_slows_and_fails_each_node_of_a_service_with_dice_of_their_own() -> None:
    made = plan("latency", 1, service="members", share="20%", error_share="2%", status=500, delay="constant:40ms")
    slow = [fault for fault in made.faults if isinstance(fault, RequestDelay)]
    failing = [fault for fault in made.faults if isinstance(fault, RequestError)]
    names = [f"members-{zone}" for zone in ZONES]
    assert [fault.node for fault in slow] == [fault.node for fault in failing] == names
    assert {(fault.share, fault.by, fault.side) for fault in slow} == {(0.2, "constant:40ms", "server")}
    assert {(fault.share, fault.status) for fault in failing} == {(0.02, 500)}
    assert len({fault.seed for fault in [*slow, *failing]}) == 12
    assert made.radius == Radius.NODE, "slow is soft"


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"error_share": "0%"}, {"request_delay"}),
        ({"share": "0%"}, {"request_error"}),
        ({"side": "client"}, {"request_delay", "request_error"}),
    ],
)
def test_latency_leaves_out_what_is_nothing(options: dict[str, Any], kinds: set[str]) -> None:
    made = plan("latency", 3, **options)
    assert {fault.kind for fault in made.faults} == kinds
    assert {getattr(fault, "side", "") for fault in made.faults} == {options.get("side", "server")}


def test_latency_of_a_link_is_one_delay_below_the_requests() -> None:
    made = plan("latency", 1, link="members-east-a--cache-east-a", delay="uniform:5ms..15ms")
    assert made.faults == [Delay("members-east-a--cache-east-a", by="uniform:5ms..15ms")]


def test_latency_chooses_only_services_that_mount_the_filter() -> None:
    hit = {TOPOLOGY.node(name).service for seed in range(100) for name in targets(plan("latency", seed))}
    assert hit == {"gateway", "members", "store"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"service": "cache"}, "service 'cache' has no node that mounts the request filter"),
        ({"link": "nowhere"}, "no link is called 'nowhere'"),
        ({"link": "members-east-a--cache-east-a", "service": "members"}, "a service or a link, not both"),
        ({"share": "110%"}, "share"),
        ({"share": "0%", "error_share": "0%"}, "found nothing to break"),
        ({"delay": "gauss:1"}, "gauss"),
        ({"side": "both"}, "'client' or 'server'"),
        ({"status": 200}, "from 400 to 599"),
    ],
)
def test_latency_says_what_would_have_been_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, Refused)) as caught:
        plan("latency", **options)
    assert said in str(caught.value)


def test_a_share_above_one_half_takes_the_target_from_its_users() -> None:
    assert plan("latency", 1, service="members", share="60%").radius == Radius.SYSTEM


def test_a_monkey_sees_no_world() -> None:
    """What it gets is a value and a die: the same call, made twice by hand, gives the same and changes nothing."""
    before = TOPOLOGY.hash
    assert FOUND.get("gorilla")(TOPOLOGY, Random(4)) == FOUND.get("gorilla")(TOPOLOGY, Random(4))
    assert before == TOPOLOGY.hash
