"""A probe's own process: ``python -m simian.probes.host CHECK PLUGINS`` (both JSON).

Writes ``{"ready": true}``, then for each line on standard input one reading as a JSON line:
``{"value": 1.0, "detail": "200"}``, or ``{"value": null, "detail": …}`` when the probe raised or returned no number.
Ends, with all it has started, when its standard input does: its parent is gone. A probe that hangs is its parent's
affair: only from outside can it be seen and ended for sure.
"""

import json
import os
import queue
import signal
import sys
import threading
from typing import Any

from simian.errors import SimianError
from simian.probe import Check, Probe
from simian.probes import find_probe


def main(arguments: list[str]) -> int:
    """Serve readings until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a probe prints must not look like a reading
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    check, plugins = Check.from_json(json.loads(arguments[0])), json.loads(arguments[1])
    try:
        found = find_probe(check.probe, plugins)
        options = found.bind(check.probe)
    except SimianError as error:
        _say(out, {"ready": False, "detail": str(error)})
        return 2
    _say(out, {"ready": True})
    while asked.get():
        _say(out, _look(found, options))
    return 0


def _look(found: Probe, options: dict[str, Any]) -> dict[str, Any]:
    try:
        seen = found.read(options)
    except SimianError as error:
        return {"value": None, "detail": str(error)[:500]}
    return {"value": seen.value, "detail": seen.detail[:500]}


def _say(out: Any, data: dict[str, Any]) -> None:
    try:
        print(json.dumps(data), file=out, flush=True)
    except BrokenPipeError:
        _end()


def _listen(asked: "queue.SimpleQueue[bool]") -> None:
    for _ in sys.stdin:
        asked.put(True)
    _end()


def _end() -> None:
    if os.getpgrp() == os.getpid():  # a session of our own: a command that hangs goes with us
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
