"""A daemon's numbers in the text that Prometheus reads. They are made of events, so nothing here asks anybody."""

import threading
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENESS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0)
UNDO_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
IN_PLACE = ("injected", "doubtful", "stuck")
Event = Mapping[str, Any]


class Metrics:
    """Counts events of runs and due times. For several threads."""

    def __init__(self) -> None:
        self._registry, self._lock = CollectorRegistry(), threading.Lock()
        of = self._registry
        self._runs = Counter(
            "simian_runs", "Runs that ended.", ["monkey", "outcome", "verdict", "recovery"], registry=of
        )
        self._going_on = Gauge("simian_runs_going_on", "Runs that go on.", registry=of)
        self._faults = Gauge(
            "simian_faults_in_place", "Faults in place, doubtful ones and stuck ones too.", registry=of
        )
        self._stuck = Counter("simian_undo_failures", "Faults that could not be put back at first.", registry=of)
        self._dues = Counter("simian_due_times", "What became of due times.", ["schedule", "state"], registry=of)
        self._late = Histogram(
            "simian_schedule_lateness_seconds",
            "From when a run was to start to its start.",
            buckets=LATENESS_S,
            registry=of,
        )
        self._abort = Histogram(
            "simian_abort_seconds",
            "From the end of what was watched to the last fault put back.",
            buckets=UNDO_S,
            registry=of,
        )
        self._halted = Gauge("simian_halted", "1 while the halt lever is pulled.", registry=of)
        self._monkeys: dict[str, str] = {}
        self._placed: dict[tuple[str, Any], str] = {}
        self._recovering: dict[str, float] = {}

    def count(self, at: float, run: str | None, event: Event) -> None:
        """One event, ``at`` seconds since the epoch."""
        with self._lock:
            kind = event.get("event")
            if kind == "started" and run:
                self._monkeys[run] = str(event.get("monkey") or event.get("experiment") or "")
                self._going_on.inc()
            elif kind == "ended" and run:
                self._going_on.dec()
                self._forget(run)
            elif kind == "closed" and run:
                facts = {key: str(event.get(key) or "unknown") for key in ("outcome", "verdict", "recovery")}
                self._runs.labels(self._monkeys.get(run, ""), *facts.values()).inc()
            elif kind == "fault" and run:
                self._fault(at, run, event)
            elif kind == "phase" and run and event.get("phase") == "recover":
                self._recovering[run] = at

    def _fault(self, at: float, run: str, event: Event) -> None:
        key, state = (run, event.get("id")), str(event.get("state"))
        if state == "stuck" and self._placed.get(key) != "stuck":
            self._stuck.inc()
        if state in IN_PLACE:
            self._placed[key] = state
        else:
            self._placed.pop(key, None)
        self._faults.set(len(self._placed))
        if state == "undone" and run in self._recovering and not any(placed[0] == run for placed in self._placed):
            self._abort.observe(max(0.0, at - self._recovering.pop(run)))

    def _forget(self, run: str) -> None:
        self._monkeys.pop(run, None)
        self._recovering.pop(run, None)
        for key in [key for key in self._placed if key[0] == run and self._placed[key] != "stuck"]:
            del self._placed[key]
        self._faults.set(len(self._placed))

    def due(self, event: Event, late_s: float | None) -> None:
        """What became of a due time; ``late_s``: how late its run was started, if one was."""
        with self._lock:
            self._dues.labels(str(event["schedule"]), str(event["state"])).inc()
            if late_s is not None:
                self._late.observe(max(0.0, late_s))

    def text(self, halted: bool) -> str:
        """All of it, as Prometheus reads it."""
        with self._lock:
            self._halted.set(1 if halted else 0)
            return generate_latest(self._registry).decode()
