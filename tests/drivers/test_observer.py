"""The contract of ``Observer``, over every driver."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from simian_filters.distribution import Distribution
from simian_filters.rules import Rule as WireRule

from simian.memory import build_memory_world
from simian.observers.sidecar import from_settings as sidecar_from_settings
from simian.observers.socket import from_settings
from simian.platforms.docker import from_settings as docker_from_settings
from simian.topology import Link, Node
from simian.traffic import Entrance
from simian.world import Observer, Rule

from .docker_engine import IMAGE, real_engine_fixture, small_containers_fixture  # noqa: F401
from .small_servers import new_listener_fixture, new_service_fixture, new_way_fixture, stack_fixture  # noqa: F401

MARK = "simian.k7f3.1"
DELAY_MS = 120.0
ENDED_WITHOUT = ("closed without an answer", "reset without an answer")  # as its kernel has it


class Scene(Protocol):
    """An observer, one service and one link to it through a proxy, both of which a test can hurt."""

    @property
    def observer(self) -> Observer: ...
    @property
    def node(self) -> Node: ...
    @property
    def link(self) -> Link: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def restart(self) -> None: ...
    def refuse_link(self) -> None: ...
    def silence_link(self) -> None: ...
    def delay_link(self) -> None: ...
    def put(self, rule: Rule) -> None: ...


class MemoryScene:
    def __init__(self) -> None:
        self._memory = build_memory_world(seed=3)
        self._world = self._memory.world
        self.observer = self._world.observer
        self.node = self._memory.topology.node("gateway-west-a")
        self.link = self._memory.topology.link("gateway-east--gateway-west-a")

    def kill(self) -> None:
        self._world.platform.kill(self.node.name)

    def freeze(self) -> None:
        self._world.platform.pause(self.node.name)

    def restart(self) -> None:
        self._world.platform.kill(self.node.name)
        self._world.platform.start(self.node.name)
        self._memory.clock.wait(10)

    def refuse_link(self) -> None:
        self._world.network.cut(self.link.name, MARK, how="refuse", direction="both")

    def silence_link(self) -> None:
        self._world.network.cut(self.link.name, MARK, how="blackhole", direction="both")

    def delay_link(self) -> None:
        by = Distribution.parse(f"{DELAY_MS}ms")
        self._world.network.delay(self.link.name, MARK, by=by, direction="forward")

    def put(self, rule: Rule) -> None:
        self._world.requests.put(self.node.name, rule)


class SocketScene:
    def __init__(self, service: Any, way: Any) -> None:
        self._service, self._way = service, way
        self.observer = from_settings({"driver": "socket"}, {})
        url = service.url
        self.node = Node("gateway", "gateway", "west", ask=f"{url}/health", ask_behind=f"{url}/deep", filters=True)
        ask = f"http://127.0.0.1:{way.port}/health"
        self.link = Link("gateway-east--gateway", "gateway-east", "gateway", "east", "west", ask=ask)

    def kill(self) -> None:
        self._service.stop()

    def freeze(self) -> None:
        self._service.thawed.clear()

    def restart(self) -> None:
        self._service.stop()
        self._service.start()

    def refuse_link(self) -> None:
        self._way.stop()

    def silence_link(self) -> None:
        self._way.mode = "silent"

    def delay_link(self) -> None:
        self._way.delay_s = DELAY_MS / 1000

    def put(self, rule: Rule) -> None:
        self._service.rules.put(WireRule(rule.mark, rule.side, rule.share, rule.seed, rule.delay, rule.status))


WAY = """
echo 'case "$(cat /tmp/mode 2>/dev/null)" in silent) sleep 60;; slow) sleep %s;; esac; exec nc -w 1 %s 8000' > /way
nc -ll -p 8000 -e sh /way & echo $! > /tmp/pid
while :; do sleep 60; done
"""


class SidecarScene:
    """A container that is asked from its own network, and a second one that is a proxy to it."""

    def __init__(self, containers: Any, until: Callable[..., Any]) -> None:
        self._containers, self._until = containers, until
        name = containers.add("gateway", region="west")
        self._way = containers.add(
            "way", region="west", command=WAY % (DELAY_MS / 1000, containers.addresses["gateway"])
        )
        self.observer = sidecar_from_settings(containers.settings | {"driver": "sidecar", "image": IMAGE}, {})
        self.node = next(n for n in docker_from_settings(containers.settings, {}).nodes() if n.name == name)
        ask = f"http://{containers.addresses['way']}:8000/cgi-bin/health"
        self.link = Link(f"west--{name}", containers.networks["west"], name, "west", "west", ask=ask)

    def kill(self) -> None:
        self._containers.api.kill(self.node.name)

    def freeze(self) -> None:
        self._containers.api.pause(self.node.name)

    def restart(self) -> None:
        self._containers.api.restart(self.node.name, timeout=0)
        self._until(lambda: self._containers.ask("gateway") == "answered", "it answers again")

    def refuse_link(self) -> None:
        self._containers.engine.run_in(self._way, "kill $(cat /tmp/pid)")

    def silence_link(self) -> None:
        self._containers.engine.run_in(self._way, "echo silent > /tmp/mode")

    def delay_link(self) -> None:
        self._containers.engine.run_in(self._way, "echo slow > /tmp/mode")

    def put(self, rule: Rule) -> None:
        if rule.side == "client":
            pytest.skip("the small container calls nobody")
        self._containers.engine.run_in(self.node.name, f"echo {rule.mark} {rule.status} > /tmp/fault")

    def close(self) -> None:
        self.observer.close()


@pytest.fixture(params=["memory", "socket", "sidecar"])
def scene(
    request: pytest.FixtureRequest, new_service: Callable[..., Any], new_way: Callable[..., Any]
) -> Iterator[Scene]:
    if request.param == "memory":
        yield MemoryScene()
        return
    if request.param == "sidecar":
        made = SidecarScene(*(request.getfixturevalue(name) for name in ("small_containers", "until")))
        yield made
        made.close()
        return
    service = new_service()
    yield SocketScene(service, new_way(service.port))


@contextlib.contextmanager
def dead(scene: Scene) -> Iterator[None]:
    scene.kill()
    yield
    scene.restart()


def test_a_healthy_node_and_link_answer(scene: Scene) -> None:
    for seen in (scene.observer.ask(scene.node), scene.observer.exchange(scene.link)):
        assert seen.connected
        assert seen.answered
        assert seen.ok
        assert 0 < seen.elapsed_ms < 1_000
        assert seen.hit_by == ()
        assert seen.detail


def test_a_dead_node_is_refused(scene: Scene) -> None:
    with dead(scene):
        seen = scene.observer.ask(scene.node)
    assert (seen.connected, seen.answered, seen.ok) == (False, False, False)
    assert "refused" in seen.detail


def test_a_connect_through_a_proxy_to_a_dead_node_is_no_answer(scene: Scene) -> None:
    with dead(scene):
        seen = scene.observer.exchange(scene.link, timeout_s=10.0)  # a proxy may try for a while
    assert (seen.connected, seen.answered, seen.ok) == (True, False, False)
    assert seen.detail in ENDED_WITHOUT


def test_a_frozen_node_accepts_and_never_answers(scene: Scene) -> None:
    scene.freeze()
    for seen in (scene.observer.ask(scene.node, timeout_s=0.2), scene.observer.exchange(scene.link, timeout_s=0.2)):
        assert (seen.connected, seen.answered) == (True, False)
        assert seen.elapsed_ms >= 200
        assert "no answer in" in seen.detail


def test_a_node_that_started_anew_is_another_incarnation(scene: Scene) -> None:
    before = [scene.observer.ask(scene.node).incarnation for _ in range(2)]
    scene.restart()
    after = scene.observer.ask(scene.node).incarnation
    assert before[0] == before[1] is not None
    assert after not in (None, before[0])


def test_a_link_that_refuses_is_told_from_one_that_is_silent(scene: Scene) -> None:
    scene.silence_link()
    silent = scene.observer.exchange(scene.link, timeout_s=0.2)
    scene.refuse_link()
    refused = scene.observer.exchange(scene.link, timeout_s=0.2)
    assert (silent.connected, silent.answered, refused.connected, refused.answered) == (True, False, False, False)
    assert "no answer" in silent.detail
    assert "refused" in refused.detail
    assert scene.observer.ask(scene.node).ok, "the node itself is asked past the link"


def test_a_delay_on_the_link_shows_in_the_time_elapsed(scene: Scene) -> None:
    before = min(scene.observer.exchange(scene.link).elapsed_ms for _ in range(4))  # the best on a busy machine
    scene.delay_link()
    assert before < DELAY_MS / 2
    assert scene.observer.exchange(scene.link).elapsed_ms >= DELAY_MS


def test_so_many_bytes_as_asked_for_are_fetched(scene: Scene) -> None:
    seen = scene.observer.exchange(scene.link, size_b=300_000)
    assert (seen.answered, seen.transferred_b) == (True, 300_000)


def test_a_request_fault_is_told_by_its_mark_and_status(scene: Scene) -> None:
    scene.put(Rule(MARK, "server", 1, 1, status=503))
    seen = scene.observer.ask(scene.node)
    assert (seen.answered, seen.ok, seen.status, seen.hit_by) == (True, False, 503, (MARK,))


def test_a_client_side_fault_shows_only_when_asked_for_what_is_behind(scene: Scene) -> None:
    scene.put(Rule(MARK, "client", 1, 1, delay="0ms"))
    assert scene.observer.ask(scene.node).hit_by == ()
    assert scene.observer.ask(scene.node, side="client").hit_by == (MARK,)


# --- as a user (the socket's own tests of this: test_observer_users.py) ---


class Doors(Protocol):
    """An observer in the place of a user of east, and what such a user depends on."""

    observer: Observer
    entrance: Entrance
    gateway: Node  # of east

    def end_dns(self) -> None: ...
    def freeze_dns(self) -> None: ...
    def end_gateway(self) -> None: ...
    def freeze_gateway(self) -> None: ...
    def end_service_behind(self) -> None: ...


class MemoryDoors:
    def __init__(self) -> None:
        memory = build_memory_world(seed=3)
        platform, topology = memory.world.platform, memory.topology
        self.observer = memory.world.observer
        self.entrance = memory.world.steering.entrances()[0]
        self.gateway = topology.node("gateway-east-a")
        members = [node.name for node in topology.candidates(service="members", region="east")]
        self.end_dns, self.freeze_dns = (lambda: platform.kill("dns")), (lambda: platform.pause("dns"))
        self.end_gateway = lambda: platform.kill(self.gateway.name)
        self.freeze_gateway = lambda: platform.pause(self.gateway.name)
        self.end_service_behind = lambda: [platform.kill(name) for name in members]


@pytest.fixture(params=["memory"])
def doors(request: pytest.FixtureRequest) -> Doors:
    return MemoryDoors()


def test_a_user_is_answered_addresses_of_one_region_dead_gateways_too(doors: Doors) -> None:
    before = [doors.observer.resolve(doors.entrance, subnet) for subnet in doors.entrance.subnets]
    doors.end_gateway()
    after = [doors.observer.resolve(doors.entrance, subnet) for subnet in doors.entrance.subnets]
    assert before == after
    assert {len({doors.entrance.regions[address] for address in addresses}) for addresses in before} == {1}
    assert all(len(addresses) > 1 for addresses in before), "so that a device has a next one to try"


def test_without_a_good_answer_no_address_is_told(doors: Doors) -> None:
    subnet = doors.entrance.subnets[0]
    assert doors.observer.resolve(doors.entrance, "192.0.2.0/24") == ()
    doors.freeze_dns()
    assert doors.observer.resolve(doors.entrance, subnet, timeout_s=0.2) == ()
    doors.end_dns()
    assert doors.observer.resolve(doors.entrance, subnet, timeout_s=0.2) == ()


def test_a_visit_tells_who_served_it_and_by_which_way(doors: Doors) -> None:
    seen = doors.observer.visit(doors.gateway, "east", subnet=doors.entrance.subnets[0])
    assert (seen.answered, seen.status, seen.region, seen.way) == (True, 200, "east", "direct")
    assert 0 < seen.elapsed_ms < 1_000


def test_a_visit_at_a_gateway_with_nothing_behind_it_is_an_answer_and_no_good_one(doors: Doors) -> None:
    doors.end_service_behind()
    seen = doors.observer.visit(doors.gateway, "east")
    assert seen.answered
    assert seen.status is not None
    assert seen.status >= 500
    assert seen.region == ""


def test_a_visit_at_a_frozen_gateway_gets_no_answer(doors: Doors) -> None:
    doors.freeze_gateway()
    seen = doors.observer.visit(doors.gateway, "east", timeout_s=0.2)
    assert (seen.answered, seen.status, seen.region, seen.way) == (False, None, "", "")
    assert seen.elapsed_ms >= 200
    assert "no answer in" in seen.detail


def test_a_visit_at_a_dead_gateway_is_refused(doors: Doors) -> None:
    doors.end_gateway()
    seen = doors.observer.visit(doors.gateway, "east")
    assert (seen.answered, seen.status) == (False, None)
    assert "refused" in seen.detail
