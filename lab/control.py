"""Bringing the lab up and down, and looking at it: plain blocking calls for a command line.

``folder`` is always the state folder of the system; everything of the lab is in ``lab/`` inside it, and gone with it.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .configuration import write_configuration
from .layout import MAX_NUMBER, Layout, NodeSpec
from .manifest import ADDRESS_TAKEN, HEALTHY_LAB, UP, Files, LabError, Manifest
from .processes import end_all, wait_for_end
from .readiness import ready
from .real import PARTS, find_parts
from .weaknesses import USUAL_RATE, WEAKNESSES, Weakness
from .weaknesses import weakness as find_weakness

__all__ = [
    "PARTS", "WEAKNESSES", "LabError", "Manifest", "down", "find_parts", "flavour", "logs", "manifest_path", "planted",
    "real", "status", "up",
]  # fmt: skip

_POLL_S = 0.02
_SUPERVISOR_S = 30.0  # imports and thirty forks, on a machine that is busy with other things
_DOWN_S = 8.0


def manifest_path(folder: Path) -> Path:
    """Where the manifest of the lab with this state folder is, if it is up."""
    return Files.inside(folder).manifest


def up(
    folder: Path,
    *,
    seed: int = 0,
    number: int | None = None,
    rate: float = USUAL_RATE,
    held: frozenset[str] = frozenset(),
    timeout_s: float = 90.0,
    own_addresses: bool | None = None,
    real: Mapping[str, str] | None = None,
    weakness: str = "",
) -> Manifest:
    """Ensure that the lab is up and every node that is not held is ready; content when it is up already.

    The remains of a lab whose supervisor is gone are taken down first. Raises ``LabError`` when no addresses are free
    or a node is not ready after ``timeout_s``; then nothing is left behind. ``number`` says which addresses (the first
    that are free when ``None``), ``rate`` the users' requests a second, ``held`` the nodes that shall stay down,
    ``own_addresses`` whether each node has an address of its own or all share 127.0.0.1 (as this system allows when
    ``None``), ``real`` the programs to take the place of stand-ins, as ``find_parts`` returns them: a lab that is up
    without one of them is a ``LabError``. ``weakness``: the name of a flaw to build it with (``WEAKNESSES``); a lab
    that is up with another, or none, is a ``LabError``.
    """
    wish = _Wish(seed, number, rate, held, timeout_s, own_addresses, real or {}, find_weakness(weakness))
    files = Files.inside(folder)
    with _alone(files):
        if flavour(folder) == "docker":
            raise LabError("the lab is up in containers; take it down first (simian lab down)")
        manifest = _living(files)
        if manifest is None:
            _take_down(files)
            manifest = _bring_up(files, wish)
        _check_real(manifest, wish.real)
        _check_weakness(manifest, weakness)
    return manifest


def _check_weakness(manifest: Manifest, wished: str) -> None:
    if manifest.weakness != wished:
        there, other = (f"the weakness {name}" if name else "no weakness" for name in (manifest.weakness, wished))
        raise LabError(f"the lab is up already, with {there}; take it down first, then bring it up with {other}")


def _check_real(manifest: Manifest, wished: Mapping[str, str]) -> None:
    missing = sorted(wished.keys() - manifest.real.keys())
    if missing:
        raise LabError(
            f"the lab is up already, with stand-ins in the place of the real {', '.join(missing)}; "
            "take it down first, then bring it up with them"
        )


def down(folder: Path) -> bool:
    """Ensure that no process, file or port of the lab is left; whether there was anything.

    Works without the supervisor too. A process whose start time is not the one written down is not ours and left alone.
    """
    files = Files.inside(folder)
    if not files.root.exists():
        return False
    with _alone(files):
        _take_down(files)
    return True


def status(folder: Path) -> list[dict[str, Any]]:
    """Every node: ``name, service, region, zone, role, address, state, pid, started``, and the supervisor first.

    ``state``: ``ready``; ``starting`` (it lives, but does not say that it can serve); ``held`` (down, meant to be);
    ``dead`` (down, and to be started again). An empty list when no lab is up.
    """
    files = Files.inside(folder)
    if not files.manifest.exists():
        return []
    manifest = Manifest.read(files.manifest)
    with ThreadPoolExecutor(len(manifest.layout.nodes)) as pool:
        return [_supervisor_row(manifest), *pool.map(lambda node: _row(manifest, node), manifest.layout.nodes)]


def planted(folder: Path) -> str:
    """The name of the weakness that the lab was built with; empty for a healthy one, or none."""
    path = Files.inside(folder).manifest
    return Manifest.read(path).weakness if path.exists() else ""


def flavour(folder: Path) -> str:
    """``process`` or ``docker``; empty when no lab is up."""
    path = Files.inside(folder).manifest
    return Manifest.read(path).layout.flavour if path.exists() else ""


def real(folder: Path) -> list[str]:
    """The parts of the lab that are real programs in the place of stand-ins; none when no lab is up."""
    path = Files.inside(folder).manifest
    return sorted(Manifest.read(path).real) if path.exists() else []


def logs(folder: Path, node: str, lines: int = 50) -> list[str]:
    """The last lines that a node (or ``supervisor``) printed."""
    manifest = Manifest.read(Files.inside(folder).manifest)
    known = [spec.name for spec in manifest.layout.nodes] + ["supervisor"]
    if node not in known:
        raise LabError(f"no node is called {node}; there are {', '.join(known)}")
    return _tail(manifest.files, node, lines)


def _tail(files: Files, node: str, lines: int) -> list[str]:
    log = files.log(node)
    return log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []


def _supervisor_row(manifest: Manifest) -> dict[str, Any]:
    identity, layout = manifest.supervisor, manifest.layout
    alive = identity is not None and identity.alive()
    return {
        "name": "supervisor",
        "service": "supervisor",
        "region": "",
        "zone": None,
        "role": "instrument",
        "address": f"{layout.control_host}:{layout.control_port}",
        "state": "ready" if alive else "dead",
        "pid": identity.pid if identity and alive else None,
        "started": manifest.started,
    }


def _row(manifest: Manifest, node: NodeSpec) -> dict[str, Any]:
    process = manifest.processes[node.name]
    identity = process.identity
    alive = identity is not None and identity.alive()
    down = "held" if process.held else "dead"
    state = ("ready" if ready(node.ask) else "starting") if alive else down
    return {
        "name": node.name,
        "service": node.service,
        "region": node.region,
        "zone": node.zone,
        "role": node.role,
        "address": node.address,
        "state": state,
        "pid": identity.pid if identity and alive else None,
        "started": process.started,
    }


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a lab shall be like: the arguments of ``up``."""

    seed: int
    number: int | None
    rate: float
    held: frozenset[str]
    timeout_s: float
    own_addresses: bool | None
    real: Mapping[str, str]
    weakness: Weakness | None


@contextlib.contextmanager
def _alone(files: Files) -> Iterator[None]:
    """One command at a time for one lab. The lock lies beside the lab's folder, and goes when the lab is gone."""
    files.root.parent.mkdir(parents=True, exist_ok=True)
    path = files.root.with_name("lab.lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _same_file(descriptor, path):
            break
        os.close(descriptor)  # whoever had it took it away: what we locked is no longer there
    try:
        yield
    finally:
        if not files.root.exists():
            path.unlink()
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _living(files: Files) -> Manifest | None:
    """The lab as it is, once ready, if its supervisor lives."""
    try:
        manifest = Manifest.read(files.manifest)
    except LabError:
        return None  # nothing there, or nothing that can be read: it is taken down and made anew
    if manifest.supervisor is None or not manifest.supervisor.alive():
        return None
    _wait_until_ready(manifest, 30.0)
    return manifest


def _bring_up(files: Files, wish: _Wish) -> Manifest:
    for layout in _layouts(wish):
        if not _free(layout):
            continue
        unknown = wish.held - {node.name for node in layout.nodes}
        if unknown:
            raise LabError(
                f"no node is called {', '.join(sorted(unknown))}; there are "
                f"{', '.join(node.name for node in layout.nodes)}"
            )
        files.make([node.name for node in layout.nodes])
        first = _first(files, layout, wish)
        first.write()
        write_configuration(first)
        try:
            if _spawn_supervisor(files):
                manifest = Manifest.read(files.manifest)
                _wait_until_ready(manifest, wish.timeout_s)
                return manifest
        except BaseException:
            _take_down(files)
            raise
        _take_down(files)
    where = f"of lab {wish.number}" if wish.number is not None else f"of any lab from 0 to {MAX_NUMBER}"
    raise LabError(f"the addresses {where} are taken; take another lab down, or name another number")


def _first(files: Files, layout: Layout, wish: _Wish) -> Manifest:
    flaw = wish.weakness
    return Manifest.first(
        files,
        layout,
        seed=wish.seed,
        rate=wish.rate,
        held=wish.held | (flaw.absent if flaw else frozenset()),
        real=wish.real,
        weakness=flaw.name if flaw else "",
        changes=flaw.at(wish.rate) if flaw else HEALTHY_LAB,
    )


def _layouts(wish: _Wish) -> Iterator[Layout]:
    numbers = range(MAX_NUMBER + 1) if wish.number is None else [wish.number]
    own = _can_bind("127.9.0.1", 0) if wish.own_addresses is None else wish.own_addresses
    for each in numbers:
        yield Layout.compute(each, own_addresses=own)


def _can_bind(host: str, port: int, kind: int = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
        try:
            sock.bind((host, port))
        except OSError:
            return False
        return True


def _free(layout: Layout) -> bool:
    """Whether every address of the layout can be bound; the first that cannot settles it."""
    addresses = [(layout.control_host, layout.control_port)]
    addresses += [(node.host, port) for node in layout.nodes for port in (node.port, *node.ports.values())]
    addresses += [(link.listen_host, link.listen_port) for link in layout.links]
    datagrams = [(node.host, node.port) for node in layout.nodes_of("dns")]
    return all(_can_bind(*address) for address in addresses) and all(
        _can_bind(*address, socket.SOCK_DGRAM) for address in datagrams
    )


def _spawn_supervisor(files: Files) -> bool:
    """Whether all nodes were started; ``False`` when another lab was quicker to take the control address."""
    read, write = os.pipe()
    with open(read) as told, open(files.log("supervisor"), "a") as log:
        try:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    f"{__package__}.supervisor",
                    "--manifest",
                    str(files.manifest),
                    "--tell",
                    str(write),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write,),
                cwd=files.root,
                check=False,
                start_new_session=True,
                timeout=_SUPERVISOR_S,
            )
        finally:
            os.close(write)
        heard, _, _ = select.select([told], [], [], _SUPERVISOR_S)
        word = told.read() if heard else f"nothing for {_SUPERVISOR_S:g} s"
    if word not in (UP, ADDRESS_TAKEN):
        raise LabError("the lab's supervisor could not start: " + " / ".join(_tail(files, "supervisor", 5)))
    return word == UP


def _wait_until_ready(manifest: Manifest, timeout_s: float) -> None:
    """One node after the other: the sum of the waits is that of the slowest."""
    deadline = time.monotonic() + timeout_s
    for node in manifest.layout.nodes:
        if manifest.processes[node.name].held:
            continue
        while not ready(node.ask):
            if time.monotonic() > deadline:
                said = " / ".join(_tail(manifest.files, node.name, 5)) or "nothing"
                raise LabError(f"{node.name} is not ready after {timeout_s:g} s; its log says: {said}")
            time.sleep(_POLL_S)


def _take_down(files: Files) -> None:
    """End all that was ever started, the supervisor first (it would start the others again), then remove the files."""
    if not files.ours():
        raise LabError(
            f"{files.root} was not made by a lab, so it is left alone; name another state folder, or move it"
        )
    manifest = _readable(files)
    if manifest is not None and manifest.supervisor is not None and manifest.supervisor.alive():
        _ask_down(manifest)
    noted = files.noted()
    if manifest is not None:
        noted += [process.identity for process in manifest.processes.values() if process.identity]
    end_all(set(noted))
    left = [identity for identity in noted if identity.alive()]
    if left:
        raise LabError(f"these processes of the lab cannot be ended: {', '.join(str(each.pid) for each in left)}")
    if files.root.exists():
        shutil.rmtree(files.root)


def _readable(files: Files) -> Manifest | None:
    try:
        return Manifest.read(files.manifest)
    except LabError:
        return None  # its processes are written down one by one as well


def _ask_down(manifest: Manifest) -> None:
    """Let the supervisor end all nodes; one that does not do so in time is killed."""
    assert manifest.supervisor is not None
    address = (manifest.layout.control_host, manifest.layout.control_port)
    with contextlib.suppress(OSError), socket.create_connection(address, 2.0) as sock:
        sock.settimeout(_DOWN_S)
        sock.sendall(json.dumps({"token": manifest.token, "do": "down"}).encode() + b"\n")
        sock.recv(4096)
    if wait_for_end([manifest.supervisor], 1.0):
        manifest.supervisor.send(signal.SIGKILL)
        wait_for_end([manifest.supervisor], 2.0)
