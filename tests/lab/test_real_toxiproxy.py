"""The lab with the real Toxiproxy in the place of our stand-in."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from simian_filters.distribution import Distribution
from simian_lab import control
from simian_lab.control import LabError, find_parts
from simian_lab.layout import LinkSpec
from simian_lab.manifest import Manifest
from simian_lab.node import context_of
from simian_lab.processes import Identity
from simian_lab.readiness import ready
from simian_lab.toxiproxy_real import command

from simian.networks import toxiproxy
from simian.platforms import process
from simian.world import Network, Platform

from ..real_parts import real_part
from .conftest import free_layout

PATIENCE_S = 60.0
USERS = frozenset({"users"})
LINK, MARK = "store-east--store-west-b", "simian.k7f3.1"


def wait_for(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {PATIENCE_S:g} s"
        time.sleep(0.02)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


@dataclass
class Lab:
    """A lab whose proxies are the real thing, and the drivers that its own ``simian.yaml`` asks for."""

    folder: Path

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(control.manifest_path(self.folder))

    @cached_property
    def settings(self) -> dict[str, Any]:
        return dict(YAML(typ="safe").load(self.manifest.files.configuration.read_text()))

    @cached_property
    def platform(self) -> Platform:
        return process.from_settings(self.settings["platform"], {})

    @cached_property
    def network(self) -> Network:
        return toxiproxy.from_settings(self.settings["network"], {"platform": self.platform})

    def identity(self, node: str) -> Identity:
        identity = self.manifest.processes[node].identity
        assert identity is not None
        return identity

    def proxies(self, node: str) -> dict[str, Any]:
        return dict(get(f"http://{self.manifest.layout.node(node).address}/proxies"))

    def is_whole(self, node: str) -> None:
        """Each link into its region is there as the layout has it, enabled, with nothing on it."""
        links = self.manifest.layout.links_into(node)
        found = {
            name: (proxy["listen"], proxy["upstream"], proxy["enabled"], proxy["toxics"])
            for name, proxy in self.proxies(node).items()
        }
        assert found == {link.name: (link.listen, link.upstream, True, []) for link in links}

    def is_real(self, node: str) -> None:
        if sys.platform == "linux":
            program = os.readlink(f"/proc/{self.identity(node).pid}/exe")
            assert program == os.path.realpath(real_part("toxiproxy"))
        assert get(self.manifest.layout.node(node).ask) == {"version": "2.12.0"}

    def link(self) -> LinkSpec:
        return self.manifest.layout.link(LINK)

    def crosses(self) -> bool:
        return bool(ready(self.link().ask))

    def put_a_toxic(self) -> None:
        self.network.delay(LINK, MARK, by=Distribution.parse("constant:5ms"), direction="both")
        assert self.network.read(LINK).marks == (MARK,)


@pytest.fixture(scope="module", params=[True, False], ids=["own-addresses", "shared-address"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One with its users, for the tests that leave it as it was."""
    real = {"toxiproxy": real_part("toxiproxy")}
    folder = tmp_path_factory.mktemp("real") / "lab"
    try:
        control.up(folder, seed=7, rate=40, own_addresses=request.param, real=real, timeout_s=PATIENCE_S)
        yield Lab(folder)
    finally:
        control.down(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    control.down(tmp_path)


@pytest.mark.lab
def test_each_region_has_the_real_one_with_all_its_links(lab: Lab) -> None:
    assert {row["state"] for row in control.status(lab.folder)} == {"ready"}
    for node in lab.manifest.layout.nodes_of("proxy"):
        lab.is_real(node.name)
        lab.is_whole(node.name)
    assert sum(len(lab.proxies(f"proxy-{region}")) for region in ("east", "west")) == 38


@pytest.mark.lab
def test_status_and_logs_tell_of_it(lab: Lab) -> None:
    line = [sys.executable, "-m", "simian", "lab", "status", "--json"]
    environment = os.environ | {"SIMIAN_STATE": str(lab.folder.parent)}
    done = subprocess.run(line, env=environment, capture_output=True, check=True, timeout=PATIENCE_S)
    shape = json.loads(done.stdout)
    assert (shape["real"], len(shape["nodes"])) == (["toxiproxy"], 31)
    told = "\n".join(control.logs(lab.folder, "proxy-east", 10_000))
    assert "Populated proxies from file" in told
    assert real_part("toxiproxy") in told


@pytest.mark.lab
def test_users_are_served_from_caches_that_stand_behind_it(lab: Lab) -> None:
    users = lab.manifest.layout.node("users")
    ok, hops = 0, set()
    with socket.create_connection((users.host, users.port), 5) as sock, sock.makefile() as lines:
        deadline = time.monotonic() + PATIENCE_S
        while ok < 100 and time.monotonic() < deadline:
            shape = json.loads(lines.readline())
            ok += sum(row["ok"] for row in shape.get("rows", []))
            hops |= {hop.rstrip("+-") for hop in shape.get("hops", {})}
    assert ok >= 100
    read = {hop for hop in hops if hop.startswith("members-") and ">cache-" in hop and hop[-1] not in "!~"}
    assert {hop.split("-")[1] for hop in read} == {"east", "west"}


@pytest.mark.lab
@pytest.mark.parametrize("how", ["refuse", "blackhole"])
def test_a_link_between_the_regions_is_cut_and_mended(lab: Lab, how: Any) -> None:
    was = lab.network.read(LINK)
    assert lab.crosses()
    lab.network.cut(LINK, MARK, how=how, direction="both")
    assert not lab.crosses()
    assert {link.name: link.state for link in lab.network.links()}[LINK] != "open"
    lab.network.mend(LINK, MARK, was)
    wait_for(lab.crosses, "mended")
    assert lab.network.read(LINK) == was
    lab.is_whole("proxy-west")


@pytest.mark.lab
def test_one_that_dies_comes_back_as_another_process_with_all_its_links(lab: Lab) -> None:
    lab.put_a_toxic()
    before = lab.identity("proxy-west")
    assert before.send(signal.SIGKILL)
    wait_for(lambda: lab.identity("proxy-west") != before and ready(lab.manifest.layout.node("proxy-west").ask), "back")
    lab.is_whole("proxy-west")
    lab.is_real("proxy-west")
    assert lab.platform.incarnation("proxy-west") == lab.identity("proxy-west").text != before.text
    wait_for(lab.crosses, "reached behind it")


@pytest.mark.lab
def test_without_a_supervisor_it_is_started_as_it_was_and_down_leaves_nothing(folder: Path) -> None:
    real = {"toxiproxy": real_part("toxiproxy")}
    lab = Lab(folder)
    manifest = control.up(folder, held=USERS, real=real, timeout_s=PATIENCE_S)
    supervisor = manifest.supervisor
    assert supervisor is not None
    supervisor.send(signal.SIGKILL)
    wait_for(lambda: not supervisor.alive(), "dead")
    lab.platform.crash("proxy-west")
    lab.platform.start("proxy-west")
    wait_for(lambda: lab.platform.ready("proxy-west"), "back")
    lab.is_whole("proxy-west")
    lab.is_real("proxy-west")
    identities = [lab.identity(node.name) for node in manifest.layout.nodes if node.name != "users"]
    assert control.down(folder) is True
    assert not [each for each in (*identities, supervisor) if each.alive()]
    assert not list(folder.iterdir())
    for node in manifest.layout.nodes_of("proxy"):
        for address in [(node.host, node.port)] + [
            (link.listen_host, link.listen_port) for link in manifest.layout.links_into(node.name)
        ]:
            socket.create_server(address).close()


@pytest.mark.lab
def test_a_lab_that_is_up_with_stand_ins_is_not_taken_for_one_with_the_real_part(folder: Path) -> None:
    control.up(folder, held=USERS)
    with pytest.raises(LabError, match="up already, with stand-ins in the place of the real toxiproxy; take it down"):
        control.up(folder, real={"toxiproxy": sys.executable})
    assert control.real(folder) == []
    assert control.status(folder)[0]["state"] == "ready"


def test_it_is_not_started_while_an_address_of_its_is_taken(tmp_path: Path) -> None:
    """The real one would go on without that link."""
    layout = free_layout()
    files = control.Files.inside(tmp_path)
    files.make([node.name for node in layout.nodes])
    manifest = Manifest.first(files, layout, seed=1, rate=1, held=USERS, real={})
    context = context_of(manifest, "proxy-west")
    line = command("/bin/toxiproxy", context)
    assert line[:5] == ("/bin/toxiproxy", "-host", context.spec.host, "-port", "8474")
    assert len(json.loads(Path(line[-1]).read_text())) == len(layout.links_into("proxy-west"))
    taken = layout.links_into("proxy-west")[5]
    with (
        socket.create_server((taken.listen_host, taken.listen_port)),
        pytest.raises(OSError, match=f"{taken.listen} cannot be listened on"),
    ):
        command("/bin/toxiproxy", context)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "toxiproxy-server"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    return path


def test_the_program_is_found_on_the_path_or_where_the_variable_says(program: Path, monkeypatch: Any) -> None:
    found = {"toxiproxy": str(program)}
    assert find_parts(["toxiproxy"], {"PATH": str(program.parent)}) == found
    assert find_parts(["toxiproxy"], {"SIMIAN_TOXIPROXY": str(program)}) == found
    monkeypatch.chdir(program.parent)
    assert find_parts(["toxiproxy"], {"SIMIAN_TOXIPROXY": f"./{program.name}"}) == found
    assert find_parts([], {}) == {}


def test_what_is_not_installed_is_told_with_how_to_get_it(program: Path) -> None:
    program.chmod(0o600)
    with pytest.raises(LabError, match=r"no toxiproxy-server on PATH; .*SIMIAN_TOXIPROXY \(go install .*@v2\.12\.0"):
        find_parts(["toxiproxy"], {"PATH": str(program.parent)})
    with pytest.raises(LabError, match=f"SIMIAN_TOXIPROXY names {program}, which cannot be run"):
        find_parts(["toxiproxy"], {"PATH": "/bin", "SIMIAN_TOXIPROXY": str(program)})
    with pytest.raises(LabError, match="no real 'cassandra' for the lab; there is: toxiproxy"):
        find_parts(["cassandra"], {})
