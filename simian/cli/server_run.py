"""A run at a daemon elsewhere: planned there, agreed to here, started, watched to its end, its story told."""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simian.cli.context import path_of, server_of
from simian.cli.globals import Globals
from simian.cli.live import View
from simian.cli.options import RunOptions
from simian.cli.report import of_run_there
from simian.cli.server_watch import Stop, Watch
from simian.cli.show import check_report, view_for
from simian.cli.start import DEFAULT_FOR_S, agree, show_plan, tell_all
from simian.errors import Refused, SimianError, TimedOut, Unreachable, UsageError
from simian.plan import plan_from_json
from simian.verdict import exit_code

if TYPE_CHECKING:
    from simian.cli.server import Server


def experiment_there(wanted: str, settings: Globals) -> str:
    """The name of an experiment there. Raises UsageError for a file of this machine, which nobody there has."""
    there = {one["name"] for one in server_of(settings).get("/experiments")["experiments"]}
    if wanted not in there and Path(wanted).is_file():
        raise UsageError(
            f"{wanted} is a file of this machine, and {settings.server} runs what is there; name one of its "
            f"experiments ({', '.join(sorted(there)) or 'it has none'}), or run it where the file is"
        )
    return wanted


def run_there(asked: Mapping[str, Any], options: RunOptions, settings: Globals) -> int:
    """From what is asked for (``monkey`` with ``options``, or ``experiment``) to the exit code."""
    if options.report:
        check_report(Path(options.report))
    server = server_of(settings)
    seed = options.seed if options.seed is not None else secrets.randbits(32)
    asked = {**asked, "seed": seed, "for_s": options.for_s}
    planned = server.post("/plan", asked)
    told, for_s = planned["plan"], planned.get("for_s") or options.for_s or DEFAULT_FOR_S
    if options.plan:
        show_plan(told, planned.get("experiment"), for_s, settings)
        return 0
    status = server.get("/status")
    agree(status["system"], plan_from_json(told), options, is_lab=bool(status.get("lab")))
    own = {"note": options.note, "leashed": options.leashed, "force_headroom": options.force_headroom}
    record = _watched(server, {**asked, **own, "plan_hash": told["hash"]}, options, settings)
    tell_all(of_run_there(server, record), options, settings)
    return exit_code(record["outcome"], record["verdict"], record["recovery"], leashed=options.leashed)


def _watched(server: "Server", asked: Mapping[str, Any], options: RunOptions, settings: Globals) -> Mapping[str, Any]:
    """The record of the run, once it has ended."""
    with view_for(settings, options) as view, Stop(server, _words(view, settings)) as stop:
        run = _begun(server, asked)
        stop.about(run)
        watch = Watch(server, run, view.feed, _words(view, settings))
        watch()
    record: Mapping[str, Any] = server.get(path_of("runs", run))
    if watch.refusal:
        raise _as_here(watch.refusal)
    if record.get("started") is None:  # its process ended before it began, and we have not heard its words
        raise Refused(record["reasons"] or [f"run {run} never began; the daemon's log says more"])
    return record


def _begun(server: "Server", asked: Mapping[str, Any]) -> str:
    key = secrets.token_hex(16)  # so that asking again starts nothing twice
    try:
        try:
            return str(server.post("/runs", asked, key=key)["run"])
        except TimedOut:
            return str(server.post("/runs", asked, key=key)["run"])
    except (TimedOut, Unreachable) as error:
        raise Unreachable(f"{error}; the run may have begun all the same: simian status {server.said} tells") from error


def _as_here(refusal: Mapping[str, Any]) -> SimianError:
    """What the process of the run said before it began, as the command here would raise it."""
    reasons = [str(reason) for reason in refusal["reasons"]]
    if refusal.get("kind") == "usage":
        return UsageError(reasons)
    return Refused(reasons) if refusal.get("kind") == "refused" else SimianError("\n".join(reasons))


def _words(view: View, settings: Globals) -> Any:
    """Says something beside the run: in its view, or on stderr where there is none."""

    def say(text: str) -> None:
        if settings.json or settings.quiet:
            print(text, file=sys.stderr, flush=True)
        else:
            view.feed({"event": "note", "text": text})

    return say
