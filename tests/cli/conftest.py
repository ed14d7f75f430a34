"""The real program on a system in memory, each with a folder and a state folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from simian.cli.main import main

LIMIT_S = 60  # generous: the machine may be busy
MEMORY = """\
system: shop
platform: {driver: memory}
network: {driver: memory}
requests: {driver: memory}
observer: {driver: memory}
"""


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Program:
    """``program("topology", "--json")`` in ``folder``, as a process or, with ``here``, in this one."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *line: str, python: tuple[str, ...] = (), **more: str) -> Answer:
        done = subprocess.run(
            [sys.executable, *python, "-m", "simian", *line],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def shell(self, line: str) -> Answer:
        """A line for sh in which $SIMIAN stands for the program."""
        environment = self.environment | {"SIMIAN": f"{sys.executable} -m simian"}
        given: dict[str, Any] = {"cwd": self.folder, "env": environment, "stdin": subprocess.DEVNULL}
        done = subprocess.run(["sh", "-c", line], **given, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def file(self, name: str, content: str | bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    @property
    def state(self) -> Path:
        """The state folder of the system."""
        return Path(self.environment["SIMIAN_STATE"]) / "shop-memory"


@pytest.fixture
def nowhere(tmp_path: Path) -> Program:
    """The program in an empty folder with no lab up."""
    folder = tmp_path / "folder"
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SIMIAN_", "COV_")) and k != "NO_COLOR"}
    return Program(folder, environment | {"SIMIAN_STATE": str(tmp_path / "state"), "COLUMNS": "100"})


@pytest.fixture
def shop(nowhere: Program) -> Program:
    """The program in a folder with a simian.yaml of a system in memory."""
    nowhere.file("simian.yaml", MEMORY)
    return nowhere


Call = Callable[..., Answer]


@pytest.fixture
def call(shop: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """The same in this process, which is quicker: ``call("topology")``."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("SIMIAN_STATE", shop.environment["SIMIAN_STATE"])
    monkeypatch.delenv("SIMIAN_DEBUG", raising=False)
    loaded = set(sys.modules)

    def run(*line: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(line)
        out, err = capsys.readouterr()
        return Answer(int(str(end.value.code)), out, err)

    yield run
    for name in set(sys.modules) - loaded:
        if name.startswith("simian_plugin_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def no_engine_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
