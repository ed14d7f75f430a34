"""One node of the lab as a process of its own, our stand-in or the real program: what contract suites talk to."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simian_lab.layout import NodeSpec
from simian_lab.manifest import Files, Manifest
from simian_lab.readiness import ready

from ..real_parts import real_part
from .conftest import free_layout

PATIENCE_S = 120.0  # Java takes its time on a machine that is busy
STAND_IN = "stand-in"


def wait_for(true: Callable[[], Any], what: str) -> Any:
    """Wait for a condition; the value that it became."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := true()):
        assert time.monotonic() < deadline, f"not {what} after {PATIENCE_S:g} s"
        time.sleep(0.02)
    return value


class OneNode:
    """Started as the lab starts it; ``part``: the real program to play it, or ``STAND_IN``."""

    def __init__(self, folder: Path, name: str, part: str) -> None:
        real = {} if part == STAND_IN else {part: real_part(part)}  # skips where it is not installed
        layout = free_layout()
        # The supervisor's own address, as it would: so nobody takes this lab's number while the node is down.
        self.number = socket.create_server((layout.control_host, layout.control_port))
        files = Files.inside(folder)
        files.make([node.name for node in layout.nodes])
        self.manifest = Manifest.first(files, layout, seed=1, rate=1, held=frozenset(), real=real)
        self.manifest.write()
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def spec(self) -> NodeSpec:
        return self.manifest.layout.node(self.name)

    def start(self) -> None:
        """Run it until it is ready."""
        line = [sys.executable, "-m", "simian_lab.node", self.name, "--manifest", str(self.manifest.files.manifest)]
        self._process = process = subprocess.Popen(line)
        wait_for(lambda: self._is_ready(process), f"ready: {self.name}")

    def _is_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        log = self.manifest.files.log(self.name)
        assert process.poll() is None, log.read_text() if log.exists() else "it said nothing"
        return ready(self.spec.ask)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it takes connections, and says nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def connect(self) -> socket.socket:
        """A connection to its port."""
        return socket.create_connection((self.spec.host, self.spec.port), 10.0)


@contextmanager
def one_node(folder: Path, name: str, part: str) -> Iterator[OneNode]:
    """For a while."""
    node = OneNode(folder, name, part)
    with node.number:
        try:
            node.start()
            yield node
        finally:
            node.kill()
