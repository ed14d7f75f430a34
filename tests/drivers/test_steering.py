"""The contract of ``Steering``, over every driver, seen as users see it: by asking DNS and by going to gateways."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.memory import build_memory_world
from simian.topology import Node
from simian.traffic import Entrance, Modes, Visit, same_shares
from simian.world import Observer, Steering

from .small_lab import SmallLab, SmallLabBench

MARK, OTHER = "simian.k7f3.1", "simian.k7f3.2"
HOME, HALF, AWAY = ({"east": east, "west": 1 - east} for east in (1.0, 0.5, 0.0))


class Bench(Protocol):
    """A driver over the regions east and west, each serving its own users, and hands and eyes of our own."""

    steering: Steering
    observer: Observer
    gateways: Mapping[str, Sequence[Node]]  # by region, at least two in each

    def move(self, home: str, row: Mapping[str, float]) -> None:
        """Somebody else, who knows of no marks, sets other shares."""
        ...

    def come(self, home: str) -> None:
        """Some users of this home come in, as the answers of now have it (all TTLs have passed)."""
        ...

    def kill(self, node: str) -> None:
        """End a node; it stays down."""
        ...

    def start(self, node: str) -> None:
        """Start it anew, and wait until it answers."""
        ...

    def freeze(self, node: str) -> None:
        """From now on it accepts and never answers."""
        ...


class MemoryBench:
    def __init__(self) -> None:
        self._made = build_memory_world(seed=5)
        self._platform = self._made.world.platform
        self.steering, self.observer = self._made.world.steering, self._made.world.observer
        self.gateways = {
            region: self._made.topology.candidates(region=region, service="gateway") for region in ("east", "west")
        }
        self.kill, self.freeze = self._platform.kill, self._platform.pause

    def move(self, home: str, row: Mapping[str, float]) -> None:
        self._made.state.send({home: row})

    def come(self, home: str) -> None:
        self._made.clock.wait(20)

    def start(self, node: str) -> None:
        self._platform.start(node)
        self._made.clock.wait(5)


@pytest.fixture(params=["memory", "dns"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    lab = SmallLab(tmp_path)
    yield SmallLabBench(lab)
    lab.close()


def entrance_of(bench: Bench, home: str) -> Entrance:
    return next(entrance for entrance in bench.steering.entrances() if entrance.home == home)


def answers(bench: Bench, home: str) -> dict[str, str]:
    """Subnet -> the region that its answer leads to; every address of an answer leads to the same."""
    found, entrance = {}, entrance_of(bench, home)
    for subnet in entrance.subnets:
        addresses = bench.observer.resolve(entrance, subnet)
        regions = {entrance.regions[address] for address in addresses}
        assert len(regions) == 1, (subnet, addresses)
        found[subnet] = regions.pop()
    return found


def shares_are(bench: Bench, home: str, row: Mapping[str, float]) -> bool:
    """As they are told and, roughly, as many subnets are answered."""
    seen = Counter(answers(bench, home).values())
    many = sum(seen.values())
    near = all(abs(seen[region] / many - share) < (0.25 if 0 < share < 1 else 1e-9) for region, share in row.items())
    return near and same_shares(bench.steering.shares()[home], row)


def visits(bench: Bench, region: str, home: str, subnet: str = "") -> list[Visit]:
    """One at each gateway of the region."""
    return [bench.observer.visit(node, home, subnet=subnet) for node in bench.gateways[region]]


def ways(seen: Sequence[Visit]) -> set[tuple[int | None, str, str]]:
    return {(one.status, one.way, one.region) for one in seen}


def subnet_of(bench: Bench, home: str, region: str) -> str:
    """One from which users of this home are answered with that region."""
    return next(subnet for subnet, answered in answers(bench, home).items() if answered == region)


def marks(bench: Bench) -> list[tuple[str, str]]:
    return sorted(bench.steering.marks())


# --- shifts -------------------------------------------------------------------------------------------------------


def test_users_of_each_home_are_answered_as_it_is_set(bench: Bench) -> None:
    for what in ("shift", "modes", "arrivals", "load"):
        assert bench.steering.unsupported(what) == ""
    assert sorted(entrance.home for entrance in bench.steering.entrances()) == ["east", "west"]
    for home, row in {"east": HOME, "west": AWAY}.items():
        entrance = entrance_of(bench, home)
        assert len(entrance.subnets) == len(set(entrance.subnets)) >= 32
        assert set(entrance.regions.values()) == {"east", "west"}
        assert entrance.ttl_s > 0
        assert shares_are(bench, home, row)
    assert marks(bench) == []


def test_a_shift_moves_the_users_of_one_home_and_carries_its_mark(bench: Bench) -> None:
    bench.steering.shift("east", MARK, HALF)
    assert shares_are(bench, "east", HALF)
    assert shares_are(bench, "west", AWAY)
    assert marks(bench) == [("east", MARK)]
    bench.steering.unshift("east", MARK)
    assert shares_are(bench, "east", HOME)
    assert marks(bench) == []


def test_a_subnet_keeps_its_answer_and_a_growing_share_only_takes_more(bench: Bench) -> None:
    bench.steering.shift("east", MARK, HALF)
    half = answers(bench, "east")
    assert answers(bench, "east") == half
    bench.steering.shift("east", MARK, {"east": 0.25, "west": 0.75})
    more = answers(bench, "east")
    assert {subnet for subnet, region in half.items() if region == "west"} <= {
        subnet for subnet, region in more.items() if region == "west"
    }
    assert more != half


def test_users_arrive_where_they_are_sent(bench: Bench) -> None:
    bench.steering.shift("east", MARK, AWAY)
    bench.come("east")
    before = bench.steering.arrivals()
    bench.come("east")
    after = bench.steering.arrivals()
    came = {
        region: sum(after[node.name].get("east", 0) - before[node.name].get("east", 0) for node in nodes)
        for region, nodes in bench.gateways.items()
    }
    assert came["west"] > 0
    assert came["east"] == 0


def test_doing_or_undoing_a_shift_twice_is_doing_it_once(bench: Bench) -> None:
    for _ in range(2):
        bench.steering.shift("west", MARK, HALF)
        assert shares_are(bench, "west", HALF)
        assert marks(bench) == [("west", MARK)]
    for _ in range(2):
        bench.steering.unshift("west", MARK)
        assert shares_are(bench, "west", AWAY)


def test_undoing_a_shift_that_was_never_there_changes_nothing(bench: Bench) -> None:
    bench.steering.shift("east", MARK, HALF)
    bench.steering.unshift("east", OTHER)
    assert shares_are(bench, "east", HALF)
    assert marks(bench) == [("east", MARK)]


@pytest.mark.parametrize("order", [(MARK, OTHER), (OTHER, MARK)])
def test_shifts_that_lie_upon_one_another_go_in_any_order(bench: Bench, order: tuple[str, str]) -> None:
    bench.steering.shift("east", MARK, HALF)
    bench.steering.shift("east", OTHER, AWAY)
    assert marks(bench) == [("east", MARK), ("east", OTHER)]
    bench.steering.unshift("east", order[0])
    assert shares_are(bench, "east", AWAY if order[0] == MARK else HALF)
    bench.steering.unshift("east", order[1])
    assert shares_are(bench, "east", HOME)
    assert marks(bench) == []


def test_the_last_mark_may_change_what_it_answers(bench: Bench) -> None:
    bench.steering.shift("east", MARK, AWAY)
    bench.steering.shift("east", MARK, HALF)
    assert shares_are(bench, "east", HALF)
    assert marks(bench) == [("east", MARK)]
    bench.steering.unshift("east", MARK)
    assert shares_are(bench, "east", HOME)


def test_somebody_elses_shares_are_not_written_over(bench: Bench) -> None:
    theirs = {"east": 0.6, "west": 0.4}
    bench.steering.shift("east", MARK, HALF)
    bench.move("east", theirs)
    with pytest.raises(DriverError, match="somebody else"):
        bench.steering.shift("east", OTHER, AWAY)
    assert shares_are(bench, "east", theirs)
    bench.steering.unshift("east", MARK)
    assert shares_are(bench, "east", theirs)
    assert marks(bench) == []


@pytest.mark.parametrize("row", [{"east": 0.5, "west": 0.4}, {"east": 1.5, "west": -0.5}, {}])
def test_what_is_no_share_is_refused_before_anything_is_touched(bench: Bench, row: Mapping[str, float]) -> None:
    with pytest.raises(DriverError):
        bench.steering.shift("east", MARK, row)
    assert shares_are(bench, "east", HOME)
    assert marks(bench) == []


def test_homes_and_regions_that_are_not_there_are_named(bench: Bench) -> None:
    for wrong in (
        lambda: bench.steering.shift("north", MARK, HALF),
        lambda: bench.steering.shift("east", MARK, {"north": 1.0}),
        lambda: bench.steering.set_failover("north", MARK, ["east"]),
        lambda: bench.steering.set_misrouted("north", MARK, mode="redirect", own=False),
    ):
        with pytest.raises(NoSuchTarget, match="east"):
            wrong()
    assert marks(bench) == []


# --- modes of the gateways ----------------------------------------------------------------------------------------


def test_at_first_each_region_serves_its_own_users_and_takes_others_home(bench: Bench) -> None:
    assert set(bench.steering.modes()) == {node.name for nodes in bench.gateways.values() for node in nodes}
    assert set(bench.steering.modes().values()) == {Modes()}
    assert ways(visits(bench, "west", "west")) == {(200, "direct", "west")}
    assert ways(visits(bench, "west", "east")) == {(200, "isthmus", "east")}


def test_in_failover_mode_a_region_serves_users_of_the_homes_named(bench: Bench) -> None:
    bench.steering.set_failover("west", MARK, ["east"])
    assert ways(visits(bench, "west", "east")) == {(200, "direct", "west")}
    assert ways(visits(bench, "east", "west")) == {(200, "isthmus", "west")}
    west = {node.name for node in bench.gateways["west"]}
    assert {name: (modes.failover, modes.failover_owner) for name, modes in bench.steering.modes().items()} == {
        name: (("east",), MARK) if name in west else ((), "") for name in bench.steering.modes()
    }
    assert marks(bench) == [("west", MARK)]


def test_foreign_users_are_redirected_where_that_is_set(bench: Bench) -> None:
    bench.steering.set_misrouted("west", MARK, mode="redirect", own=False)
    assert ways(visits(bench, "west", "east")) == {(307, "redirect", "")}
    assert ways(visits(bench, "west", "west")) == {(200, "direct", "west")}
    assert ways(visits(bench, "east", "west")) == {(200, "isthmus", "west")}


@pytest.mark.parametrize("mode", ["redirect", "isthmus"])
def test_own_users_whom_dns_sends_elsewhere_are_taken_there_and_no_others(bench: Bench, mode: Any) -> None:
    bench.steering.set_failover("west", OTHER, ["east"])
    bench.steering.set_misrouted("east", MARK, mode=mode, own=True)
    anywhere = entrance_of(bench, "east").subnets[0]
    assert ways(visits(bench, "east", "east", anywhere)) == {(200, "direct", "east")}
    bench.steering.shift("east", MARK, HALF)
    taken = {(307, "redirect", "")} if mode == "redirect" else {(200, "isthmus", "west")}
    assert ways(visits(bench, "east", "east", subnet_of(bench, "east", "west"))) == taken
    assert ways(visits(bench, "east", "east", subnet_of(bench, "east", "east"))) == {(200, "direct", "east")}


def test_both_settings_of_a_gateway_have_owners_of_their_own(bench: Bench) -> None:
    bench.steering.set_failover("west", MARK, ["east"])
    bench.steering.set_misrouted("west", OTHER, mode="redirect", own=True)
    wanted = Modes(("east",), MARK, "redirect", True, OTHER)
    assert {bench.steering.modes()[node.name] for node in bench.gateways["west"]} == {wanted}
    assert marks(bench) == [("west", MARK), ("west", OTHER)]
    bench.steering.unset("west", OTHER, {})
    assert {bench.steering.modes()[node.name] for node in bench.gateways["west"]} == {Modes(("east",), MARK)}


def test_a_limit_of_requests_under_way_has_an_owner_and_comes_back_as_it_was(bench: Bench) -> None:
    was = bench.steering.modes()
    bench.steering.set_limit("west", MARK, 7)
    now = {name: (modes.limit, modes.limit_owner) for name, modes in bench.steering.modes().items()}
    west = {node.name for node in bench.gateways["west"]}
    assert now == {name: (7, MARK) if name in west else (was[name].limit, "") for name in was}
    assert marks(bench) == [("west", MARK)]
    bench.steering.unset("west", OTHER, {})
    assert marks(bench) == [("west", MARK)]
    bench.steering.unset("west", MARK, was)
    assert bench.steering.modes() == was


def test_setting_or_unsetting_twice_is_doing_it_once(bench: Bench) -> None:
    was = bench.steering.modes()
    for _ in range(2):
        bench.steering.set_misrouted("west", MARK, mode="redirect", own=True)
    assert marks(bench) == [("west", MARK)]
    for _ in range(2):
        bench.steering.unset("west", MARK, was)
        assert bench.steering.modes() == was
    assert marks(bench) == []


def test_unsetting_puts_back_what_was_there_and_leaves_what_is_not_ours(bench: Bench) -> None:
    bench.steering.set_failover("west", "ops", ["east"])
    was = bench.steering.modes()
    bench.steering.set_failover("west", MARK, [])
    bench.steering.unset("west", OTHER, {})
    assert marks(bench) == [("west", MARK)]
    bench.steering.unset("west", MARK, was)
    assert bench.steering.modes() == was
    assert marks(bench) == [], "what carries no mark of ours is none of our orphans"


def test_a_gateway_that_started_anew_has_forgotten_its_modes_and_arrivals(bench: Bench) -> None:
    name = bench.gateways["east"][0].name
    bench.come("east")
    assert bench.steering.arrivals()[name].get("east", 0) > 0
    bench.steering.set_failover("east", MARK, ["west"])
    bench.kill(name)
    assert name not in bench.steering.modes()
    assert name not in bench.steering.arrivals()
    before = sum(bench.steering.arrivals()[bench.gateways["east"][1].name].values())
    bench.start(name)
    assert bench.steering.modes()[name] == Modes()
    assert bench.steering.arrivals()[name].get("west", 0) == 0
    assert sum(bench.steering.arrivals()[bench.gateways["east"][1].name].values()) >= before > 0
    bench.steering.unset("east", MARK, {})
    assert set(bench.steering.modes().values()) == {Modes()}


def test_with_a_dead_gateway_setting_tells_and_sets_the_others_and_unsetting_is_content(bench: Bench) -> None:
    dead, *others = (node.name for node in bench.gateways["west"])
    bench.kill(dead)
    with pytest.raises(Unreachable, match=dead):
        bench.steering.set_failover("west", MARK, ["east"])
    assert {bench.steering.modes()[name].failover_owner for name in others} == {MARK}
    bench.steering.unset("west", MARK, {})
    assert marks(bench) == []


def test_unsetting_tells_of_a_gateway_that_does_not_answer(bench: Bench) -> None:
    frozen, *others = (node.name for node in bench.gateways["west"])
    bench.steering.set_failover("west", MARK, ["east"])
    bench.freeze(frozen)
    with pytest.raises((Unreachable, TimedOut), match=frozen):
        bench.steering.unset("west", MARK, {})
    assert {bench.steering.modes()[name] for name in others} == {Modes()}
    assert frozen not in bench.steering.modes()


def test_a_dead_gateway_answers_no_visit(bench: Bench) -> None:
    node = bench.gateways["west"][0]
    bench.kill(node.name)
    seen = bench.observer.visit(node, "west")
    assert (seen.answered, seen.status, seen.region) == (False, None, "")
    assert seen.detail


# --- what is measured ---------------------------------------------------------------------------------------------


def test_each_region_tells_its_load_and_what_it_can_carry_by_the_nodes_that_answer(bench: Bench) -> None:
    bench.come("east")
    before = bench.steering.load()
    assert set(before) == {"east", "west"}
    assert all(0 <= load.load_rps < load.capacity_rps for load in before.values())
    bench.kill("members-east-a")
    after = bench.steering.load()
    assert 0 < after["east"].capacity_rps < before["east"].capacity_rps
    assert after["west"].capacity_rps == before["west"].capacity_rps


def test_calls_may_come_from_many_threads(bench: Bench) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: bench.steering.shift("east", MARK, HALF),
        lambda: bench.steering.shift("west", OTHER, HALF),
        lambda: bench.steering.set_failover("east", MARK, ["west"]),
        lambda: bench.steering.set_failover("west", OTHER, ["east"]),
        bench.steering.shares,
        bench.steering.arrivals,
        bench.steering.modes,
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()
    assert marks(bench) == [("east", MARK), ("east", MARK), ("west", OTHER), ("west", OTHER)]
