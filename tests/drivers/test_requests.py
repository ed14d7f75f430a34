"""The contract of ``Requests``, over every driver; then what is the filter driver's own."""

import json
import math
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, UsageError
from simian.memory import build_memory_world
from simian.requests.filter import FilterRequests, Service, from_settings
from simian.world import Requests, Rule

from .small_servers import needs_openssl, new_listener_fixture, new_service_fixture, over_tls, stack_fixture  # noqa: F401

SEED = 4_711
RULE = Rule("simian.k7f3.1", "server", 0.5, SEED, delay="normal:100ms,20ms", status=503)


class Scene(Protocol):
    """A driver, and one service behind it that a test can use and hurt."""

    @property
    def driver(self) -> Requests: ...
    @property
    def node(self) -> str: ...

    def asks(self, count: int) -> None:
        """So many requests reach the service."""

    def time_passes(self, seconds: float) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def restart(self) -> None: ...


class MemoryScene:
    node = "members-east-a"

    def __init__(self) -> None:
        self._memory = build_memory_world(seed=SEED)
        self._world = self._memory.world
        self.driver = self._world.requests

    def asks(self, count: int) -> None:
        node = self._memory.topology.node(self.node)
        for _ in range(count):
            self._world.observer.ask(node)

    def time_passes(self, seconds: float) -> None:
        self._memory.clock.wait(seconds)

    def kill(self) -> None:
        self._world.platform.kill(self.node)

    def freeze(self) -> None:
        self._world.platform.pause(self.node)

    def restart(self) -> None:
        self._world.platform.kill(self.node)
        self._world.platform.start(self.node)


class FilterScene:
    node = "members"

    def __init__(self, service: Any) -> None:
        self._service = service
        self.driver = FilterRequests({self.node: _at(service)}, timeout_s=2.0)

    def asks(self, count: int) -> None:
        for _ in range(count):
            self._service.answer("/health")

    def time_passes(self, seconds: float) -> None:
        self._service.now += seconds

    def kill(self) -> None:
        self._service.stop()

    def freeze(self) -> None:
        self.driver = FilterRequests({self.node: _at(self._service)}, timeout_s=0.2)
        self._service.thawed.clear()

    def restart(self) -> None:
        self._service.stop()
        self._service.start()


def _at(service: Any, token: str = "s3cret") -> Service:
    return Service(service.host, service.port, "/simian/faults", token)


@pytest.fixture(params=["memory", "filter"])
def scene(request: pytest.FixtureRequest, new_service: Callable[..., Any]) -> Scene:
    return MemoryScene() if request.param == "memory" else FilterScene(new_service())


def counts(scene: Scene) -> tuple[int, int]:
    (reading,) = scene.driver.rules(scene.node)
    return reading.saw, reading.hit


def test_a_rule_put_is_read_back_as_it_was(scene: Scene) -> None:
    assert scene.driver.rules(scene.node) == []
    rules = [RULE, Rule("simian.k7f3.2", "client", 1, 0, status=500, callee="store", expires_in_s=30)]
    for rule in rules:
        scene.driver.put(scene.node, rule)
    readings = scene.driver.rules(scene.node)
    assert [replace(reading.rule, expires_in_s=0) for reading in readings] == [
        replace(r, expires_in_s=0) for r in rules
    ]
    assert [reading.rule.expires_in_s for reading in readings] == pytest.approx([10, 30])


def test_the_node_is_among_those_with_a_filter(scene: Scene) -> None:
    assert scene.node in scene.driver.nodes()


def test_the_share_of_requests_hit_lies_in_its_binomial_interval(scene: Scene) -> None:
    print(f"seed {SEED}")
    scene.driver.put(scene.node, replace(RULE, status=None, delay="0ms"))
    scene.asks(1_000)
    saw, hit = counts(scene)
    assert saw == 1_000
    assert abs(hit - 500) <= 2.576 * math.sqrt(1_000 * 0.25) + 1


def hits_by_hand(count: int, share: float) -> int:
    """What a die of that seed gives: one number a request, and one more for the delay of each that is hit."""
    die, hits = Random(SEED), 0
    for _ in range(count):
        if die.random() < share:
            hits += 1
            die.random()
    return hits


def test_the_same_seed_hits_as_many_again_whatever_the_driver(scene: Scene) -> None:
    hits = []
    for _ in range(2):
        scene.driver.put(scene.node, replace(RULE, delay="0ms"))
        scene.asks(100)
        hits.append(counts(scene))
        scene.driver.remove(scene.node, RULE.mark)
    assert hits == [(100, hits_by_hand(100, RULE.share))] * 2


def test_putting_the_same_mark_again_renews_it_and_keeps_its_counts(scene: Scene) -> None:
    saw = [0]
    for _ in range(4):
        scene.driver.put(scene.node, RULE)
        scene.asks(5)
        saw.append(counts(scene)[0])
        scene.time_passes(4)  # a world may have users of its own, who are seen, too
    assert all(later >= earlier + 5 for earlier, later in pairwise(saw))


def test_a_rule_that_is_not_renewed_expires_by_itself(scene: Scene) -> None:
    scene.driver.put(scene.node, RULE)
    scene.driver.put(scene.node, replace(RULE, mark="simian.k7f3.2", expires_in_s=60))
    scene.time_passes(10.1)
    assert [reading.rule.mark for reading in scene.driver.rules(scene.node)] == ["simian.k7f3.2"]


def test_removing_takes_out_that_rule_and_no_other_and_may_be_done_twice(scene: Scene) -> None:
    scene.driver.put(scene.node, RULE)
    scene.driver.put(scene.node, replace(RULE, mark="somebody.else"))
    scene.driver.remove(scene.node, RULE.mark)
    scene.driver.remove(scene.node, RULE.mark)
    assert [reading.rule.mark for reading in scene.driver.rules(scene.node)] == ["somebody.else"]


def test_rules_die_with_their_process(scene: Scene) -> None:
    scene.driver.put(scene.node, RULE)
    scene.restart()
    scene.time_passes(5)
    assert scene.driver.rules(scene.node) == []


CALLS: dict[str, Callable[[Requests, str], object]] = {
    "put": lambda driver, node: driver.put(node, RULE),
    "remove": lambda driver, node: driver.remove(node, RULE.mark),
    "rules": lambda driver, node: driver.rules(node),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_node_is_no_such_target(scene: Scene, call: str) -> None:
    with pytest.raises(NoSuchTarget, match=scene.node):
        CALLS[call](scene.driver, "nobody")


@pytest.mark.parametrize("call", CALLS)
def test_a_service_that_is_down_is_unreachable(scene: Scene, call: str) -> None:
    scene.kill()
    try:
        with pytest.raises(Unreachable, match=scene.node):
            CALLS[call](scene.driver, scene.node)
    finally:
        scene.restart()


@pytest.mark.parametrize("call", CALLS)
def test_a_service_that_hangs_is_timed_out(scene: Scene, call: str) -> None:
    scene.freeze()
    with pytest.raises(TimedOut, match=scene.node):
        CALLS[call](scene.driver, scene.node)


@pytest.mark.parametrize(
    "changed", [{"share": 1.5}, {"delay": "soon"}, {"delay": None, "status": None}, {"expires_in_s": 0}]
)
def test_a_bad_rule_is_refused_and_changes_nothing(scene: Scene, changed: dict[str, Any]) -> None:
    with pytest.raises(DriverError):
        scene.driver.put(scene.node, replace(RULE, **changed))
    assert scene.driver.rules(scene.node) == []


def test_many_threads_may_call_at_once(scene: Scene) -> None:
    marks = [f"simian.k7f3.{number}" for number in range(16)]
    threads = [threading.Thread(target=scene.driver.put, args=(scene.node, replace(RULE, mark=mark))) for mark in marks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reading.rule.mark for reading in scene.driver.rules(scene.node)) == sorted(marks)


# --- the filter driver's own ------------------------------------------------------------------------------------------


def test_a_wrong_token_is_told_and_not_shown(new_service: Callable[..., Any]) -> None:
    driver = FilterRequests({"members": _at(new_service(), "wr0ng")})
    with pytest.raises(DriverError, match="refuses our token") as refused:
        driver.put("members", RULE)
    assert "wr0ng" not in str(refused.value)
    assert "wr0ng" not in repr(vars(driver))


@pytest.mark.parametrize("call", CALLS)
def test_a_service_without_a_token_has_no_filter(new_service: Callable[..., Any], call: str) -> None:
    driver = FilterRequests({"members": _at(new_service(token=None))})
    with pytest.raises(NoSuchTarget, match="no token configured"):
        CALLS[call](driver, "members")


def test_the_problems_of_a_bad_rule_are_told(new_service: Callable[..., Any]) -> None:
    driver = FilterRequests({"members": _at(new_service())})
    with pytest.raises(DriverError, match="share is '7'; it must be a number from 0 to 1; status is '1'"):
        driver.put("members", replace(RULE, share=7, status=1))


def drip(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    stopped = threading.Event()
    while not stopped.wait(0.02):
        connection.sendall(b" ")


def test_an_answer_that_drips_ends_at_the_deadline(new_listener: Callable[..., Any]) -> None:
    listener = new_listener(drip)
    driver = FilterRequests({"members": Service("127.0.0.1", listener.port, "", "t")}, timeout_s=0.3)
    with pytest.raises(TimedOut, match=r"0\.3 s"):
        driver.rules("members")


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return talk


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"", Unreachable, "RemoteDisconnected"),
        (b"SSH-2.0-x\r\n", Unreachable, "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", Unreachable, "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", DriverError, "no list of rules"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n<html>\xff</html>", DriverError, "no list of rules"),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nhelp", DriverError, "answered 500: help"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n", DriverError, "answered 302"),
    ],
)
def test_what_is_no_filters_answer_is_an_error(
    new_listener: Callable[..., Any], answer: bytes, error: type[DriverError], text: str
) -> None:
    listener = new_listener(says(answer))
    driver = FilterRequests({"members": Service("127.0.0.1", listener.port, "", "t")})
    with pytest.raises(error, match=text):
        driver.rules("members")


@needs_openssl
def test_a_filter_over_tls_is_reached_only_with_a_certificate_that_holds(
    new_listener: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, wrapped = over_tls(tmp_path, says(b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"rules": []}'))
    url = f"https://127.0.0.1:{new_listener(wrapped).port}/simian/faults"
    driver = from_settings({"services": {"members": {"url": url, "token": "t"}}}, {})
    with pytest.raises(Unreachable, match="SSLCertVerificationError"):
        driver.rules("members")
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert driver.rules("members") == []


def test_settings_make_a_driver(new_service: Callable[..., Any]) -> None:
    service = new_service()
    settings = {"members": {"url": f"{service.url}/simian/faults/", "token": "s3cret"}}
    driver = from_settings({"driver": "filter", "services": settings}, {})
    driver.put("members", RULE)
    assert driver.nodes() == ["members"]
    assert service.rules.listing()[0]["mark"] == RULE.mark


def test_every_problem_of_the_settings_is_told_at_once() -> None:
    good = {"url": "http://127.0.0.1:1/x", "token": "t"}
    services: dict[str, Any] = {
        "a": good,
        "b": {**good, "url": "127.0.0.1:1"},
        "c": {**good, "token": ""},
        "d": {**good, "tokn": "t"},
        "e": "http://127.0.0.1:1",
        "f": {**good, "url": "http://127.0.0.1:99999"},
        "g": {"url": good["url"], "token": "a\r\nb: c"},
    }
    with pytest.raises(UsageError) as refused:
        from_settings({"services": services}, {})
    told = [problem.split(" ")[0] for problem in refused.value.problems]
    assert told == [f"requests.services.{key}" for key in ("b.url", "c.token", "d.tokn", "e", "f.url", "g.token")]
    assert "http://127.0.0.1:9001/simian/faults" in json.dumps(refused.value.problems)
