"""One node of the lab as a process: what its service is told, and how it is started and ended.

A service is a module with ``async def serve(context: NodeContext) -> None``, which listens on the address of
``context.spec``, serves until it is cancelled (SIGTERM cancels it), and closes what it opened. It may raise ``OSError``
when its address is taken; the supervisor starts it again. Nothing is printed: ``context.log`` goes to the node's log.

``python -m simian_lab.node NAME --manifest PATH`` is a node without a supervisor: the same process, its log and its
data where they always are.

Where a real program plays a service, the node's process becomes that program: same pid, same start time, same log.
"""

import argparse
import asyncio
import importlib
import logging
import os
import shlex
import signal
import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .layout import Layout, NodeSpec
from .manifest import Files, LabError, Manifest
from .options import HEALTHY, Options
from .processes import Identity
from .real import PARTS

MODULES = {
    "gateway": "gateway",
    "members": "members",
    "cache": "cache",
    "store": "store",
    "queue": "queue",
    "proxy": "toxiproxy",
    "dns": "dns",
}  # the users are no module of the lab
Serve = Callable[["NodeContext"], Awaitable[None]]
Be = Callable[["NodeContext"], int]  # is a node until it is told to end; the exit code


@dataclass(frozen=True)
class NodeContext:
    """All that a service knows of the world.

    ``folder`` is its own, exists, and is kept over restarts. ``token`` guards its admin and fault API.
    ``seed`` differs from node to node. ``incarnation`` is ``<pid>-<start_time>`` for ``x-lab-incarnation``.
    ``real`` is the manifest's: what stands in the place of stand-ins.
    """

    spec: NodeSpec
    layout: Layout
    folder: Path
    token: str
    seed: int
    incarnation: str
    log: logging.Logger
    options: Options = HEALTHY
    real: Mapping[str, str] = field(default_factory=dict)


def load(service: str) -> Serve:
    """The ``serve`` of a service; imports its module."""
    module = importlib.import_module(f".{MODULES[service]}", __package__)
    serve: Serve = module.serve
    return serve


def being(manifest: Manifest, service: str) -> Be:
    """How to be a node of this service: the lab's own program, or the real one that the manifest names."""
    for name, program in manifest.real.items():
        if name in PARTS and PARTS[name].service == service:
            module = importlib.import_module(f".{PARTS[name].module}", __package__)
            return partial(become, partial(module.command, program))
    return partial(run, load(service))


def context_of(manifest: Manifest, name: str) -> NodeContext:
    """What this process is told as node ``name``."""
    return NodeContext(
        spec=manifest.layout.node(name),
        layout=manifest.layout,
        folder=manifest.files.data(name),
        token=manifest.token,
        seed=manifest.seed ^ zlib.crc32(name.encode()),
        incarnation=Identity.own().text,
        log=logging.getLogger(name),
        options=Options.of(name, manifest.changes),
        real=manifest.real,
    )


def take_over(files: Files, name: str) -> None:
    """Make this process the node's: no input, its log as output, no other descriptor, and written down.

    An inherited descriptor would keep a port or the death of another process from being seen.
    """
    log = os.open(files.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else _highest_descriptor() + 1)
    files.note(name, Identity.own())


def _highest_descriptor() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd"))


def become(command_of: Callable[[NodeContext], tuple[str, ...]], context: NodeContext) -> int:
    """Let a program take this process's place, in the node's folder; returns, with the exit code, only on failure."""
    _log_to_stderr()
    try:
        command = command_of(context)
        context.log.info("up as %s on %s: %s", context.incarnation, context.spec.address, shlex.join(command))
        os.chdir(context.folder)
        os.execv(command[0], command)
    except OSError as error:
        context.log.error("cannot go on: %s", error)
    return 1


def run(serve: Serve, context: NodeContext) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. What ended it otherwise is in the log."""
    _log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve_until_told(serve, context))
    except asyncio.CancelledError:
        return 0
    except OSError as error:
        context.log.error("cannot go on: %s", error)
        return 1
    except Exception:
        context.log.exception("ended by an error")
        return 1
    return 0


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.INFO, force=True)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed: the same lab on about two thirds of the processor time; else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve_until_told(serve: Serve, context: NodeContext) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    context.log.info("up as %s on %s", context.incarnation, context.spec.address)
    await serve(context)


def main() -> int:
    """The command line of one node."""
    parser = argparse.ArgumentParser(prog="python -m simian_lab.node", description="One node of the lab.")
    parser.add_argument("name")
    parser.add_argument("--manifest", type=Path, required=True)
    options = parser.parse_args()
    try:
        manifest = Manifest.read(options.manifest)
    except LabError as error:
        parser.exit(1, f"error: {error}\n")
    known = [node.name for node in manifest.layout.nodes if node.service in MODULES]
    if options.name not in known:
        parser.error(f"no node is called {options.name}; there are {', '.join(known)}")
    be = being(manifest, manifest.layout.node(options.name).service)
    take_over(manifest.files, options.name)
    return be(context_of(manifest, options.name))


if __name__ == "__main__":
    sys.exit(main())
