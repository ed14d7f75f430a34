"""The guardian's process: ``python -m simian.cli.guardian_process``, spawned by a runner before anything else.

The first line on stdin says whom to watch: run, runner, journal, world settings.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simian.cli.crash import crash_point
from simian.clock import SystemClock
from simian.drivers import build_world
from simian.errors import JournalError
from simian.guardian import Guardian, entries_to_undo, take_over
from simian.hands import Threads
from simian.journal import Journal
from simian.lease import Lines
from simian.owner import Owner
from simian.world import World

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


def main() -> None:
    """Watch until the run ends; recover when its runner is lost. Leaves by ``os._exit``, past calls that hang."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(0, "rb", buffering=0, closefd=False) as unbuffered:  # Lines reads on where this ends
        told = json.loads(unbuffered.readline())
    clock, crash = SystemClock(), crash_point(os.environ, "guardian")
    # Everything that undo needs is loaded and built before "ready": there may be no disk to load it from later.
    world = build_world(told["settings"], clock=clock, environment=os.environ)
    journal = open_journal(told)
    gc.collect()
    guardian = Guardian(told["run"], Owner(*told["runner"]), clock, Lines(0), sys.stdout.buffer)
    why = guardian.watch()
    stuck = recover(guardian, why, world, journal, crash) if why else []
    os._exit(5 if stuck else 0)


def open_journal(told: Mapping[str, Any]) -> Journal | None:
    """The journal, or ``None`` where it cannot be opened: undo goes on without."""
    try:
        return Journal(Path(told["journal"]))
    except JournalError as error:
        print(error, file=sys.stderr, flush=True)
        return None


def recover(guardian: Guardian, why: str, world: World, journal: Journal | None, crash: Any) -> list[str]:
    """End the runner for good, then undo everything."""
    guardian.end_runner()
    entries = entries_to_undo(guardian.open_entries, journal, guardian.run)
    hands = Threads(world.clock)
    return take_over(guardian.run, why, entries, world=world, hands=hands, journal=journal, crash=crash)


if __name__ == "__main__":
    main()
