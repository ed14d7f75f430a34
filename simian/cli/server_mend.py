"""Ending runs at a daemon elsewhere: it is asked, and then watched until they have ended."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simian.cli.context import path_of
from simian.errors import Refused, UsageError

if TYPE_CHECKING:
    from simian.cli.server import Server

ABORT_LIMIT_S = 90.0  # as here
HALT_LIMIT_S = 200.0  # as here: asked first, then by force
LOOK_EVERY_S = 0.5


def abort_there(server: "Server", wanted: str) -> dict[str, Any]:
    """Have a run end: ``{"run", "ended"}``. Raises SimianError."""
    try:
        asked = {"reason": "asked for with simian abort"}
        run = str(server.post(path_of("runs", wanted, "abort"), asked)["run"])
    except Refused as error:  # it may be several: what is wrong is the word, as here
        raise UsageError(error.reasons) from error
    until = time.monotonic() + ABORT_LIMIT_S
    while not has_ended(server, run):
        if time.monotonic() > until:
            return {"run": run, "ended": False}
        time.sleep(LOOK_EVERY_S)
    return {"run": run, "ended": True}


def has_ended(server: "Server", run: str) -> bool:
    """Whether it has, with everything undone that could be. Raises SimianError."""
    told = server.get(path_of("runs", run, "end"))
    return told["ended"] is not None or told["outcome"] is not None


def halt_there(server: "Server", reason: str) -> tuple[list[str], set[str], list[str]]:
    """End all runs and forbid new ones: those that ended, those that go on, what is stuck. Raises SimianError."""
    going = {str(run) for run in server.post("/halt", {"reason": reason})["runs"]}
    status = server.get("/status")
    until = time.monotonic() + HALT_LIMIT_S
    while (left := going & _going(status)) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        status = server.get("/status")
    open_ones = [each for each in status["open"] if each["run"] not in left]
    stuck = [f"{each['kind']} of {each['target']} (run {each['run']})" for each in open_ones]
    return sorted(going - left), left, stuck


def _going(status: Mapping[str, Any]) -> set[str]:
    return {str(run["run"]) for run in status["runs"] if run.get("state") != "stuck"}


def resume_there(server: "Server") -> bool:
    """Allow runs again; whether they were forbidden. Raises SimianError."""
    return bool(server.post("/resume")["resumed"])
