"""What the users of the memory world meet, as sentences about the system."""

import ast
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from simian_filters.distribution import Distribution

import simian.memory
from simian.probe import Check, Row, Slice
from simian.steady_state import SteadyState
from simian.tolerance import Tolerance
from simian.traffic import Misroute, Modes
from simian.world import Rule

Make = Callable[..., Any]
ONES = ["gateway-east-a", "members-east-b", "cache-west-c", "store-west-a", "queue-east"]


def test_on_a_healthy_world_every_request_succeeds_at_the_first_try(watched: Make) -> None:
    seen = watched().go(60)
    assert seen.share() == 1.0
    assert seen.share("first") == 0.0
    assert seen.ways.keys() == {"direct"}
    assert seen.total("ended") == 60 * 200
    assert not any("!" in hop for hop in seen.hops)


@pytest.mark.parametrize("node", ONES)
@pytest.mark.parametrize("how", ["kill", "pause"])
def test_users_survive_the_loss_of_any_one_node(watched: Make, node: str, how: str) -> None:
    world = watched()
    world.go(5)
    getattr(world.made.world.platform, how)(node)
    seen = world.go(60)
    assert seen.share() >= 0.999
    assert seen.share("first") < 0.1
    assert seen.tries_of(node) > 0, "so that exposure can be told"


def test_a_dead_gateway_costs_each_of_its_devices_about_one_first_try(watched: Make) -> None:
    world = watched()
    world.kill(["gateway-east-a"])
    first, later = world.go(1), world.go(29)
    devices = world.made.state.habits.devices / 6
    assert first.of["east"]["first"] > 10
    assert devices / 2 < first.of["east"]["first"] + later.of["east"]["first"] < 3 * devices
    assert first.of["west"]["first"] == later.of["west"]["first"] == 0


def test_a_paused_node_costs_time_outs_until_it_is_remembered_as_bad(watched: Make) -> None:
    world = watched()
    healthy = world.go(20)
    world.made.world.platform.pause("members-east-a")
    fresh, known = world.go(0.4), world.go(30)
    patience_ms = world.made.state.habits.gateway_timeout_ms
    slow = [sum(k for b, k in _latency(seen.slices).items() if 1.01**b > patience_ms) for seen in (fresh, known)]
    assert healthy.latency.quantile(1.0) < patience_ms
    assert slow[0] / fresh.total("ended") > 3 * slow[1] / known.total("ended") > 0


def _latency(slices: list[Slice]) -> dict[int, int]:
    found: dict[int, int] = {}
    for one in slices:
        for row in one.rows:
            for index, count in row.latency.items():
                found[index] = found.get(index, 0) + count
    return found


def test_a_zone_less_is_survived(watched: Make) -> None:
    world = watched()
    world.go(5)
    world.kill(node.name for node in world.made.topology.candidates(zone="east-a"))
    assert world.go(60).share() >= 0.999


def test_with_two_stores_of_a_region_dead_what_needs_a_quorum_there_fails(watched: Make) -> None:
    world = watched()
    world.kill(["store-east-a", "store-east-b"])
    world.go(2)
    rows = [row for one in world.go(30).slices for row in one.rows]
    writes = [row for row in rows if row.kind == "progress" and row.home == "east"]
    assert sum(row.ended for row in writes) > 100
    assert sum(row.ok for row in writes) == 0
    reads = [row for row in rows if row.kind == "play" and row.home == "east"]
    assert sum(row.ok for row in reads) > 0, "the cache still answers"
    assert all(row.ok == row.ended for row in rows if row.home == "west")


def test_with_every_gateway_of_a_region_dead_its_users_fail_and_no_others(watched: Make) -> None:
    world = watched()
    world.kill(f"gateway-east-{zone}" for zone in "abc")
    seen = world.go(10)
    assert seen.share(home="east") == 0.0
    assert seen.share(home="west") == 1.0


def test_with_a_member_of_every_zone_dead_its_region_fails(watched: Make) -> None:
    world = watched()
    world.kill(f"members-west-{zone}" for zone in "abc")
    seen = world.go(10)
    assert seen.share(home="west") == 0.0
    assert seen.share(home="east") == 1.0


def test_what_was_killed_and_started_serves_again_after_its_start_delay(watched: Make) -> None:
    world = watched()
    world.kill(f"store-east-{zone}" for zone in "abc")
    world.go(5)
    for zone in "abc":
        world.made.world.platform.start(f"store-east-{zone}")
    delay_s = world.made.state.node("store-east-a").start_delay_s
    starting = world.go(delay_s)
    assert starting.share(home="east") < 1.0
    world.go(3)  # until it is no longer remembered as bad
    assert world.go(20).share() == 1.0


def test_a_cache_that_comes_back_is_cold_and_warms(watched: Make) -> None:
    world = watched()
    before = world.go(30)
    world.kill(["cache-east-a"])
    world.made.world.platform.start("cache-east-a")
    world.go(1)
    cold = world.go(3)
    world.go(20)
    warm = world.go(30)
    misses = [seen.hops["members-east-a>store-east-a"] / seen.total("ended") for seen in (before, cold, warm)]
    assert misses[1] > 1.5 * max(misses[0], misses[2])


def test_a_cut_link_to_a_cache_means_slower_reads_from_the_store(watched: Make) -> None:
    world = watched()
    before = world.go(30)
    world.made.world.network.cut("members-east-a--cache-east-a", "simian.t.1", how="refuse", direction="both")
    seen = world.go(30)
    assert seen.share() == 1.0
    assert seen.hops["members-east-a>store-east-a"] > 2 * before.hops["members-east-a>store-east-a"]
    assert seen.latency.quantile(0.5) > before.latency.quantile(0.5)


def test_a_delayed_link_slows_those_who_go_across_it(watched: Make) -> None:
    world = watched()
    by = Distribution.parse("constant:20ms")
    for source in "abc":
        name = f"members-east-{source}--cache-east-{source}"
        world.made.world.network.delay(name, "simian.t.1", by=by, direction="forward")
    seen = world.go(30)
    assert seen.share() == 1.0
    assert seen.latency.quantile(0.3) < 15 < 20 < seen.latency.quantile(0.75)


def test_a_proxy_that_is_gone_cuts_every_link_into_its_region(watched: Make) -> None:
    world = watched()
    world.kill(["proxy-east"])
    world.go(1)
    seen = world.go(20)
    assert seen.share() == 1.0
    assert not any(hop.rstrip("+-").endswith(">cache-east-a") for hop in seen.hops)
    assert any(hop.rstrip("+-").endswith(">cache-west-a") for hop in seen.hops)


@pytest.mark.parametrize(("share", "seed"), [(0.1, 1), (0.01, 2), (0.5, 3)])
def test_a_rule_hits_its_share_of_the_requests(watched: Make, share: float, seed: int) -> None:
    world = watched(seed=seed)
    rule = Rule("simian.t.1", "server", share, seed, delay="constant:10ms", expires_in_s=1_000)
    world.made.world.requests.put("members-east-a", rule)
    seen = world.go(600)
    [reading] = world.made.world.requests.rules("members-east-a")
    assert reading.saw > 15_000
    assert seen.faults == {"simian.t.1": reading.hit}
    far = 3.3 * math.sqrt(reading.saw * share * (1 - share))
    assert abs(reading.hit - reading.saw * share) < far, f"seed {seed}: {reading}"


def test_an_error_rule_on_one_member_is_made_good_by_the_next(watched: Make) -> None:
    world = watched()
    rule = Rule("simian.t.1", "server", 1.0, 1, status=503, expires_in_s=1_000)
    world.made.world.requests.put("members-east-a", rule)
    seen = world.go(30)
    assert seen.share() == 1.0
    assert seen.hops["gateway-east-a>members-east-a!"] > 0
    assert seen.faults["simian.t.1"] > 100


def test_an_error_rule_on_all_members_reaches_the_users(watched: Make) -> None:
    world = watched()
    for zone in "abc":
        rule = Rule("simian.t.1", "server", 1.0, 1, status=503, expires_in_s=1_000)
        world.made.world.requests.put(f"members-east-{zone}", rule)
    seen = world.go(10)
    assert seen.share(home="east") == 0.0
    assert seen.share(home="west") == 1.0


def test_a_client_side_rule_on_a_member_keeps_its_calls_from_the_store(watched: Make) -> None:
    world = watched()
    for zone in "abc":
        rule = Rule("simian.t.1", "client", 1.0, 1, status=503, callee="store", expires_in_s=1_000)
        world.made.world.requests.put(f"members-west-{zone}", rule)
    rows = [row for one in world.go(20).slices for row in one.rows if row.home == "west"]
    assert sum(row.ok for row in rows if row.kind == "progress") == 0
    assert sum(row.ok for row in rows if row.kind == "play") > 0


def test_a_delay_longer_than_patience_is_a_time_out(watched: Make) -> None:
    world = watched()
    for zone in "abc":
        rule = Rule("simian.t.1", "server", 1.0, 1, delay="constant:10s", expires_in_s=1_000)
        world.made.world.requests.put(f"gateway-east-{zone}", rule)
    seen = world.go(10)
    assert seen.share(home="east") == 0.0
    assert seen.latency.quantile(1.0) <= world.made.state.habits.deadline_ms * 1.01


def test_moved_users_are_followed_by_devices_within_the_ttl(watched: Make) -> None:
    world = watched()
    world.made.state.set_modes("west", Modes(failover=("east",)))
    world.made.state.send({"east": {"west": 1.0}})
    ttl_s = world.made.state.habits.ttl_s
    during, after = world.go(ttl_s), world.go(20)
    assert 0.3 < during.served["east"]["west"] / during.of["east"]["ended"] < 0.7
    assert after.served["east"] == {"west": after.of["east"]["ended"]}
    assert after.ways.keys() == {"direct"}


def test_without_failover_mode_foreign_users_are_taken_home(watched: Make) -> None:
    world = watched()
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    seen = world.go(20)
    assert seen.share() == 1.0
    assert seen.served["east"] == {"east": seen.of["east"]["ended"]}
    assert seen.ways["isthmus"] == seen.of["east"]["ended"]
    assert any(hop.startswith("gateway-west-a>gateway-east-") for hop in seen.hops)


@pytest.mark.parametrize("mode", ["redirect", "isthmus"])
def test_a_region_that_is_left_takes_those_with_an_old_answer_to_its_saviour(watched: Make, mode: Misroute) -> None:
    world = watched()
    world.made.state.set_modes("west", Modes(failover=("east",)))
    world.made.state.set_modes("east", Modes(misrouted=mode, own=True))
    assert world.go(20).ways.keys() == {"direct"}, "DNS sends nobody elsewhere yet"
    world.made.state.send({"east": {"east": 0.25, "west": 0.75}})
    during, after = world.go(world.made.state.habits.ttl_s), world.go(20)
    assert during.share() == after.share() == 1.0
    assert during.ways[mode] > 0.2 * during.of["east"]["ended"]
    assert during.served["east"]["west"] / during.of["east"]["ended"] == pytest.approx(0.75, abs=0.05)
    assert after.ways.keys() == {"direct"}
    assert after.served["east"]["west"] / after.of["east"]["ended"] == pytest.approx(0.75, abs=0.05)


def test_of_two_redirects_the_second_is_not_followed(watched: Make) -> None:
    world = watched()
    world.made.state.set_modes("west", Modes(misrouted="redirect"))
    world.made.state.set_modes("east", Modes(misrouted="redirect", own=True))
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    seen = world.go(10)
    assert seen.share(home="east") == 0.0
    assert seen.share(home="west") == 1.0
    assert seen.errors["status_307"] == seen.of["east"]["ended"]


def test_a_redirect_may_lead_to_a_gateway_that_takes_the_user_home(watched: Make) -> None:
    world = watched()
    world.made.state.set_modes("east", Modes(misrouted="redirect", own=True))
    world.made.state.send({"east": {"west": 1.0}})
    during = world.go(world.made.state.habits.ttl_s)
    assert during.share() == 1.0
    assert during.served["east"].keys() == {"east"}
    assert during.ways.keys() == {"direct", "redirect", "isthmus"}


def test_gateways_of_one_region_may_differ_in_their_modes(watched: Make) -> None:
    world = watched()
    world.made.state.tune("gateway-west-a", Modes(failover=("east",)))
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    seen = world.go(30)
    assert seen.served["east"]["west"] / seen.of["east"]["ended"] == pytest.approx(1 / 3, abs=0.05)
    assert seen.ways["isthmus"] / seen.of["east"]["ended"] == pytest.approx(2 / 3, abs=0.05)


def test_gateways_count_who_comes_in_there_and_not_what_is_proxied_to_them(watched: Make) -> None:
    world = watched()
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    before = world.made.world.steering.arrivals()
    seen = world.go(20)
    after = world.made.world.steering.arrivals()
    came = {name: after[name].get("east", 0) - before[name].get("east", 0) for name in after}
    assert sum(came[f"gateway-west-{zone}"] for zone in "abc") == seen.of["east"]["ended"]
    assert sum(came[f"gateway-east-{zone}"] for zone in "abc") == 0
    assert all(came[name] == seen.hops[f"users>{name}"] for name in came if "west" not in name)


def test_reads_tell_hits_and_misses_of_caches(watched: Make) -> None:
    world = watched()
    seen = world.go(60)
    hits, misses = (seen.hops[f"members-east-a>cache-east-a{ending}"] for ending in "+-")
    assert hits / (hits + misses) == pytest.approx(world.made.state.habits.cache_hit_share, abs=0.03)
    assert misses == seen.hops["members-east-a>store-east-a"] - seen.hops["members-east-a>queue-east~"]


def test_above_its_capacity_a_region_sheds_and_serves_what_it_can(watched: Make) -> None:
    world = watched()
    world.made.state.set_modes("west", Modes(failover=("east",)))
    world.made.state.send({"east": {"west": 1.0}})
    world.kill(["gateway-west-a", "gateway-west-b"])
    world.go(120)
    seen = world.go(60)
    capacity = world.made.state.node("gateway-west-c").capacity_rps
    assert seen.total("shed") > 0
    assert seen.total("ok") / 60 == pytest.approx(capacity, rel=0.1)


def test_one_instance_of_a_service_is_a_weakness_that_its_loss_shows(watched: Make) -> None:
    world = watched(weaknesses=["single-instance"])
    assert world.go(30).share() == 1.0
    world.kill(["members-east-a"])
    assert world.go(10).share() == 0.0


def test_devices_that_never_try_the_next_gateway_are_a_weakness_that_a_dead_gateway_shows(watched: Make) -> None:
    world = watched(weaknesses=["no-next-gateway"])
    assert world.go(30).share() == 1.0
    world.kill(["gateway-east-a"])
    assert world.go(30).share(home="east") == pytest.approx(2 / 3, abs=0.05)


def _story(world: Any) -> str:
    world.go(10)
    world.kill(["members-east-a"])
    world.go(20)
    world.made.world.platform.start("members-east-a")
    return json.dumps([asdict(one) for one in world.go(30).slices])


def test_the_same_seed_gives_the_same_bytes(watched: Make) -> None:
    assert _story(watched(seed=7)) == _story(watched(seed=7))
    assert _story(watched(seed=7)) != _story(watched(seed=8))


def test_a_day_without_change_is_few_slices_and_costs_little_more_than_a_minute(watched: Make) -> None:
    world = watched()
    world.kill(["members-east-a"])
    began = time.process_time()
    world.go(60)
    minute_s = time.process_time() - began
    day = world.go(86_400)
    day_s = time.process_time() - began - minute_s
    assert len(day.slices) < 1_000
    assert max(one.seconds for one in day.slices) <= 600
    assert day.total("ended") == 86_400 * 200
    assert day_s < 100 * minute_s, "a day has 1440 minutes"


def test_slices_are_short_after_a_change_and_leave_no_gap(watched: Make) -> None:
    world = watched()
    slices = world.go(100).slices
    world.kill(["members-east-a"])
    after = world.go(2).slices
    assert max(one.seconds for one in after) <= 0.5
    everything = slices + after
    for one, following in pairwise(everything):
        assert following.start == pytest.approx(one.end, abs=1e-6)
    assert sum(one.seconds for one in everything) == pytest.approx(102)


def test_rare_failures_in_a_long_slice_are_no_alarm_and_many_are() -> None:
    check = Check("requests succeed", {"users": "success_share"}, Tolerance.parse(">= 99.9 %"))
    for failed, alarmed in ((6, False), (60, False), (6_000, True)):
        row = Row("east", "play", 120_000, 120_000 - failed, failed, failed, 0)
        steady = SteadyState([check])
        steady.enter("during")
        steady.take(Slice(1_000.0, 600.0, {}, 120_000, (row,)))
        assert bool(steady.alarm()) == alarmed, failed


def test_a_slice_is_what_the_wire_format_says(watched: Make) -> None:
    for one in watched().go(20).slices:
        data = json.loads(json.dumps({"type": "slice", **asdict(one)}))
        assert Slice.from_json(data) == one


def test_the_memory_world_knows_of_no_fault_plan_or_verdict() -> None:
    ports = {"world", "traffic", "platforms", "networks", "requests", "steering", "data", "observers"}
    known = ports | {"errors", "topology", "clock", "histogram", "probe", "memory"}
    for path in Path(simian.memory.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name and name.startswith("simian.")]
            foreign = [name for name in ours if name.split(".")[1] not in known]
            assert not foreign, f"{path.name} imports {foreign}"


def test_users_who_have_left_are_not_computed_any_more() -> None:
    made, seen = simian.memory.build_memory_world(), list[Slice]()
    made.users.subscribe(seen.append)
    made.clock.wait(1.0)
    many = len(seen)
    assert many
    made.users.leave()
    made.world.platform.kill("members-east-a")
    made.clock.wait(60.0)
    assert len(seen) == many
