"""The contract of ``Platform``, over every driver; and what only processes have."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, UsageError
from simian.memory import MemoryWorld, build_memory_world
from simian.platforms.docker import from_settings as docker_from_settings
from simian.platforms.process import ProcessPlatform, from_settings
from simian.world import Platform

from .docker_engine import real_engine_fixture, small_containers_fixture  # noqa: F401

Until = Callable[..., Any]
VERBS = ("start", "stop", "kill", "crash", "pause", "resume", "ready", "incarnation")


class Bench(Protocol):
    """A driver, two of its nodes, and eyes of our own."""

    platform: Platform
    node: str
    other: str

    def seen(self, node: str) -> str:
        """``answered``, ``silent`` or ``refused``."""
        ...

    def wait_for(self, condition: Callable[[], bool], what: str, patience_s: float = 10.0) -> None: ...


class MemoryBench:
    def __init__(self) -> None:
        self.made: MemoryWorld = build_memory_world()
        self.platform: Platform = self.made.world.platform
        self.node, self.other = "members-east-a", "members-west-a"

    def seen(self, node: str) -> str:
        exchange = self.made.world.observer.ask(self.made.topology.node(node))
        if exchange.ok:
            return "answered"
        return "silent" if exchange.connected and not exchange.answered else "refused"

    def wait_for(self, condition: Callable[[], bool], what: str, patience_s: float = 10.0) -> None:
        until = self.made.clock.now() + patience_s
        while not condition():
            assert self.made.clock.now() < until, f"waited {patience_s:g} simulated seconds in vain: {what}"
            self.made.clock.wait(0.1)


class ProcessBench:
    def __init__(self, system: Any, until: Until, service: str) -> None:
        self.system = system
        self.platform: Platform = ProcessPlatform(system.manifest, grace_s=2.0)
        self.node, self.other = f"{service}-east-a", f"{service}-west-a"
        self.wait_for = until

    def seen(self, node: str) -> str:
        return str(self.system.ask(node))


class DockerBench:
    def __init__(self, containers: Any, until: Until) -> None:
        self.containers = containers
        self.node, self.other = (containers.add(f"web-{region}-a", region=region) for region in ("east", "west"))
        self.platform: Platform = docker_from_settings(containers.settings, {})
        self.wait_for = until

    def seen(self, node: str) -> str:
        return str(self.containers.ask(node.partition("-")[2]))


@pytest.fixture(params=["memory", "process", "lab", "docker"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return MemoryBench()
    until = request.getfixturevalue("until")
    if request.param == "docker":
        return DockerBench(request.getfixturevalue("small_containers"), until)
    if request.param == "lab":
        return ProcessBench(request.getfixturevalue("caches_of_the_lab"), until, "cache")
    return ProcessBench(request.getfixturevalue("small_system"), until, "web")


def state_of(bench: Bench, node: str) -> str:
    return next(each.state for each in bench.platform.nodes() if each.name == node)


def stays_down(bench: Bench) -> bool:
    """For longer than any of these supervisors takes to restart a node."""
    try:
        bench.wait_for(lambda: bench.seen(bench.node) != "refused", "it shall not come back", 0.8)
    except AssertionError:
        return True
    return False


def test_nodes_are_listed_with_place_and_state(bench: Bench) -> None:
    nodes = {node.name: node for node in bench.platform.nodes()}
    assert nodes[bench.node].state == "running"
    assert (nodes[bench.node].region, nodes[bench.other].region) == ("east", "west")
    assert nodes[bench.node].zone == "east-a"
    assert nodes[bench.node].since is not None
    assert bench.platform.ready(bench.node)


def test_a_killed_node_is_gone_and_stays_down_until_it_is_started(bench: Bench) -> None:
    before = bench.platform.incarnation(bench.node)
    bench.platform.kill(bench.node)
    assert bench.seen(bench.node) == "refused"
    assert state_of(bench, bench.node) == "stopped"
    assert bench.platform.incarnation(bench.node) is None
    assert not bench.platform.ready(bench.node)
    assert stays_down(bench)
    bench.platform.start(bench.node)
    bench.wait_for(lambda: bench.platform.ready(bench.node), "ready again")
    assert bench.seen(bench.node) == "answered"
    assert bench.platform.incarnation(bench.node) not in (None, before)


def test_killing_twice_is_killing_once(bench: Bench) -> None:
    bench.platform.kill(bench.node)
    bench.platform.kill(bench.node)
    bench.platform.stop(bench.node)
    bench.platform.crash(bench.node)
    assert stays_down(bench)
    assert bench.seen(bench.other) == "answered"


def test_a_stopped_node_stays_down_until_it_is_started(bench: Bench) -> None:
    bench.platform.stop(bench.node)
    assert state_of(bench, bench.node) == "stopped"
    assert stays_down(bench)
    bench.platform.start(bench.node)
    bench.wait_for(lambda: bench.seen(bench.node) == "answered", "answers again")


def test_a_crashed_node_comes_back_by_itself_as_another_incarnation(bench: Bench) -> None:
    before = bench.platform.incarnation(bench.node)
    bench.platform.crash(bench.node)
    assert bench.platform.incarnation(bench.node) != before
    bench.wait_for(lambda: bench.platform.ready(bench.node), "restarted without our doing")
    assert bench.seen(bench.node) == "answered"
    assert bench.platform.incarnation(bench.node) not in (None, before)


def test_a_paused_node_accepts_and_is_silent_until_it_is_resumed(bench: Bench) -> None:
    before = bench.platform.incarnation(bench.node)
    for _ in range(2):
        bench.platform.pause(bench.node)
    assert bench.seen(bench.node) == "silent"
    assert state_of(bench, bench.node) == "paused"
    assert not bench.platform.ready(bench.node)
    for _ in range(2):
        bench.platform.resume(bench.node)
    bench.wait_for(lambda: bench.seen(bench.node) == "answered", "answers again")
    assert bench.platform.incarnation(bench.node) == before


def test_start_is_content_with_a_running_and_with_a_paused_node(bench: Bench) -> None:
    before = bench.platform.incarnation(bench.node)
    bench.platform.start(bench.node)
    assert bench.platform.incarnation(bench.node) == before
    bench.platform.pause(bench.node)
    bench.platform.start(bench.node)
    assert state_of(bench, bench.node) == "paused"
    bench.platform.resume(bench.node)
    bench.wait_for(lambda: bench.platform.ready(bench.node), "ready again")


@pytest.mark.parametrize("verb", ["kill", "stop", "crash"])
def test_a_paused_node_can_be_ended(bench: Bench, verb: str) -> None:
    before = bench.platform.incarnation(bench.node)
    bench.platform.pause(bench.node)
    getattr(bench.platform, verb)(bench.node)
    assert bench.platform.incarnation(bench.node) != before
    bench.platform.resume(bench.node)
    bench.platform.start(bench.node)
    bench.wait_for(lambda: bench.seen(bench.node) == "answered", "answers again")


def test_a_held_node_that_was_started_is_restarted_again_when_it_crashes(bench: Bench) -> None:
    bench.platform.kill(bench.node)
    bench.platform.start(bench.node)
    bench.wait_for(lambda: bench.platform.ready(bench.node), "ready again")
    bench.platform.crash(bench.node)
    bench.wait_for(lambda: bench.seen(bench.node) == "answered", "restarted without our doing")


def test_resuming_what_is_down_is_content_and_pausing_it_is_not(bench: Bench) -> None:
    bench.platform.kill(bench.node)
    bench.platform.resume(bench.node)
    with pytest.raises(NoSuchTarget, match="down"):
        bench.platform.pause(bench.node)
    assert bench.seen(bench.node) == "refused"


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_node_is_no_such_target(bench: Bench, verb: str) -> None:
    with pytest.raises(NoSuchTarget, match=bench.node):
        getattr(bench.platform, verb)("nobody")


def test_two_nodes_can_be_worked_on_from_many_threads(bench: Bench) -> None:
    other = bench.platform.incarnation(bench.other)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: bench.platform.kill(bench.node), range(8)))
        list(pool.map(lambda _: bench.platform.start(bench.other), range(8)))
    assert state_of(bench, bench.node) == "stopped"
    assert bench.platform.incarnation(bench.other) == other


# --- processes alone


@pytest.fixture
def platform(small_system: Any) -> ProcessPlatform:
    return ProcessPlatform(small_system.manifest, grace_s=0.3)


def process_state(pid: int) -> str:
    """As the kernel tells it; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_stop_lets_a_node_end_in_good_order(small_system: Any) -> None:
    platform = ProcessPlatform(small_system.manifest, grace_s=20.0)
    pid = small_system.shape("web-east-a")["pid"]
    platform.stop("web-east-a")
    assert (small_system.folder / "web-east-a.ended-well").read_text() == str(pid)


def test_stop_lets_a_paused_node_end_in_good_order(small_system: Any) -> None:
    platform = ProcessPlatform(small_system.manifest, grace_s=20.0)
    platform.pause("web-east-a")
    platform.stop("web-east-a")
    assert (small_system.folder / "web-east-a.ended-well").exists()


def test_stop_makes_a_stubborn_node_end_after_the_grace(small_system: Any, platform: ProcessPlatform) -> None:
    pid = small_system.shape("stubborn")["pid"]
    platform.stop("stubborn")
    assert process_state(pid) in ("", "Z")


@pytest.mark.parametrize("verb", ["kill", "stop", "crash", "resume", "pause"])
def test_a_pid_that_belongs_to_another_process_is_never_signalled(
    small_system: Any, platform: ProcessPlatform, until: Until, verb: str
) -> None:
    small_system.lose_supervisor()
    pid = small_system.shape("web-east-a")["pid"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: process_state(pid) == "T", "it is paused: any signal would change that")
    small_system.rewrite("web-east-a", start_time="1")
    try:
        getattr(platform, verb)("web-east-a")
    except NoSuchTarget:
        assert verb == "pause"
    assert process_state(pid) == "T"
    assert platform.incarnation("web-east-a") is None


def test_a_node_is_killed_and_started_when_the_supervisor_is_gone(
    small_system: Any, platform: ProcessPlatform, until: Until
) -> None:
    small_system.lose_supervisor()
    before = small_system.shape("web-east-a")["pid"]
    platform.kill("web-east-a")
    assert process_state(before) in ("", "Z")
    platform.start("web-east-a")
    until(lambda: small_system.answers("web-east-a"), "answers again")
    shape = small_system.shape("web-east-a")
    assert shape["pid"] != before
    assert platform.incarnation("web-east-a") == f"{shape['pid']}-{shape['start_time']}"
    assert os.getsid(shape["pid"]) == shape["pid"]
    assert small_system.manifest.stat().st_mode & 0o777 == 0o600
    platform.start("web-east-a")
    assert small_system.shape("web-east-a")["pid"] == shape["pid"]


def test_a_node_of_the_lab_is_started_by_its_command_when_the_labs_supervisor_is_gone(
    caches_of_the_lab: Any, until: Until
) -> None:
    platform = ProcessPlatform(caches_of_the_lab.manifest)
    caches_of_the_lab.lose_supervisor()
    before = platform.incarnation("cache-east-a")
    platform.kill("cache-east-a")
    assert caches_of_the_lab.ask("cache-east-a") == "refused"
    platform.start("cache-east-a")
    until(lambda: platform.ready("cache-east-a"), "ready again")
    assert caches_of_the_lab.ask("cache-east-a") == "answered"
    assert platform.incarnation("cache-east-a") not in (None, before)


def test_a_node_started_without_supervisor_inherits_nothing(
    small_system: Any, platform: ProcessPlatform, until: Until
) -> None:
    small_system.lose_supervisor()
    platform.kill("web-east-a")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    (small_system.folder / "logs").mkdir()
    platform.start("web-east-a")
    os.close(write)
    assert os.read(read, 1) == b"", "a copy of the pipe's end lives on in the node"
    os.close(read)
    until(lambda: small_system.answers("web-east-a"), "answers again")
    pid = small_system.shape("web-east-a")["pid"]
    targets = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]
    log = str(small_system.folder / "logs" / "web-east-a.log")
    assert targets == [os.devnull, log, log]


def test_many_starts_at_once_without_supervisor_are_all_written_down(
    small_system: Any, platform: ProcessPlatform, until: Until
) -> None:
    small_system.lose_supervisor()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(platform.kill, small_system.NAMES))
        list(pool.map(platform.start, small_system.NAMES * 3))
    pids = [small_system.shape(name)["pid"] for name in small_system.NAMES]
    assert [process_state(pid) in ("R", "S") for pid in pids] == [True] * 3
    for name in small_system.NAMES:
        until(lambda name=name: small_system.answers(name), f"{name} answers")


def test_a_supervisor_that_hangs_is_a_time_out_and_the_node_is_left_alone(
    small_system: Any, platform: ProcessPlatform
) -> None:
    small_system.supervisor.send_signal(signal.SIGSTOP)
    with pytest.raises(TimedOut, match="supervisor"):
        platform.kill("web-east-a")
    assert small_system.ask("web-east-a") == "answered"


def test_a_supervisor_that_refuses_is_told_in_its_own_words(small_system: Any, platform: ProcessPlatform) -> None:
    shape = json.loads(small_system.manifest.read_text())
    small_system.manifest.write_text(json.dumps(shape | {"token": "wrong"}))
    with pytest.raises(DriverError, match="wrong token"):
        platform.kill("web-east-a")
    assert small_system.ask("web-east-a") == "answered"


@pytest.mark.parametrize("text", [None, "", "[]", '{"version": 2}', "{"])
def test_without_a_manifest_the_remedy_is_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    platform = from_settings({"driver": "process", "manifest": str(path)}, {})
    for call in (platform.nodes, lambda: platform.kill("web"), lambda: platform.ready("web")):
        with pytest.raises(Unreachable, match="simian lab"):
            call()


@pytest.mark.parametrize("settings", [{}, {"manifest": ""}, {"manifest": 3}, {"manifest": "m", "mainfest": "n"}])
def test_settings_without_a_manifest_or_with_more_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="manifest"):
        from_settings(settings, {})
