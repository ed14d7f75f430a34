"""Data on the memory world, beyond what the contract of its port says."""

from collections.abc import Iterable

import pytest

from simian.convergence import Comparison, Write, Written, compare
from simian.errors import DriverError, TimedOut, Unreachable
from simian.memory import MemoryWorld, build_memory_world
from simian.world import Cell

MARK = "simian.k7f3.1"
CROSSING = [link.name for link in build_memory_world().topology.links if link.crosses_regions]
STORE_LINKS = [name for name in CROSSING if name.startswith("store-")]


class Pen:
    """Writes keys, remembers what it was told, and compares."""

    def __init__(self, *weaknesses: str) -> None:
        self.made: MemoryWorld = build_memory_world(weaknesses=weaknesses)
        self.data, self.written, self._n = self.made.world.data, Written(), 0

    def write(self, region: str, key: str = "k") -> Cell:
        self._n += 1
        cell = Cell(f"{region}-{self._n}", int(self.made.clock.now() * 1e6) + self._n)
        assert cell.value is not None
        try:
            self.data.write(region, key, cell.value, cell.at_us)
            told = True
        except DriverError:
            told = False
        self.written.add(Write(key, cell.value, cell.at_us, region, told))
        return cell

    def cut(self, links: Iterable[str] = tuple(CROSSING)) -> None:
        for link in links:
            self.made.world.network.cut(link, MARK, how="blackhole", direction="both")

    def mend(self) -> None:
        for link in self.made.topology.links:
            self.made.state.lift(link.name, MARK, enable=True)
        self.made.clock.wait(5)

    def found(self) -> Comparison:
        keys = self.written.keys
        return compare(self.written, self.data.replicas(keys), self.data.caches(keys))

    def split(self) -> Comparison:
        """Both sides write during a cut: keys of their own, and some that both write, in either order."""
        for n in range(4):
            self.write("east", f"both-{n}")
        self.made.clock.wait(5)
        self.cut()
        for n in range(4):
            for region in ("east", "west") if n % 2 else ("west", "east"):
                self.write(region, f"{region}-{n}")
                self.write(region, f"both-{n}")
        self.made.clock.wait(20)
        self.mend()
        return self.found()


def test_after_a_cut_all_is_as_the_rules_of_the_store_have_it() -> None:
    pen = Pen()
    found = pen.split()
    assert found.clean, found
    assert pen.written.acknowledged == pen.written.count == 20
    assert pen.data.backlog() == {}


@pytest.mark.parametrize(
    ("weakness", "lost", "stale", "conflicting"),
    [
        ("dropped-hints", 0, 12, 12),
        ("lost-invalidations", 0, 4, 0),
        ("wrong-clock", 2, 2, 0),
    ],
)
def test_each_weakness_of_the_data_shows_in_its_own_way(weakness: str, lost: int, stale: int, conflicting: int) -> None:
    found = Pen(weakness).split()
    assert (len(found.lost.keys), len(found.stale.keys), len(found.conflicting.keys)) == (lost, stale, conflicting)


def test_dropped_hints_are_those_of_a_cut_and_not_of_a_dead_replica() -> None:
    pen = Pen("dropped-hints")
    for name in ("store-east-b", "store-west-b"):
        pen.made.world.platform.kill(name)
    pen.write("east")
    pen.made.clock.wait(1)
    assert pen.data.backlog() == {"hints store-east-a": 2}
    for name in ("store-east-b", "store-west-b"):
        pen.made.world.platform.start(name)
    pen.made.clock.wait(5)
    assert pen.found().clean


def test_what_waits_is_told_by_kind_and_node() -> None:
    pen = Pen()
    pen.cut()
    for key in ("one", "two", "two"):
        pen.write("east", key)
    assert pen.data.backlog() == {"hints store-east-a": 6, "invalidations queue-east": 2}
    pen.made.world.platform.kill("store-east-a")
    assert pen.data.backlog() == {"invalidations queue-east": 2}, "a dead node tells nothing"
    pen.mend()
    assert pen.data.backlog() == {}
    pen.made.world.platform.start("store-east-a")
    pen.made.clock.wait(5)
    assert pen.data.backlog() == {}
    assert pen.found().clean, "it had kept its hints"


def test_a_way_that_closes_again_before_what_waited_has_crossed_keeps_it() -> None:
    pen = Pen()
    pen.cut()
    pen.write("east")
    for link in CROSSING:
        pen.made.state.lift(link, MARK, enable=True)
    pen.made.clock.wait(0.2)
    pen.cut()
    pen.made.clock.wait(30)
    assert "k" not in pen.data.replicas(["k"])["store-west-a"]
    pen.mend()
    assert pen.found().clean


def test_what_was_on_its_way_when_the_cut_came_waits() -> None:
    pen = Pen()
    pen.write("east")
    pen.cut()
    pen.made.clock.wait(1)
    assert "k" not in pen.data.replicas(["k"])["store-west-a"]
    pen.mend()
    assert pen.found().clean


def test_with_the_way_of_the_replicas_cut_caches_forget_what_is_old_all_the_same() -> None:
    pen = Pen()
    pen.write("west")
    pen.made.clock.wait(1)
    pen.cut(STORE_LINKS)
    pen.write("east")
    pen.made.clock.wait(1)
    assert "k" not in pen.data.caches(["k"])["cache-west-a"]
    assert set(pen.data.backlog()) == {"hints store-east-a"}


@pytest.mark.parametrize("how", ["freeze", "cut"])
def test_a_cache_that_missed_a_write_forgets_what_is_old_when_it_is_back(how: str) -> None:
    pen = Pen()
    old = pen.write("east")
    pen.made.clock.wait(1)
    if how == "freeze":
        pen.made.world.platform.pause("cache-east-a")
    else:
        pen.cut(f"members-east-{zone}--cache-east-a" for zone in "abc")
    new = pen.write("east")
    pen.made.world.platform.resume("cache-east-a")
    assert pen.data.caches(["k"])["cache-east-a"] == {"k": old}
    assert pen.data.caches(["k"])["cache-east-b"] == {"k": new}
    pen.mend()
    assert pen.data.caches(["k"])["cache-east-a"] == {}


def test_a_write_that_silent_replicas_keep_from_a_majority_may_have_been_made() -> None:
    pen = Pen()
    for name in ("store-east-b", "store-east-c"):
        pen.made.world.platform.pause(name)
    with pytest.raises(TimedOut, match="1 of 3"):
        pen.data.write("east", "k", "v", 1)
    for name in ("store-east-b", "store-east-c"):
        pen.made.world.platform.resume(name)
    pen.made.clock.wait(5)
    assert {cells["k"] for cells in pen.data.replicas(["k"]).values()} == {Cell("v", 1)}


def test_a_write_without_a_majority_that_is_known_to_be_dead_is_not_made() -> None:
    pen = Pen()
    for name in ("store-east-b", "store-east-c"):
        pen.made.world.platform.kill(name)
    with pytest.raises(DriverError, match="1 of 3"):
        pen.data.write("east", "k", "v", 1)
    for name in ("store-east-b", "store-east-c"):
        pen.made.world.platform.start(name)
    pen.made.clock.wait(5)
    assert not any(pen.data.replicas(["k"]).values())


@pytest.mark.parametrize("service", ["gateway", "members"])
def test_there_is_no_front_door_without_its_nodes(service: str) -> None:
    pen = Pen()
    for zone in "abc":
        pen.made.world.platform.kill(f"{service}-east-{zone}")
    with pytest.raises(Unreachable, match=f"{service}-east-a"):
        pen.data.write("east", "k", "v", 1)
    pen.data.write("west", "k", "v", 1)


def test_a_world_without_stores_says_that_nothing_can_be_written() -> None:
    data = build_memory_world(services=("gateway", "members")).world.data
    assert list(data.regions()) == []
    with pytest.raises(DriverError, match="none"):
        data.write("east", "k", "v", 1)


def test_nothing_ticks_while_all_of_it_waits() -> None:
    pen = Pen()
    pen.cut()
    pen.write("east")
    pen.made.clock.wait(1)
    events = 0
    while pen.made.clock.step(pen.made.clock.elapsed() + 86_400):
        events += 1
    assert events == 0
    pen.mend()
    assert pen.found().clean


def test_a_node_removed_for_good_takes_what_waits_there_with_it() -> None:
    pen = Pen()
    pen.cut()
    pen.write("east")
    for name in ("queue-east", "store-east-a"):
        pen.made.state.remove(name)
    assert pen.data.backlog() == {}
    pen.mend()
    pen.write("west")
    pen.made.clock.wait(5)
    assert pen.found().clean
