"""What the daemon answers at its socket (docs/wire.md)."""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from simian.cli.context import System
from simian.cli.look import status_of, topology_told
from simian.cli.mend import end_halted, pull_lever
from simian.cli.schedule_preview import previewed
from simian.cli.serve_audit import Audit, unwritten
from simian.cli.serve_known import experiments_told, monkey_told
from simian.cli.serve_runs import Runs
from simian.cli.traffic import traffic_of
from simian.daemon.keeper import Keeper
from simian.errors import JournalError, UsageError
from simian.history import open_schedules
from simian.record import record_of
from simian.schedule.due import why_shut
from simian.schedule.row import Schedule
from simian.schedule.when import text_of
from simian.snapshot import topology_of

Question = Mapping[str, Any]
TRAFFIC_S = 1.0
SOON = 20
DAYS, MOST_SHOWN = 30.0, 1_000
WHAT = ("monkey", "experiment", "options", "seed", "for_s", "note", "leashed", "force_headroom", "plan_hash")


class Answers:
    """One method a question. ``facts``: what never changes (version, pid, since). For several threads."""

    def __init__(
        self,
        system: System,
        runs: Runs,
        keeper: Keeper,
        facts: Mapping[str, Any],
        wake: Callable[[], None],
        audit: Audit | None = None,
    ) -> None:
        self._system, self._runs, self._keeper, self._facts, self._wake = system, runs, keeper, facts, wake
        self._audit = audit or Audit(system, self._unwritten)
        self._looking = threading.Lock()  # drivers are asked by one thread at a time
        self._world: Any = None

    def table(self) -> dict[str, Callable[[Question], Any]]:
        """Each ``do`` and who answers it."""
        return {
            "status": self.status, "topology": self.topology, "traffic": self.traffic, "monkeys": self.monkeys,
            "experiments": self.experiments, "plan": self.plan, "start": self.start, "run": self.run,
            "abort": self.abort, "halt": self.halt, "resume": self.resume, "schedules-changed": self.changed,
            "broken": self.broken, "preview": self.preview,
        }  # fmt: skip

    # --- looking

    def status(self, _: Question) -> dict[str, Any]:
        """Runs, faults in place, what comes next."""
        told, ours = status_of(self._system), self._runs.going_on()
        runs = [self._run_told(row, ours) for row in told["runs"]]
        known = {row["run"] for row in runs}
        for run, mine in ours.items():
            if run not in known:
                row = {key: mine.asked.get(key) for key in ("run", "monkey", "experiment")}
                runs.append(self._run_told({**row, "phase": mine.phase, "state": "alive", "started": mine.since}, ours))
        return {
            **self._facts, "system": self._system.name, "halted": told["halted"], "runs": runs, "open": told["faults"],
            "next": self._next(), "recover": told["recover"], "lab": self._system.is_lab,
        }  # fmt: skip

    def _run_told(self, row: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
        asked: Mapping[str, Any] = ours[row["run"]].asked if row["run"] in ours else {}
        with contextlib.suppress(JournalError):  # it has not begun yet
            asked = {**asked, **json.loads(self._system.journal().run_row(row["run"])["request"])}
        return {**row, **{key: asked.get(key) for key in ("schedule", "seed", "for_s", "note")}}

    def _next(self) -> list[dict[str, Any]]:
        calendar = self._system.config.opening_hours()
        coming = sorted(self._keeper.next_starts().items(), key=lambda one: one[1])[:SOON]
        found = []
        for name, starts in coming:
            schedule = self._keeper.schedule(name)
            opens = "" if schedule is None else "paused" if schedule.paused else why_shut(schedule, starts, calendar)
            found.append({"schedule": name, "due": text_of(starts), "opens": opens or None})
        return found

    def _in_the_world(self, look: Callable[[Any], Any]) -> Any:
        with self._looking:
            self._world = self._world or self._system.world()
            return look(self._world)

    def topology(self, _: Question) -> Any:
        """As the command tells it."""
        return self._in_the_world(lambda world: topology_told(topology_of(world, self._system.name)))

    def traffic(self, _: Question) -> Any:
        """As the command tells it."""
        return self._in_the_world(lambda world: traffic_of(world, TRAFFIC_S))

    def monkeys(self, _: Question) -> list[dict[str, Any]]:
        """All that are found."""
        found = self._system.monkeys().monkeys
        return [monkey_told(monkey) for _, monkey in sorted(found.items())]

    def broken(self, _: Question) -> list[dict[str, Any]]:
        """Plug-ins that could not be loaded, and why."""
        return [{"origin": origin, "why": why} for origin, why in self._system.monkeys().broken]

    def experiments(self, _: Question) -> list[dict[str, Any]]:
        """Those that come with simian, and those that schedules name."""
        with open_schedules(self._system.history_place) as store:
            named = [str(row["experiment"]) for row in store.all() if row["experiment"]]
        return experiments_told(named, self._system.config.plugins)

    def preview(self, question: Question) -> dict[str, Any]:
        """The coming runs of all schedules, each with its targets; nothing is touched."""
        with open_schedules(self._system.history_place) as store:
            schedules = [Schedule.from_json(row) for row in store.all()]
        days, seed = float(question.get("days") or DAYS), question.get("seed")
        topology = self._in_the_world(lambda world: topology_of(world, self._system.name))
        return previewed(self._system, topology, schedules, days, seed, most=MOST_SHOWN)

    def run(self, question: Question) -> dict[str, Any]:
        """The record of a run as far as it is known."""
        run = str(question.get("run", ""))
        try:
            record = record_of(self._system.journal(), run)
        except JournalError:
            last = self._runs.last_words(run)
            if not last:
                raise UsageError(f"no run is called {run!r:.40} in the journal") from None
            asked = last.pop("asked")
            outcome = {"refused": "refused", "closed": last.get("outcome")}.get(last.get("event", ""), "running")
            return {**asked, "outcome": outcome, "verdict": "unknown", "recovery": "clean",
                    "reasons": last.get("reasons", [])}  # fmt: skip
        return record

    # --- doing

    def plan(self, question: Question) -> dict[str, Any]:
        """What would be done; nothing is."""
        schedule = _as_schedule(question)
        from simian.cli.start import planned_for, request_for

        def look(world: Any) -> Any:
            return planned_for(self._system, schedule, schedule.seed, topology_of(world, self._system.name))

        plan, request = self._in_the_world(look), request_for(self._system, schedule, schedule.seed)
        return {
            "plan": {**plan.to_json(), "hash": plan.hash}, "experiment": request.experiment, "for_s": request.for_s,
        }  # fmt: skip

    def start(self, question: Question) -> dict[str, Any]:
        """One run, at once."""
        _as_schedule(question)
        if reason := self._system.lever.why_pulled():
            from simian.errors import Refused

            raise Refused(f'halted: {reason}; run "simian resume" when it is over')
        run = self._runs.name()
        asked = {key: question[key] for key in WHAT if question.get(key) is not None}
        self._runs.begin({**asked, "run": run})
        self._note(question, "run start", {**asked, "run": run})
        return {"run": run}

    def abort(self, question: Question) -> dict[str, Any]:
        """Have a run end with everything undone."""
        run, by = str(question.get("run", "")), str(question.get("by", ""))
        self._runs.abort(run, str(question.get("reason") or f"{by or 'somebody'} asked for it"))
        self._note(question, "run abort", {"run": run})
        return {"run": run}

    def halt(self, question: Question) -> dict[str, Any]:
        """End every run, forbid new ones."""
        reason = str(question.get("reason") or f"{question.get('by') or 'somebody'} asked for it")
        runs = pull_lever(self._system, reason)
        threading.Thread(
            target=end_halted, args=(self._system, runs), daemon=True
        ).start()  # takes as long as undo does
        self._runs.tell(None, {"event": "halted", "reason": reason})
        self._note(question, "halt", {"reason": reason})
        return {"halted": self._system.lever.why_pulled() or None, "runs": runs}

    def resume(self, question: Question) -> dict[str, Any]:
        """Allow runs again."""
        pulled = self._system.lever.release()
        self._runs.tell(None, {"event": "resumed"})
        self._note(question, "resume", {})
        return {"halted": self._system.lever.why_pulled() or None, "resumed": pulled}

    def changed(self, _: Question) -> dict[str, Any]:
        """Somebody wrote into the rows."""
        self._wake()
        self._runs.tell(None, {"event": "schedules"})
        return {}

    def _unwritten(self, row: Mapping[str, Any], why: str) -> None:
        self._runs.tell(None, {"event": "note", "text": unwritten(row, why)})

    def _note(self, question: Question, what: str, detail: Mapping[str, Any]) -> None:
        self._audit.note(str(question.get("by", "")), str(question.get("origin", "socket")), what, detail)


def _as_schedule(question: Question) -> Schedule:
    """What is asked for, checked as a schedule would be. Raises UsageError with every problem."""
    seed = question.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise UsageError(f"seed {seed!r} is no seed; right would be a whole number from 0")
    for_s = question.get("for_s")
    if for_s is not None and (isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0.01 <= for_s < 1e8):
        raise UsageError(f"for_s {for_s!r} cannot be; right would be seconds, 0.01 or more")
    options = question.get("options") or {}
    if not isinstance(options, Mapping):
        raise UsageError(f'options {options!r:.80} are none; right would be an object, such as {{"region": "east"}}')
    return Schedule.from_json(
        {
            "name": "now", "when": {"at": "2100-01-01T00:00:00Z"}, "made": "2000-01-01T00:00:00Z", "seed": seed or 0,
            "monkey": question.get("monkey"), "experiment": question.get("experiment"), "options": dict(options),
            "for_s": for_s, "note": str(question.get("note") or ""),
        }
    )  # fmt: skip
