"""Runs that are files: one that began is a file with its schedule in it, and a name can begin only once."""

import json
import os
import secrets
import time
from pathlib import Path

from simian.schedule.row import Schedule

FENCED = "fenced"


class Files:
    """A starter whose runs anybody can look at from outside. Runs end at once unless ``last`` says otherwise."""

    def __init__(self, folder: Path, last: bool = False) -> None:
        self.folder, self.last = folder, last
        folder.mkdir(parents=True, exist_ok=True)

    def name(self) -> str:
        """Of a new run."""
        return secrets.token_hex(8)

    def start(self, run: str, schedule: Schedule, seed: int) -> None:
        """All at once, as the journal's first row is."""
        if not self._make(run, json.dumps({"schedule": schedule.name, "seed": seed, "at": time.time()})):
            raise AssertionError(f"run {run} began twice")

    def fence(self, run: str) -> bool:
        """See ``Starter``."""
        return self._make(run, FENCED) or (self.folder / run).read_text() == FENCED

    def _make(self, run: str, text: str) -> bool:
        new = self.folder / f".{run}.{os.getpid()}"
        new.write_text(text)
        try:
            os.link(new, self.folder / run)
        except FileExistsError:
            return False
        finally:
            new.unlink()
        return True

    def ending(self, run: str) -> tuple[str, str] | None:
        """See ``Starter``."""
        return None if self.last else ("ended", "held")

    def began(self, run: str) -> float:
        """When a run began, by the machine's clock."""
        return float(json.loads((self.folder / run).read_text())["at"])

    def begun(self) -> dict[str, tuple[str, int]]:
        """Schedule and seed of each run that began."""
        found = {}
        for file in self.folder.iterdir():
            text = file.read_text() if not file.name.startswith(".") else FENCED
            if text != FENCED:
                told = json.loads(text)
                found[file.name] = (told["schedule"], told["seed"])
        return found
