"""The real memcached of a zone in the place of our stand-in: how it is run. It keeps nothing over a restart."""

import os

from .cache import LIMIT_B
from .node import NodeContext

_CONNECTIONS = 256  # as many as most systems let a process without privileges have open, and a zone never comes near


def command(program: str, context: NodeContext) -> tuple[str, ...]:
    """Its command line; as root it will not run, so root runs it as nobody."""
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    address = ("-l", context.spec.host, "-p", str(context.spec.port), "-U", "0")
    return program, *user, *address, "-m", str(LIMIT_B >> 20), "-t", "1", "-c", str(_CONNECTIONS)
