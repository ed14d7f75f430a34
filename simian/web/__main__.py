"""The web process: ``python -m simian.web``, spawned by the daemon.

The first line on stdin is one JSON object, its settings (docs/wire.md). It prints ``{"listening": URL}`` when it
serves, or ``{"error": {"kind", "reasons"}}`` and ends with 2; and it ends when stdin does, as the daemon is gone then.
"""

import asyncio
import json
import logging
import sys
import threading

from simian.errors import UsageError
from simian.web.fence import fence
from simian.web.settings import Settings, read_settings


def main() -> int:
    """The exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        settings = read_settings(sys.stdin.readline())
        asyncio.run(_serve(settings))
    except UsageError as error:
        _say({"error": {"kind": "usage", "reasons": error.problems}})
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    from simian.web.app import build
    from simian.web.server import listening_socket, server_of, url_of
    from simian.web.tools import Tools

    bound = listening_socket(settings.host, settings.port)
    fence(settings.socket, settings.history)
    server = server_of(build(Tools(settings)))
    loop = asyncio.get_running_loop()
    leave = lambda: setattr(server, "should_exit", True)  # noqa: E731
    threading.Thread(target=_until_stdin_ends, args=(loop, leave), daemon=True).start()
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        _say({"listening": url_of(bound)})
    await serving


def _until_stdin_ends(loop: asyncio.AbstractEventLoop, leave: object) -> None:
    while sys.stdin.readline():
        pass
    loop.call_soon_threadsafe(leave)  # type: ignore[arg-type]


def _say(line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
