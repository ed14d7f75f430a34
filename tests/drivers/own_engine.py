"""An engine of its own, which a test may hang and kill, and containers on it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from simian.platforms.docker import DockerPlatform, from_settings

from ..real_parts import part_missing
from .docker_engine import IMAGE, POLITE, PORT, import_image

ENGINE = Path(__file__).parent.parent.parent / ".ci" / "engine"
LIMIT_S = 5.0


class OwnEngine:
    """An engine that a test may hurt, with one container on no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._engine_up()
        import_image(self.api)
        self.add("web-1")

    def add(self, name: str, network: str = "none") -> str:
        """A running container that opted in and is restarted unless it was stopped; on a network it answers. Its id."""
        labels = {"simian.enabled": "true"}
        if network != "none":
            labels["simian.ask"] = f"http://:{PORT}/cgi-bin/health"
        host = self.api.create_host_config(network_mode=network, restart_policy={"Name": "unless-stopped"})
        made = self.api.create_container(IMAGE, ["sh", "-c", POLITE], name=name, labels=labels, host_config=host)
        self.api.start(made["Id"])
        return str(made["Id"])

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

    def status(self, name: str = "web-1") -> str:
        return str(self.api.inspect_container(name)["State"]["Status"])

    def close(self) -> None:
        self.api.close()
        subprocess.run([ENGINE, "stop", self.folder], check=True)


@pytest.fixture(name="own_engine")
def own_engine_fixture(real_engine: object) -> Iterator[OwnEngine]:
    if not shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin") or os.geteuid():
        part_missing("docker", "dockerd and root: an engine of its own is hung and killed here")
    with tempfile.TemporaryDirectory(prefix="simian-", ignore_cleanup_errors=True) as folder:
        engine = OwnEngine(Path(folder))
        try:
            yield engine
        finally:
            engine.close()
