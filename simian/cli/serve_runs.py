"""The daemon's runs: each a process of its own that ends, with everything undone, when the daemon does."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simian.cli.context import System
from simian.cli.spawn import pipes, spawn, talk
from simian.cli.start import new_run
from simian.daemon.keeper import Later
from simian.daemon.news import News
from simian.errors import JournalError, SimianError, UsageError
from simian.guardian import is_dead
from simian.record import iso, record_of
from simian.schedule.row import Schedule
from simian.telemetry.metrics import Metrics
from simian.telemetry.spans import provider_for, tell_spans

ENDED_KEPT = 200  # runs of ours that are over: what they said last, for whoever asks before the journal has them


@dataclass
class Running:
    """A run whose process is ours. ``last``: what its process said last of all."""

    asked: Mapping[str, Any]
    process: "subprocess.Popen[bytes]"
    since: str
    phase: str = "starting"
    last: dict[str, Any] = field(default_factory=dict)


class Runs:
    """Starts runs, follows them, and knows how they ended. For several threads."""

    def __init__(self, system: System, news: News, metrics: Metrics | None = None) -> None:
        self._system, self._news, self._metrics = system, news, metrics or Metrics()
        self._spans = provider_for(os.environ)
        self._ours: dict[str, Running] = {}
        self._lock, self._closed = threading.Lock(), False

    # --- what the keeper asks (simian.daemon.keeper.Starter)

    def name(self) -> str:
        """See ``Starter``."""
        return new_run()

    def start(self, run: str, schedule: Schedule, seed: int) -> None:
        """See ``Starter``."""
        asked = {key: getattr(schedule, key) for key in ("monkey", "experiment", "for_s", "note")}
        self.begin({**asked, "run": run, "options": dict(schedule.options), "seed": seed, "schedule": schedule.name})

    def fence(self, run: str) -> bool:
        """See ``Starter``."""
        at = self._system.clock.now()
        return self._system.journal().fence(run, at=at, why="the daemon that was to start it died before it began")

    def ending(self, run: str) -> tuple[str, str] | None:
        """See ``Starter``."""
        mine = self._ours.get(run)
        if mine is not None and mine.process.poll() is None:
            return None
        try:
            row = self._system.journal().run_row(run)
        except JournalError:
            why = mine.last.get("reasons", ["its process ended before the run began"]) if mine else ["it never began"]
            return ("refused" if mine and mine.last.get("event") == "refused" else "failed"), "; ".join(why)
        if row["ended"] is None:
            return None  # its guardian, or whoever recovers it, ends it
        reasons = "; ".join(json.loads(row["reasons"]))
        if row["outcome"] == "refused":
            return "refused", reasons
        facts = ", ".join(str(row[key]) for key in ("outcome", "verdict", "recovery"))
        return "ended", f"{facts}: {reasons}" if reasons else facts

    # --- runs

    def begin(self, asked: Mapping[str, Any]) -> str:
        """Start one; returns its name. Raises SimianError where no process can be started, Later once closed."""
        run = str(asked["run"])
        with self._lock:  # whoever closes sees each that was begun before
            if self._closed:
                raise Later("the daemon stops; the next one starts what is due then")
            mine = self._ours[run] = self._spawned(asked)
        process = mine.process
        line = json.dumps({**asked, "config": str(self._system.path)}).encode() + b"\n"
        to, _ = pipes(process)
        with contextlib.suppress(BrokenPipeError):  # it is dead already, and says so by its end
            to.write(line)
            to.flush()
        self.tell(run, {"event": "started", **{key: asked.get(key) for key in ("monkey", "experiment", "schedule")}})
        threading.Thread(target=self._follow, args=(run, mine), daemon=True).start()
        return run

    def _spawned(self, asked: Mapping[str, Any]) -> Running:
        try:
            process = spawn("simian.cli.run_process", log=self._system.state.log("run"), environment=os.environ)
        except OSError as error:
            raise SimianError(f"no process can be started: {error}") from error
        return Running(asked, process, iso(self._system.clock.now()) or "")

    def _follow(self, run: str, mine: Running) -> None:
        with talk(mine.process) as (_, of):
            for line in of:
                event = json.loads(line)
                mine.last = event
                mine.phase = event["phase"] if event["event"] == "phase" else mine.phase
                self.tell(run, event)
            mine.process.wait()
        self._forget()
        self.tell(run, {"event": "ended", "exit": mine.process.returncode})
        if self._spans is not None:
            with contextlib.suppress(SimianError):  # a run that never began has none
                tell_spans(record_of(self._system.journal(), run), self._spans)

    def _forget(self) -> None:
        """All but the latest of those that are over; the journal has what became of the others."""
        with self._lock:
            over = [run for run, one in self._ours.items() if one.process.poll() is not None]
            for run in over[:-ENDED_KEPT]:
                del self._ours[run]

    def tell(self, run: str | None, event: Mapping[str, Any]) -> None:
        """An event for whoever listens, and counts."""
        now = self._system.clock.now()
        self._metrics.count(now, run, event)
        self._news.tell(iso(now) or "", run, event)

    def going_on(self) -> dict[str, Running]:
        """Those of ours whose processes live."""
        with self._lock:
            return {run: one for run, one in self._ours.items() if one.process.poll() is None}

    def close(self) -> dict[str, Running]:
        """Begin none any more; those of ours that go on."""
        with self._lock:
            self._closed = True
        return self.going_on()

    def abort(self, run: str, reason: str) -> None:
        """Have it end with everything undone. Raises UsageError where there is no such run that goes on."""
        mine = self.going_on().get(run)
        if mine is not None:
            to, _ = pipes(mine.process)
            with contextlib.suppress(OSError, ValueError):
                to.write(json.dumps({"reason": reason}).encode() + b"\n")
                to.flush()
            return
        from simian.cli.mend import end_runner

        rows = [row for row in self._system.journal().unfinished() if row["run"] == run and not is_dead(row)]
        if not rows:
            raise UsageError(f"no run {run!r:.40} goes on; 'simian status' lists those that do")
        end_runner(rows[0])

    def last_words(self, run: str) -> dict[str, Any]:
        """What the process of a run of ours said last; nothing for others."""
        mine = self._ours.get(run)
        return {**mine.last, "asked": dict(mine.asked)} if mine else {}
