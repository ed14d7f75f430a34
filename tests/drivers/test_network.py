"""The contract of ``Network``, over every driver, seen from the link's source."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partialmethod
from itertools import permutations
from typing import Any, Protocol

import pytest
from simian_filters.distribution import Distribution

from simian.errors import NoSuchTarget, Unsupported
from simian.memory import MemoryWorld, build_memory_world
from simian.memory.links import Effect
from simian.networks.docker import from_settings as docker_from_settings
from simian.networks.toxiproxy import from_settings
from simian.world import Direction, LinkReading, Network

from .docker_engine import real_engine_fixture, small_containers_fixture  # noqa: F401

EAST, WEST = "members-east-a--cache-east-a", "store-east--store-west-a"  # each on a server of its own
MARK, OTHER = "simian.k7f3.1", "simian.k7f3.2"
HUNDRED = Distribution.parse("constant:100ms")
FAULTS: dict[str, Callable[[Network, str, str], None]] = {
    "refuse": lambda network, link, mark: network.cut(link, mark, how="refuse", direction="both"),
    "blackhole": lambda network, link, mark: network.cut(link, mark, how="blackhole", direction="both"),
    "blackhole forward": lambda network, link, mark: network.cut(link, mark, how="blackhole", direction="forward"),
    "blackhole backward": lambda network, link, mark: network.cut(link, mark, how="blackhole", direction="backward"),
    "delay": lambda network, link, mark: network.delay(link, mark, by=HUNDRED, direction="forward"),
    "throttle": lambda network, link, mark: network.throttle(link, mark, rate_kb_s=200, direction="both"),
}
OUTCOMES = {"refuse": "refused", "delay": "answered", "throttle": "answered"}
every_fault = pytest.mark.parametrize("kind", FAULTS)


class Bench(Protocol):
    """A driver over the links EAST and WEST, and hands and eyes of our own."""

    network: Network

    def crossing(self, link: str, size_b: int = 1) -> tuple[str, float]:
        """``answered``, ``silent`` or ``refused`` on a new connection, and the ms that it took."""
        ...

    def left_behind(self, link: str) -> list[str]:
        """Names of all that lies on the link, anybody's."""
        ...

    def disturb(self, link: str, name: str) -> None:
        """Somebody else slows the link by 30 ms."""
        ...

    def disable(self, link: str) -> None:
        """Somebody else disables it."""
        ...

    def remove(self, link: str) -> None:
        """Somebody takes it away."""
        ...


class MemoryBench:
    def __init__(self) -> None:
        self.made: MemoryWorld = build_memory_world()
        self.network: Network = self.made.world.network

    def crossing(self, link: str, size_b: int = 1) -> tuple[str, float]:
        seen = self.made.world.observer.exchange(self.made.topology.link(link), size_b=size_b, timeout_s=5.0)
        if seen.answered:
            return "answered", seen.elapsed_ms
        return "silent" if seen.connected else "refused", seen.elapsed_ms

    def left_behind(self, link: str) -> list[str]:
        one = self.made.state.link(link)
        return [*one.ours, *one.foreign]

    def disturb(self, link: str, name: str) -> None:
        self.made.state.disturb(link, name, Effect("delay", "backward", by=Distribution.parse("30ms")))

    def disable(self, link: str) -> None:
        self.made.state.link(link).enabled = False

    def remove(self, link: str) -> None:
        del self.made.state.links[link]


class ToxiproxyBench:
    def __init__(self, servers: dict[str, Any], upstream: str, wire: Any) -> None:
        self.apis = {EAST: servers["east"].api, WEST: servers["west"].api}
        self.wire = wire
        self.listen = {
            link: api.ask("POST", "/proxies", {"name": link, "listen": "127.0.0.1:0", "upstream": upstream})["listen"]
            for link, api in self.apis.items()
        }
        urls = {region: server.api.url for region, server in servers.items()}
        self.network: Network = from_settings({"driver": "toxiproxy", "servers": urls}, {})

    def crossing(self, link: str, size_b: int = 1) -> tuple[str, float]:
        patience_s, began = 0.4 if size_b == 1 else 10.0, time.monotonic()
        try:
            with self.wire(self.listen[link]) as wire:
                elapsed_ms = wire.ask(size_b, patience_s)
        except ConnectionRefusedError:
            return "refused", 0.0
        if elapsed_ms is not None:
            return "answered", elapsed_ms
        waited_s = time.monotonic() - began
        return "silent" if waited_s >= patience_s else "closed", waited_s * 1000

    def left_behind(self, link: str) -> list[str]:
        return list(self.apis[link].toxics(link))

    def disturb(self, link: str, name: str) -> None:
        toxic = {"name": name, "type": "latency", "stream": "downstream", "attributes": {"latency": 30}}
        self.apis[link].ask("POST", f"/proxies/{link}/toxics", toxic)

    def disable(self, link: str) -> None:
        self.apis[link].ask("PATCH", f"/proxies/{link}", {"enabled": False})

    def remove(self, link: str) -> None:
        self.apis[link].ask("DELETE", f"/proxies/{link}")

    def close(self) -> None:
        for api in self.apis.values():
            for link in api.proxies():
                api.ask("DELETE", f"/proxies/{link}")


class OrSkipped:
    """A driver that can do less. What it refuses must change nothing, and the rest of that test is skipped."""

    def __init__(self, bench: "DockerBench", network: Network) -> None:
        self._bench, self._network = bench, network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _or_skip(self, verb: str, link: str, mark: str, **how: Any) -> None:
        before = self._bench.left_behind(EAST)
        try:
            getattr(self._network, verb)(link, mark, **how)
        except Unsupported as error:
            assert self._bench.left_behind(EAST) == before
            pytest.skip(str(error))

    cut, delay, throttle = (
        partialmethod(_or_skip, "cut"),
        partialmethod(_or_skip, "delay"),
        partialmethod(_or_skip, "throttle"),
    )


def skip_what_docker_cannot(request: pytest.FixtureRequest) -> None:
    """Before any container is made; that it is refused and nothing touched is a test of its own."""
    params = request.node.callspec.params
    kinds = {params["kind"]} if params.get("kind") in FAULTS else set(params.get("pair", ()))
    if kinds - {"blackhole"}:
        pytest.skip("a container is in its network or out of it: a blackhole in both directions")


class DockerBench:
    """Two containers, each in a network of its own, one end of which is this machine."""

    def __init__(self, containers: Any) -> None:
        self.containers = containers
        for link, region in ((EAST, "east"), (WEST, "west")):
            network, _, name = link.partition("--")
            containers.network(network, "east")
            containers.add(name, name=name, region=region, network=network)
        self.network: Any = OrSkipped(self, docker_from_settings(containers.settings, {}))

    def crossing(self, link: str, size_b: int = 1) -> tuple[str, float]:
        return self.containers.crossing(link.partition("--")[2], size_b)

    def left_behind(self, link: str) -> list[str]:
        ours = self.containers.api.volumes(filters={"label": f"simian.link={link}"})["Volumes"] or []
        return [volume["Name"] for volume in ours]

    def disturb(self, link: str, name: str) -> None:
        pytest.skip("nobody can slow a container's place in a network")

    def disable(self, link: str) -> None:
        pytest.skip("a link that somebody else has taken away is none")

    def remove(self, link: str) -> None:
        self.containers.api.remove_container(link.partition("--")[2], force=True)


@pytest.fixture(scope="module", params=["memory", "stand-in", "toxiproxy", "docker"])
def servers(request: pytest.FixtureRequest, start_toxiproxies: Any) -> Iterator[dict[str, Any] | str]:
    """Two Toxiproxies, or the name of a driver that needs none."""
    if request.param in ("memory", "docker"):
        yield request.param
    else:
        with start_toxiproxies(request.param) as started:
            yield started


@pytest.fixture
def bench(request: pytest.FixtureRequest, servers: dict[str, Any] | str, upstream: str, wire: Any) -> Iterator[Bench]:
    if isinstance(servers, str):
        if servers == "docker":
            skip_what_docker_cannot(request)
        yield DockerBench(request.getfixturevalue("small_containers")) if servers == "docker" else MemoryBench()
        return
    made = ToxiproxyBench(servers, upstream, wire)
    yield made
    made.close()


def state_of(bench: Bench, link: str) -> str:
    return next(each.state for each in bench.network.links() if each.name == link)


def median_ms(bench: Bench, link: str) -> float:
    return statistics.median(bench.crossing(link)[1] for _ in range(5))


def test_a_link_is_open_and_tells_where_it_leads(bench: Bench) -> None:
    links = {link.name: link for link in bench.network.links()}
    assert (links[EAST].source, links[EAST].target) == ("members-east-a", "cache-east-a")
    assert (links[EAST].source_region, links[EAST].target_region) == ("east", "east")
    assert (links[WEST].source_region, links[WEST].target_region) == ("east", "west")
    assert {links[EAST].state, links[WEST].state} == {"open"}
    assert bench.crossing(EAST)[0] == bench.crossing(WEST)[0] == "answered"


@every_fault
def test_a_fault_is_felt_and_marked_until_it_is_mended(bench: Bench, kind: str) -> None:
    was = bench.network.read(EAST)
    assert (was.link, was.enabled, was.marks, was.foreign) == (EAST, True, (), ())
    FAULTS[kind](bench.network, EAST, MARK)
    assert bench.crossing(EAST)[0] == OUTCOMES.get(kind, "silent")
    assert state_of(bench, EAST) == ("slow" if kind in ("delay", "throttle") else "cut")
    assert bench.network.read(EAST).marks == (MARK,)
    assert list(bench.network.marks()) == [(EAST, MARK)]
    assert bench.crossing(WEST)[0] == "answered"
    bench.network.mend(EAST, MARK, was)
    assert bench.crossing(EAST)[0] == "answered"
    assert bench.left_behind(EAST) == []
    assert asdict(bench.network.read(EAST)) == asdict(was)
    assert not bench.network.marks()


@every_fault
def test_doing_or_mending_it_twice_is_doing_it_once(bench: Bench, kind: str) -> None:
    was = bench.network.read(EAST)
    FAULTS[kind](bench.network, EAST, MARK)
    once = bench.left_behind(EAST)
    FAULTS[kind](bench.network, EAST, MARK)
    assert bench.left_behind(EAST) == once
    for _ in range(2):
        bench.network.mend(EAST, MARK, was)
        assert bench.left_behind(EAST) == []
        assert bench.crossing(EAST)[0] == "answered"


def test_mending_what_was_never_there_changes_nothing(bench: Bench) -> None:
    was = bench.network.read(EAST)
    bench.network.mend(EAST, MARK, was)
    assert asdict(bench.network.read(EAST)) == asdict(was)


@pytest.mark.parametrize(("direction", "times"), [("forward", 1), ("backward", 1), ("both", 2)])
def test_a_delay_holds_back_each_direction_in_full(bench: Bench, direction: Direction, times: int) -> None:
    before, was = median_ms(bench, EAST), bench.network.read(EAST)
    bench.network.delay(EAST, MARK, by=Distribution.parse("100ms"), direction=direction)
    moved = median_ms(bench, EAST) - before
    assert times * 90 < moved < times * 100 + 90
    bench.network.mend(EAST, MARK, was)
    assert median_ms(bench, EAST) < before + 50


def test_a_changed_delay_under_the_same_mark_replaces_the_first(bench: Bench) -> None:
    was = bench.network.read(EAST)
    for text in ("300ms", "100ms"):
        bench.network.delay(EAST, MARK, by=Distribution.parse(text), direction="forward")
    assert 90 < median_ms(bench, EAST) < 250
    bench.network.mend(EAST, MARK, was)


def test_a_throttle_lets_so_many_bytes_a_second_through(bench: Bench) -> None:
    was, size_b = bench.network.read(EAST), 200_000
    assert size_b / bench.crossing(EAST, size_b)[1] > 1000
    bench.network.throttle(EAST, MARK, rate_kb_s=200, direction="backward")
    answer, elapsed_ms = bench.crossing(EAST, size_b)
    assert answer == "answered"
    assert 120 < size_b / elapsed_ms < 260  # bytes a ms are KB a second
    bench.network.mend(EAST, MARK, was)
    assert size_b / bench.crossing(EAST, size_b)[1] > 1000


@every_fault
def test_what_somebody_else_put_there_survives(bench: Bench, kind: str) -> None:
    bench.disturb(EAST, "theirs")
    was = bench.network.read(EAST)
    assert (was.marks, was.foreign) == ((), ("theirs",))
    FAULTS[kind](bench.network, EAST, MARK)
    assert bench.network.read(EAST).foreign == ("theirs",)
    bench.network.mend(EAST, MARK, was)
    assert bench.left_behind(EAST) == ["theirs"]
    assert median_ms(bench, EAST) > 25


@every_fault
def test_a_link_that_was_disabled_before_stays_so(bench: Bench, kind: str) -> None:
    bench.disable(EAST)
    was = bench.network.read(EAST)
    assert not was.enabled
    FAULTS[kind](bench.network, EAST, MARK)
    bench.network.mend(EAST, MARK, was)
    assert bench.crossing(EAST)[0] == "refused"
    assert bench.left_behind(EAST) == []


@every_fault
def test_mending_a_link_that_is_gone_is_content(bench: Bench, kind: str) -> None:
    was = bench.network.read(EAST)
    FAULTS[kind](bench.network, EAST, MARK)
    bench.remove(EAST)
    for reading in (was, LinkReading(EAST, enabled=True)):
        with suppress(NoSuchTarget):  # as good: whoever undoes takes it for done
            bench.network.mend(EAST, MARK, reading)
    assert EAST not in {link.name for link in bench.network.links() if link.state != "unknown"}
    assert not bench.network.marks()


@pytest.mark.parametrize("pair", list(permutations(["refuse", "blackhole", "delay"], 2)), ids=" and ".join)
@pytest.mark.parametrize("first", [0, 1])
def test_two_faults_on_one_link_are_undone_in_any_order(bench: Bench, pair: tuple[str, str], first: int) -> None:
    was, marks = bench.network.read(EAST), (MARK, OTHER)
    for kind, mark in zip(pair, marks, strict=True):
        FAULTS[kind](bench.network, EAST, mark)
    assert set(bench.network.read(EAST).marks) == set(marks)
    bench.network.mend(EAST, marks[first], was)
    left = pair[1 - first]
    assert bench.network.read(EAST).marks == (marks[1 - first],)
    assert bench.crossing(EAST)[0] == OUTCOMES.get(left, "silent")
    bench.network.mend(EAST, marks[1 - first], was)
    assert bench.left_behind(EAST) == []
    assert bench.crossing(EAST)[0] == "answered"


def test_two_runs_that_both_refuse_a_link_open_it_when_both_are_over(bench: Bench) -> None:
    was = bench.network.read(EAST)
    FAULTS["refuse"](bench.network, EAST, MARK)
    FAULTS["refuse"](bench.network, EAST, OTHER)
    bench.network.mend(EAST, MARK, was)
    assert bench.crossing(EAST)[0] == "refused"
    bench.network.mend(EAST, OTHER, was)
    assert bench.crossing(EAST)[0] == "answered"


def test_an_orphan_is_mended_from_what_marks_and_read_tell(bench: Bench) -> None:
    FAULTS["refuse"](bench.network, EAST, MARK)
    FAULTS["delay"](bench.network, WEST, OTHER)
    found = list(bench.network.marks())
    assert sorted(found) == sorted([(EAST, MARK), (WEST, OTHER)])
    for link, mark in found:
        bench.network.mend(link, mark, LinkReading(link, enabled=True))
    assert bench.crossing(EAST)[0] == bench.crossing(WEST)[0] == "answered"
    assert not bench.network.marks()


def test_refusing_in_one_direction_is_unsupported_and_touches_nothing(bench: Bench) -> None:
    assert "blackhole" in bench.network.unsupported("cut", how="refuse", direction="forward")
    with pytest.raises((Unsupported, pytest.skip.Exception), match="blackhole"):
        bench.network.cut(EAST, MARK, how="refuse", direction="forward")
    assert bench.left_behind(EAST) == []
    assert bench.crossing(EAST)[0] == "answered"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cut", {"how": "refuse", "direction": "both"}),
        ("cut", {"how": "blackhole", "direction": "forward"}),
        ("delay", {"by": HUNDRED, "direction": "both"}),
        ("throttle", {"direction": "backward"}),
    ],
)
def test_what_can_be_done_has_no_reason_against_it(bench: Bench, kind: str, options: dict[str, Any]) -> None:
    reason = bench.network.unsupported(kind, **options)
    assert bool(reason) == isinstance(bench, DockerBench)


def test_an_unknown_kind_is_unsupported(bench: Bench) -> None:
    assert "throttle" in bench.network.unsupported("melt")


@every_fault
def test_an_unknown_link_is_no_such_target(bench: Bench, kind: str) -> None:
    with pytest.raises(NoSuchTarget):
        FAULTS[kind](bench.network, "nobody--nowhere", MARK)
    with pytest.raises(NoSuchTarget):
        bench.network.read("nobody--nowhere")


def test_many_threads_on_two_servers_do_not_mix_up_their_links(bench: Bench) -> None:
    readings = {link: bench.network.read(link) for link in (EAST, WEST)}
    kinds = {EAST: "delay", WEST: "throttle"}

    def inject(job: tuple[str, int]) -> None:
        link, number = job
        FAULTS[kinds[link]](bench.network, link, f"simian.{link[:5]}.{number}")

    def mend(job: tuple[str, int]) -> None:
        link, number = job
        bench.network.mend(link, f"simian.{link[:5]}.{number}", readings[link])

    jobs = [(link, number) for number in range(10) for link in (EAST, WEST)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(inject, jobs))
        assert sorted(bench.network.marks()) == sorted((link, f"simian.{link[:5]}.{n}") for link, n in jobs)
        list(pool.map(mend, jobs))
    assert bench.left_behind(EAST) == bench.left_behind(WEST) == []
    assert bench.crossing(EAST)[0] == bench.crossing(WEST)[0] == "answered"
