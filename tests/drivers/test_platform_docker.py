"""What only a Docker engine has: restart policies, labels, gone containers, engines that hang, refuse or end."""

import gc
import json
import socketserver
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, Unsupported, UsageError
from simian.platforms.docker import DockerPlatform, from_settings

from .docker_engine import POLITE, STUBBORN, SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401

Until = Callable[..., Any]
VERBS = ("start", "stop", "kill", "crash", "pause", "resume", "ready", "incarnation")


@pytest.fixture
def platform(small_containers: SmallContainers) -> DockerPlatform:
    return from_settings(small_containers.settings, {})


# --- on a real engine


@pytest.mark.parametrize(("policy", "returns"), [("no", False), ("on-failure", True), ("unless-stopped", True)])
def test_after_a_crash_the_restart_policy_decides(
    small_containers: SmallContainers, platform: DockerPlatform, until: Until, policy: str, returns: bool
) -> None:
    name = small_containers.add("web-1", host={"restart_policy": {"Name": policy}})
    before = platform.incarnation(name)
    platform.crash(name)
    until(lambda: platform.incarnation(name) != before, "it died")
    if returns:
        until(lambda: small_containers.ask("web-1") == "answered", "its policy restarted it")
    else:
        assert platform.incarnation(name) is None
        assert small_containers.engine.inspect(name)["State"]["ExitCode"] == 137
    assert not small_containers.engine.inspect(name)["State"]["OOMKilled"]


def test_stop_makes_a_stubborn_container_end_after_the_grace(small_containers: SmallContainers) -> None:
    name = small_containers.add("web-1", command=STUBBORN)
    made = from_settings(small_containers.settings, {})
    made._grace_s = 1
    made.stop(name)
    assert small_containers.engine.inspect(name)["State"]["ExitCode"] == 137


def test_a_container_that_is_about_to_be_restarted_is_kept_down_by_a_kill(
    small_containers: SmallContainers, platform: DockerPlatform, until: Until
) -> None:
    name = small_containers.add("web-1", command=f"[ ! -e /tmp/ends ] || exit 3; {POLITE}")
    small_containers.engine.run_in(name, "touch /tmp/ends")
    platform.crash(name)
    until(lambda: small_containers.engine.inspect(name)["State"]["Restarting"], "it is tried again and again")
    platform.kill(name)
    state = small_containers.engine.inspect(name)["State"]
    assert (state["Status"], state["Restarting"]) == ("exited", False)


def test_a_container_that_cannot_be_started_is_told_in_the_engines_words(
    small_containers: SmallContainers, platform: DockerPlatform
) -> None:
    name = small_containers.add("web-1")
    small_containers.engine.run_in(name, "rm -f /bin/sh")
    platform.kill(name)
    with pytest.raises(DriverError, match='"sh"'):
        platform.start(name)


def test_what_was_done_is_kept_with_the_times_of_its_effect_and_of_its_acknowledgement(
    small_containers: SmallContainers, platform: DockerPlatform
) -> None:
    name = small_containers.add("web-1")
    began = time.time()
    platform.kill(name)
    platform.start(name)
    kill, start = platform.blows
    assert [(kill.node, kill.verb), (start.node, start.verb)] == [(name, "kill"), (name, "start")]
    assert kill.effect is not None
    assert began <= kill.asked <= kill.effect <= kill.acknowledged <= start.asked <= start.acknowledged <= time.time()
    assert start.effect is None


def test_many_containers_are_killed_from_many_threads(
    small_containers: SmallContainers, platform: DockerPlatform
) -> None:
    names = [small_containers.add(f"web-{number}") for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(platform.kill, names * 2))
    assert {small_containers.engine.inspect(name)["State"]["Status"] for name in names} == {"exited"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(platform.start, names * 2))
    assert {small_containers.engine.inspect(name)["State"]["Status"] for name in names} == {"running"}


def test_a_container_that_has_not_opted_in_is_listed_and_never_touched(
    small_containers: SmallContainers, platform: DockerPlatform
) -> None:
    name = small_containers.add("web-1", labels={"simian.enabled": "false"})
    started = small_containers.engine.inspect(name)["State"]["StartedAt"]
    assert [(node.name, node.enabled) for node in platform.nodes()] == [(name, False)]
    for verb in ("kill", "stop", "crash", "pause", "start", "resume"):
        with pytest.raises(NoSuchTarget, match=r"simian\.enabled=true"):
            getattr(platform, verb)(name)
    assert small_containers.ask("web-1") == "answered"
    assert small_containers.engine.inspect(name)["State"]["StartedAt"] == started


def test_containers_of_another_project_and_our_own_are_no_nodes(small_containers: SmallContainers) -> None:
    inside = small_containers.add("web-1")
    ours = small_containers.add("side-1", labels={"simian.side": inside})
    stranger = small_containers.add("web-2", labels={"com.docker.compose.project": "somebody-else"})
    try:
        by_project = from_settings(small_containers.settings, {})
        by_label = from_settings({"driver": "docker", "url": small_containers.engine.url, "limit_s": 30}, {})
        assert [node.name for node in by_project.nodes()] == [inside]
        listed = {node.name for node in by_label.nodes()}
        assert {inside, stranger} <= listed
        assert ours not in listed
        for other in (ours, stranger):
            with pytest.raises(NoSuchTarget, match=inside):
                by_project.kill(other)
        with pytest.raises(NoSuchTarget):
            by_project.kill(small_containers.engine.inspect(inside)["Id"][:12])
    finally:
        small_containers.remove("web-2")


@pytest.mark.parametrize("verb", ["kill", "stop", "crash", "pause", "start", "resume"])
def test_a_recreated_container_is_gone_and_the_new_one_is_unharmed(
    small_containers: SmallContainers, platform: DockerPlatform, verb: str
) -> None:
    name = small_containers.add("web-1")
    platform.nodes()
    small_containers.remove("web-1")
    small_containers.add("web-1")
    new = small_containers.engine.inspect(name)
    with pytest.raises(NoSuchTarget, match=new["Id"][:12]):
        getattr(platform, verb)(name)
    assert small_containers.engine.inspect(name)["State"] == new["State"]
    assert platform.ready(name), "whoever looks sees the new one"


def test_a_removed_container_is_gone(small_containers: SmallContainers, platform: DockerPlatform) -> None:
    name = small_containers.add("web-1")
    platform.nodes()
    small_containers.remove("web-1")
    for verb in VERBS:
        with pytest.raises(NoSuchTarget, match="there are: none"):
            getattr(platform, verb)(name)


def test_a_container_that_is_removed_when_it_ends_is_not_ended(
    small_containers: SmallContainers, platform: DockerPlatform
) -> None:
    name = small_containers.add("web-1", host={"restart_policy": None, "auto_remove": True})
    for verb in ("kill", "stop", "crash"):
        with pytest.raises(Unsupported, match="--rm"):
            getattr(platform, verb)(name)
    assert small_containers.ask("web-1") == "answered"


def test_a_health_check_says_whether_it_is_ready(
    small_containers: SmallContainers, platform: DockerPlatform, until: Until
) -> None:
    second = 1_000_000_000
    check = {"test": ["CMD-SHELL", "cat /tmp/well"], "interval": second, "timeout": 5 * second, "retries": 1}
    name = small_containers.add("web-1", healthcheck=check)
    until(lambda: not platform.ready(name), "its check has said that it is not")
    small_containers.engine.run_in(name, "touch /tmp/well")
    until(lambda: platform.ready(name), "healthy")


def test_after_a_pause_the_node_itself_is_asked_as_the_engine_has_forgotten_what_its_check_said(
    platform: DockerPlatform, small_containers: SmallContainers, until: Until
) -> None:
    second = 1_000_000_000
    check = {"test": ["CMD-SHELL", "true"], "interval": 10 * second, "timeout": 60 * second, "retries": 1}
    name = small_containers.add("web-1", healthcheck=check)
    health = lambda: small_containers.engine.inspect(name)["State"]["Health"]["Status"]  # noqa: E731
    until(lambda: health() == "healthy", "its check has said so")
    platform.pause(name)
    platform.resume(name)
    assert (health(), platform.ready(name)) == ("unhealthy", True)


def test_before_a_health_check_has_said_a_word_the_node_itself_is_asked(
    small_containers: SmallContainers, platform: DockerPlatform, until: Until
) -> None:
    hour = 3_600_000_000_000
    check = {"test": ["CMD-SHELL", "true"], "interval": hour, "timeout": hour, "retries": 1}
    name = small_containers.add("web-1", healthcheck=check)
    until(lambda: platform.ready(name), "it answers, an hour before its check does")
    deaf = small_containers.add("web-2", healthcheck=check, labels={"simian.ask": "http://:9/health"})
    assert not platform.ready(deaf)


# --- on an engine that is not as it should be


class FakeEngine:
    """An HTTP server on a Unix socket with one container; ``what`` it does by a word of the path is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self.what: dict[str, str] = {}
        self.asked: list[str] = []
        self.done = threading.Event()
        shape = {
            "Id": "ab" * 32, "Name": "/web-1", "Config": {"Labels": {"simian.enabled": "true"}},
            "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
                      "Pid": 0},
            "HostConfig": {}, "NetworkSettings": {"Networks": {}},
        }  # fmt: skip
        self.answers = {"/version": {"ApiVersion": "1.41"}, "/web-1/json": shape, f"/{'ab' * 32}/json": shape,
                        "/containers/json": [{"Id": "ab" * 32}]}  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        return {"driver": "docker", "url": f"unix://{self.path}", "limit_s": 0.5}

    def handler(engine) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(f"{self.command} {self.path}")
                engine.answer(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

            def address_string(self) -> str:
                return "unix"

        return Handler

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        path = asked.path.partition("?")[0]
        what = next((what for word, what in self.what.items() if word in path), "")
        if what == "hangs":
            self.done.wait(30)
        if what in ("hangs", "hangs up"):
            return
        known = next((body for end, body in self.answers.items() if path.endswith(end)), None)
        body = json.dumps({"message": "it is on fire"} if what == "500" else known).encode()
        asked.send_response(500 if what == "500" else 200 if known else 204)
        asked.send_header("Content-Type", "application/json")
        asked.send_header("Content-Length", str(len(body) if known or what else 0))
        asked.end_headers()
        if known or what:
            asked.wfile.write(b"{" if what == "garbage" else body)


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who asked has gone."""


@pytest.fixture
def fake_engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """An engine that does as it is told: hang, hang up, answer 500 or garbage."""
    engine = FakeEngine(tmp_path)
    with _UnixServer(str(engine.path), engine.handler()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield engine
        engine.done.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("verb", VERBS)
def test_an_engine_that_hangs_is_a_time_out(fake_engine: FakeEngine, verb: str) -> None:
    fake_engine.what["/"] = "hangs"
    platform = from_settings(fake_engine.settings, {})
    with pytest.raises(TimedOut, match=r"engine\.sock .*may still"):
        getattr(platform, verb)("web-1")
    with pytest.raises(TimedOut):
        platform.nodes()


@pytest.mark.parametrize("how", ["hangs", "hangs up"])
@pytest.mark.parametrize(("verb", "word"), [("kill", "/kill"), ("stop", "/stop"), ("pause", "/pause")])
def test_a_call_that_got_no_answer_may_have_been_done(fake_engine: FakeEngine, verb: str, word: str, how: str) -> None:
    fake_engine.what[word] = how
    platform = from_settings(fake_engine.settings, {})
    platform._grace_s = 0
    with pytest.raises(TimedOut, match="may"):
        getattr(platform, verb)("web-1")
    assert sum(word in line for line in fake_engine.asked) == 1, "asked once: whoever undoes looks again"
    assert platform.incarnation("web-1") == "abababababab@2026-01-01T00:00:00.5Z", "the next call is answered"


def test_an_engine_that_acknowledges_and_does_nothing_is_told(fake_engine: FakeEngine) -> None:
    with pytest.raises(TimedOut, match="acknowledged, but it is running"):
        from_settings(fake_engine.settings, {}).kill("web-1")


@pytest.mark.parametrize("verb", ["kill", "stop", "pause"])
def test_an_engine_that_answers_500_is_told_in_its_own_words(fake_engine: FakeEngine, verb: str) -> None:
    fake_engine.what[f"/{verb}"] = "500"
    with pytest.raises(DriverError, match=r"500.*it is on fire") as caught:
        getattr(from_settings(fake_engine.settings, {}), verb)("web-1")
    assert not isinstance(caught.value, TimedOut)


def test_an_engine_that_answers_garbage_is_told(fake_engine: FakeEngine) -> None:
    fake_engine.what["/web-1/json"] = "garbage"
    with pytest.raises(DriverError):
        from_settings(fake_engine.settings, {}).kill("web-1")
    assert not [line for line in fake_engine.asked if line.startswith("POST")]


@pytest.mark.parametrize("verb", VERBS)
def test_where_no_engine_is_the_url_is_told(tmp_path: Path, verb: str) -> None:
    platform = from_settings({"driver": "docker", "url": f"unix://{tmp_path}/none.sock"}, {})
    with pytest.raises(Unreachable, match=r"none\.sock"):
        getattr(platform, verb)("web-1")


def test_an_engine_that_went_away_between_two_calls_leaves_no_socket_open(fake_engine: FakeEngine) -> None:
    platform = from_settings(fake_engine.settings, {})
    assert platform.incarnation("web-1")
    fake_engine.path.unlink()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(Unreachable):
            platform.incarnation("web-1")
        gc.collect()
    assert not [str(warning.message) for warning in told if "unclosed" in str(warning.message)]


def test_an_engine_that_comes_back_is_reached_again(fake_engine: FakeEngine) -> None:
    platform = from_settings(fake_engine.settings, {})
    assert platform.incarnation("web-1")
    fake_engine.what["/"] = "hangs up"
    with pytest.raises(TimedOut):
        platform.incarnation("web-1")
    fake_engine.what.clear()
    assert platform.incarnation("web-1")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "/var/run/docker.sock"}, "unix:///var/run/docker.sock"),
        ({"url": "carrier-pigeon://x"}, "url is"),
        ({"project": 3}, "compose project"),
        ({"limit_s": 0}, "limit_s"),
        ({"limit_s": True}, "limit_s"),
        ({"hosts": []}, "project, url"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_settings({"driver": "docker"} | settings, {})
