"""The lab as a whole: up once, down without a trace, whatever became of its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from simian_lab import control
from simian_lab.control import LabError
from simian_lab.manifest import Manifest, replace_file
from simian_lab.processes import Identity

pytestmark = pytest.mark.lab
USERS = frozenset({"users"})  # they cost the most, and most of these tests need none


def wait_for(true: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {timeout_s} s"
        time.sleep(0.02)


def identities(manifest: Manifest) -> list[Identity]:
    found = [process.identity for process in manifest.processes.values()]
    return [each for each in (*found, manifest.supervisor) if each is not None]


def nothing_is_left(folder: Path, manifest: Manifest) -> None:
    assert not [each for each in identities(manifest) if each.alive()]
    assert not (folder / "lab").exists()
    assert not list(folder.iterdir())
    for node in manifest.layout.nodes:
        kind = socket.SOCK_DGRAM if node.service == "dns" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((node.host, node.port))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    control.down(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Manifest]]:
    """One lab with its users, for the tests that only look."""
    folder = tmp_path_factory.mktemp("whole")
    manifest = control.up(folder, seed=7, rate=50)
    yield folder, manifest
    control.down(folder)


Whole = tuple[Path, Manifest]


def test_every_node_is_ready_when_up_returns(whole: Whole) -> None:
    rows = control.status(whole[0])
    assert len(rows) == 31
    assert {row["name"]: row["state"] for row in rows if row["state"] != "ready"} == {}


def test_a_second_up_changes_nothing(whole: Whole) -> None:
    folder, before = whole
    again = control.up(folder, seed=8)
    assert identities(again) == identities(before)
    assert again.seed == 7


def test_a_request_through_each_gateway_is_served_in_its_region(whole: Whole) -> None:
    for gateway in whole[1].layout.nodes_of("gateway"):
        with urllib.request.urlopen(f"http://{gateway.address}/play?member=m1", timeout=5) as answer:
            assert answer.status == 200
            assert answer.headers["x-lab-region"] == gateway.region
            assert f"{gateway.name}>members-{gateway.region}-" in answer.headers["x-lab-trace"]


def test_users_start_streams_and_say_so(whole: Whole) -> None:
    users = whole[1].layout.node("users")
    with socket.create_connection((users.host, users.port), 5) as sock, sock.makefile() as lines:
        ok = 0
        deadline = time.monotonic() + 15
        while ok < 50 and time.monotonic() < deadline:
            ok += sum(row["ok"] for row in json.loads(lines.readline()).get("rows", []))
    assert ok >= 50


def test_the_manifest_is_as_documented_and_for_our_eyes_only(whole: Whole) -> None:
    path = control.manifest_path(whole[0])
    assert path.stat().st_mode & 0o777 == 0o600
    shape = json.loads(path.read_text())
    assert (shape["version"], shape["system"], shape["flavour"], shape["seed"]) == (1, "lab", "process", 7)
    assert len(shape["links"]) == 38
    node = next(node for node in shape["nodes"] if node["name"] == "members-east-a")
    second = 10 * shape["number"] + 1
    assert node["address"] == f"127.{second}.1.20:8081"
    assert (node["region"], node["zone"], node["role"], node["held"]) == ("east", "east-a", "service", False)
    assert node["faults_url"] == f"http://127.{second}.1.20:8081/simian/faults"
    assert Identity(node["pid"], node["start_time"]).alive()
    cache = next(link for link in shape["links"] if link["name"] == "members-east-a--cache-east-a")
    assert (cache["proxy"], cache["upstream"]) == ("proxy-east", f"127.{second}.1.11:11211")
    assert cache["ask"] == f"memcached://{cache['listen']}"


def test_the_configuration_is_whole_and_its_token_is_secret(whole: Whole) -> None:
    folder, manifest = whole
    shape: dict[str, Any] = YAML(typ="safe").load((folder / "lab" / "simian.yaml").read_text())
    assert shape["platform"] == {"driver": "process", "manifest": str(control.manifest_path(folder))}
    assert set(shape["network"]["servers"]) == {"east", "west"}
    assert len(shape["network"]["links"]) == 38
    assert len(shape["requests"]["services"]) == 18
    service = shape["requests"]["services"]["store-west-b"]
    token = Path(service["token"]["file"])
    assert token.read_text() == manifest.token
    assert token.stat().st_mode & 0o777 == 0o600
    assert manifest.token not in (folder / "lab" / "simian.yaml").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_node_is_alone_in_its_session_and_inherits_nothing(whole: Whole) -> None:
    for name, process in whole[1].processes.items():
        assert process.identity is not None
        pid = process.identity.pid
        assert os.getsid(pid) == pid, name
        descriptors = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in ("0", "1", "2")}
        assert descriptors["0"] == "/dev/null"
        assert descriptors["1"] == descriptors["2"] == str(whole[1].files.log(name))
        assert str(os.getpid()) not in {fd.split(":")[0] for fd in descriptors.values()}
    supervisor = whole[1].supervisor
    assert supervisor is not None
    held = {os.readlink(f"/proc/{supervisor.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{supervisor.pid}/fd")}
    gateway = whole[1].processes["gateway-east-a"].identity
    assert gateway is not None
    own = {os.readlink(f"/proc/{gateway.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{gateway.pid}/fd")}
    assert {link for link in held & own if link.startswith(("socket:", "pipe:"))} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_all_nodes_together_take_less_than_400_mb(whole: Whole) -> None:
    total_kb = 0
    for identity in identities(whole[1]):
        rollup = Path(f"/proc/{identity.pid}/smaps_rollup").read_text()
        total_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    assert total_kb < 400_000


def test_logs_are_shown_and_an_unknown_node_is_named(whole: Whole) -> None:
    assert "up as" in " ".join(control.logs(whole[0], "gateway-east-a"))
    assert control.logs(whole[0], "supervisor", 1)[0].endswith("up")
    with pytest.raises(LabError, match=r"no node is called gateway-east-z; there are gateway-east-a"):
        control.logs(whole[0], "gateway-east-z")


def test_two_labs_live_side_by_side_and_a_taken_number_is_refused(whole: Whole, folder: Path) -> None:
    number = whole[1].layout.number
    with pytest.raises(LabError, match=f"the addresses of lab {number} are taken"):
        control.up(folder, number=number, held=USERS)
    assert not list(folder.iterdir())
    other = control.up(folder, held=USERS)
    assert other.layout.number != number
    states = {row["state"] for row in control.status(folder) if row["name"] != "users"}
    assert states == {"ready"}


def test_down_leaves_no_process_file_or_port(folder: Path) -> None:
    manifest = control.up(folder, held=USERS)
    assert control.down(folder) is True
    nothing_is_left(folder, manifest)
    assert control.down(folder) is False
    assert control.status(folder) == []
    with pytest.raises(LabError, match="no lab is up"):
        control.logs(folder, "dns")


@pytest.mark.parametrize("command", [control.up, control.down])
def test_a_folder_that_no_lab_has_made_is_left_alone(folder: Path, command: Callable[[Path], object]) -> None:
    theirs = folder / "lab" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    with pytest.raises(control.LabError, match="was not made by a lab, so it is left alone"):
        command(folder)
    assert theirs.read_text() == "years of work"
    theirs.unlink()
    theirs.parent.rmdir()


def test_down_needs_neither_the_supervisor_nor_a_manifest(folder: Path) -> None:
    manifest = control.up(folder, held=USERS)
    assert manifest.supervisor is not None
    manifest.supervisor.send(signal.SIGKILL)
    paused = manifest.processes["members-east-a"].identity
    assert paused is not None
    paused.send(signal.SIGSTOP)
    replace_file(control.manifest_path(folder), "not JSON")
    assert control.down(folder) is True
    nothing_is_left(folder, manifest)


def test_a_lab_whose_parent_died_is_cleared_away_and_brought_up_anew(folder: Path) -> None:
    first = control.up(folder, held=USERS)
    assert first.supervisor is not None
    first.supervisor.send(signal.SIGKILL)
    wait_for(lambda: control.status(folder)[0]["state"] == "dead", "seen dead")
    second = control.up(folder, held=USERS)
    assert not [each for each in identities(first) if each.alive()]
    assert {row["state"] for row in control.status(folder) if row["name"] != "users"} == {"ready"}
    assert second.supervisor != first.supervisor


def test_a_process_with_another_start_time_is_not_ours_to_end(folder: Path) -> None:
    manifest = control.up(folder, held=USERS)
    assert manifest.supervisor is not None
    manifest.supervisor.send(signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            changed = manifest.with_process("dns", identity=Identity(stranger.pid, "1"))
            changed.write()
            control.down(folder)
            assert stranger.poll() is None
        finally:
            stranger.kill()
    nothing_is_left(folder, manifest)


def test_a_node_that_does_not_become_ready_is_named_and_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ready", lambda ask: "memcached" not in ask)
    with pytest.raises(LabError, match=r"cache-east-a is not ready after 0.5 s; its log says: .*up as"):
        control.up(folder, held=USERS, timeout_s=0.5)
    assert not list(folder.iterdir())


def test_an_unknown_node_cannot_be_held(folder: Path) -> None:
    with pytest.raises(LabError, match="no node is called gateway-north-a"):
        control.up(folder, held=frozenset({"gateway-north-a"}))
    assert not list(folder.iterdir())
