"""What is the driver's own on a real Cassandra of two nodes: whose rows are told, what errors tell, what waits."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from simian_filters.rules import Rules
from simian_lab import cassandra_schema
from simian_lab.calls import Callee, Caller
from simian_lab.configuration import configuration
from simian_lab.http import Pool
from simian_lab.layout import Layout
from simian_lab.manifest import Files, Manifest
from simian_lab.members_store import InTurn, StoreDown
from simian_lab.trace import Trace

from simian.clock import SystemClock
from simian.data.lab import LabData
from simian.drivers import build_world
from simian.errors import DriverError, TimedOut, Unreachable, UsageError
from simian.world import Cell

from ..real_cassandra import PATIENCE_S, CassandraNode, cassandra
from .conftest import until

REGIONS = ("east", "west")
WRITE = {"write": {"east": ["http://h:1"]}}


def _data(stores: dict[str, str], **more: Any) -> LabData:
    from simian.data.cassandra import from_settings

    return from_settings({"driver": "cassandra", **WRITE, "stores": stores, **more}, {})


class Ring:
    """Two nodes, the tables of the lab on them (made by several members at once), and hands of our own."""

    def __init__(self, nodes: list[CassandraNode], stack: ExitStack) -> None:
        self.nodes = dict(zip(REGIONS, nodes, strict=True))
        asyncio.run(self._open_many())
        self.data = _data({f"store-{region}-a": node.address for region, node in self.nodes.items()})
        self._sessions = {region: self._session(node, stack) for region, node in self.nodes.items()}

    def members(self, region: str, *, everywhere: bool = False) -> Any:
        from simian_lab.members_cassandra import CassandraStore
        from simian_lab.members_cassandra import Ring as Used

        host, _, port = self.nodes[region].address.partition(":")
        callee = Callee(f"store-{region}-a", "store", host, int(port))
        used = Used(region, [callee], dict.fromkeys(REGIONS, 1), everywhere=everywhere)
        return CassandraStore(Caller(Pool(), Rules()), InTurn([callee]), used, try_s=20.0)

    async def _open_many(self) -> None:
        clients = [self.members(region) for region in REGIONS * 3]
        await asyncio.wait_for(asyncio.gather(*(client.open() for client in clients)), PATIENCE_S)
        await asyncio.gather(*(client.aclose() for client in clients))

    @staticmethod
    def _session(node: CassandraNode, stack: ExitStack) -> Any:
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy

        alone = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([node.host]), request_timeout=30.0)
        cluster = Cluster([node.host], protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: alone})
        stack.callback(cluster.shutdown)
        return cluster.connect()

    def put(self, region: str, key: str, text: str, at_us: int, *, only_here: bool = False) -> None:
        """A row; ``only_here``: into that node's replica and no other."""
        from cassandra.query import SimpleStatement

        insert = f"INSERT INTO {cassandra_schema.KV} (key, value) VALUES (%s, %s) USING TIMESTAMP {at_us}"
        statement = SimpleStatement(insert, consistency_level=11 if only_here else 10)  # NODE_LOCAL, LOCAL_ONE
        self._sessions[region].execute(statement, (f"progress:{key}", text))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    with ExitStack() as stack:
        yield Ring(stack.enter_context(cassandra(tmp_path_factory.mktemp("ring"), *REGIONS)), stack)


def _everywhere(ring: Ring, key: str, cell: Cell) -> bool:
    found = ring.data.replicas([key])
    return set(found) == {"store-east-a", "store-west-a"} and all(cells.get(key) == cell for cells in found.values())


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(900)
class TestOnTwoNodes:
    """The last ones hurt nodes, and make them whole again."""

    def test_tables_that_many_made_at_once_are_the_same_on_all_nodes(self, ring: Ring) -> None:
        async def both() -> None:
            for region in REGIONS:
                client = ring.members(region)
                await client.open()
                assert await client.put(f"progress:{region}", {"title": region}, 5, Trace("m"))
                await client.aclose()

        asyncio.run(both())
        for region in REGIONS:
            until(lambda region=region: _everywhere(ring, region, Cell(region, 5)), "everywhere", PATIENCE_S)

    def test_each_node_tells_its_own_rows_and_no_others(self, ring: Ring) -> None:
        for region in REGIONS:
            for number in range(30):
                ring.put(region, f"own{number}", f'{{"title": "{region}"}}', 7, only_here=True)
        ring.put("west", "west-only", '"text"', 8, only_here=True)
        keys = [*(f"own{number}" for number in range(30)), "west-only"]
        for _ in range(5):
            found = ring.data.replicas(keys)
            for region in REGIONS:
                assert {cell.value for key, cell in found[f"store-{region}-a"].items() if key != "west-only"} == {
                    region
                }
            assert "west-only" not in found["store-east-a"]
            assert found["store-west-a"]["west-only"] == Cell('"text"', 8)

    def test_many_keys_are_asked_for_in_batches(self, ring: Ring) -> None:
        ring.put("east", "k1199", '{"title": "last"}', 9)
        keys = [f"k{number}" for number in range(1_200)]
        until(lambda: ring.data.replicas(keys)["store-west-a"] == {"k1199": Cell("last", 9)}, "there", PATIENCE_S)

    def test_what_makes_no_sense_is_named(self, ring: Ring) -> None:
        ring.put("east", "nonsense", "{", 9, only_here=True)
        with pytest.raises(DriverError, match=r"store-east-a.*no sense"):
            ring.data.replicas(["nonsense"])
        other = _data({"store-x": ring.nodes["east"].address}, table="other")
        with pytest.raises(DriverError, match=r"store-x.*other"):
            other.replicas(["k"])

    def test_a_region_that_needs_a_majority_of_all_regions_cannot_stand_alone(self, ring: Ring) -> None:
        async def alone() -> None:
            content, needy = ring.members("east"), ring.members("east", everywhere=True)
            await asyncio.gather(content.open(), needy.open())
            assert await needy.put("progress:both", 1, 5, Trace("m"))
            ring.nodes["west"].pause()
            try:
                with pytest.raises(StoreDown):
                    await needy.put("progress:both", 2, 6, Trace("m"))
                assert await content.put("progress:one", 1, 5, Trace("m"))
            finally:
                ring.nodes["west"].resume()
                await asyncio.gather(content.aclose(), needy.aclose())

        asyncio.run(asyncio.wait_for(alone(), PATIENCE_S))

    def test_one_that_is_silent_is_not_waited_for_longer_than_the_time_for_all(self, ring: Ring) -> None:
        until(lambda: ring.data.replicas(["k"]), "both answer")
        fresh = _data({"store-west-a": ring.nodes["west"].address})
        ring.nodes["west"].pause()
        try:
            for data in (ring.data, fresh):
                began = time.monotonic()
                with pytest.raises(TimedOut, match="store-west-a"):
                    data.replicas(["k"])
                assert "hints store-west-a" not in data.backlog()
                assert time.monotonic() - began < 60, "no time-out of the driver's own"
        finally:
            ring.nodes["west"].resume()
        for data in (ring.data, fresh):
            until(lambda data=data: _answers(data), "it answers again", PATIENCE_S)

    def test_one_that_is_gone_is_told_from_one_that_is_silent_and_found_again(self, ring: Ring) -> None:
        west = ring.nodes["west"]
        west.kill()
        with pytest.raises(Unreachable, match="store-west-a"):
            ring.data.replicas(["k"])
        ring.put("east", "missed", '{"title": "missed"}', 11)
        until(lambda: ring.data.backlog().get("hints store-east-a"), "a hint waits", PATIENCE_S)
        west.start()
        west.wait()
        until(lambda: _answers(ring.data), "it answers again", PATIENCE_S)
        until(lambda: _everywhere(ring, "missed", Cell("missed", 11)), "the hint has come", PATIENCE_S)
        until(lambda: not any(ring.data.backlog().values()), "nothing waits", PATIENCE_S)


def _answers(data: LabData) -> bool:
    try:
        return bool(data.replicas(["k"]))
    except (TimedOut, Unreachable):
        return False


def test_where_nobody_listens_is_told_and_bounded() -> None:
    pytest.importorskip("cassandra")
    data = _data({"store-x": "127.253.253.253:9"})
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"store-x at 127\.253\.253\.253:9"):
        data.replicas(["k"])
    assert data.backlog() == {}
    assert time.monotonic() - began < 60


def test_every_problem_of_the_settings_is_told_at_once() -> None:
    pytest.importorskip("cassandra")
    with pytest.raises(UsageError) as caught:
        _data({"s": "nowhere"}, table="kv; DROP", keyspace=["lab"], queue={}, write={})
    for told in ("stores.s", "data.table", "data.keyspace", "data.queue is unknown", "data.write"):
        assert sum(told in problem for problem in caught.value.problems) == 1, told


def test_a_lab_whose_stores_are_cassandra_is_looked_at_by_this_driver(tmp_path: Path) -> None:
    pytest.importorskip("cassandra")
    layout = Layout.compute(3)
    real = {"store": "cassandra"}
    manifest = Manifest.first(Files.inside(tmp_path), layout, seed=1, rate=1, held=frozenset(), real=real)
    manifest.files.make([])
    manifest.write()
    settings = {port: configuration(manifest)[port] for port in ("platform", "data")}
    assert settings["data"]["driver"] == "cassandra"
    assert settings["data"]["stores"]["store-west-c"] == layout.node("store-west-c").address
    world = build_world(settings, clock=SystemClock(), environment={})
    assert sorted(world.data.regions()) == ["east", "west"]
