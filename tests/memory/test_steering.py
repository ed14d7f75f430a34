"""Steering on the memory world, beyond what the contract of its port says."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from simian.errors import TimedOut, Unreachable
from simian.memory import build_memory_world
from simian.memory.routing import route_of_subnet
from simian.memory.traffic import SUBNETS, home_of, picked, subnets_of
from simian.traffic import Modes
from simian.world import Rule

Make = Callable[..., Any]
MARK = "simian.k7f3.1"
REGIONS = ("east", "west")


@pytest.mark.parametrize("home", REGIONS)
def test_as_many_subnets_are_answered_with_a_region_as_its_share_says(home: str) -> None:
    subnets = subnets_of(REGIONS, home)
    for percent in range(101):
        share = percent / 100
        seen = Counter(picked({"east": share, "west": 1 - share}, subnet) for subnet in subnets)
        far = 3 * math.sqrt(share * (1 - share) / len(subnets)) + 0.01
        assert abs(seen["east"] / len(subnets) - share) <= far, percent


def test_a_growing_share_takes_subnets_and_gives_none_away() -> None:
    before: set[str] = set()
    for percent in range(101):
        row = {"east": 1 - percent / 100, "west": percent / 100}
        now = {subnet for subnet in subnets_of(REGIONS, "east") if picked(row, subnet) == "west"}
        assert before <= now
        before = now
    assert len(before) == SUBNETS


def test_a_subnet_tells_whose_user_it_is() -> None:
    regions = ("east", "north", "west")
    for home in regions:
        assert {home_of(regions, subnet) for subnet in subnets_of(regions, home)} == {home}
    for nobodys in ("", "10.0.0.0/8", "198.21.0.0/24", "198.17.0.0/24", "198.x.0.0/24", "::/0"):
        assert home_of(regions, nobodys) is None, nobodys


def test_a_dns_server_that_is_gone_or_frozen_cannot_be_changed() -> None:
    made = build_memory_world()
    steering, platform = made.world.steering, made.world.platform
    for hurt, error in ((platform.pause, TimedOut), (platform.kill, Unreachable)):
        hurt("dns")
        for call in (
            lambda: steering.shift("east", MARK, {"west": 1.0}),
            lambda: steering.unshift("east", MARK),
            steering.shares,
            steering.marks,
        ):
            with pytest.raises(error, match="dns"):
                call()
    assert made.state.traffic.answered["east"]["east"] == 1.0


def test_devices_follow_each_home_at_its_own_time() -> None:
    made = build_memory_world()
    ttl_s = made.state.habits.ttl_s
    made.state.send({"east": {"east": 0.0, "west": 1.0}})
    made.clock.wait(ttl_s * 0.8)
    made.state.send({"west": {"east": 1.0, "west": 0.0}})
    followed = made.state.traffic.followed(made.clock.elapsed())
    assert followed["east"]["west"] == pytest.approx(0.8)
    assert followed["west"]["east"] == pytest.approx(0.0)
    made.clock.wait(ttl_s / 2)
    followed = made.state.traffic.followed(made.clock.elapsed())
    assert followed["east"]["west"] == 1.0
    assert followed["west"]["east"] == pytest.approx(0.5)


def test_who_has_no_subnet_or_an_unknown_one_is_served_where_they_come() -> None:
    made = build_memory_world()
    made.state.set_modes("east", Modes(misrouted="redirect", own=True))
    made.state.send({"east": {"west": 1.0}})
    for subnet in ("", "192.0.2.0/24"):
        assert route_of_subnet(made.state, "gateway-east-a", "east", subnet).way == "direct"
    assert route_of_subnet(made.state, "gateway-east-a", "east", subnets_of(REGIONS, "east")[0]).way == "redirect"


def test_a_visit_meets_the_rules_and_cuts_that_users_meet() -> None:
    made = build_memory_world()
    gateway, observer = made.topology.node("gateway-east-a"), made.world.observer
    made.world.requests.put(gateway.name, Rule(MARK, "server", 1.0, 1, status=503, expires_in_s=60))
    assert observer.visit(gateway, "east").status == 503
    [reading] = made.world.requests.rules(gateway.name)
    assert (reading.saw, reading.hit) == (1, 1)
    made.world.requests.remove(gateway.name, MARK)
    assert observer.visit(gateway, "west").region == "west"
    for zone in "abc":
        made.world.network.cut(f"gateway-east--gateway-west-{zone}", MARK, how="refuse", direction="both")
    seen = observer.visit(gateway, "west")
    assert (seen.answered, seen.region) == (True, "")
    assert seen.status is not None
    assert seen.status >= 500


def test_load_is_what_users_make_and_capacity_what_is_ready() -> None:
    made = build_memory_world()
    load = made.world.steering.load()
    assert {region: (one.load_rps, one.capacity_rps) for region, one in load.items()} == {
        "east": (pytest.approx(100), 360), "west": (pytest.approx(100), 360)
    }  # fmt: skip
    made.state.set_modes("west", Modes(failover=("east",)))
    made.state.send({"east": {"east": 0.25, "west": 0.75}})
    made.clock.wait(60)
    assert made.world.steering.load()["west"].load_rps == pytest.approx(175)
    for zone in "abc":
        made.world.platform.kill(f"members-east-{zone}")
    assert set(made.world.steering.load()) == {"west"}


def test_with_too_little_headroom_one_region_cannot_serve_both(watched: Make) -> None:
    world = watched(weaknesses=["too-little-headroom"])
    assert world.go(30).share() == 1.0
    world.made.state.set_modes("west", Modes(failover=("east",)))
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    load = world.made.world.steering.load()["west"]
    assert load.load_rps > load.capacity_rps
    seen = world.go(30)
    assert seen.total("shed") > 0
    assert seen.share() < 0.9


def test_an_ignored_failover_mode_is_told_and_not_acted_on(watched: Make) -> None:
    world = watched(weaknesses=["failover-mode-ignored"])
    world.made.world.steering.set_failover("west", MARK, ["east"])
    assert world.made.world.steering.modes()["gateway-west-a"].failover == ("east",)
    seen = world.made.world.observer.visit(world.made.topology.node("gateway-west-a"), "east")
    assert (seen.way, seen.region) == ("isthmus", "east")
    world.made.state.send({"east": {"west": 1.0}})
    world.go(10)
    assert world.go(30).served["east"].keys() == {"east"}


def test_sticky_resolvers_keep_a_fifth_of_the_devices_for_ten_minutes(watched: Make) -> None:
    world = watched(weaknesses=["sticky-resolver"])
    world.made.state.set_modes("west", Modes(failover=("east",)))
    world.made.state.send({"east": {"west": 1.0}})
    world.go(world.made.state.habits.ttl_s)
    still = world.go(20)
    assert still.served["east"]["east"] / still.of["east"]["ended"] == pytest.approx(0.19, abs=0.04)
    world.go(world.made.state.habits.sticky_s)
    assert world.go(20).served["east"].keys() == {"west"}


def test_a_crashed_gateway_forgets_modes_and_arrivals_as_they_were_in_its_memory(watched: Make) -> None:
    world = watched()
    world.made.state.set_modes("east", Modes(failover=("west",)))
    world.go(10)
    steering, name = world.made.world.steering, "gateway-east-b"
    before = steering.arrivals()[name]["east"]
    world.made.world.platform.crash(name)
    world.go(5)
    assert 0 < steering.arrivals()[name].get("east", 0) < before
    assert steering.modes()[name] == Modes()
    assert steering.modes()["gateway-east-a"].failover == ("west",)
