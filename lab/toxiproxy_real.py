"""The real Toxiproxy (2.12) of a region in the place of our stand-in: how it is run.

It makes the proxies of its ``-config`` before it listens for its API, so whoever gets an answer finds them all; a
restart makes them anew, without toxics.
"""

import json
import socket

from .manifest import replace_file
from .node import NodeContext


def command(program: str, context: NodeContext) -> tuple[str, ...]:
    """Its command line, once the file of its proxies is written. Raises ``OSError`` when an address of its is taken."""
    spec, links = context.spec, context.layout.links_into(context.spec.name)
    for address in [(spec.host, spec.port), *((link.listen_host, link.listen_port) for link in links)]:
        _check_free(*address)
    path = context.folder / "proxies.json"
    proxies = [{"name": link.name, "listen": link.listen, "upstream": link.upstream} for link in links]
    replace_file(path, json.dumps(proxies))
    return program, "-host", spec.host, "-port", str(spec.port), "-config", str(path)


def _check_free(host: str, port: int) -> None:
    """It would go on without what it cannot listen on, be it a link or its API, and only log it."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise OSError(f"{host}:{port} cannot be listened on ({error.strerror})") from error
