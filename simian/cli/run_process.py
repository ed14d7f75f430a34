"""One run for the daemon: ``python -m simian.cli.run_process``. It does for a program what the command does for people.

The first line on stdin says what to run: ``{"run", "config", "monkey" or "experiment", "options", "for_s", "seed",
"note", "leashed", "force_headroom", "plan_hash", "schedule"}``. A further line ``{"reason": …}`` aborts; so does the
end of stdin, as the daemon is gone then. Events go to stdout as JSON lines; the last is ``closed`` (the three facts) or
``refused`` (why nothing was touched). The exit code is the command line's.
"""

import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import IO, Any

from simian.cli.context import load_system
from simian.cli.globals import Globals
from simian.cli.herald import Herald
from simian.cli.options import RunOptions
from simian.cli.start import (
    experiment_request,
    live,
    monkey_request,
    planned,
    refuse_a_world_in_memory,
    require_secrets,
)
from simian.errors import Refused, SimianError, UsageError
from simian.guardian import close_harmless
from simian.plan import Plan
from simian.record import record_of
from simian.verdict import REFUSED, UNKNOWN, exit_code

USAGE = 2


class Told:
    """A view that is a program: each event is a line."""

    def feed(self, event: Mapping[str, Any]) -> None:
        """One event."""
        sys.stdout.write(json.dumps(event, default=str) + "\n")
        sys.stdout.flush()

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to put away."""


def main() -> int:
    """The exit code."""
    line = sys.stdin.readline()
    if not line:
        return UNKNOWN
    view = Told()
    try:
        return _run(json.loads(line), view)
    except SimianError as error:
        kind, code = _kind(error)
        reasons = getattr(error, "problems", None) or getattr(error, "reasons", None) or str(error).splitlines()
        view.feed({"event": "refused", "kind": kind, "reasons": list(reasons)})
        return code


def _kind(error: SimianError) -> tuple[str, int]:
    if isinstance(error, UsageError):
        return "usage", USAGE
    return ("refused", REFUSED) if isinstance(error, Refused) else ("failed", UNKNOWN)


def _run(asked: Mapping[str, Any], view: Told) -> int:
    system = load_system(Globals(config=asked["config"]))
    options = RunOptions(
        for_s=asked.get("for_s"),
        seed=asked.get("seed"),
        note=asked.get("note") or "",
        leashed=bool(asked.get("leashed")),
        force_headroom=bool(asked.get("force_headroom")),
    )
    if asked.get("monkey"):
        request = monkey_request(system, asked["monkey"], asked.get("options", {}), options)
    else:
        request = experiment_request(system, asked["experiment"], options)
    request, plan = planned(system, replace(request, run=asked["run"], schedule=asked.get("schedule")))
    _require_agreed(asked.get("plan_hash"), plan)
    require_secrets(request)
    refuse_a_world_in_memory(system)
    close_harmless(system.journal(), system.clock)
    herald = Herald(system)
    live(system, replace(request, confirmed_plan_hash=plan.hash), view, herald, also=_listen)
    record = record_of(system.journal(), request.run)
    herald.tell_ends()
    for problem in [*herald.problems, *system.feed_history()]:
        view.feed({"event": "note", "text": problem})
    facts = {key: record[key] for key in ("outcome", "verdict", "recovery", "reasons")}
    view.feed({"event": "closed", **facts})
    return exit_code(record["outcome"], record["verdict"], record["recovery"], leashed=request.leashed)


def _require_agreed(plan_hash: str | None, plan: Plan) -> None:
    """Whoever agreed to a plan did not agree to another. Raises Refused."""
    if plan_hash not in (None, plan.hash):
        raise Refused(
            f"the plan would be {plan.hash} now, and {plan_hash} was agreed to: the system has changed meanwhile; "
            "nothing was touched; plan it anew"
        )


def _listen(to_runner: IO[bytes]) -> None:
    """Pass on the daemon's word to stop, and its end."""

    def say(reason: str) -> None:
        os.write(to_runner.fileno(), json.dumps({"reason": reason}).encode() + b"\n")

    def listen() -> None:
        try:
            for line in sys.stdin:
                say(str(json.loads(line).get("reason", "the daemon asked for it")))
            say("the daemon that started this run is gone")
        except (OSError, ValueError):  # the runner is gone already
            return

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread that waits for stdin would be waited for
