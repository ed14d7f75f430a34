"""The contract of ``Data``, over every driver: what is acknowledged gets everywhere, and no cache stays behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import pytest

from simian.errors import DriverError, NoSuchTarget
from simian.memory import build_memory_world
from simian.world import Cell, Data

from .cassandra_bench import lab_on_cassandra  # noqa: F401
from .lab_bench import LabBench, running_lab  # noqa: F401

MARK = "simian.k7f3.1"
REGIONS = ("east", "west")


class Bench(Protocol):
    """A driver over the regions east and west, and hands of our own; nodes have the names of the lab."""

    data: Data
    stores: Mapping[str, Sequence[str]]  # by region, three in each, or one
    caches: Mapping[str, Sequence[str]]

    def now_us(self) -> int:
        """The wall clock of a writer."""
        ...

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        """What the driver does; again until it is acknowledged, where that takes time, as doing it twice is no harm."""
        ...

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Let time pass until it is so."""
        ...

    def cut(self) -> None:
        """No byte between the regions any more, either way."""
        ...

    def mend(self) -> None:
        """All links between them are as before."""
        ...

    def kill(self, node: str) -> None:
        """End a node; it stays down."""
        ...

    def freeze(self, node: str) -> None:
        """From now on it accepts and never answers."""
        ...

    def start(self, node: str) -> None:
        """Start it anew, and wait until it is ready."""
        ...


class MemoryBench:
    def __init__(self) -> None:
        self._made = made = build_memory_world(seed=5)
        self.data, self._clock = made.world.data, made.clock
        self.write = self.data.write
        self.kill, self.freeze = made.world.platform.kill, made.world.platform.pause
        self.stores = self._named("store")
        self.caches = self._named("cache")
        self._between = [link.name for link in made.topology.links if link.crosses_regions]

    def _named(self, service: str) -> dict[str, list[str]]:
        topology = self._made.topology
        return {region: [n.name for n in topology.candidates(region=region, service=service)] for region in REGIONS}

    def now_us(self) -> int:
        return int(self._clock.now() * 1e6)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        ends = self._clock.elapsed() + 60
        while not (value := condition()):
            assert self._clock.elapsed() < ends, f"waited in vain: {what}"
            self._clock.wait(0.1)
        return value

    def cut(self) -> None:
        for link in self._between:
            self._made.world.network.cut(link, MARK, how="refuse", direction="both")

    def mend(self) -> None:
        for link in self._between:
            self._made.state.lift(link, MARK, enable=True)

    def start(self, node: str) -> None:
        self._made.world.platform.start(node)
        self.until(lambda: self._made.world.platform.ready(node), f"{node} is ready")


_ON_CASSANDRA = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(
    params=["memory", pytest.param("lab", marks=pytest.mark.lab), pytest.param("cassandra", marks=_ON_CASSANDRA)]
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    name = "running_lab" if request.param == "lab" else "lab_on_cassandra"
    lab = LabBench(request.getfixturevalue(name))
    try:
        yield lab
    finally:
        lab.restore()


@pytest.fixture
def write(bench: Bench) -> Callable[..., Cell]:
    """Writes ``key`` in a region, with a value of its own, ``later_us`` after now; the cell that it should become."""
    values = count(1)

    def made(region: str, key: str = "k", later_us: int = 0) -> Cell:
        cell = Cell(f"{region}-{next(values)}", bench.now_us() + later_us)
        assert cell.value is not None
        bench.write(region, key, cell.value, cell.at_us)
        return cell

    return made


def everywhere(bench: Bench, key: str, cell: Cell) -> bool:
    """Whether every replica has just this, and every cache this or nothing."""
    replicas, caches = bench.data.replicas([key]), bench.data.caches([key])
    assert set(replicas) == {name for names in bench.stores.values() for name in names}
    assert set(caches) == {name for names in bench.caches.values() for name in names}
    kept = [cells[key] for cells in caches.values() if key in cells]
    return all(cells.get(key) == cell for cells in replicas.values()) and all(one == cell for one in kept)


def waiting(bench: Bench) -> int:
    return sum(bench.data.backlog().values())


def test_every_region_can_be_written_to(bench: Bench) -> None:
    assert sorted(bench.data.regions()) == list(REGIONS)


@pytest.mark.parametrize("region", REGIONS)
def test_what_is_acknowledged_reaches_every_replica_and_the_caches_of_its_region(
    bench: Bench, write: Callable[..., Cell], region: str
) -> None:
    cell = write(region)
    stores, found = bench.stores[region], bench.data.replicas(["k"])
    assert sum(found[name].get("k") == cell for name in stores) > len(stores) / 2, "a majority"
    bench.until(lambda: everywhere(bench, "k", cell), "every replica has it")
    bench.until(
        lambda: all(bench.data.caches(["k"])[name].get("k") == cell for name in bench.caches[region]), "caches have it"
    )
    bench.until(lambda: waiting(bench) == 0, "nothing waits")


def test_keys_that_nobody_wrote_are_left_out(bench: Bench, write: Callable[..., Cell]) -> None:
    write("east")
    for found in (bench.data.replicas(["other"]), bench.data.caches(["other"]), bench.data.replicas([])):
        assert found
        assert not any(found.values())


def test_many_keys_are_read_at_once(bench: Bench, write: Callable[..., Cell]) -> None:
    cells = {f"k{n}": write("west", f"k{n}") for n in range(20)}
    bench.until(lambda: all(everywhere(bench, key, cell) for key, cell in cells.items()), "every replica has all")
    assert bench.data.replicas(list(cells))[bench.stores["east"][0]] == cells


def test_the_later_write_wins_however_late_the_earlier_one_comes(bench: Bench, write: Callable[..., Cell]) -> None:
    later = write("east", later_us=1_000)
    bench.until(lambda: everywhere(bench, "k", later), "it is everywhere")
    write("west", later_us=-10_000_000)
    bench.until(lambda: waiting(bench) == 0, "nothing waits")
    bench.until(lambda: everywhere(bench, "k", later), "the later one is everywhere still")


def test_of_two_writes_of_the_same_time_one_wins_everywhere(bench: Bench) -> None:
    at_us = bench.now_us()
    bench.write("east", "k", "one", at_us)
    bench.write("west", "k", "two", at_us)
    bench.until(lambda: everywhere(bench, "k", Cell("two", at_us)), "the larger value is everywhere")


def test_a_write_is_no_longer_in_the_other_regions_caches(bench: Bench, write: Callable[..., Cell]) -> None:
    old = write("west")
    bench.until(lambda: everywhere(bench, "k", old), "it is everywhere")
    new = write("east", later_us=1_000)
    bench.until(lambda: everywhere(bench, "k", new), "west's caches have forgotten what is old")


def test_during_a_cut_both_sides_go_on_and_afterwards_the_later_write_is_everywhere(
    bench: Bench, write: Callable[..., Cell]
) -> None:
    before = write("east")
    bench.until(lambda: everywhere(bench, "k", before), "it is everywhere")
    bench.cut()
    east = write("east", later_us=1_000)
    west = write("west", later_us=2_000)
    replicas = bench.until(lambda: waiting(bench) > 0 and bench.data.replicas(["k"]), "something waits")
    assert all(replicas[name]["k"] != west for name in bench.stores["east"])
    assert all(replicas[name]["k"] != east for name in bench.stores["west"])
    bench.mend()
    bench.until(lambda: everywhere(bench, "k", west), "the later one is everywhere")
    bench.until(lambda: waiting(bench) == 0, "nothing waits")


def test_a_replica_that_was_down_gets_what_it_missed(bench: Bench, write: Callable[..., Cell]) -> None:
    kept = write("east", "kept")
    bench.until(lambda: everywhere(bench, "kept", kept), "it is everywhere")
    away = bench.stores["east"][0]
    bench.kill(away)
    missed = write("east" if len(bench.stores["east"]) > 1 else "west", "missed")
    with pytest.raises(DriverError, match=away):
        bench.data.replicas(["missed"])
    bench.start(away)
    bench.until(lambda: everywhere(bench, "missed", missed), "it has what it missed")
    assert bench.data.replicas(["kept"])[away] == {"kept": kept}
    bench.until(lambda: waiting(bench) == 0, "nothing waits")


def test_without_a_majority_of_its_replicas_a_region_acknowledges_nothing(
    bench: Bench, write: Callable[..., Cell]
) -> None:
    for name in bench.stores["east"][:2]:
        bench.kill(name)
    with pytest.raises(DriverError):
        bench.data.write("east", "k", "v", bench.now_us())
    write("west")


def test_a_region_that_was_dark_has_all_its_data_and_what_was_written_meanwhile(
    bench: Bench, write: Callable[..., Cell]
) -> None:
    before = write("east", "before")
    bench.until(lambda: everywhere(bench, "before", before), "it is everywhere")
    for name in bench.stores["east"]:
        bench.kill(name)
    with pytest.raises(DriverError):
        bench.data.write("east", "k", "v", bench.now_us())
    meanwhile = write("west", "meanwhile")
    for name in bench.stores["east"]:
        bench.start(name)
    bench.until(lambda: everywhere(bench, "meanwhile", meanwhile), "it has what it missed")
    assert everywhere(bench, "before", before)


def test_a_cache_that_started_anew_is_empty(bench: Bench, write: Callable[..., Cell]) -> None:
    cell, name = write("east"), bench.caches["east"][0]
    bench.until(lambda: bench.data.caches(["k"])[name].get("k") == cell, "the cache has it")
    bench.kill(name)
    with pytest.raises(DriverError, match=name):
        bench.data.caches(["k"])
    bench.start(name)
    assert bench.data.caches(["k"])[name] == {}


def test_one_that_is_silent_is_named(bench: Bench) -> None:
    store, cache = bench.stores["west"][-1], bench.caches["west"][-1]
    bench.freeze(store)
    bench.freeze(cache)
    with pytest.raises(DriverError, match=store):
        bench.data.replicas(["k"])
    with pytest.raises(DriverError, match=cache):
        bench.data.caches(["k"])
    assert isinstance(bench.data.backlog(), Mapping), "those that answer"


def test_a_region_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(NoSuchTarget, match="east"):
        bench.data.write("north", "k", "v", bench.now_us())
