"""Worlds for the contract suites: each driver's own, with eyes that do not belong to the driver."""

import http.client
import json
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from simian_lab import control as lab_control
from simian_lab.layout import Layout

from ..real_parts import part_missing, real_part

HERE = Path(__file__).parent
PATIENCE_S = 30.0  # a shared machine can be slow; nobody waits that long when all is well


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition; the value that it became."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s in vain: {what}"
        time.sleep(0.01)
    return value


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., Any]:
    return until


GIVEN: deque[int] = deque(maxlen=4_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Below the ports that the system gives to outgoing connections: one of those could take it before it is used.

    None is given twice in a row of thousands: a caller often asks for several before it listens on the first.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            if port not in GIVEN:
                probe.bind((host, port))
                GIVEN.append(port)
                return port


@contextmanager
def process(*command: str, folder: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """A program, run in this folder (None: in ours), ended by its id."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


# --- Toxiproxy servers --------------------------------------------------------------------------------------------

STAND_IN = """
import asyncio, sys
from random import Random
from simian_lab.http import start_server
from simian_lab.toxiproxy_api import Api

async def main():
    server = await start_server("127.0.0.1", int(sys.argv[1]), Api(Random(1), {}).answer)
    await server.serve_forever()

asyncio.run(main())
"""


def toxiproxy_command(kind: str, port: int) -> list[str]:
    if kind == "stand-in":
        return [sys.executable, "-c", STAND_IN, str(port)]
    return [real_part("toxiproxy"), "-host", "127.0.0.1", "-port", str(port)]


class RawApi:
    """A Toxiproxy's HTTP API, spoken to by hand."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of the answer; AssertionError unless it is a success."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            text = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
        return json.loads(text) if text else None

    def proxies(self) -> dict[str, Any]:
        return dict(self.ask("GET", "/proxies"))

    def toxics(self, link: str) -> dict[str, Any]:
        return {toxic["name"]: toxic for toxic in self.ask("GET", f"/proxies/{link}")["toxics"]}

    def up(self) -> bool:
        try:
            self.ask("GET", "/version")
        except OSError:
            return False
        return True


class ToxiproxyProcess:
    """A Toxiproxy that can be ended and started again on its port."""

    def __init__(self, kind: str) -> None:
        self.api = RawApi(free_port())
        self._command = toxiproxy_command(kind, self.api.port)
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        self._child = self._stack.enter_context(process(*self._command))
        until(self.api.up, "Toxiproxy answers")

    def end(self) -> None:
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        self._stack.close()


@contextmanager
def toxiproxies(kind: str) -> Iterator[dict[str, ToxiproxyProcess]]:
    with ExitStack() as stack:
        servers = {}
        for region in ("east", "west"):
            servers[region] = ToxiproxyProcess(kind)
            stack.callback(servers[region].close)
        yield servers


# --- what stands behind a proxy -----------------------------------------------------------------------------------


class _Sender(socketserver.StreamRequestHandler):
    """A line with a number is answered with so many bytes."""

    def handle(self) -> None:
        with suppress(OSError):
            for line in self.rfile:
                self.wfile.write(b"x" * int(line))


class _Upstream(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(scope="session")
def upstream() -> Iterator[str]:
    """``host:port`` of a server that sends as many bytes as a line asks for."""
    with _Upstream(("127.0.0.1", 0), _Sender) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()
        thread.join()


class Wire:
    """A connection through a link, used as its source would."""

    def __init__(self, listen: str, patience_s: float = 5.0) -> None:
        host, _, port = listen.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), patience_s)

    def ask(self, size_b: int = 1, patience_s: float = 5.0) -> float | None:
        """ms until all the bytes asked for have come; ``None`` when the connection ended or stayed silent."""
        began = time.monotonic()
        self.sock.settimeout(patience_s)
        try:
            self.sock.sendall(b"%d\n" % size_b)
            while size_b > 0:
                got = self.sock.recv(65536)
                if not got:
                    return None
                size_b -= len(got)
        except OSError:
            return None
        return (time.monotonic() - began) * 1000

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    return Wire


def asked(address: str, question: bytes) -> str:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 0.3) as connection:
            connection.settimeout(0.3)
            connection.sendall(question)
            return "answered" if connection.recv(100) else "refused"
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"


# --- nodes that are processes -------------------------------------------------------------------------------------


class SmallSystem:
    """Three nodes that are small processes, and a small supervisor."""

    NAMES = ("web-east-a", "web-west-a", "stubborn")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.json"
        control = f"127.0.0.1:{free_port()}"
        nodes = [self._node(name) for name in self.NAMES]
        shape = {
            "version": 1,
            "system": "small",
            "token": "open sesame",
            "nodes": nodes,
            "links": [],
            "supervisor": {"pid": None, "start_time": None, "control": control},
        }
        self.manifest.write_text(json.dumps(shape))
        self.ever: set[int] = set()

    def start(self) -> None:
        command = [sys.executable, "-S", str(HERE / "small_supervisor.py"), str(self.manifest)]
        self.supervisor = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.supervisor.stdout is not None
        assert self.supervisor.stdout.readline() == b"up\n"
        for name in self.NAMES:
            until(lambda name=name: self.answers(name), f"{name} answers")

    def _node(self, name: str) -> dict[str, Any]:
        address = f"127.0.0.1:{free_port()}"
        service, _, place = name.partition("-")
        command = [sys.executable, "-S", str(HERE / "small_node.py"), *address.split(":"), str(self.folder), name]
        return {
            "name": name,
            "service": service,
            "region": place.partition("-")[0],
            "zone": place or None,
            "role": "service",
            "address": address,
            "ask": f"http://{address}/health",
            "ask_behind": "",
            "faults_url": None,
            "command": command + ["stubborn"] * (name == "stubborn"),
            "cwd": str(self.folder),
            "pid": None,
            "start_time": None,
            "started": None,
            "held": False,
        }

    def shape(self, node: str) -> dict[str, Any]:
        shapes = json.loads(self.manifest.read_text())["nodes"]
        self.ever |= {shape["pid"] for shape in shapes if shape["pid"]}
        return next(dict(shape) for shape in shapes if shape["name"] == node)

    def rewrite(self, node: str, **changes: Any) -> None:
        """Change what the manifest says of a node."""
        shape = json.loads(self.manifest.read_text())
        next(each for each in shape["nodes"] if each["name"] == node).update(changes)
        self.manifest.write_text(json.dumps(shape))

    def answers(self, node: str) -> bool:
        return self.ask(node) == "answered"

    def ask(self, node: str) -> str:
        """``answered``, ``silent`` (it accepts and says nothing) or ``refused``."""
        return asked(self.shape(node)["address"], b"GET / HTTP/1.0\r\n\r\n")

    def lose_supervisor(self) -> None:
        self.supervisor.kill()
        self.supervisor.wait()

    def close(self) -> None:
        self.lose_supervisor()
        assert self.supervisor.stdout is not None
        self.supervisor.stdout.close()
        for name in self.NAMES:
            self.shape(name)
        for pid in self.ever:
            command = Path(f"/proc/{pid}/cmdline")
            with suppress(OSError):
                if b"small_node.py" in command.read_bytes():
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def small_system(tmp_path: Path) -> Iterator[SmallSystem]:
    """A manifest, its nodes and their supervisor."""
    if not os.path.isdir("/proc/self"):
        part_missing("procfs", "the eyes of this suite look into /proc")
    system = SmallSystem(tmp_path)
    try:
        system.start()
        yield system
    finally:
        system.close()


class CachesOfTheLab:
    """The lab's own supervisor with two nodes, both caches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = {node.name for node in Layout.compute(0).nodes}
        held = frozenset(names - {"cache-east-a", "cache-west-a"})
        self.manifest = lab_control.up(folder, held=held).files.manifest

    def shape(self, node: str) -> dict[str, Any]:
        shapes = json.loads(self.manifest.read_text())["nodes"]
        return next(dict(shape) for shape in shapes if shape["name"] == node)

    def ask(self, node: str) -> str:
        """``answered``, ``silent`` or ``refused``, as to any client of memcached."""
        return asked(self.shape(node)["address"], b"version\r\n")

    def lose_supervisor(self) -> None:
        os.kill(json.loads(self.manifest.read_text())["supervisor"]["pid"], signal.SIGKILL)


@pytest.fixture
def caches_of_the_lab(tmp_path: Path) -> Iterator[CachesOfTheLab]:
    """Two nodes of the lab, really supervised by it."""
    try:
        yield CachesOfTheLab(tmp_path)
    finally:
        lab_control.down(tmp_path)


@pytest.fixture(scope="session")
def start_toxiproxies() -> Callable[[str], Any]:
    return toxiproxies


@pytest.fixture(params=["stand-in", "toxiproxy"])
def toxiproxy_server(request: pytest.FixtureRequest) -> Iterator[ToxiproxyProcess]:
    """One Toxiproxy: our stand-in, then the real one."""
    with toxiproxies(request.param) as servers:
        yield servers["west"]
