"""Services of the lab in this process, on a layout of their own: what the tests of the services share."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import pytest
from simian_lab.http import Pool, Response
from simian_lab.layout import Layout, NodeSpec
from simian_lab.manifest import HEALTHY_LAB
from simian_lab.node import NodeContext, load
from simian_lab.options import Changes, Options

TOKEN = "secret"
DEADLINE_S = 10.0


def free_layout() -> Layout:
    """A layout whose addresses nobody uses; the highest numbers are for tests."""
    for number in range(24, 11, -1):
        layout = Layout.compute(number)
        try:
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((layout.control_host, layout.control_port))
        except OSError:
            continue
        if all(_free(node) for node in layout.nodes):
            return layout
    pytest.skip("no 127.0.0.0/8 addresses can be bound here")


def _free(node: NodeSpec) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((node.host, node.port))
        except OSError:
            return False
        return True


class Services:
    """Nodes that run as tasks; ``ask`` is a client of theirs."""

    def __init__(
        self,
        layout: Layout,
        folder: Path,
        changes: Changes = HEALTHY_LAB,
        real: Mapping[str, str] = MappingProxyType({}),
        patience_s: float = DEADLINE_S,
    ) -> None:
        self.layout, self.folder, self.changes, self.real = layout, folder, changes, real
        self._patience_s = patience_s
        self.pool = Pool()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, names: Iterable[str]) -> None:
        """Start these and wait until each listens and, if it speaks HTTP, is ready."""
        for name in names:
            spec = self.layout.node(name)
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            options = Options.of(name, self.changes)
            log = logging.getLogger(name)
            context = NodeContext(spec, self.layout, folder, TOKEN, 1, "7-7", log, options, self.real)
            self._tasks[name] = asyncio.create_task(load(spec.service)(context))
        for name in names:
            await eventually(lambda name=name: self._ready(name), self._patience_s)  # type: ignore[misc]

    async def _ready(self, name: str) -> bool:
        if self._tasks[name].done():
            self._tasks[name].result()
        spec = self.layout.node(name)
        try:
            if spec.service == "cache":
                _, writer = await asyncio.open_connection(spec.host, spec.port)
                writer.close()
                return True
            path = "/version" if spec.service == "proxy" else "/health"
            port = spec.ports.get("api", spec.port)
            return (await self.pool.request(spec.host, port, "GET", path)).status == 200
        except Exception:
            return False

    def has(self, name: str) -> bool:
        """Whether it was started and not ended."""
        return name in self._tasks

    async def stop(self, *names: str) -> None:
        """End these."""
        tasks = [self._tasks.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(
        self, node: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Response:
        """One request straight to a node."""
        spec = self.layout.node(node)
        return await self.pool.request(spec.host, spec.port, method, path, headers, body, 5.0)

    async def admin(self, node: str, method: str, path: str, body: bytes = b"") -> Response:
        """One request with the token."""
        return await self.ask(node, method, path, body, {"authorization": f"Bearer {TOKEN}"})

    async def lead(self, home: str, **weights: int) -> None:
        """Have the DNS lead users of this home to regions by these weights."""
        pairs = ",".join(f"{{{weight},'{region}.gw.lab.'}}" for region, weight in weights.items())
        records = [{"content": f'CNAME "pickwhashed({{{pairs}}})"'}]
        change = {"name": f"{home}.switch.lab.", "type": "LUA", "ttl": 1, "changetype": "REPLACE", "records": records}
        dns = self.layout.node("dns")
        answer = await self.pool.request(
            dns.host, dns.ports["api"], "PATCH", "/api/v1/servers/localhost/zones/switch.lab.",
            {"x-api-key": TOKEN}, json.dumps({"rrsets": [change]}).encode(),
        )  # fmt: skip
        assert answer.status == 204, answer.body

    async def close(self) -> None:
        """End all, callers before those they call, so that no connection is being accepted while a node ends."""
        for service in ("gateway", "members", "store", "queue", "cache", "proxy", "dns"):
            await self.stop(*[name for name in self._tasks if name.startswith(service)])
            await asyncio.sleep(0.05)
        await self.pool.aclose()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(layout: Layout, folder: Path, *names: str, changes: Changes = HEALTHY_LAB) -> AsyncIterator[Services]:
    """These nodes, for a while; ``changes`` to their options, as a weakness has them."""
    services = Services(layout, folder, changes)
    try:
        await services.start(names)
        yield services
    finally:
        await services.close()


async def eventually(condition: Callable[[], Awaitable[bool]], patience_s: float = DEADLINE_S) -> None:
    """Wait until it holds; fails after ``patience_s``."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if await condition():
            return
        with suppress(TimeoutError):
            await asyncio.sleep(0.02)
    raise AssertionError(f"did not come true within {patience_s:g} s")


def of_region(layout: Layout, region: str, *services: str) -> list[str]:
    """Names of all nodes of these services in a region."""
    return [node.name for service in services for node in layout.nodes_of(service, region)]


class Kit:
    """What the tests of the services work with."""

    TOKEN = TOKEN
    running = staticmethod(running)
    eventually = staticmethod(eventually)
    of_region = staticmethod(of_region)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = free_layout()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A free layout and a folder for nodes."""
    return Kit(tmp_path)
