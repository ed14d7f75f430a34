"""The manifest of a system of local processes and the control socket of its supervisor (docs/wire.md)."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable
from simian.platforms.process_identity import ProcessIdentity

CONTROL_LIMIT_S = 2.0
DEATH_LIMIT_S = 0.2  # a process that ends closes its sockets a moment before it is gone
_LONGEST_ANSWER_B = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One node of the manifest; ``shape`` is its JSON."""

    shape: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.shape["name"])

    @property
    def process(self) -> ProcessIdentity | None:
        """The process that was last started for it."""
        return _process(self.shape)


class ManifestFile:
    """The manifest, read anew for each question: whoever starts a node replaces the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.RLock()

    def read(self) -> dict[str, Any]:
        """The whole manifest. Raises Unreachable with the remedy when there is none."""
        try:
            shape = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise Unreachable(f'there is no {self.path}: the system is not up; run "simian lab up"') from None
        except (OSError, ValueError) as error:
            raise Unreachable(f'{self.path} cannot be read ({error}); run "simian lab down", then "up"') from error
        if not isinstance(shape, dict) or shape.get("version") != 1:
            raise Unreachable(f'{self.path} is no manifest of version 1; run "simian lab down", then "up"')
        return shape

    def entries(self) -> list[Entry]:
        """Every node."""
        return [Entry(shape) for shape in self.read()["nodes"]]

    def entry(self, node: str) -> Entry:
        """One node. Raises NoSuchTarget naming what there is."""
        entries = self.entries()
        for entry in entries:
            if entry.name == node:
                return entry
        raise NoSuchTarget(f"no node is called {node!r}; there are: {', '.join(entry.name for entry in entries)}")

    def supervisor(self) -> "Supervisor | None":
        """Whoever restarts the nodes; ``None`` when that process is gone."""
        manifest = self.read()
        shape = manifest.get("supervisor") or {}
        process = _process(shape)
        if process is None or process.state() == "stopped":
            return None
        return Supervisor(process, str(shape["control"]), str(manifest["token"]))

    def tell_supervisor(self, do: str, node: str) -> bool:
        """Whether there was a supervisor to do it. Raises what ``Supervisor.ask`` raises."""
        supervisor = self.supervisor()
        if supervisor is None:
            return False
        try:
            supervisor.ask(do, node)
        except Unreachable:
            if not supervisor.process.wait_until("stopped", DEATH_LIMIT_S):
                raise
            return False  # it ended while we talked to it
        return True

    def ensure_started(self, node: str, start: Callable[[Entry], ProcessIdentity]) -> None:
        """Let ``start`` start it unless it runs, and write down what it became; one at a time."""
        with self._writing:
            entry = self.entry(node)
            if entry.process is not None and entry.process.state() != "stopped":
                return
            process = start(entry)
            manifest = self.read()
            for shape in manifest["nodes"]:
                if shape["name"] == node:
                    shape.update(pid=process.pid, start_time=process.start_time, started=time.time(), held=False)
            self._replace(json.dumps(manifest))

    def _replace(self, text: str) -> None:
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(self.path)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A supervisor's control socket: one JSON object a line each way."""

    process: ProcessIdentity
    control: str
    token: str

    def ask(self, do: str, node: str) -> dict[str, Any]:
        """Its answer. Raises Unreachable, TimedOut (it may still be done) or DriverError with what it said."""
        host, _, port = self.control.rpartition(":")
        request = json.dumps({"token": self.token, "do": do, "node": node}).encode() + b"\n"
        try:
            with socket.create_connection((host, int(port)), CONTROL_LIMIT_S) as connection:
                connection.sendall(request)
                line = _line(connection)
        except TimeoutError as error:
            text = f"the supervisor at {self.control} did not answer {do!r} in {CONTROL_LIMIT_S:g} s"
            raise TimedOut(text) from error
        except OSError as error:
            raise Unreachable(f"the supervisor at {self.control} lives but cannot be talked to: {error}") from error
        answer = _parsed(line, self.control)
        if not answer.get("ok"):
            raise DriverError(f"the supervisor at {self.control} refused to {do} {node}: {answer.get('error')}")
        return answer


def _line(connection: socket.socket) -> bytes:
    deadline = time.monotonic() + CONTROL_LIMIT_S
    heard = b""
    while not heard.endswith(b"\n") and len(heard) < _LONGEST_ANSWER_B:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        more = connection.recv(65536)
        if not more:
            break
        heard += more
    return heard


def _parsed(line: bytes, control: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise Unreachable(f"the supervisor at {control} hung up or answered no JSON: {line[:80]!r}") from error
    return answer if isinstance(answer, dict) else {}


def _process(shape: Mapping[str, Any]) -> ProcessIdentity | None:
    return ProcessIdentity(int(shape["pid"]), str(shape["start_time"])) if shape.get("pid") else None
