"""One node of the lab as a process: what its service is told, and how it is started and ended.

A service is a module with ``async def serve(context: NodeContext) -> None``, which listens on the address of
``context.spec``, serves until it is cancelled (SIGTERM cancels it), and closes what it opened. It may raise ``OSError``
when its address is taken; the supervisor starts it again. Nothing is printed: ``context.log`` goes to the node's log.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from .layout import Layout, NodeSpec

MODULES = {"gateway": "gateway", "members": "members", "cache": "cache", "store": "store", "queue": "queue",
           "proxy": "toxiproxy", "dns": "dns"}  # the users are no module of the lab
Serve = Callable[["NodeContext"], Awaitable[None]]


@dataclass(frozen=True)
class NodeContext:
    """All that a service knows of the world.

    ``folder`` is its own, exists, and is kept over restarts. ``token`` guards its admin and fault API.
    ``seed`` differs from node to node. ``incarnation`` is ``<pid>-<start_time>`` for ``x-lab-incarnation``.
    """

    spec: NodeSpec
    layout: Layout
    folder: Path
    token: str
    seed: int
    incarnation: str
    log: logging.Logger
