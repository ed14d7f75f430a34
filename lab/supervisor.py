"""The parent of all nodes: it imports everything once, forks one process for each node, and starts again what ends.

One thread, no event loop of asyncio: whatever it has at the time of a fork, each node has a copy of. Its control socket
is described in docs/wire.md. It alone writes the manifest while it lives.
"""

import argparse
import contextlib
import gc
import hmac
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .layout import NodeSpec
from .manifest import ADDRESS_TAKEN, UP, Manifest, Process
from .node import MODULES, Be, being, context_of, take_over
from .processes import Identity, end_all, start_time_of

_FIRST_RESTART_S, _LAST_RESTART_S, _STEADY_S = 0.2, 5.0, 5.0
_LONGEST_REQUEST_B = 65536
log = logging.getLogger("supervisor")


@dataclass
class _Child:
    """A node as its parent sees it. ``again_at``: when it is to be started anew (monotonic), if it is."""

    spec: NodeSpec
    pid: int | None = None
    born: float = 0.0
    restart_s: float = _FIRST_RESTART_S
    again_at: float | None = None


@dataclass
class _Caller:
    """A connection to the control socket and what it has sent of a line."""

    sock: socket.socket
    pending: bytearray = field(default_factory=bytearray)


class Supervisor:
    """Keeps the nodes of one lab running; ``beings`` by service, a node of any other is started by its command."""

    def __init__(self, manifest: Manifest, beings: Mapping[str, Be], control: socket.socket) -> None:
        self._manifest = manifest
        self._beings = beings
        self._children = {node.name: _Child(node) for node in manifest.layout.nodes}
        self._selector = selectors.DefaultSelector()
        self._control = control
        self._changed = False
        self._going_down = False
        self._asked_down: _Caller | None = None

    def start_all(self) -> None:
        """Fork every node that is not held; the manifest is complete afterwards."""
        gc.collect()
        gc.freeze()  # a collection in a node would otherwise write to, and so copy, every page it shares with us
        forked = [child for child in self._children.values() if child.spec.service in self._beings]
        others = [child for child in self._children.values() if child.spec.service not in self._beings]
        for batch in (forked, others):  # a node started by its command reads the manifest
            for child in batch:
                if not self._process(child).held:
                    self._start(child)
            self._write()

    def run(self) -> None:
        """Look after them until told to go down; ends all nodes before it returns."""
        wake, wakened = socket.socketpair()
        for sock in (wake, wakened, self._control):
            sock.setblocking(False)
        self._selector.register(wake, selectors.EVENT_READ, None)
        self._selector.register(self._control, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(wakened.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._reap()  # those that ended before the handler was there
        while not self._going_down:
            self._turn(wake)
        self._end()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:  # the loop reaps at every turn
            self._going_down = True

    def _turn(self, wake: socket.socket) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is wake:
                wake.recv(4096)
            elif key.fileobj is self._control:
                self._accept()
            else:
                self._hear(key.data)
        self._reap()
        now = time.monotonic()
        for child in self._children.values():
            if child.again_at is not None and child.again_at <= now:
                self._start(child)
        self._write_if_changed()

    def _patience(self) -> float | None:
        now = time.monotonic()
        waits = [child.again_at - now for child in self._children.values() if child.again_at is not None]
        waits += [_LAST_RESTART_S] if self._changed else []
        return max(0.0, min(waits)) if waits else None

    # --- nodes

    def _process(self, child: _Child) -> Process:
        return self._manifest.processes[child.spec.name]

    def _start(self, child: _Child) -> None:
        child.again_at, child.born = None, time.monotonic()
        try:
            child.pid = os.fork()
        except OSError as error:  # no memory or no more processes just now: later, rather than never
            log.error("%s cannot be started: %s", child.spec.name, error)
            child.again_at = time.monotonic() + _LAST_RESTART_S
            return
        if child.pid == 0:
            self._be(child.spec)
        started = start_time_of(child.pid) or "0"
        self._note(child, identity=Identity(child.pid, started), started=time.time(), held=False)

    def _be(self, spec: NodeSpec) -> None:
        """The child's side of the fork: never returns."""
        code = 70
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            take_over(self._manifest.files, spec.name)
            be = self._beings.get(spec.service)
            if be is None:
                command = self._manifest.processes[spec.name].command
                os.execv(command[0], command)
            code = be(context_of(self._manifest, spec.name))
        except BaseException:
            logging.getLogger(spec.name).exception("could not be started")
        finally:
            os._exit(code)  # our parent's frames and files are not ours to unwind

    def _reap(self) -> None:
        for pid in _ended():
            child = next((child for child in self._children.values() if child.pid == pid), None)
            if child is None:
                continue
            lived = time.monotonic() - child.born
            child.pid, self._changed = None, True
            child.restart_s = _FIRST_RESTART_S if lived >= _STEADY_S else child.restart_s
            if not self._process(child).held:
                log.info("%s ended after %.1f s, starts again in %.1f s", child.spec.name, lived, child.restart_s)
                child.again_at = time.monotonic() + child.restart_s
                child.restart_s = min(_LAST_RESTART_S, 2 * child.restart_s)

    def _forget(self, child: _Child) -> None:
        """Its process has ended and is only not reaped yet: the word of its death may come after ours."""
        assert child.pid is not None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, 0)
        child.pid, self._changed = None, True

    def _note(self, child: _Child, **changes: Any) -> None:
        self._manifest = self._manifest.with_process(child.spec.name, **changes)
        self._changed = True

    def _write(self) -> None:
        self._manifest.write()
        self._changed = False

    def _write_if_changed(self) -> None:
        """A full disk must not end the lab: it is tried again later."""
        try:
            if self._changed:
                self._write()
        except OSError as error:
            log.error("the manifest cannot be written: %s", error)

    def _end(self) -> None:
        identities = [process.identity for process in self._manifest.processes.values() if process.identity]
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them: nobody is left to
        end_all(identities)
        if self._asked_down is not None:
            self._say(self._asked_down, {"ok": True})

    # --- the control socket

    def _accept(self) -> None:
        try:
            sock, _ = self._control.accept()
        except OSError:  # it went away before we came to it
            return
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, _Caller(sock))

    def _hear(self, caller: _Caller) -> None:
        try:
            heard = caller.sock.recv(4096)
        except OSError:
            heard = b""
        caller.pending += heard
        if not heard or len(caller.pending) > _LONGEST_REQUEST_B:
            self._hang_up(caller)
            return
        while b"\n" in caller.pending and not self._going_down:
            line, _, rest = bytes(caller.pending).partition(b"\n")
            caller.pending = bytearray(rest)
            answer = self._answer(line, caller)
            if answer is not None and not self._say(caller, answer):
                return

    def _say(self, caller: _Caller, answer: dict[str, Any]) -> bool:
        try:
            caller.sock.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:  # gone, or it does not read: nobody may make the supervisor wait
            self._hang_up(caller)
            return False
        return True

    def _hang_up(self, caller: _Caller) -> None:
        self._selector.unregister(caller.sock)
        caller.sock.close()

    def _answer(self, line: bytes, caller: _Caller) -> dict[str, Any] | None:
        try:
            request = json.loads(line)
        except ValueError:
            return _error("a request is one JSON object a line")
        if not isinstance(request, dict) or not hmac.compare_digest(
            str(request.get("token")).encode(), self._manifest.token.encode()
        ):
            return _error("wrong token; it is in the manifest")
        self._reap()
        match request.get("do"):
            case "list":
                return {"ok": True, "nodes": [self._listed(child) for child in self._children.values()]}
            case "hold" | "start" as verb:
                return self._hold_or_start(verb, str(request.get("node")))
            case "down":
                self._going_down, self._asked_down = True, caller
                return None  # it is answered when all have ended
            case other:
                return _error(f"cannot do {other!r}; list, hold, start and down can be done")

    def _hold_or_start(self, verb: str, name: str) -> dict[str, Any]:
        child = self._children.get(name)
        if child is None:
            return _error(f"no node is called {name}; there are {', '.join(self._children)}")
        self._note(child, held=verb == "hold")
        child.again_at = None
        if verb == "start":
            child.restart_s = _FIRST_RESTART_S
            if child.pid is not None and start_time_of(child.pid) is None:
                self._forget(child)
            if child.pid is None:
                self._start(child)
        self._write_if_changed()
        return {"ok": True} | self._listed(child)

    def _listed(self, child: _Child) -> dict[str, Any]:
        shape = self._process(child).to_json()
        shape.pop("command")
        return {"name": child.spec.name, **shape, "alive": child.pid is not None}


def _error(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


def _ended() -> Iterator[int]:
    """The pids of all children that have ended and were not asked for yet."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid


def main() -> int:
    """Started by ``control.up``; says on the descriptor ``--tell`` what came of it, then looks after the nodes."""
    parser = argparse.ArgumentParser(prog="python -m simian_lab.supervisor")
    parser.add_argument("--manifest", type=Path, required=True, help="with no processes yet")
    parser.add_argument("--tell", type=int, required=True)
    options = parser.parse_args()
    if os.fork():  # whoever brought the lab up need not bury us
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.INFO)
    with open(options.tell, "w") as tell:
        supervisor = _begin(options.manifest)
        tell.write(UP if supervisor else ADDRESS_TAKEN)
    if supervisor is None:
        return 1
    log.info("up")
    supervisor.run()
    log.info("down")
    return 0


def _begin(path: Path) -> Supervisor | None:
    """All nodes started; ``None`` when somebody else has the control address."""
    manifest = replace(Manifest.read(path), supervisor=Identity.own())
    manifest.files.note("supervisor", Identity.own())
    try:
        control = socket.create_server((manifest.layout.control_host, manifest.layout.control_port))
    except OSError as error:
        log.error("control socket: %s", error)
        return None
    services = {node.service for node in manifest.layout.nodes} & set(MODULES)
    supervisor = Supervisor(manifest, {service: being(manifest, service) for service in sorted(services)}, control)
    supervisor.start_all()
    return supervisor


if __name__ == "__main__":
    sys.exit(main())
