"""The manifest: what a lab is made of and which processes are its nodes, as a file that others read (docs/wire.md).

While the supervisor lives it alone writes the manifest; when it is gone, whoever starts a node does.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .layout import Layout, NodeSpec
from .options import Changes
from .processes import Identity

VERSION = 1
PROJECT = "simian-lab"  # the compose project of a lab in containers
HEALTHY_LAB: Changes = MappingProxyType({})
UP, ADDRESS_TAKEN = "up", "address taken"  # what a supervisor says of its start


class LabError(Exception):
    """The lab cannot do as asked; the text says what is wrong and what to do, and is fit to be shown to a person."""


@dataclass(frozen=True)
class Files:
    """Where a lab keeps what: all of it in ``lab/`` inside the state folder of the system."""

    root: Path

    @classmethod
    def inside(cls, folder: Path) -> "Files":
        """The files of the lab whose state folder this is."""
        return cls(folder.absolute() / "lab")

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.root / "manifest.json"

    @property
    def configuration(self) -> Path:
        """A ``simian.yaml`` that fits this lab."""
        return self.root / "simian.yaml"

    @property
    def token(self) -> Path:
        """The token of the admin and fault APIs, for whoever is told of it by file."""
        return self.root / "token"

    @property
    def processes(self) -> Path:
        """One small file for each process that was ever started: found even when the manifest knows nothing of it."""
        return self.root / "processes"

    def log(self, node: str) -> Path:
        """What this node printed."""
        return self.root / "logs" / f"{node}.log"

    def data(self, node: str) -> Path:
        """What this node keeps over a restart."""
        return self.root / "data" / node

    def ours(self) -> bool:
        """Whether nothing is there, or what a lab has made, be it half of it."""
        if not self.root.exists() or self.processes.exists() or self.manifest.exists():
            return True
        return all(path.name in ("logs", "data") for path in self.root.iterdir())

    def make(self, nodes: list[str]) -> None:
        """All folders, for our eyes only."""
        for folder in (self.root / "logs", self.processes, *map(self.data, nodes)):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def note(self, name: str, identity: Identity) -> None:
        """Write down that this process exists."""
        replace_file(self.processes / name, f"{identity.pid} {identity.start_time}")

    def noted(self) -> list[Identity]:
        """Every process that was written down; of each name the last one."""
        found = []
        for path in self.processes.glob("*"):
            pid, _, start_time = path.read_text().partition(" ")
            if pid.isdigit() and path.suffix != ".new":
                found.append(Identity(int(pid), start_time))
        return found


@dataclass(frozen=True, slots=True)
class Process:
    """A node as a process: how it is started, and the last one that was."""

    command: tuple[str, ...]
    identity: Identity | None = None
    started: float | None = None
    held: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its part of the node's entry."""
        return {
            "command": list(self.command),
            "pid": self.identity.pid if self.identity else None,
            "start_time": self.identity.start_time if self.identity else None,
            "started": self.started,
            "held": self.held,
        }

    @classmethod
    def from_json(cls, shape: dict[str, Any]) -> "Process":
        """From the node's entry."""
        return cls(tuple(shape["command"]), Identity.from_json(shape), shape["started"], shape["held"])


@dataclass(frozen=True)
class Manifest:
    """The lab as it is; ``processes`` by the name of the node, ``rate`` in users' requests a second.

    ``real``: the programs in the place of stand-ins, by the name of the part (``toxiproxy``). With
    ``{"store": "cassandra"}`` the stores are Cassandra nodes, whoever runs them. ``weakness``: the name of the one it
    was built with, and ``changes`` to the options of its nodes that make it; both empty in a healthy lab.
    ``engine``: the URL of the Docker engine that runs its containers, ``feed``: where that publishes the users' feed;
    both empty for a lab of processes.
    """

    files: Files
    layout: Layout
    seed: int
    rate: float
    token: str = field(repr=False)
    started: float
    supervisor: Identity | None
    processes: Mapping[str, Process]
    real: Mapping[str, str]
    weakness: str = ""
    changes: Changes = field(default_factory=dict)
    engine: str = ""
    feed: str = ""

    @classmethod
    def first(
        cls,
        files: Files,
        layout: Layout,
        *,
        seed: int,
        rate: float,
        held: frozenset[str],
        real: Mapping[str, str],
        weakness: str = "",
        changes: Changes = HEALTHY_LAB,
    ) -> "Manifest":
        """The manifest of a lab no node of which was started yet."""
        processes = {node.name: Process(_command(files, node), held=node.name in held) for node in layout.nodes}
        return cls(
            files, layout, seed, rate, secrets.token_hex(16), time.time(), None, processes, real, weakness, changes
        )

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """From its file; ``LabError`` when that is missing or is no manifest of ours."""
        try:
            shape = json.loads(path.read_text())
        except FileNotFoundError:
            raise LabError(f"no lab is up: there is no {path}; bring one up first") from None
        except ValueError as error:
            raise LabError(f"{path} is no manifest of a lab ({error}); take the lab down and up again") from error
        if shape.get("version") != VERSION:
            raise LabError(
                f"{path} is of version {shape.get('version')}, this lab reads {VERSION}; take the lab down and up again"
            )
        return cls(
            Files(path.absolute().parent),
            Layout.from_json(shape),
            shape["seed"],
            shape["rate"],
            shape["token"],
            shape["started"],
            Identity.from_json(shape["supervisor"]),
            {node["name"]: Process.from_json(node) for node in shape["nodes"]},
            shape.get("real", {}),
            shape.get("weakness", ""),
            shape.get("changes", {}),
            shape.get("engine", ""),
            shape.get("feed", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """As docs/wire.md has it."""
        layout = self.layout.to_json()
        nodes = [
            node | self.processes[node["name"]].to_json() | {"cwd": str(self.files.root)}
            for node in layout.pop("nodes")
        ]
        control = f"{self.layout.control_host}:{self.layout.control_port}"
        identity = self.supervisor
        return {
            "version": VERSION,
            "system": "lab",
            "seed": self.seed,
            "rate": self.rate,
            "started": self.started,
            "token": self.token,
            "real": dict(self.real),
            "weakness": self.weakness,
            "changes": {name: dict(options) for name, options in self.changes.items()},
            "engine": self.engine,
            "feed": self.feed,
            "nodes": nodes,
            **layout,
            "supervisor": {
                "pid": identity.pid if identity else None,
                "start_time": identity.start_time if identity else None,
                "control": control,
            },
        }

    def write(self) -> None:
        """Put it into its file, whole or not at all."""
        replace_file(self.files.manifest, json.dumps(self.to_json()))

    def with_process(self, name: str, **changes: Any) -> "Manifest":
        """The same with one node's process changed."""
        process = replace(self.processes[name], **changes)
        return replace(self, processes={**self.processes, name: process})


def _command(files: Files, node: NodeSpec) -> tuple[str, ...]:
    """How the node is started without a supervisor; the users are no part of this package, and always so."""
    module = ("simian.load",) if node.service == "users" else (f"{__package__}.node", node.name)
    return (sys.executable, "-m", *module, "--manifest", str(files.manifest))


def replace_file(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that readers see the old one or the new one, never half of it."""
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
