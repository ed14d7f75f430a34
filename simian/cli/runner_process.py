"""The runner's process: ``python -m simian.cli.runner_process``, spawned by the command (or the daemon).

The first line on stdin is the run's request; when stdin ends the command is gone, and the run is aborted and undone.
Events go to stdout as JSON lines; that nobody reads them any more changes nothing.
"""

import dataclasses
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simian.attention import Tools
from simian.cli.crash import crash_point
from simian.cli.signals import StopReasons
from simian.cli.spawn import pipes, spawn
from simian.cli.state import StateFolder
from simian.clock import SystemClock
from simian.drivers import build_world
from simian.errors import LeaseLost, SimianError
from simian.exposure import exposure_of
from simian.guards import Guards
from simian.halt import HaltLever
from simian.hands import Threads
from simian.journal import Journal
from simian.lease import GuardianLease
from simian.monkey import Monkey, find_monkeys
from simian.owner import Owner
from simian.probe import AbortCondition, Check
from simian.request import RunRequest
from simian.runner import Runner
from simian.steady_state import SteadyState
from simian.verdict import UNKNOWN, exit_code
from simian.watch import Watch
from simian.world import World, guarded


class Events:
    """JSON lines to whoever started the run; silence when nobody listens."""

    def __init__(self) -> None:
        self._lock, self._deaf = threading.Lock(), False

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event, default=str) + "\n"
        with self._lock:
            if self._deaf:
                return
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except OSError:
                self._deaf = True


def main() -> None:
    """One run. Leaves by ``os._exit``, since a hung driver call's thread cannot be ended."""
    line = sys.stdin.readline()
    if not line:
        os._exit(UNKNOWN)
    request, events, stop = RunRequest.from_json(json.loads(line)), Events(), StopReasons()
    stop.catch_signals(lambda text: events({"event": "note", "text": text}))
    threading.Thread(target=notice_a_lost_command, args=(stop,), daemon=True).start()
    code = UNKNOWN
    try:
        code = live(request, events, stop)
    except LeaseLost as error:
        events({"event": "note", "text": str(error)})
    except SimianError as error:
        events({"event": "failed", "reasons": str(error).splitlines()})
    finally:
        os._exit(code)


def notice_a_lost_command(stop: StopReasons) -> None:
    """Wait for the end of stdin: only the command's death (or its word) ends it."""
    for line in sys.stdin:
        stop.add(str(json.loads(line).get("reason", "the command asked for it")))
    stop.add("the command that started this run is gone")


def live(request: RunRequest, events: Events, stop: StopReasons) -> int:
    """Put the tools together, run, and return the exit code."""
    clock, crash, state = SystemClock(), crash_point(os.environ, "runner"), StateFolder(Path(request.state_folder))
    journal = Journal(state.journal, crash)
    me = Owner.me()
    journal.begin(
        request.run,
        at=clock.now(),
        owner=(me.pid, me.start_time),
        request=request.to_json(),
        world=dict(request.settings),
    )
    lease = with_guardian(request, journal, clock, me, state)
    world = build_world(request.settings, clock=clock, environment=os.environ)
    fenced = fence(world, lease, crash)
    checks = [Check.from_json(check) for check in request.checks]
    aborts = [AbortCondition.from_json(abort) for abort in request.aborts]
    exposure, guards = exposure_of(request.exposure), Guards(request.guards)
    watch = Watch([*checks, *exposure.checks, *guards.checks], request.users_feed, list(request.plugins), clock)
    lever = HaltLever(state.lever)
    tools = Tools(fenced, journal, Threads(clock, always=lease.renew), watch, lease, lever, events, stop, crash)
    runner = Runner(request, chosen_monkey(request), tools, SteadyState(checks, aborts), exposure, guards)
    runner.run()
    end = journal.run_row(request.run)
    return exit_code(end["outcome"], end["verdict"], end["recovery"], leashed=request.leashed)


def fence(world: World, lease: GuardianLease, crash: Any) -> World:
    """Each driver call checks the lease first and is a crash point before and after."""

    def before(label: str, *args: object) -> None:
        lease.check()
        crash(f"{label}:before")

    def after(label: str, *args: object) -> None:
        crash(f"{label}:after")

    return guarded(world, before, after)


def with_guardian(
    request: RunRequest, journal: Journal, clock: SystemClock, me: Owner, state: StateFolder
) -> GuardianLease:
    """Spawn the guardian and wait for its word that it watches."""
    process = spawn("simian.cli.guardian_process", log=state.log("guardian"), environment=os.environ)
    to_guardian, from_guardian = pipes(process)
    told = {"run": request.run, "runner": dataclasses.astuple(me), "journal": str(journal.path)}
    to_guardian.write(json.dumps(told | {"settings": dict(request.settings)}).encode() + b"\n")
    to_guardian.flush()
    lease = GuardianLease(to_guardian, from_guardian, clock)
    lease.wait_until_ready()
    guardian = Owner.of(process.pid)
    journal.keep(request.run, guardian_pid=guardian.pid, guardian_start_time=guardian.start_time)
    return lease


def chosen_monkey(request: RunRequest) -> Monkey | None:
    """The monkey by name, from entry points and the operator's folders; ``None`` for stages written by hand."""
    if request.monkey is None:
        return None
    return find_monkeys([Path(folder) for folder in request.plugins]).get(request.monkey)


if __name__ == "__main__":
    main()
