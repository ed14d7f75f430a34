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
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..real_parts import part_missing
from .conftest import until
from .docker_engine import RealEngine, SmallContainers, real_engine_fixture  # noqa: F401
from .served import PATIENCE_S, PROJECT, VERSION, WHOLE, Served
from .shop import Shop

IMAGE = f"simian:{VERSION}"


class InAContainer(Served):
    """As the compose file has it; commands are given on this machine."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        super().__init__(shop)
        self._folder, self.port = folder, free_port()
        reached = {"networks": {"shop": {"name": shop.containers.networks["east"], "external": True}}}
        beside = {"services": {"simian": {"networks": ["default", "shop"]}}, **reached}
        (folder / "beside.yaml").write_text(json.dumps(beside))
        text = (PROJECT / "examples/serve/compose.yaml").read_text()
        (folder / "compose.yaml").write_text(text)
        (folder / "simian.yaml").write_text(json.dumps(self.sections()))
        self._name = f"serve-{shop.containers.project}"
        self.container = f"{self._name}-simian-1"

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


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def served(real_engine: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InAContainer]:
    if not real_engine.api.images(name=IMAGE):
        part_missing("images", f"make images IMAGES={IMAGE}")
    containers = SmallContainers(real_engine)
    try:
        folder = tmp_path_factory.mktemp("serve")
        (folder / "elsewhere").mkdir()
        made = InAContainer(Shop(containers, tmp_path_factory.mktemp("shop"), services=("web",)), folder)
        try:
            made.compose("up", "-d")
            until(made.serves, "the daemon serves", PATIENCE_S)
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout", "60")
    finally:
        containers.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("death", ["docker-kill", "kill-9-of-its-first-process"])
def test_a_daemon_whose_container_dies_amid_a_run_puts_all_back_when_it_is_started_again(
    served: InAContainer, death: str
) -> None:
    before, known = served.shop.seen(), served.history()
    node = served.paused()
    if death == "docker-kill":
        served.engine.run("kill", served.container)
        until(lambda: not served.state("Running"), "it is dead", PATIENCE_S)
        assert served.is_(node, "paused"), "there is nobody left who could have put it back"
        served.engine.run("start", served.container)
    else:
        started = served.state("StartedAt")
        os.kill(served.state("Pid"), signal.SIGKILL)
        until(lambda: served.state("StartedAt") != started, "the engine starts it again", PATIENCE_S)
    until(lambda: served.is_(node, WHOLE), "it is put back", PATIENCE_S)
    served.ends_whole(known, "crashed", before)
