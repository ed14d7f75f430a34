"""A whole lab and the command line, as somebody uses them: monkeys, the lab's own configuration, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..real_parts import real_part

REAL = ("toxiproxy", "memcached", "dns", "sqs")
LIMIT_S = 420


@dataclass
class Told:
    """What a monkey said in the end, in words and by its exit code."""

    exit: int
    record: dict[str, Any]

    @property
    def facts(self) -> tuple[str, str, str]:
        return self.record["outcome"], self.record["verdict"], self.record["recovery"]

    @property
    def doubtful(self) -> bool:
        """Honest, and no answer: this machine was too busy, say."""
        return self.record.get("verdict", "unknown") == "unknown"

    def skip_if_the_machine_was_too_busy(self) -> None:
        """For users who are late themselves there is no answer to be had here, and none is made up."""
        assert "error" not in self.record, self.record["error"]["reasons"]
        late = [reason for reason in self.record["reasons"] if "too late" in reason or "were late" in reason]
        if self.doubtful and late:
            pytest.skip(f"this machine is too busy for its own users: {late[0]}")


class WholeLab:
    """One that comes up as it is asked for, and its monkeys."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def simian(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "SIMIAN_STATE": str(self.state)}
        command = [sys.executable, "-m", "simian", *words]
        given: dict[str, Any] = {"cwd": self.state, "env": environment, "stdin": subprocess.DEVNULL}
        return subprocess.run(command, **given, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def up(self, *words: str) -> None:
        answer = self.simian("lab", "up", *words)
        assert answer.returncode == 0, answer.stdout + answer.stderr

    def down(self) -> None:
        self.simian("lab", "down")

    def run(self, line: str, seed: int = 1, *, hold: str = "16s") -> Told:
        answer = self.simian(*line.split(), "--for", hold, "--seed", str(seed), "--json")
        assert answer.stdout, answer.stderr
        return Told(answer.returncode, json.loads(answer.stdout))


@pytest.fixture
def whole_lab(tmp_path: Path) -> Iterator[WholeLab]:
    lab = WholeLab(tmp_path)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture
def real() -> str:
    """All of the lab's real parts, as ``lab up --real`` is told them."""
    for part in REAL:
        real_part(part)
    return ",".join(REAL)
