"""The lab on a real Cassandra, as far as two nodes go: one in each region, joined by the lab's Toxiproxy alone.

All other services run in this process. A node of another region is reached at the address where the proxy into its
region listens, so cutting the links between regions cuts Cassandra's replication, too.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from simian_lab.configuration import configuration
from simian_lab.layout import REGIONS, Layout, LinkSpec
from simian_lab.manifest import Files, Manifest

from simian.clock import SystemClock
from simian.drivers import build_world
from simian.world import Platform

from ..lab.conftest import Services, free_layout, of_region
from ..real_cassandra import PATIENCE_S, CassandraNode, Place, java_with_cassandra, ring

T = TypeVar("T")
REAL = {"store": "cassandra"}


def small(layout: Layout) -> Layout:
    """The same with one store node in each region, whose links lead to where a Cassandra's peers talk to it."""
    nodes = tuple(node for node in layout.nodes if node.service != "store" or str(node.zone).endswith("-a"))
    names = {node.name for node in nodes}
    links = tuple(_for_peers(link) for link in layout.links if link.target in names)
    return replace(layout, nodes=nodes, links=links)


def _for_peers(link: LinkSpec) -> LinkSpec:
    return replace(link, upstream_port=link.listen_port) if link.target.startswith("store") else link


class _Thread:
    """An event loop that goes on while tests are waiting."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(PATIENCE_S)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Hands:
    """What the suite needs of a platform."""

    def __init__(self, loop: _Thread, services: Services, stores: dict[str, CassandraNode]) -> None:
        self._loop, self._services, self._stores = loop, services, stores
        self._deaf: dict[str, socket.socket] = {}

    def kill(self, node: str) -> None:
        if node in self._stores:
            self._stores[node].kill()
        else:
            self._loop.do(self._services.stop(node))

    def pause(self, node: str) -> None:
        if node in self._stores:
            self._stores[node].pause()
        else:
            self.kill(node)
            spec = self._services.layout.node(node)
            self._deaf[node] = socket.create_server((spec.host, spec.port))

    def resume(self, node: str) -> None:
        if node in self._stores:
            self._stores[node].resume()
        if node in self._deaf:
            self._deaf.pop(node).close()

    def start(self, node: str) -> None:
        if node not in self._stores:
            if not self._services.has(node):
                self._loop.do(self._services.start([node]))
        elif not self._stores[node].alive:
            self._stores[node].start()

    def ready(self, node: str) -> bool:
        if node in self._stores:
            self._stores[node].wait()
        return True


class LabOnCassandra:
    """One lab for all tests."""

    patience_s = PATIENCE_S
    is_slow = True  # clients of a node that was killed take seconds to come back to it

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.layout = layout = small(free_layout())
        # The supervisor's own address, as it would: so nobody takes this lab's number.
        stack.enter_context(socket.create_server((layout.control_host, layout.control_port)))
        loop, services = _Thread(), Services(layout, folder, real=REAL, patience_s=PATIENCE_S / 2)
        stack.callback(loop.end)
        stack.callback(lambda: loop.do(services.close()))
        loop.do(services.start(["proxy-east", "proxy-west"]))
        places = {node.name: self._place(node.name) for node in layout.nodes_of("store")}
        nodes = stack.enter_context(ring(folder / "ring", *places.values()))
        stores = dict(zip(places, nodes, strict=True))
        for names in (("queue", "cache"), ("members",), ("gateway",)):
            loop.do(services.start([name for region in REGIONS for name in of_region(layout, region, *names)]))
        manifest = Manifest.first(Files.inside(folder), layout, seed=1, rate=1, held=frozenset(), real=REAL)
        manifest.files.make([])
        manifest.write()
        settings = {port: configuration(manifest)[port] for port in ("platform", "network", "data")}
        world = build_world(settings, clock=SystemClock(), environment={})
        self.world = replace(world, platform=cast(Platform, _Hands(loop, services, stores)))

    def _place(self, name: str) -> Place:
        spec = self.layout.node(name)
        link = next(link for link in self.layout.links if link.target == name)
        return Place(spec.region, spec.host, link.listen_port, link.listen_host)


@pytest.fixture(scope="module")
def lab_on_cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOnCassandra]:
    java_with_cassandra()
    pytest.importorskip("cassandra")
    with ExitStack() as stack:
        yield LabOnCassandra(tmp_path_factory.mktemp("lab"), stack)
