"""The supervisor: what ends is started again unless it is held, and the control socket says and does so."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from simian_lab import control
from simian_lab.manifest import Manifest
from simian_lab.processes import Identity
from simian_lab.readiness import ready

pytestmark = pytest.mark.lab


def wait_for(true: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {timeout_s} s"
        time.sleep(0.02)


@dataclass
class Lab:
    """A lab without users, and its control socket."""

    folder: Path

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(control.manifest_path(self.folder))

    def connect(self) -> socket.socket:
        layout = self.manifest.layout
        return socket.create_connection((layout.control_host, layout.control_port), 5)

    def send(self, line: bytes) -> dict[str, Any]:
        with self.connect() as sock, sock.makefile("rb") as answers:
            sock.sendall(line + b"\n")
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

    def do(self, verb: str, node: str | None = None) -> dict[str, Any]:
        return self.send(json.dumps({"token": self.manifest.token, "do": verb, "node": node}).encode())

    def listed(self, node: str) -> dict[str, Any]:
        return next(each for each in self.do("list")["nodes"] if each["name"] == node)

    def identity(self, node: str) -> Identity:
        identity = self.manifest.processes[node].identity
        assert identity is not None
        return identity

    def kill(self, node: str) -> Identity:
        identity = self.identity(node)
        assert identity.send(signal.SIGKILL)
        wait_for(lambda: not identity.alive(), f"{node} dead")
        return identity

    def answers(self, node: str) -> bool:
        return bool(ready(self.manifest.layout.node(node).ask))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("supervised")
    control.up(folder, held=frozenset({"users"}))
    yield Lab(folder)
    control.down(folder)


def test_a_node_that_ends_is_started_again_as_another_process(lab: Lab) -> None:
    before = lab.kill("cache-east-a")
    wait_for(lambda: lab.identity("cache-east-a") != before, "a new process in the manifest")
    wait_for(lambda: lab.answers("cache-east-a"), "answering")
    assert lab.listed("cache-east-a")["alive"] is True


def test_a_node_that_keeps_ending_is_started_again_ever_later(lab: Lab) -> None:
    waits = []
    for _ in range(4):
        before = lab.kill("cache-west-a")
        ended = time.monotonic()
        wait_for(lambda before=before: lab.identity("cache-west-a") != before, "started again")  # type: ignore[misc]
        waits.append(time.monotonic() - ended)
    assert waits[-1] > 1.0, waits
    assert waits[0] < waits[-1], waits


def test_a_held_node_stays_down_until_it_is_started(lab: Lab) -> None:
    assert lab.do("hold", "cache-east-b")["held"] is True
    before = lab.kill("cache-east-b")
    lab.kill("cache-east-c")  # one that is not held, as a clock: when it is back, the other would be too
    wait_for(lambda: lab.answers("cache-east-c"), "the other back")
    assert lab.listed("cache-east-b") | {"started": 0} == {
        "name": "cache-east-b",
        "pid": before.pid,
        "start_time": before.start_time,
        "started": 0,
        "held": True,
        "alive": False,
    }
    assert lab.manifest.processes["cache-east-b"].held
    states = {row["name"]: row["state"] for row in control.status(lab.folder)}
    assert (states["cache-east-b"], states["users"]) == ("held", "held")
    answer = lab.do("start", "cache-east-b")
    assert (answer["ok"], answer["alive"], answer["held"]) == (True, True, False)
    assert lab.identity("cache-east-b").pid == answer["pid"] != before.pid
    wait_for(lambda: lab.answers("cache-east-b"), "answering")


def test_to_start_what_lives_and_to_hold_what_is_held_is_content(lab: Lab) -> None:
    before = lab.identity("dns")
    for _ in range(2):
        assert lab.do("start", "dns")["ok"] is True
    assert lab.identity("dns") == before
    for _ in range(2):
        assert lab.do("hold", "dns")["ok"] is True
    assert before.alive()
    lab.do("start", "dns")


def test_start_right_after_the_kill_does_not_take_the_dead_for_living(lab: Lab) -> None:
    lab.do("hold", "cache-west-b")
    before = lab.kill("cache-west-b")
    assert lab.do("start", "cache-west-b")["pid"] != before.pid


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{}", "wrong token"),
        (b'{"token": "x", "do": "list"}', "wrong token"),
        (b"[]", "wrong token"),
        (b"nonsense", "a request is one JSON object a line"),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(lab: Lab, line: bytes, error: str) -> None:
    answer = lab.send(line)
    assert answer["ok"] is False
    assert error in answer["error"]


def test_errors_name_what_there_is(lab: Lab) -> None:
    assert "there are gateway-east-a" in lab.do("start", "gateway-east-z")["error"]
    assert "list, hold, start and down" in lab.do("explode")["error"]


def test_somebody_who_says_nothing_or_too_much_does_not_hold_up_the_others(lab: Lab) -> None:
    with lab.connect() as silent, lab.connect() as chatty:
        silent.sendall(b'{"token": ')
        with pytest.raises(OSError):
            chatty.sendall(b"x" * 50_000_000)  # it hangs up on a line without end
        assert lab.do("list")["ok"] is True


def test_several_requests_on_one_connection_are_answered_in_order(lab: Lab) -> None:
    request = json.dumps({"token": lab.manifest.token, "do": "list"}).encode() + b"\n"
    with lab.connect() as sock, sock.makefile("rb") as answers:
        sock.sendall(request * 3)
        assert [json.loads(answers.readline())["ok"] for _ in range(3)] == [True] * 3


def test_a_proxy_comes_back_with_its_links_and_without_toxics(lab: Lab) -> None:
    url = f"http://{lab.manifest.layout.node('proxy-east').address}/proxies"
    link = "members-east-a--cache-east-a"
    toxic = json.dumps({"name": "t", "type": "latency", "attributes": {"latency": 5}}).encode()
    urllib.request.urlopen(f"{url}/{link}/toxics", toxic, timeout=5).close()
    before = lab.kill("proxy-east")
    wait_for(lambda: lab.identity("proxy-east") != before and lab.answers("proxy-east"), "back")
    with urllib.request.urlopen(url, timeout=5) as answer:
        proxies = json.load(answer)
    assert set(proxies) == {each.name for each in lab.manifest.layout.links_into("proxy-east")}
    assert proxies[link]["toxics"] == []
    assert all(proxy["enabled"] for proxy in proxies.values())


def test_the_dns_keeps_its_records_over_a_crash(lab: Lab) -> None:
    dns = lab.manifest.layout.node("dns")
    url = f"http://{dns.host}:{dns.ports['api']}/api/v1/servers/localhost/zones/geo.lab."
    records = [{"content": '"kept"', "disabled": False}]
    change = {"name": "_simian.geo.lab.", "type": "TXT", "ttl": 1, "changetype": "REPLACE", "records": records}
    headers = {"X-API-Key": lab.manifest.token}
    body = json.dumps({"rrsets": [change]}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PATCH"), timeout=5).close()
    before = lab.kill("dns")
    wait_for(lambda: lab.identity("dns") != before and lab.answers("dns"), "back")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        assert "_simian.geo.lab." in {rrset["name"] for rrset in json.load(answer)["rrsets"]}


def test_a_node_can_be_started_by_its_command_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    try:
        manifest = control.up(tmp_path, held=frozenset({"users"}))
        assert manifest.supervisor is not None
        manifest.supervisor.send(signal.SIGKILL)
        wait_for(lambda: control.status(tmp_path)[0]["state"] == "dead", "the supervisor dead")
        lab.kill("store-east-a")
        command = manifest.processes["store-east-a"].command
        with subprocess.Popen(command, cwd=manifest.files.root, start_new_session=True) as process:
            wait_for(lambda: lab.answers("store-east-a"), "answering")
            node = manifest.layout.node("store-east-a")
            with urllib.request.urlopen(node.ask, timeout=5) as answer:
                assert answer.headers["x-lab-incarnation"].startswith(f"{process.pid}-")
            assert control.down(tmp_path) is True
            assert process.wait(5) == 0
    finally:
        control.down(tmp_path)
