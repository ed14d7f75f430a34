"""The program as people call it, in a folder with a system of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..databases import rows_of

CLEAN = ("completed", "held", "clean")


def told(record: Mapping[str, Any]) -> tuple[str, ...]:
    return record["outcome"], record["verdict"], record["recovery"]


class Commands:
    """``simian`` in this folder; everything that it keeps is kept there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def configure(self, sections: Mapping[str, Any]) -> None:
        """``simian.yaml``: JSON is YAML."""
        (self.folder / "simian.yaml").write_text(json.dumps(sections))

    def run(self, how: Mapping[str, Any], *flags: str) -> dict[str, Any]:
        """The record of a run of this experiment, and its exit code."""
        with self.begin(how, *flags) as command:
            return self.record(command)

    def record(self, command: "subprocess.Popen[str]") -> dict[str, Any]:
        """Of a run that was begun, once it has ended; and its exit code."""
        said, complained = command.communicate(timeout=400)
        assert said, complained
        return {**json.loads(said), "exit": command.returncode}

    def begin(self, how: Mapping[str, Any], *flags: str) -> "subprocess.Popen[str]":
        experiment = {
            "experiment": "on containers", "hypothesis": "The front answers as others are left.",
            "for": "8s", "baseline": "4s", "recover_within": "120s", "exposure": "assumed", **how,
        }  # fmt: skip
        (self.folder / "run.yaml").write_text(json.dumps(experiment))
        return self.simian("run", "run.yaml", "--json", "--yes", *flags)

    def recover(self) -> int:
        """The exit code of ``simian recover``."""
        with self.simian("recover") as command:
            command.communicate(timeout=280)
        return command.returncode

    def simian(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "simian", *words, "--config", "simian.yaml"],
            cwd=self.folder,
            env={**os.environ, "SIMIAN_STATE": str(self.folder / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def journalled(self) -> dict[str, Any]:
        """The newest run in the journal."""
        return self._rows("SELECT * FROM runs ORDER BY started DESC LIMIT 1")[0]

    def faults(self) -> list[str]:
        """The states of all faults in the journal."""
        return [row["state"] for row in self._rows("SELECT state FROM faults ORDER BY n")]

    def _rows(self, query: str) -> Sequence[dict[str, Any]]:
        journal = next((self.folder / "state").rglob("journal.db"), None)
        return rows_of(journal, query) if journal else []
