"""Nodes that are processes of this machine, written down in a manifest and kept alive by a supervisor (docs/wire.md).

Settings: ``{driver: process, manifest: PATH}``. A process is known by pid and start time, and nothing is ever signalled
whose start time is not the one written down. When the supervisor is gone, nodes are started by the manifest's command.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simian.errors import DriverError, NoSuchTarget, TimedOut, UsageError
from simian.platforms.process_identity import ProcessIdentity, identity_of
from simian.platforms.process_manifest import Entry, ManifestFile
from simian.platforms.process_readiness import says_ready
from simian.topology import Node

GRACE_S = 5.0  # how long a node may take to end in good order
END_LIMIT_S = 5.0  # how long the kernel may take to end a killed one


class ProcessPlatform:
    """Driver of the port ``Platform``. ``grace_s``: what ``stop`` grants a node between asking and making it end."""

    def __init__(self, manifest: Path, *, grace_s: float = GRACE_S) -> None:
        self._manifest = ManifestFile(manifest)
        self._grace_s = grace_s

    def nodes(self) -> Sequence[Node]:
        """Every node of the manifest as it is now."""
        return [_node(entry) for entry in self._manifest.entries()]

    def start(self, node: str) -> None:
        """Ensure that it runs and is restarted when it ends."""
        self._manifest.entry(node)
        if not self._manifest.tell_supervisor("start", node):
            self._manifest.ensure_started(node, self._spawn)

    def stop(self, node: str) -> None:
        """Hold it, SIGTERM, and after a grace SIGKILL."""
        process = self._hold(node)
        if process is None or not _signal(process, signal.SIGTERM):
            return
        _signal(process, signal.SIGCONT)  # a paused process must run to hear of it
        if not process.wait_until("stopped", self._grace_s):
            _end(node, process)

    def kill(self, node: str) -> None:
        """Hold it, SIGKILL, and wait until it is gone."""
        process = self._hold(node)
        if process is not None:
            _end(node, process)

    def crash(self, node: str) -> None:
        """SIGKILL, and wait until that process is gone; the supervisor knows of nothing."""
        process = self._manifest.entry(node).process
        if process is not None:
            _end(node, process)

    def pause(self, node: str) -> None:
        """SIGSTOP. Raises NoSuchTarget when it is down."""
        process = self._manifest.entry(node).process
        if process is None or not _signal(process, signal.SIGSTOP):
            raise NoSuchTarget(f"{node} is down: there is nothing to pause; start it first")
        if not process.wait_until("paused", END_LIMIT_S):
            raise TimedOut(f"{node} (pid {process.pid}) is not paused {END_LIMIT_S:g} s after SIGSTOP")

    def resume(self, node: str) -> None:
        """SIGCONT."""
        process = self._manifest.entry(node).process
        if process is not None:
            _signal(process, signal.SIGCONT)

    def ready(self, node: str) -> bool:
        """Whether it runs, is not paused, and answers at its ``ask``."""
        entry = self._manifest.entry(node)
        if _state(entry) != "running":
            return False  # the kernel accepts connections for a paused process, so a connection alone would lie
        try:
            return says_ready(str(entry.shape["ask"]))
        except ValueError as error:
            raise DriverError(f"{node} in {self._manifest.path}: {error}") from error

    def incarnation(self, node: str) -> str | None:
        """``<pid>-<start_time>``."""
        entry = self._manifest.entry(node)
        return entry.process.text if entry.process is not None and _state(entry) != "stopped" else None

    def _hold(self, node: str) -> ProcessIdentity | None:
        """See to it that nothing restarts it, and only then look which process it is."""
        self._manifest.entry(node)
        self._manifest.tell_supervisor("hold", node)
        return self._manifest.entry(node).process

    def _spawn(self, entry: Entry) -> ProcessIdentity:
        """Start its command in a session of its own; it must not hold open anything of ours."""
        log = self._manifest.path.parent / "logs" / f"{entry.name}.log"
        target = log if log.parent.is_dir() else Path(os.devnull)
        try:
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
                child = subprocess.Popen(
                    list(entry.shape["command"]),
                    cwd=entry.shape.get("cwd") or None,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    close_fds=True,
                    start_new_session=True,
                )
        except OSError as error:
            raise DriverError(f"{entry.name} cannot be started by the command of its manifest: {error}") from error
        # Somebody must bury it should it end before us; when we end first, init does.
        threading.Thread(target=child.wait, name=f"buries {entry.name}", daemon=True).start()
        process = identity_of(child.pid)
        if process is None:
            raise DriverError(f"{entry.name} ended as soon as it was started; {target} may say why")
        return process


def _state(entry: Entry) -> str:
    return entry.process.state() if entry.process is not None else "stopped"


def _signal(process: ProcessIdentity, number: int) -> bool:
    try:
        return process.send(number)
    except PermissionError as error:
        text = f"pid {process.pid} belongs to somebody else: it may not be signalled; run as its user"
        raise DriverError(text) from error


def _end(node: str, process: ProcessIdentity) -> None:
    if _signal(process, signal.SIGKILL) and not process.wait_until("stopped", END_LIMIT_S):
        raise TimedOut(f"{node} (pid {process.pid}) still lives {END_LIMIT_S:g} s after SIGKILL")


def _node(entry: Entry) -> Node:
    shape = entry.shape
    since = shape.get("started")
    return Node(
        name=entry.name,
        service=shape["service"],
        region=shape["region"] or "",
        zone=shape["zone"],
        role=shape["role"],
        state=entry.process.state() if entry.process is not None else "stopped",
        address=shape["address"],
        ask=shape["ask"],
        ask_behind=shape.get("ask_behind") or "",
        visit=shape.get("visit") or "",
        calls=tuple(shape.get("calls") or ()),
        since=float(since) if since is not None else None,
        filters=bool(shape.get("faults_url")),
    )


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> ProcessPlatform:
    """The driver of ``{driver: process, manifest: PATH}``. Raises UsageError."""
    unknown = [key for key in settings if key not in ("driver", "manifest")]
    if unknown:
        raise UsageError(f"platform.{key} is no setting of driver 'process'; it has: manifest" for key in unknown)
    manifest = settings.get("manifest")
    if not isinstance(manifest, str | os.PathLike) or not str(manifest):
        raise UsageError(
            "platform.manifest is missing: driver 'process' needs the path of a manifest, as in "
            "{driver: process, manifest: /path/to/manifest.json}"
        )
    return ProcessPlatform(Path(manifest))
