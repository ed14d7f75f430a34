"""The world as before means equal, and what differs is told."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from simian.errors import DriverError, Refused, Unreachable
from simian.hands import OneByOne
from simian.memory import build_memory_world
from simian.monkey import find_monkeys
from simian.snapshot import differences, take, topology_of
from simian.traffic import Shares
from simian.world import Rule, World

HANDS = OneByOne(Random(1))
LINK = "members-east-a--cache-east-a"


def test_nothing_done_is_nothing_different() -> None:
    world = build_memory_world().world
    before = take(world, HANDS)
    world.clock.wait(3_600)
    assert differences(before, take(world, HANDS)) == {}
    assert len(before["nodes"]) == 30
    assert len(before["links"]) == 38


def _kill(world: World) -> None:
    world.platform.kill("store-east-a")


def _pause(world: World) -> None:
    world.platform.pause("store-east-a")


def _starting(world: World) -> None:
    world.platform.kill("store-east-a")
    world.platform.start("store-east-a")


def _cut(world: World) -> None:
    world.network.cut(LINK, "simian.r.1", how="refuse", direction="both")


def _blackhole(world: World) -> None:
    world.network.cut(LINK, "simian.r.1", how="blackhole", direction="both")


def _rule(world: World) -> None:
    world.requests.put("store-east-a", Rule("simian.r.1", "server", 0.5, 1, status=503))


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (_kill, "store-east-a", "state was 'running', is 'stopped', ready was True, is False"),
        (_pause, "store-east-a", "state was 'running', is 'paused'"),
        (_starting, "store-east-a", "ready was True, is False"),
        (_cut, LINK, "enabled was True, is False"),
        (_blackhole, LINK, "marks was [], is ['simian.r.1']"),
        (_rule, "store-east-a", "marks was [], is ['simian.r.1']"),
    ],
)
def test_each_change_is_told_by_its_name(change: Any, name: str, said: str) -> None:
    world = build_memory_world().world
    before = take(world, HANDS)
    change(world)
    found = differences(before, take(world, HANDS))
    assert list(found) == [name]
    assert said in found[name]


def test_one_that_has_become_ready_meanwhile_is_no_difference_to_wait_for() -> None:
    world = build_memory_world().world
    after = take(world, HANDS)
    _starting(world)
    before = take(world, HANDS)
    assert differences(before, after) == {}
    _kill(world)
    assert list(differences(before, take(world, HANDS))) == ["store-east-a"]


def test_what_came_and_went_is_told() -> None:
    memory = build_memory_world()
    before = take(memory.world, HANDS)
    memory.state.remove("cache-east-a")
    after = take(memory.world, HANDS)
    assert differences(before, after) == {"cache-east-a": "cache-east-a: is not there any more"}
    assert differences(after, before) == {"cache-east-a": "cache-east-a: was not there before"}


def test_a_restart_is_no_difference() -> None:
    world = build_memory_world().world
    before = take(world, HANDS)
    world.platform.crash("store-east-a")
    world.clock.wait(30)
    assert differences(before, take(world, HANDS)) == {}


def test_a_world_that_cannot_be_read_whole_is_an_error_and_no_snapshot() -> None:
    memory = build_memory_world()

    class Half:
        def __getattr__(self, name: str) -> Any:
            return getattr(memory.world.platform, name)

        def ready(self, node: str) -> bool:
            raise Unreachable(f"{node}: nothing answers")

    world = replace(memory.world, platform=Half())
    with pytest.raises(DriverError, match="could not be read whole"):
        take(world, HANDS)


def test_a_topology_is_what_is_seen_now() -> None:
    memory = build_memory_world()
    memory.world.platform.kill("store-east-a")
    topology = topology_of(memory.world, "shop")
    assert topology.system == "shop"
    assert topology.node("store-east-a").state == "stopped"
    assert len(topology.links) == 38


def test_why_nobody_knows_where_users_go_is_told_to_who_would_move_them() -> None:
    memory = build_memory_world()

    class Mute:
        def shares(self) -> Shares:
            raise Unreachable("the name server does not answer")

    world = replace(memory.world, steering=Mute())
    topology = topology_of(world, "shop")
    assert (topology.shares, topology.unknown_shares) == ({}, "the name server does not answer")
    with pytest.raises(Refused, match="no users are known to be sent to east; the name server does not answer"):
        find_monkeys().get("kong").function(topology, Random(1), region="east")
