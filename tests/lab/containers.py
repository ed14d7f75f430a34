"""Containers of the images of the lab, as the lab has them: on an internal network, each at an address of its own.

``SIMIAN_DOCKER`` is the URL of the engine whose images they are; ``make images`` builds those that are missing.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
from simian_lab.compose import IMAGES
from simian_lab.docker_control import Engine, LabError

from ..real_parts import part_missing

PATIENCE_S = 600.0  # the first start of a Cassandra on a busy machine

STOP_PATIENCE_S = 60.0


def images_engine() -> Any:
    """A client of the engine. Skips, or fails where images are required, without one."""
    url = os.environ.get("SIMIAN_DOCKER", "")
    if not url:
        part_missing("images", "SIMIAN_DOCKER is the URL of an engine that has them")
    try:
        return docker.APIClient(base_url=url, version="auto", timeout=PATIENCE_S)
    except docker.errors.DockerException as error:
        part_missing("images", f"no engine at {url}: {error}")


@pytest.fixture(name="lab_engine", scope="session")
def lab_engine_fixture() -> str:
    """The URL of an engine that has all images of the lab in containers, and a ``docker compose``."""
    url = os.environ.get("SIMIAN_DOCKER", "")
    if not url:
        part_missing("images", "SIMIAN_DOCKER names no engine; .ci/engine starts one")
    try:
        there = Engine.by({**os.environ, "DOCKER_HOST": url}).run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    except LabError as error:
        part_missing("images", str(error))
    if missing := sorted(set(IMAGES.values()) - set(there.split())):
        part_missing("images", f"the engine has no {', '.join(missing)}; make images builds them")
    return url


class Containers:
    """Those that one test starts, and their network; ``close`` leaves nothing."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self._labels = {"simian.tests.images": uuid.uuid4().hex}
        self._subnet = free_subnet(api)
        self._network = api.create_network(
            f"simian-{uuid.uuid4().hex[:8]}",
            driver="bridge",
            internal=True,
            ipam={"Driver": "default", "Config": [{"Subnet": self._subnet}]},
            labels=self._labels,
        )["Id"]
        self._number = 1

    def start(
        self, image: str, command: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> "Container":
        """A running one, with the next address of the network. Its image has to be there."""
        if not self.api.images(name=image):
            part_missing("images", f"no {image} on this engine; make images IMAGES={image}")
        self._number += 1
        address = self._subnet.replace("0/24", str(self._number))
        made = self.api.create_container(
            image,
            list(command) or None,
            environment=dict(environment or {}),
            labels=self._labels,
            host_config=self.api.create_host_config(network_mode=self._network),
            networking_config=self.api.create_networking_config(
                {self._network: self.api.create_endpoint_config(ipv4_address=address)}
            ),
        )
        self.api.start(made["Id"])
        return Container(self.api, made["Id"], address)

    def close(self) -> None:
        """Remove them, what they kept, and the network."""
        ours = {"label": [f"{name}={value}" for name, value in self._labels.items()]}
        for one in self.api.containers(all=True, filters=ours):
            self.api.remove_container(one["Id"], force=True, v=True)
        self.api.remove_network(self._network)


class Container:
    """One of them: how it is at this moment, and what can be done with it."""

    def __init__(self, api: Any, identity: str, address: str) -> None:
        self._api, self._id, self.address = api, identity, address

    @property
    def state(self) -> Mapping[str, Any]:
        """What the engine says of its process."""
        told: Mapping[str, Any] = self._api.inspect_container(self._id)["State"]
        return told

    @property
    def log(self) -> str:
        """All that it has said."""
        return str(self._api.logs(self._id).decode(errors="replace"))

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait for a condition that is false, or an ``OSError``, until it holds; the value that it became."""
        deadline = time.monotonic() + PATIENCE_S
        why = ""
        while time.monotonic() < deadline:
            try:
                if value := true():
                    return value
            except OSError as error:
                why = str(error)
            if not self.state["Running"]:
                break
            time.sleep(0.1)
        pytest.fail(f"not {what} ({why}); {self.state}\n{self.log[-3000:]}")

    def run(self, *command: str) -> str:
        """What a command inside it says. It has to end well, and to do no harm when it is run again.

        An engine under load may lose all that a short command said, so silence is not believed at once.
        """
        tries = (self._run(*command) for _ in range(5))
        return next((said for said in tries if said), "")

    def _run(self, *command: str) -> str:
        made = self._api.exec_create(self._id, list(command))["Id"]
        said = str(self._api.exec_start(made).decode(errors="replace"))
        code = self._api.exec_inspect(made)["ExitCode"]
        assert code == 0, f"{command} ended with {code}: {said}"
        return said

    def kill(self) -> None:
        """End it as a power cut would."""
        self._api.kill(self._id)
        self._api.wait(self._id)

    def start(self) -> None:
        self._api.start(self._id)

    def ended(self) -> int:
        """Its exit code, once it has ended by itself; fails when it does not."""
        deadline = time.monotonic() + STOP_PATIENCE_S
        while (state := self.state)["Running"]:
            assert time.monotonic() < deadline, f"not ended after {STOP_PATIENCE_S:g} s\n{self.log[-3000:]}"
            time.sleep(0.1)
        return int(state["ExitCode"])

    def stop(self) -> int:
        """Ask its first process to end, by SIGTERM alone, and wait until it has; the exit code."""
        self._api.kill(self._id, "SIGTERM")
        return self.ended()

    def connect(self, port: int) -> socket.socket:
        return socket.create_connection((self.address, port), 5)

    def talk(self, port: int, said: bytes, end: bytes) -> bytes:
        """What it answers to these bytes, up to such an end."""
        with self.connect(port) as connection:
            connection.sendall(said)
            heard = b""
            while not heard.endswith(end) and (more := connection.recv(65536)):
                heard += more
        return heard


def free_subnet(api: Any) -> str:
    """One of 198.18.0.0/15, which is kept for tests, that no network of this machine has."""
    taken = {pool.get("Subnet") for net in api.networks() for pool in (net.get("IPAM") or {}).get("Config") or []}
    routes = {line.split()[1] for line in Path("/proc/net/route").read_text().splitlines()[1:]}
    free = (n for n in range(150, 200) if f"00{n:02X}13C6" not in routes)  # 198.19.n.0, its bytes from last to first
    return next(subnet for n in free if (subnet := f"198.19.{n}.0/24") not in taken)
