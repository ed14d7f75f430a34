"""Gateways and a name server inside the test, on loopback."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from simian.load import dnswire, system
from simian.load.client import Pool
from simian.load.devices import Arrival, Device
from simian.load.engine import Engine
from simian.load.journey import Means, Patience
from simian.load.resolver import Resolver, Silent
from simian.load.tally import Tally

NAME = "api.geo.lab"
GOOD = b"HTTP/1.1 200 OK\r\nx-lab-region: east\r\nx-lab-way: direct\r\ncontent-length: 2\r\n\r\n{}"
HANG_UP = b"<and hang up>"
PATIENT = Patience(deadline_s=30.0, try_s=10.0)  # so that no test fails because the machine is busy
Answering = Callable[[str], bytes]


@dataclass
class Gateway:
    """A server whose every answer is what ``answer`` makes of the request's head; empty: it hangs up."""

    answer: Answering
    host: str
    port: int = 0
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> "Gateway":
        self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                answer = self.answer(head)
                writer.write(answer.removesuffix(HANG_UP))
                if not answer or answer.endswith(HANG_UP):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()


@dataclass
class Names:
    """A name server without a network: answers with ``addresses`` and ``ttl_s``; silent while ``silent``."""

    addresses: Sequence[str]
    ttl_s: int = 60
    silent: bool = False
    asked: int = 0

    async def ask(self, name: str, subnet: str) -> dnswire.Answer:
        self.asked += 1
        if self.silent:
            raise Silent("the test says so")
        records = [dnswire.Record("east.gw.lab", dnswire.TYPE_A, 3600, address) for address in self.addresses]
        alias = dnswire.Record(name, dnswire.TYPE_CNAME, self.ttl_s, "east.gw.lab")
        return dnswire.Answer(1, name, 0, (alias, *records))


@dataclass
class Users:
    """An engine for a few planned requests, with its parts in reach. ``endpoints``: of the gateways, by address."""

    endpoints: dict[str, tuple[str, int]]
    names: Names
    patience: Patience = PATIENT
    bound: int = 10_000

    def __post_init__(self) -> None:
        self.tally, self.pool = Tally(), Pool()
        self.device = Device(0, "east", "198.18.0.0/24", "east-0")

    async def ask(self, *kinds: str, every_s: float = 0.0) -> dict[str, Any]:
        """One request of each kind, then the slice of all of them."""
        await self.follow([Arrival(n * every_s, self.device, kind) for n, kind in enumerate(kinds)])
        return self.tally.cut(0.0, 1.0)

    async def follow(self, plan: Sequence[Arrival]) -> None:
        """Follow this plan to its end."""
        await self.engine().run(iter(plan))

    def engine(self) -> Engine:
        """That makes requests of these users."""
        loop = asyncio.get_running_loop()
        ordered = sorted(self.endpoints.items())
        gateways = {address: system.Gateway(f"gateway-{n}", *where) for n, (address, where) in enumerate(ordered)}
        here = system.System(dns=("", 0), name=NAME, feed=("", 0), gateways=gateways, homes={}, seed=0)
        means = Means(here, Resolver(self.names, loop.time), self.pool, self.patience)
        return Engine(means, self.tally, self.bound)


class Street:
    """Gateways on addresses of their own that share one port, or (``shared``) on one address with ports of their own.

    An address nobody can be reached at is a mere name in the latter case, as it is for the lab's users.
    """

    def __init__(self, *answers: Answering | None, shared: bool = False) -> None:
        self._answers, self._shared = answers, shared
        self.hosts = [f"127.77.0.{n + 1}" for n in range(len(answers))]

    @staticmethod
    def users_of(port: int, hosts: Sequence[str], patience: Patience) -> Users:
        """Users of gateways that are not this street's own."""
        return Users({host: (host, port) for host in hosts}, Names(hosts), patience)

    async def __aenter__(self) -> "Street":
        self._stack = AsyncExitStack()
        self.gateways: list[Gateway] = []
        self.port = 0
        where = {}
        for host, answer in zip(self.hosts, self._answers, strict=True):
            if answer is not None:  # None: nothing listens there
                at = ("127.0.0.1", 0) if self._shared else (host, self.port)
                gateway = await self._stack.enter_async_context(Gateway(answer, *at))
                self.port = gateway.port
                self.gateways.append(gateway)
                where[host] = (gateway.host, gateway.port)
        self.users = Users({host: where.get(host, (host, self.port)) for host in self.hosts}, Names(self.hosts))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.users.pool.close()
        await self._stack.aclose()


def total(slices: Sequence[dict[str, Any]], key: str) -> int:
    """The sum of a count over all rows of all slices."""
    return sum(row[key] for slice_ in slices for row in slice_["rows"])


@pytest.fixture(name="street")
def fixture_street() -> type[Street]:
    return Street


@pytest.fixture(name="total")
def fixture_total() -> Callable[[Sequence[dict[str, Any]], str], int]:
    return total


@pytest.fixture(name="run")
def fixture_run() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run an async test body to its end."""

    def run(body: Callable[[], Any]) -> Any:
        return asyncio.run(asyncio.wait_for(body(), 60))

    return run


@pytest.fixture(name="calm")
def fixture_calm() -> Iterator[None]:
    """No collection of the test run's own many objects (15 ms each), as in the users' process."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(name="server")
def fixture_server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server process and its port, on 127.77.0.1; ended by the fixture."""
    script = Path(__file__).with_name("small_server.py")
    process = subprocess.Popen([sys.executable, "-I", str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
