"""The monkeys that come with simian, as tables: topology x options x seed -> what they would break."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from simian import Crash, Delay, Kill, Pause, Radius, RequestDelay, RequestError, Shift, Stop
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


def test_all_five_come_through_the_entry_points() -> None:
    assert FOUND.broken == []
    assert {name: FOUND.get(name).radius for name in FOUND.monkeys} == {
        "chaos": Radius.NODE,
        "gorilla": Radius.ZONE,
        "kong": Radius.REGION,
        "latency": Radius.NODE,
        "split-brain": Radius.SYSTEM,
    }
    assert all("simian_monkeys" in FOUND.get(name).origin for name in FOUND.monkeys)


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


def test_zones_of_the_same_name_in_two_regions_are_two_zones() -> None:
    nodes = [Node(f"web-{region}-{n}", "web", region, "a") for region in ("here", "there") for n in (1, 2)]
    topology = Topology("twice", tuple(nodes))
    made = plan("gorilla", topology=topology, zone="a", region="there")
    assert (targets(made), made.radius) == (["web-there-1", "web-there-2"], Radius.ZONE)
    assert all(plan("gorilla", seed, topology).radius == Radius.ZONE for seed in range(20))
    with pytest.raises(UsageError, match="zone a is in here and in there; name the region, too"):
        plan("gorilla", topology=topology, zone="a")


def test_what_cannot_be_asked_is_left_alone_where_others_can_be_and_is_hit_when_it_is_named() -> None:
    deaf = replace(
        TOPOLOGY, nodes=tuple(replace(n, ask="" if n.service == "members" else n.ask) for n in TOPOLOGY.nodes)
    )
    assert {deaf.node(name).service for seed in range(200) for name in targets(plan("chaos", seed, deaf))}.isdisjoint(
        {"members"}
    )
    assert targets(plan("chaos", 1, deaf, node=["members-east-a"])) == ["members-east-a"]
    assert deaf.node(targets(plan("chaos", 1, deaf, service="members"))[0]).service == "members"


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


def _without_filter(service: str, called_by: str = "") -> Topology:
    """The same, but one service is of somebody else's making; another says that it calls it."""
    nodes = (
        replace(n, filters=n.filters and n.service != service, calls=(service,) if n.service == called_by else ())
        for n in TOPOLOGY.nodes
    )
    return replace(TOPOLOGY, nodes=tuple(nodes))


def test_latency_of_a_service_without_a_filter_is_in_the_calls_of_those_who_ask_it() -> None:
    made = plan("latency", 1, _without_filter("store", called_by="members"), service="store")
    assert {TOPOLOGY.node(name).service for name in targets(made)} == {"members"}
    assert {(fault.side, fault.callee) for fault in made.faults} == {("client", "store")}  # type: ignore[attr-defined]


def test_latency_of_a_service_that_nobody_is_said_to_call_is_refused() -> None:
    with pytest.raises(UsageError, match=r"simian\.calls"):
        plan("latency", 1, _without_filter("store"), service="store")


def test_latency_names_links_where_no_service_mounts_the_filter() -> None:
    bare = replace(TOPOLOGY, nodes=tuple(replace(node, filters=False) for node in TOPOLOGY.nodes))
    with pytest.raises(UsageError) as caught:
        plan("latency", 1, bare)
    assert f"give a link (--link, of {TOPOLOGY.links[0].name}, " in str(caught.value)


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


# --- kong

THREE = build_memory_world(regions=("east", "north", "west")).topology


def shifts(made: Plan) -> list[tuple[str, dict[str, float], dict[str, float]]]:
    return [(f.home, dict(f.from_shares), dict(f.to_shares)) for f in made.faults if isinstance(f, Shift)]


def test_kong_leaves_a_region_in_the_order_that_keeps_users_safe() -> None:
    made = plan("kong", region="east")
    kinds = [[fault.kind for fault in stage.faults] for stage in made.stages]
    assert kinds == [["failover_mode"], ["misrouted"], *[["shift"]] * 4, ["kill"] * 9]
    assert [stage.drained for stage in made.stages] == ["", "", "", "", "", "east", ""]
    assert all(stage.judged for stage in made.stages)
    assert made.radius is Radius.REGION
    dark = {fault.target for fault in made.stages[-1].faults}
    assert {name.partition("-")[0] for name in dark} == {"members", "cache", "store"}, "gateways stay for stragglers"
    steps = [(was["east"], now["east"]) for _, was, now in shifts(made)]
    assert steps == [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)]


def test_hard_kong_kills_all_of_the_region_first_and_comes_home_in_steps() -> None:
    made = plan("kong", region="west", hard=True)
    assert [stage.name for stage in made.stages] == ["lights-out", "failover mode", "shift to 0 %"]
    assert not any(stage.judged or stage.gate for stage in made.stages)
    everything = {node.name for node in TOPOLOGY.candidates(region="west")}
    assert {fault.target for fault in made.stages[0].faults} == everything
    (shift,) = made.stages[-1].faults
    assert isinstance(shift, Shift)
    assert [row["west"] for row in shift.steps_back] == [0.25, 0.5, 0.75]


@pytest.mark.parametrize("hard", [False, True])
def test_with_several_saviours_users_are_spread_over_all_of_them(hard: bool) -> None:
    made = plan("kong", topology=THREE, region="east", hard=hard)
    assert [fault.target for fault in made.faults if fault.kind == "failover_mode"] == ["north", "west"]
    assert shifts(made)[-1][2] == {"east": 0.0, "north": 0.5, "west": 0.5}


@pytest.mark.parametrize("many", range(2, 9))
def test_shares_are_whole_percents_whatever_the_number_and_size_of_the_regions(many: int) -> None:
    regions = {f"region{n}": ("",) * (n + 1) for n in range(many)}
    topology = build_memory_world(regions=regions, services=("gateway", "members")).topology
    for left in regions:
        made = shifts(plan("kong", topology=topology, region=left, steps="90,66,33,7,0"))
        assert [len(now) for _, _, now in made] == [many] * 5
        for _, was, now in made:
            assert all(abs(share * 100 - round(share * 100)) < 1e-9 for share in now.values())
            assert all(now[region] >= was[region] for region in regions if region != left)
        doors = sum(len(zones) for region, zones in regions.items() if region != left)
        for region in {*regions} - {left}:
            assert abs(made[-1][2][region] - len(regions[region]) / doors) <= 0.01


def test_a_step_that_moves_nobody_is_none() -> None:
    shares = {"east": {"east": 1.0, "west": 0.0}, "west": {"east": 0.01, "west": 0.99}}
    made = shifts(plan("kong", topology=replace(TOPOLOGY, shares=shares), region="east", steps="75,0"))
    assert [(home, now["east"]) for home, _, now in made] == [("east", 0.75), ("east", 0.0), ("west", 0.0)]


def test_kong_leaves_only_regions_with_users_and_for_such_as_have_gateways() -> None:
    nodes = (*THREE.nodes, Node("batch-1", "batch", "backyard"))
    topology = replace(THREE, nodes=nodes)
    assert {fault.home for seed in range(50) for fault in plan("kong", seed, topology).faults
            if isinstance(fault, Shift)} == {"east", "north", "west"}  # fmt: skip
    assert "backyard" not in shifts(plan("kong", topology=topology, region="east"))[-1][2]
    assert shifts(plan("kong", topology=topology, region="east", to=" west"))[-1][2]["west"] == 1.0


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("east", "to: east is the region to leave; users of east can go to north, west"),
        ("west,backyard", "to: backyard has no gateway; users of east can go to north, west"),
        ("nowhere", "no region is called 'nowhere'"),
    ],
)
def test_where_users_cannot_go_is_told(to: str, said: str) -> None:
    topology = replace(THREE, nodes=(*THREE.nodes, Node("batch-1", "batch", "backyard")))
    with pytest.raises(UsageError, match=said):
        plan("kong", topology=topology, region="east", to=to)


def test_users_of_other_homes_who_are_served_in_the_region_leave_it_too() -> None:
    shares = {"east": {"east": 1.0, "west": 0.0}, "west": {"east": 0.4, "west": 0.6}}
    made = plan("kong", topology=replace(TOPOLOGY, shares=shares), region="east", steps="50,0")
    assert shifts(made) == [
        ("east", {"east": 1.0, "west": 0.0}, {"east": 0.5, "west": 0.5}),
        ("west", {"east": 0.4, "west": 0.6}, {"east": 0.2, "west": 0.8}),
        ("east", {"east": 0.5, "west": 0.5}, {"east": 0.0, "west": 1.0}),
        ("west", {"east": 0.2, "west": 0.8}, {"east": 0.0, "west": 1.0}),
    ]


@pytest.mark.parametrize("steps", ["", "50", "0,50", "100,0", "75,75,0", "50,-1", "a,0", "50,,0"])
def test_steps_fall_from_below_100_to_0(steps: str) -> None:
    with pytest.raises(UsageError, match="75,50,25,0"):
        plan("kong", steps=steps)


def test_kong_refuses_a_world_without_another_region_or_without_steering() -> None:
    with pytest.raises(Refused, match="there is no region but east"):
        plan("kong", topology=build_memory_world(regions=("east",)).topology)
    with pytest.raises(Refused, match="add a `steering:` section"):
        plan("kong", topology=replace(TOPOLOGY, shares={}))


# --- split-brain

BETWEEN = sorted(link.name for link in TOPOLOGY.links if link.crosses_regions)


@pytest.mark.parametrize("how", ["refuse", "blackhole"])
def test_split_brain_cuts_every_link_between_the_regions_and_no_other(how: str) -> None:
    made = plan("split-brain", how=how)
    assert sorted(targets(made)) == BETWEEN
    assert {(fault.kind, fault.how, fault.direction) for fault in made.faults} == {("cut", how, "both")}  # type: ignore[attr-defined]
    assert made.radius is Radius.SYSTEM


def test_one_direction_stops_what_one_region_sends_on_whatever_connection() -> None:
    made = plan("split-brain", how="blackhole", direction="west->east")
    told = {fault.target: fault.direction for fault in made.faults}  # type: ignore[attr-defined]
    assert sorted(told) == BETWEEN
    for link in TOPOLOGY.links:
        if link.crosses_regions:
            assert told[link.name] == ("forward" if link.source_region == "west" else "backward")


def test_one_direction_of_refusal_is_that_of_who_connects() -> None:
    made = plan("split-brain", how="refuse", direction="west->east")
    assert sorted(targets(made)) == sorted(link.name for link in TOPOLOGY.links_between("west", "east"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"between": "east"}, "between names two regions"),
        ({"between": "east,east"}, "between names two regions"),
        ({"between": "east,south"}, "no region is called 'south'"),
        ({"direction": "east"}, "a direction is both, east->west or west->east"),
        ({"direction": "east->south"}, "a direction is both, east->west or west->east"),
        ({"between": "rest"}, "one and the rest, like east,rest, or all"),
        ({"between": "east,west,rest"}, "between names two regions or more"),
        ({"between": "east,west,east"}, "between names two regions or more"),
    ],
)
def test_regions_and_directions_that_are_none_are_named(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan("split-brain", **options)


def test_a_direction_needs_two_sides() -> None:
    with pytest.raises(UsageError, match="a direction is both where more than two are cut apart, not 'east->west'"):
        plan("split-brain", topology=THREE, between="all", direction="east->west")
    made = plan("split-brain", topology=THREE, between="east,rest", how="refuse", direction="rest->east")
    into = sorted(link.name for link in THREE.links if link.crosses_regions and link.target_region == "east")
    assert sorted(targets(made)) == into


def test_the_die_chooses_a_pair_between_which_there_is_something_to_cut() -> None:
    spokes = [link for link in THREE.links if "north" in (link.source_region, link.target_region)]
    topology = replace(THREE, links=tuple(spokes))
    for seed in range(50):
        made = plan("split-brain", seed, topology)
        assert all("north" in target for target in targets(made))
    with pytest.raises(UsageError, match="no link leads from one of east, north, west to another"):
        plan("split-brain", topology=replace(THREE, links=()))
