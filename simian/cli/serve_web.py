"""The web process, seen by the daemon: its environment names no engine, and it is started anew when it ends."""

import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from typing import Any

from simian.cli.context import System
from simian.cli.spawn import pipes, spawn
from simian.errors import SimianError

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "TMPDIR")
TOKEN = "token"  # nosec B105  # the name of a file
PREFIXES = ("PYTHON", "PG")


def tokens_of(system: System) -> list[dict[str, str]]:
    """The operator's token of this system, by its sum; drawn and kept (mode 0600) when there is none yet."""
    path = system.state.path / TOKEN
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = secrets.token_urlsafe(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
    if len(text) < 16:
        raise SimianError(f"the token in {path} is too short to keep anybody out; remove the file, and one is drawn")
    return [{"name": "operator", "role": "operator", "sha256": hashlib.sha256(text.encode()).hexdigest()}]


class Web:
    """The process that serves pages and API."""

    def __init__(self, system: System, settings: Mapping[str, Any]) -> None:
        self._system, self._settings = system, settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it; its address. Raises SimianError with what it said when it cannot serve."""
        kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(PREFIXES)}
        self._process = spawn("simian.web", log=self._system.state.log("web"), environment=kept)
        to, of = pipes(self._process)
        to.write(json.dumps(self._settings).encode() + b"\n")
        to.flush()
        line = of.readline()
        told = json.loads(line) if line else {"error": {"reasons": [f"see {self._system.state.log('web')}"]}}
        if "error" in told:
            raise SimianError("pages and API cannot be served: " + "; ".join(told["error"]["reasons"]))
        return str(told["listening"])

    def again(self) -> str:
        """Start it anew if it has ended; why, else empty."""
        if self._process is None or self._process.poll() is None:
            return ""
        why = f"exit {self._process.returncode}"
        try:
            self.start()
        except SimianError as error:
            return f"{why}; {error}"
        return why

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        to, _ = pipes(self._process)
        to.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
