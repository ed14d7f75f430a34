"""The memory world's state beyond what the ports' contract suites say."""

import pytest

from simian.drivers import build_world
from simian.errors import NoSuchTarget, UsageError
from simian.memory import SimulatedClock, build_memory_world
from simian.memory.links import Effect
from simian.world import Rule


def test_by_default_it_has_the_names_and_links_of_the_lab() -> None:
    topology = build_memory_world().topology
    assert len(topology.nodes) == 30
    assert len(topology.links) == 38
    assert [region.name for region in topology.regions] == ["east", "west"]
    assert topology.node("queue-east").zone is None
    assert topology.link("members-east-a--cache-east-b").target == "cache-east-b"
    assert topology.link("members-east--queue-west").crosses_regions
    assert {node.name for node in topology.nodes if node.role == "instrument"} == {
        "proxy-east", "proxy-west", "dns", "users",
    }  # fmt: skip


def test_a_world_of_other_regions_zones_and_services() -> None:
    made = build_memory_world(regions=("north", "south", "sea"), zones=("x",), services=("gateway", "members"))
    assert {node.name for node in made.topology.candidates()} == {
        f"{service}-{region}-x" for service in ("gateway", "members") for region in ("north", "south", "sea")
    }
    watch = made.watch()
    watch.start()
    [seen] = watch.wait(10)
    assert all(row.ok == row.ended > 0 for row in seen.rows)  # type: ignore[union-attr]


def test_every_wrong_name_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        build_memory_world(services=("members", "web"), zones=(), weaknesses=("luck",))
    assert len(caught.value.problems) == 4


def test_a_crashed_node_comes_back_by_itself_and_a_killed_one_does_not() -> None:
    made = build_memory_world()
    platform = made.world.platform
    before = platform.incarnation("members-east-a")
    platform.crash("members-east-a")
    platform.kill("members-east-b")
    assert not platform.ready("members-east-a")
    made.clock.wait(0.3)
    assert platform.incarnation("members-east-a") not in (None, before)
    assert not platform.ready("members-east-a"), "it runs, and is not ready yet"
    made.clock.wait(60)
    assert platform.ready("members-east-a")
    assert not platform.ready("members-east-b")


def test_a_kill_during_the_restart_keeps_a_crashed_node_down() -> None:
    made = build_memory_world()
    made.world.platform.crash("store-east-a")
    made.world.platform.kill("store-east-a")
    made.clock.wait(60)
    assert made.topology.node("store-east-a").state == "stopped"


def test_rules_expire_by_themselves_unless_renewed_and_die_with_their_process() -> None:
    made = build_memory_world()
    requests = made.world.requests
    rule = Rule("simian.t.1", "server", 0.5, 1, status=503, expires_in_s=10)
    requests.put("members-east-a", rule)
    made.clock.wait(8)
    requests.put("members-east-a", rule)
    made.clock.wait(8)
    assert [one.rule.mark for one in requests.rules("members-east-a")] == ["simian.t.1"]
    made.clock.wait(3)
    assert requests.rules("members-east-a") == []
    requests.put("members-east-a", rule)
    made.world.platform.crash("members-east-a")
    made.clock.wait(5)
    assert requests.rules("members-east-a") == []


def test_a_mended_link_stays_cut_while_another_mark_refuses_it() -> None:
    made = build_memory_world()
    network, name = made.world.network, "store-east--store-west-a"
    was = network.read(name)
    network.cut(name, "simian.one.1", how="refuse", direction="both")
    network.cut(name, "simian.two.1", how="refuse", direction="both")
    network.mend(name, "simian.one.1", was)
    assert not network.read(name).enabled
    network.mend(name, "simian.two.1", was)
    assert network.read(name) == was


def test_replication_lags_for_as_long_as_every_way_is_cut() -> None:
    made = build_memory_world()
    names = [f"store-east--store-west-{zone}" for zone in "abc"]
    for name in names:
        made.world.network.cut(name, "simian.t.1", how="blackhole", direction="both")
    made.clock.wait(30)
    assert made.state.lag_s("east", "west") == pytest.approx(30)
    assert made.state.lag_s("west", "east") < 1
    made.world.network.mend(names[0], "simian.t.1", made.world.network.read(names[1]))
    assert made.state.lag_s("east", "west") < 1


def test_somebody_elses_effect_is_foreign_and_survives_our_mending() -> None:
    made = build_memory_world()
    network, name = made.world.network, "members-east-a--queue-east"
    made.state.disturb(name, "theirs", Effect("cut", how="blackhole"))
    network.mend(name, "simian.t.1", network.read(name))
    assert network.read(name).foreign == ("theirs",)
    assert made.topology.link(name).state == "cut"


def test_a_node_removed_for_good_is_no_target_any_more() -> None:
    made = build_memory_world()
    watch = made.watch()
    watch.start()
    watch.wait(1)
    made.state.remove("members-east-c")
    with pytest.raises(NoSuchTarget, match="members-east-a"):
        made.world.platform.kill("members-east-c")
    assert watch.wait(5), "users go on"


def test_drivers_of_one_world_share_one_state_and_its_clock() -> None:
    section = {"driver": "memory", "zones": ["a", "b"], "seed": 3}
    ports = ("platform", "network", "requests", "observer")
    clock = SimulatedClock()
    world = build_world(dict.fromkeys(ports, section), clock=clock, environment={})
    world.platform.kill("gateway-east-a")
    node = next(node for node in world.platform.nodes() if node.name == "gateway-east-a")
    assert not world.observer.ask(node).connected
    assert world.clock is clock
    assert len(world.platform.nodes()) == 22


def test_a_misspelt_setting_is_told() -> None:
    with pytest.raises(UsageError, match="no setting 'region'"):
        build_world({"platform": {"driver": "memory", "region": "east"}}, clock=SimulatedClock(), environment={})
