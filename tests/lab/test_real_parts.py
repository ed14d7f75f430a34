"""The lab with one real part in the place of our stand-in: the same life, at the same address."""

import os
import pwd
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from simian_lab import control
from simian_lab.control import LabError, find_parts
from simian_lab.layout import Layout
from simian_lab.manifest import Manifest
from simian_lab.processes import Identity

from simian.observers.socket import SocketObserver
from simian.platforms import process
from simian.topology import Node
from simian.world import Platform

from ..real_parts import real_part
from .one_node import PATIENCE_S, wait_for

NODES = {"memcached": "cache-west-b", "dns": "dns", "sqs": "queue-east"}


class Lab:
    """One whose other nodes are held; looked at by the drivers that its own ``simian.yaml`` asks for."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.program, self.node = folder, real_part(part), NODES[part]
        held = frozenset(node.name for node in Layout.compute().nodes) - {self.node}
        control.up(folder, held=held, real={part: self.program}, timeout_s=PATIENCE_S)

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(control.manifest_path(self.folder))

    @property
    def identity(self) -> Identity:
        identity = self.manifest.processes[self.node].identity
        assert identity is not None
        return identity

    @cached_property
    def platform(self) -> Platform:
        settings = YAML(typ="safe").load(self.manifest.files.configuration.read_text())
        return process.from_settings(settings["platform"], {})

    @property
    def seen(self) -> Node:
        return next(node for node in self.platform.nodes() if node.name == self.node)

    def answers(self) -> bool:
        return bool(SocketObserver().ask(self.seen, timeout_s=2.0).answered)

    def back(self) -> bool:
        return bool(self.platform.ready(self.node))

    def is_real(self) -> None:
        """The program that was asked for, at the address of the layout, known by the pid that it tells."""
        if sys.platform == "linux":
            program = os.readlink(f"/proc/{self.identity.pid}/exe")
            assert program == os.path.realpath(shlex.split(self.program)[0])
        exchange = SocketObserver().ask(self.seen, timeout_s=5.0)
        assert exchange.answered, exchange
        assert exchange.incarnation in (None, str(self.identity.pid))
        assert self.platform.incarnation(self.node) == self.identity.text


@pytest.fixture(scope="module", params=NODES)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("real") / "lab"
    try:
        yield Lab(folder, request.param)
    finally:
        control.down(folder)


@pytest.mark.lab
def test_it_runs_in_the_place_of_the_stand_in(lab: Lab) -> None:
    states = {row["name"]: row["state"] for row in control.status(lab.folder)}
    assert [name for name, state in states.items() if state == "ready"] == ["supervisor", lab.node]
    lab.is_real()
    assert shlex.split(lab.program)[-1] in "\n".join(control.logs(lab.folder, lab.node, 10_000))


@pytest.mark.lab
def test_root_runs_a_server_of_the_system_as_nobody(lab: Lab) -> None:
    owner = Path(f"/proc/{lab.identity.pid}").stat().st_uid
    wanted = "nobody" if os.geteuid() == 0 and lab.node != NODES["sqs"] else pwd.getpwuid(os.geteuid()).pw_name
    assert pwd.getpwuid(owner).pw_name == wanted


@pytest.mark.lab
def test_paused_it_is_silent_and_resumed_it_answers(lab: Lab) -> None:
    before = lab.identity
    lab.platform.pause(lab.node)
    assert not lab.platform.ready(lab.node)
    assert not lab.answers()
    lab.platform.resume(lab.node)
    wait_for(lab.back, "resumed")
    assert lab.answers()
    assert lab.identity == before


@pytest.mark.lab
def test_one_that_dies_comes_back_as_another_process_at_its_address(lab: Lab) -> None:
    before, address = lab.identity, lab.seen.address
    lab.platform.crash(lab.node)
    wait_for(lambda: lab.identity != before and lab.back(), "back")
    lab.is_real()
    assert lab.seen.address == address


@pytest.mark.lab
def test_one_that_is_killed_stays_down_until_it_is_started(lab: Lab) -> None:
    before = lab.identity
    lab.platform.kill(lab.node)
    assert not lab.answers()
    assert control.status(lab.folder)[-1]["state"] == "held"
    lab.platform.start(lab.node)
    wait_for(lab.back, "started")
    lab.is_real()
    assert lab.identity != before


@pytest.mark.lab
def test_one_that_is_stopped_ends_in_good_order(lab: Lab) -> None:
    lab.platform.stop(lab.node)
    assert lab.seen.state == "stopped"
    lab.platform.start(lab.node)
    wait_for(lab.back, "started")


@pytest.mark.lab
def test_without_a_supervisor_it_is_started_as_it_was_and_down_leaves_nothing(lab: Lab) -> None:
    supervisor = lab.manifest.supervisor
    assert supervisor is not None
    supervisor.send(signal.SIGKILL)
    wait_for(lambda: not supervisor.alive(), "dead")
    lab.platform.crash(lab.node)
    lab.platform.start(lab.node)
    wait_for(lab.back, "back")
    lab.is_real()
    last, spec = lab.identity, lab.manifest.layout.node(lab.node)
    assert control.down(lab.folder)
    assert not last.alive()
    assert not list(lab.folder.iterdir())
    for port in (spec.port, *spec.ports.values()):
        socket.create_server((spec.host, port)).close()


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "jars" / "elasticmq.jar"
    path.parent.mkdir()
    path.touch()
    return path


@pytest.fixture
def java(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "java"
    path.parent.mkdir()
    path.touch(0o700)
    return path


def test_elasticmq_is_found_as_a_folder_of_jars_or_as_a_class_path(jar: Path, java: Path, monkeypatch: Any) -> None:
    def found(named: str) -> list[str]:
        environment = {"PATH": str(java.parent), "SIMIAN_ELASTICMQ": named}
        return shlex.split(find_parts(["sqs"], environment)["sqs"])

    assert found(str(jar.parent)) == [str(java), "-cp", f"{jar.parent}/*"]
    assert found(f"{jar.parent}/*") == [str(java), "-cp", f"{jar.parent}/*"]
    assert found(f"{jar}:{jar.parent}/other.jar") == [str(java), "-cp", f"{jar}:{jar.parent}/other.jar"]
    monkeypatch.chdir(jar.parents[1])
    assert found("jars") == [str(java), "-cp", f"{jar.parent}/*"]


def test_what_is_missing_of_elasticmq_is_told(jar: Path, java: Path) -> None:
    path = {"PATH": str(java.parent)}
    for environment, told in [
        ({"PATH": "/nowhere", "SIMIAN_ELASTICMQ": str(jar.parent)}, "no java on PATH"),
        (path, "no SIMIAN_ELASTICMQ"),
        (path | {"SIMIAN_ELASTICMQ": ""}, "no SIMIAN_ELASTICMQ"),
        (path | {"SIMIAN_ELASTICMQ": str(java.parent)}, f"SIMIAN_ELASTICMQ names {java.parent}, where no jar is"),
        (path | {"SIMIAN_ELASTICMQ": "/nowhere"}, "SIMIAN_ELASTICMQ names /nowhere, where no jar is"),
    ]:
        with pytest.raises(LabError, match=rf"the real sqs is not installed: {told}; .*pom\.xml"):
            find_parts(["sqs"], environment)


def test_a_name_server_without_its_database_is_not_taken(tmp_path: Path) -> None:
    program = tmp_path / "sbin" / "pdns_server"
    program.parent.mkdir()
    program.touch(0o700)
    with pytest.raises(LabError, match=r"schema\.sqlite3\.sql; .*pdns-backend-sqlite3"):
        find_parts(["dns"], {"SIMIAN_POWERDNS": str(program)})
    schema = tmp_path / "share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
    schema.parent.mkdir(parents=True)
    schema.touch()
    assert find_parts(["dns"], {"SIMIAN_POWERDNS": str(program)}) == {"dns": str(program)}
