"""The daemon in a container, as ``examples/serve/compose.yaml`` has it, beside a system of small containers.

When that container dies the guardian dies with it: what is broken then stays so until the container is started again,
and is put back first of all.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from simian_lab.docker_control import Engine

from ..real_parts import part_missing
from .conftest import until
from .docker_engine import RealEngine, SmallContainers, real_engine_fixture  # noqa: F401
from .shop import Shop

PROJECT = Path(__file__).parents[2]
IMAGE = f"simian:{tomllib.loads((PROJECT / 'pyproject.toml').read_text())['project']['version']}"
PATIENCE_S = 120.0
WHOLE = "running"


class Served:
    """The daemon's container, by ``docker``; and simian on this machine, which knows its address and token only."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop, self._folder = shop, folder
        self.engine = Engine.by({**os.environ, "DOCKER_HOST": shop.containers.engine.url})
        self.port = free_port()
        reached = {"networks": {"shop": {"name": shop.containers.networks["east"], "external": True}}}
        beside = {"services": {"simian": {"networks": ["default", "shop"]}}, **reached}
        (folder / "beside.yaml").write_text(json.dumps(beside))
        text = (PROJECT / "examples/serve/compose.yaml").read_text()
        (folder / "compose.yaml").write_text(text)
        sections = {**shop.sections(), "platform": {**shop.containers.settings, "url": "unix:///var/run/docker.sock"}}
        (folder / "simian.yaml").write_text(json.dumps(sections))
        self._name = f"serve-{shop.containers.project}"

    def compose(self, *words: str) -> None:
        where = self._folder
        files = ["-f", str(where / "compose.yaml"), "-f", str(where / "beside.yaml")]
        engine = self.shop.containers.engine.url.removeprefix("unix://")
        told = {
            **self.engine.environment,
            "DOCKER_SOCKET": engine,
            "DOCKER_GROUP": str(os.stat(engine).st_gid),
            "SIMIAN_PORT": str(self.port),
        }
        command = ["docker", "compose", "-p", self._name, *files, *words]
        done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    @property
    def container(self) -> str:
        return f"{self._name}-simian-1"

    def state(self, *path: str) -> Any:
        told = self.shop.containers.engine.inspect(self.container)["State"]
        for key in path:
            told = told[key]
        return told

    def serves(self) -> bool:
        """Its pages answer, the daemon behind them too: the image's own health check, asked at once."""
        check = "import urllib.request as u; u.urlopen('http://127.0.0.1:8480/readyz', timeout=2)"
        command = ["docker", "exec", self.container, "python", "-c", check]
        return not subprocess.run(command, env=self.engine.environment, capture_output=True, timeout=60).returncode

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        token = self.engine.run("exec", self.container, "sh", "-c", "cat $(find /state -name token)").strip()
        return subprocess.Popen(
            [sys.executable, "-m", "simian", *words],
            env={**os.environ, "SIMIAN_SERVER": f"http://127.0.0.1:{self.port}", "SIMIAN_TOKEN": token},
            cwd=self._folder / "elsewhere",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self, *words: str) -> Any:
        with self.begin(*words, "--json") as command:
            said, complained = command.communicate(timeout=PATIENCE_S)
        assert said, complained
        return json.loads(said)

    def history(self) -> list[tuple[str, str]]:
        """Outcome and recovery of each run, newest first."""
        return [(row["outcome"], row["recovery"]) for row in self.told("history")["runs"]]


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def served(real_engine: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not real_engine.api.images(name=IMAGE):
        part_missing("images", f"make images IMAGES={IMAGE}")
    containers = SmallContainers(real_engine)
    try:
        folder = tmp_path_factory.mktemp("serve")
        (folder / "elsewhere").mkdir()
        made = Served(Shop(containers, tmp_path_factory.mktemp("shop"), services=("web",)), folder)
        try:
            made.compose("up", "-d")
            until(made.serves, "the daemon serves", PATIENCE_S)
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout", "60")
    finally:
        containers.close()


def paused(served: Served) -> str:
    """A run that goes on in the daemon's container; the node that it has paused, by the engine."""
    node = served.shop.containers.name("web-east-b")
    command = served.begin("chaos", "--node", node, "--how", "pause", "--for", "120s", "--yes")
    try:
        until(lambda: state_of(served, node) == "paused" or command.poll() is not None, "it is paused", PATIENCE_S)
        assert command.poll() is None, command.communicate()
    finally:
        command.send_signal(signal.SIGKILL)  # who asked may go: the run is the daemon's
        command.communicate()
    return node


def state_of(served: Served, node: str) -> str:
    return str(served.shop.containers.engine.inspect(node)["State"]["Status"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("death", ["docker-kill", "kill-9-of-its-first-process"])
def test_a_daemon_whose_container_dies_amid_a_run_puts_all_back_when_it_is_started_again(
    served: Served, death: str
) -> None:
    before, known = served.shop.seen(), served.history()
    node = paused(served)
    if death == "docker-kill":
        served.engine.run("kill", served.container)
        until(lambda: not served.state("Running"), "it is dead", PATIENCE_S)
        assert state_of(served, node) == "paused", "there is nobody left who could have put it back"
        served.engine.run("start", served.container)
    else:
        started = served.state("StartedAt")
        os.kill(served.state("Pid"), signal.SIGKILL)
        until(lambda: served.state("StartedAt") != started, "the engine starts it again", PATIENCE_S)
    until(lambda: state_of(served, node) == WHOLE, "it is put back", PATIENCE_S)
    until(served.serves, "it serves again", PATIENCE_S)
    until(lambda: served.history() != known, "the run is in the history", PATIENCE_S)
    assert served.history() == [("crashed", "clean"), *known]
    assert served.shop.seen() == before
    status = served.told("status")
    assert (status["runs"], status["recover"]) == ([], False), status
