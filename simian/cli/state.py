"""Where one system's things are kept: journal, history, halt lever, logs, lab."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StateFolder:
    """The folder of one system; nothing is created by asking for a path."""

    path: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.db"

    @property
    def history(self) -> Path:
        """The default history's file."""
        return self.path / "history.db"

    @property
    def lever(self) -> Path:
        """The halt lever."""
        return self.path / "halt"

    @property
    def socket(self) -> Path:
        """Where its daemon answers, while there is one."""
        return self.path / "serve.sock"

    @property
    def lab(self) -> Path:
        """The lab's folder (manifest, logs, generated simian.yaml)."""
        return self.path / "lab"

    def log(self, name: str) -> Path:
        """The log of one of simian's processes."""
        return self.path / "logs" / f"{name}.log"


def state_root(environment: Mapping[str, str]) -> Path:
    """``SIMIAN_STATE``, else the user's state folder."""
    if environment.get("SIMIAN_STATE"):
        return Path(environment["SIMIAN_STATE"]).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("simian", appauthor=False))


def state_folder(root: Path, system: str, platform: Mapping[str, Any]) -> StateFolder:
    """The folder of a system: keyed by name and by what drives it, not by the working folder."""
    if system == "lab" and platform.get("driver") == "process":
        return StateFolder(root / "lab")
    parts = [system, str(platform.get("driver", "")), str(platform.get("project", ""))]
    name = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in parts if part)
    return StateFolder(root / (name if name.strip(".") else f"_{name}"))  # never the folder above
