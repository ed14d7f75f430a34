"""A real engine that hangs, is killed and comes back: calls end at their deadline, and what is undone is undone."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from simian.errors import TimedOut, Unreachable
from simian.owner import Owner
from simian.platforms.docker import DockerPlatform, from_settings

from ..real_parts import part_missing
from .docker_engine import IMAGE, import_image, real_engine_fixture  # noqa: F401

ENGINE = Path(__file__).parent.parent.parent / ".ci" / "engine"
LIMIT_S = 5.0
Until = Callable[..., Any]


class OwnEngine:
    """An engine that a test may hurt, with one container on no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._engine_up()
        host = self.api.create_host_config(network_mode="none", restart_policy={"Name": "unless-stopped"})
        wait = ["sh", "-c", 'trap "exit 0" TERM; sleep 1000 & wait']
        import_image(self.api)
        self.api.create_container(IMAGE, wait, name="web-1", labels={"simian.enabled": "true"}, host_config=host)
        self.api.start("web-1")

    def start(self) -> None:
        """Again, after it was ended."""
        self.api.close()
        self._engine_up()

    def _engine_up(self) -> None:
        told = subprocess.run([ENGINE, "start", self.folder], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        self.url = told.stdout.strip()
        self.api = docker.APIClient(base_url=self.url, version="auto", timeout=60)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        return int((self.folder / "dockerd.pid").read_text())

    def platform(self) -> DockerPlatform:
        return from_settings({"driver": "docker", "url": self.url, "limit_s": LIMIT_S}, {})

    def status(self) -> str:
        return str(self.api.inspect_container("web-1")["State"]["Status"])

    def close(self) -> None:
        self.api.close()
        subprocess.run([ENGINE, "stop", self.folder], check=True)


@pytest.fixture
def own_engine(real_engine: object) -> Iterator[OwnEngine]:
    if not shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin") or os.geteuid():
        part_missing("docker", "dockerd and root: an engine of its own is hung and killed here")
    with tempfile.TemporaryDirectory(prefix="simian-", ignore_cleanup_errors=True) as folder:
        engine = OwnEngine(Path(folder))
        try:
            yield engine
        finally:
            engine.close()


@pytest.mark.timeout(500)
def test_an_engine_that_was_stopped_amid_a_fault_is_a_time_out_and_undo_works_once_it_goes_on(
    own_engine: OwnEngine,
) -> None:
    platform = own_engine.platform()
    platform.pause("web-1")
    own_engine.send(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimedOut, match="may still"):
        platform.resume("web-1")
    assert time.monotonic() - began >= LIMIT_S
    own_engine.send(signal.SIGCONT)
    platform.resume("web-1")
    assert own_engine.status() == "running"


@pytest.mark.timeout(500)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_was_restarted_amid_a_fault_is_reached_again_and_the_fault_undone(
    own_engine: OwnEngine, until: Until, how: signal.Signals
) -> None:
    platform = own_engine.platform()
    before = platform.incarnation("web-1")
    platform.kill("web-1")
    process = Owner.of(own_engine.pid)
    own_engine.send(how)
    until(lambda: not process.alive, "the engine is gone")
    with pytest.raises((Unreachable, TimedOut)):
        platform.start("web-1")
    own_engine.start()
    assert own_engine.status() == "exited", "a killed one is not restarted with the engine"
    platform.start("web-1")
    assert own_engine.status() == "running"
    assert platform.incarnation("web-1") not in (None, before)
