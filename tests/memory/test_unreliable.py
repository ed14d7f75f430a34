"""Planted misbehaviour of drivers, for tests of what must survive it."""

from random import Random

import pytest

from simian.errors import TimedOut, Unreachable
from simian.memory import MemoryWorld, build_memory_world
from simian.memory.unreliable import Unreliable, unreliable

NODE = "members-east-a"


def _with(mode: str) -> tuple[MemoryWorld, Unreliable]:
    made = build_memory_world()
    return made, Unreliable(made.world.platform, Random(1), made.clock, modes={mode: 1.0})


def test_an_unreachable_driver_does_nothing() -> None:
    made, platform = _with("unreachable")
    with pytest.raises(Unreachable):
        platform.kill(NODE)
    assert made.world.platform.ready(NODE)


def test_a_lost_call_times_out_and_is_not_done() -> None:
    made, platform = _with("lost")
    with pytest.raises(TimedOut):
        platform.kill(NODE)
    made.clock.wait(60)
    assert made.world.platform.ready(NODE)


def test_a_call_may_time_out_and_be_done_all_the_same() -> None:
    made, platform = _with("done")
    with pytest.raises(TimedOut):
        platform.kill(NODE)
    assert not made.world.platform.ready(NODE)


def test_a_call_may_land_long_after_its_time_out() -> None:
    made, platform = _with("later")
    with pytest.raises(TimedOut):
        platform.kill(NODE)
    assert made.world.platform.ready(NODE)
    made.clock.wait(6)
    assert not made.world.platform.ready(NODE)


def test_steering_and_data_may_land_late_and_be_read_stale() -> None:
    made = build_memory_world()
    late, stale = ({mode: 1.0} for mode in ("later", "stale"))
    wrap = [Unreliable(made.world.steering, Random(1), made.clock, modes=mode) for mode in (late, stale)]
    assert wrap[1].shares()["east"]["west"] == 0.0
    with pytest.raises(TimedOut):
        wrap[0].shift("east", "simian.t.1", {"west": 1.0})
    with pytest.raises(TimedOut):
        wrap[0].set_failover("west", "simian.t.1", ["east"])
    with pytest.raises(TimedOut):
        Unreliable(made.world.data, Random(1), made.clock, modes=late).write("east", "k", "v", 1)
    assert not made.world.steering.marks()
    made.clock.wait(6)
    assert made.world.steering.marks() == [("east", "simian.t.1"), ("west", "simian.t.1")]
    assert made.world.data.replicas(["k"])["store-east-a"]["k"].value == "v"
    assert wrap[1].shares()["east"]["west"] == 0.0, "a lie"


def test_a_slow_call_takes_simulated_time() -> None:
    made, platform = _with("slow")
    platform.kill(NODE)
    assert made.clock.elapsed() > 0
    assert not made.world.platform.ready(NODE)


def test_a_call_that_hangs_takes_its_time_before_it_times_out() -> None:
    made, platform = _with("hung")
    with pytest.raises(TimedOut):
        platform.kill(NODE)
    assert made.clock.elapsed() == 5.0
    assert made.world.platform.ready(NODE)


def test_a_whole_world_misbehaves_but_for_its_clock() -> None:
    made = build_memory_world()
    world = unreliable(made.world, Random(1), made.clock, modes={"unreachable": 1.0})
    for call in (world.platform.nodes, world.network.links, world.requests.nodes, world.steering.shares,
                 world.data.regions, world.observer.ask):  # fmt: skip
        with pytest.raises(Unreachable):
            call()
    assert world.clock is made.clock


def test_a_stale_answer_tells_of_the_world_as_it_was_asked_last() -> None:
    _, platform = _with("stale")
    assert platform.ready(NODE)
    platform.kill(NODE)
    assert platform.ready(NODE), "a lie"


def test_modes_have_names_and_probabilities() -> None:
    made = build_memory_world()
    for modes in ({"broken": 0.1}, {"lost": 0.7, "slow": 0.7}):
        with pytest.raises(ValueError, match="modes are"):
            Unreliable(made.world.platform, Random(1), made.clock, modes=modes)


def test_misbehaviour_comes_as_often_as_asked_and_the_same_from_the_same_seed() -> None:
    def calls(seed: int) -> list[tuple[str, str]]:
        made = build_memory_world()
        platform = Unreliable(made.world.platform, Random(seed), made.clock, modes={"stale": 0.25, "slow": 0.25})
        for _ in range(400):
            platform.ready(NODE)
        return platform.calls

    modes = [mode for _, mode in calls(5)]
    assert 60 < modes.count("stale") < 140
    assert 60 < modes.count("slow") < 140
    assert calls(5) == calls(5)
