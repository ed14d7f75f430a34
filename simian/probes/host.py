"""A probe's own process: ``python -m simian.cli.probe_process CHECK PLUGINS`` (both JSON).

Writes ``{"ready": true}``, then for each line on standard input one reading as a JSON line:
``{"value": 1.0, "detail": "200"}``, or ``{"value": null, "detail": …}`` when the probe raised or returned no number.
Ends, with all it has started, when its standard input does: its parent is gone. A probe that hangs is its parent's
affair: only from outside can it be seen and ended for sure. Secrets stand in CHECK as references; only here are they
looked up, and no reading carries one out.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from typing import Any

from simian.errors import SimianError
from simian.probe import Check, Probe
from simian.probes import find_probe
from simian.secrets import Secret, hidden, with_secrets


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Serve readings until standard input ends. ``environment`` is where secrets may be."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a probe prints must not look like a reading
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    check, plugins = Check.from_json(json.loads(arguments[0])), json.loads(arguments[1])
    try:
        found = find_probe(check.probe, plugins)
        options = revealed(found, found.bind(check.probe), environment)
    except SimianError as error:
        _say(out, {"ready": False, "detail": str(error)})
        return 2
    if obstacles := list(found.warm(**options)):
        _say(out, {"ready": False, "detail": f"probe {found.name!r}: {'; '.join(obstacles)}"})
        return 2
    _say(out, {"ready": True})
    secrets = [value for value in options.values() if isinstance(value, Secret)]
    while asked.get():
        _say(out, _look(found, options, secrets))
    return 0


def revealed(found: Probe, options: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The options with the text of each secret. Raises UsageError where there is none."""
    secret = {option.name for option in found.options if option.secret}
    return {
        name: Secret(with_secrets(value, environment)) if name in secret and value is not None else value
        for name, value in options.items()
    }


def _look(found: Probe, options: dict[str, Any], secrets: Collection[str]) -> dict[str, Any]:
    try:
        seen = found.read(options)
    except SimianError as error:
        return {"value": None, "detail": hidden(str(error), secrets)[:500]}
    return {"value": seen.value, "detail": hidden(seen.detail, secrets)[:500]}


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
