"""A real Docker engine and small containers on it: an HTTP service made of busybox, imported without any registry.

``SIMIAN_DOCKER`` is the engine's URL; without it, the local socket is tried.
"""

import io
import itertools
import os
import shutil
import socket
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from simian.errors import DriverError
from simian.platforms.docker_engine import Engine

from .conftest import PATIENCE_S, part_missing, until

FULL = int(os.environ.get("SIMIAN_SEEDS", "1")) > 1  # else one of each kind
IMAGE = "simian-small:1"
PORT = 8000
OWNER = "simian.tests"  # a label of all that these tests make
_PROGRAMS = ("sh", "nc", "cat", "nslookup", "httpd", "kill", "sleep", "touch", "rm", "head", "cut", "timeout", "stty")
# Whoever asks with ?size_b=N gets so many bytes; /tmp/fault has the mark of a request fault and its status.
_HEALTH = r"""#!/bin/sh
read mark status 2>/dev/null < /tmp/fault
echo "Status: ${status:-200} x"
echo "x-lab-incarnation: $(cat /tmp/started)"
[ -z "$mark" ] || echo "x-simian-faults: $mark"
echo
size="${QUERY_STRING##*size_b=}"
head -c "${size:-3}" /dev/zero
"""
# Process 1 heeds SIGTERM only where it was told to: the kernel gives it no default.
RUN = 'rm -f /tmp/fault; cut -d" " -f1 /proc/uptime > /tmp/started; httpd -f -p 8000 -h /www & wait'
POLITE, STUBBORN = f'trap "exit 0" TERM; {RUN}', f'trap "" TERM; {RUN}'
_numbers = itertools.count()


def image() -> bytes:
    """A tar of one static busybox and two pages."""
    busybox = shutil.which("busybox")
    if busybox is None:
        part_missing("docker", "install busybox-static: the small containers are made of it")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in ("bin", "tmp", "www", "www/cgi-bin"):
            tar.addfile(_entry(folder, type=tarfile.DIRTYPE))
        for name, data in {"bin/busybox": Path(busybox).read_bytes(), "www/cgi-bin/health": _HEALTH.encode()}.items():
            tar.addfile(_entry(name, size=len(data)), io.BytesIO(data))
        for name in _PROGRAMS:
            tar.addfile(_entry(f"bin/{name}", type=tarfile.SYMTYPE, linkname="busybox"))
    return packed.getvalue()


def _entry(name: str, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry


class RealEngine:
    """Hands and eyes of our own on the engine: one client, none of the drivers' words."""

    def __init__(self, url: str, api: Any) -> None:
        self.url, self.api = url, api

    def inspect(self, container: str) -> dict[str, Any]:
        return dict(self.api.inspect_container(container))

    def run_in(self, container: str, command: str) -> bytes:
        """What a shell inside says."""
        made = self.api.exec_create(container, ["sh", "-c", command])
        return bytes(self.api.exec_start(made["Id"]))


def import_image(api: Any) -> None:
    """The small image; one that had its name is removed, unless somebody uses it."""
    before = [each["Id"] for each in api.images(name=IMAGE)]
    api.import_image_from_data(image(), repository=IMAGE.partition(":")[0], tag=IMAGE.partition(":")[2])
    for each in before:
        with suppress(docker.errors.APIError):
            api.remove_image(each)


@pytest.fixture(name="real_engine", scope="session")
def real_engine_fixture() -> Iterator[RealEngine]:
    """The engine, with the small image. Skipped, or failed where it is required, without one."""
    url = os.environ.get("SIMIAN_DOCKER", "unix:///var/run/docker.sock")
    try:
        Engine(url, PATIENCE_S).do("answer", lambda api: api.close())
    except DriverError as error:
        part_missing("docker", f"{error}; SIMIAN_DOCKER is the URL of an engine")
    api = docker.APIClient(base_url=url, version="auto", timeout=PATIENCE_S)
    import_image(api)
    yield RealEngine(url, api)
    api.close()


class SmallContainers:
    """Containers of one project on a network for each of its regions, each at an address of its own."""

    def __init__(self, engine: RealEngine, regions: Sequence[str] = ("east", "west")) -> None:
        self.engine, self.api = engine, engine.api
        self.project = f"small{uuid.uuid4().hex[:8]}"
        self.addresses: dict[str, str] = {}
        self._subnets: dict[str, str] = {}
        self.networks = {region: self.network(f"{self.project}_{region}", region) for region in regions}

    @property
    def settings(self) -> dict[str, Any]:
        return {"driver": "docker", "url": self.engine.url, "project": self.project, "limit_s": PATIENCE_S}

    def network(self, name: str, region: str) -> str:
        """A network of this name and region, with a subnet of its own."""
        subnet = self._subnets[name] = _free_subnet(self.api)
        ipam = {"Driver": "default", "Config": [{"Subnet": subnet}]}
        labels = {"com.docker.compose.project": self.project, OWNER: "1", "simian.region": region}
        self.api.create_network(name, driver="bridge", ipam=ipam, labels=labels)
        return name

    def name(self, node: str) -> str:
        return f"{self.project}-{node}"

    def add(
        self,
        node: str,
        *,
        region: str = "east",
        name: str = "",
        network: str = "",
        image: str = IMAGE,
        command: str | Sequence[str] = POLITE,
        labels: Mapping[str, str] | None = None,
        host: Mapping[str, Any] | None = None,
        endpoint: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """A running container of this node's name, restarted by its policy; its full name."""
        name, network = name or self.name(node), network or self.networks[region]
        address = dict(endpoint or {}).get("ipv4_address") or self.free_address(network)
        ends = {"ipv4_address": address, "aliases": [node, f"{node}.{region}"]} | dict(endpoint or {})
        made = self.api.create_container(
            image,
            ["sh", "-c", command] if isinstance(command, str) else list(command),
            name=name,
            labels=self._labels(node, region) | dict(labels or {}),
            host_config=self.api.create_host_config(
                network_mode=network, **({"restart_policy": {"Name": "always"}} | dict(host or {}))
            ),
            networking_config=self.api.create_networking_config({network: self.api.create_endpoint_config(**ends)}),
            **options,
        )
        self.api.start(made["Id"])
        self.addresses[node] = address
        until(lambda: self.ask(node) == "answered", f"{name} answers")
        return name

    def join(self, node: str, region: str) -> str:
        """Put a container into the network of another region, too; the name of that link."""
        network = self.networks[region]
        ends = {"ipv4_address": self.free_address(network), "aliases": [node]}
        self.api.connect_container_to_network(self.name(node), network, **ends)
        return f"{network}--{self.name(node)}"

    def free_address(self, network: str) -> str:
        """An address of this network that nobody has."""
        return self._subnets[network].replace("0/24", str(10 + next(_numbers) % 200))

    def volumes(self) -> list[str]:
        """Names of the volumes that mark what is out of place in this project; others use the engine, too."""
        ours = self.api.volumes(filters={"label": f"simian.project={self.project}"})
        return [str(volume["Name"]) for volume in ours["Volumes"] or []]

    def _labels(self, node: str, region: str) -> dict[str, str]:
        return {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": node.partition("-")[0],
            OWNER: "1",
            "simian.enabled": "true",
            "simian.region": region,
            "simian.zone": f"{region}-a",
            "simian.ask": f"http://:{PORT}/cgi-bin/health",
        }

    def ask(self, node: str) -> str:
        """``answered``, ``silent`` (it accepts and says nothing) or ``refused`` (nobody accepts at its address)."""
        try:
            connection = socket.create_connection((self.addresses[node], PORT), 0.5)
        except OSError:
            return "refused"
        with connection, suppress(TimeoutError):
            connection.settimeout(0.5)
            connection.sendall(b"GET /cgi-bin/health HTTP/1.0\r\n\r\n")
            return "answered" if connection.recv(100) else "refused"
        return "silent"

    def crossing(self, node: str, size_b: int = 1, patience_s: float = 6.0) -> tuple[str, float]:
        """``answered`` with the ms that so many bytes took, ``silent`` or ``refused``; from this machine."""
        began = time.monotonic()
        try:
            with socket.create_connection((self.addresses[node], PORT), patience_s) as connection:
                connection.sendall(b"GET /cgi-bin/health?size_b=%d HTTP/1.0\r\n\r\n" % size_b)
                came = sum(iter(lambda: len(connection.recv(65536)), 0))
        except ConnectionRefusedError:
            return "refused", 0.0
        except OSError:
            came = 0  # no route, or nothing in time
        return "answered" if came > size_b else "silent", (time.monotonic() - began) * 1000

    def remove(self, node: str) -> None:
        self.api.remove_container(self.name(node), force=True, v=True)

    def close(self) -> None:
        ours = {"label": f"com.docker.compose.project={self.project}"}
        for one in self.api.containers(all=True, filters=ours):
            self.api.remove_container(one["Id"], force=True, v=True)
        for network in self.api.networks(filters=ours):
            for side in self.api.inspect_network(network["Id"])["Containers"]:  # of runs that were killed
                with suppress(docker.errors.NotFound):
                    self.api.remove_container(side, force=True)
            self.api.remove_network(network["Id"])
        for volume in self.api.volumes(filters={"label": f"simian.project={self.project}"})["Volumes"] or []:
            self.api.remove_volume(volume["Name"])


def _free_subnet(api: Any) -> str:
    """One of 198.18.0.0/15, which is kept for tests, that no network has: of the engine, or of one that was killed."""
    taken = {pool.get("Subnet") for net in api.networks() for pool in (net.get("IPAM") or {}).get("Config") or []}
    routes = {line.split()[1] for line in Path("/proc/net/route").read_text().splitlines()[1:]}
    free = (n for n in range(200, 240) if f"00{n:02X}13C6" not in routes)  # 198.19.n.0, its bytes from last to first
    return next(subnet for n in free if (subnet := f"198.19.{n}.0/24") not in taken)


@pytest.fixture(name="small_containers")
def small_containers_fixture(real_engine: RealEngine) -> Iterator[SmallContainers]:
    """An empty project; what is added to it is removed at the end."""
    made = SmallContainers(real_engine)
    try:
        yield made
    finally:
        made.close()
