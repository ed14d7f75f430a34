"""The life of a run: plan, preflight, baseline, inject, observe, recover, verify, report.

Plain synchronous code in one thread, so that it reads from top to bottom and can be simulated step by step. What
goes on side by side is at the edges: ``Hands`` (driver calls) and ``watch`` (readings).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from simian import preflight, snapshot
from simian.aftermath import Aftermath
from simian.attention import Aborted, Attention, Tools
from simian.drain import LOOK_EVERY_S
from simian.errors import JournalError, LeaseLost, Refused, SimianError, UsageError
from simian.fault import Control
from simian.faults.steering import Shift
from simian.guards import Guards
from simian.inject import Injection
from simian.journal import Entry
from simian.monkey import Monkey
from simian.plan import Plan, by_hand, propose
from simian.recover import QUARANTINE_S, READY_WITHIN_S, Recovery, in_order
from simian.request import RunRequest
from simian.steady_state import CheckVerdict, Exposure, SteadyState
from simian.topology import Topology
from simian.verdict import doubts, worst
from simian.writers import Writers

PATIENCE = 3  # how many times the baseline is begun before the run is refused
VOID_WINDOW_S = 5.0
VOID_SHARE = 0.2
EASE_DEADLINE_S = 15.0
RETURN_GATE_S = 20.0
NO_DATA = (
    "what became of the data was not looked at; configure a `data:` section, or cut the links in an experiment of "
    "your own, which its checks alone judge"
)


@dataclass
class Runner:
    """One run, from its request to its verdict."""

    request: RunRequest
    monkey: Monkey | None
    tools: Tools
    steady: SteadyState
    exposure: Exposure = field(default_factory=Exposure)
    guards: Guards = field(default_factory=Guards)
    plan: Plan | None = None
    topology: Topology | None = None
    before: snapshot.Snapshot | None = None
    sides: tuple[str, ...] = ()  # regions where data is written, in a run that looks at it
    controls: list[Control] = field(default_factory=list)
    outcome: str = "completed"
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    weaknesses: list[CheckVerdict] = field(default_factory=list)
    capacity: Mapping[str, Any] = field(default_factory=dict)
    aftermath: Aftermath | None = None

    def __post_init__(self) -> None:
        self.attention = Attention(self.request.run, self.tools, self.steady, self.exposure, guards=self.guards)
        self.clock = self.tools.world.clock

    def run(self) -> None:
        """Live through all phases. Raises ``LeaseLost`` when the guardian takes over: touch nothing then."""
        try:
            self._plan()
            self._preflight()
            self._baseline()
            if not self.request.leashed:
                self._inject()
                self._observe()
        except (Refused, UsageError) as refusal:
            reasons = refusal.reasons if isinstance(refusal, Refused) else refusal.problems
            self._give_up("refused", [f"refused: {reason}" for reason in reasons])
        except Aborted as abort:
            self._give_up("aborted", [str(abort)])
            self.weaknesses += [abort.weakness] if abort.weakness else []
        except LeaseLost as loss:
            if not self.tools.lease.alone:
                raise
            self._give_up("aborted", [f"aborted: {loss}"])
        except SimianError as error:
            self._give_up("aborted" if self.entries else "refused", [f"{type(error).__name__}: {error}"])
        except Exception as error:  # a defect, ours or a plug-in's, must not keep undo from happening
            self._give_up("crashed", [f"crashed: {type(error).__name__}: {error}"])
        self._recover()
        self._verify()
        self._report()

    @property
    def entries(self) -> list[Entry]:
        """The faults intended so far, as they stand."""
        return self.attention.entries

    def _give_up(self, outcome: str, reasons: list[str]) -> None:
        self.outcome = outcome
        self.reasons += reasons

    # --- plan, preflight, baseline: nothing is touched

    def _plan(self) -> None:
        self._enter("plan")
        self.topology = snapshot.topology_of(self.tools.world, self.request.system)
        self.steady.place(self.topology.nodes)
        self.exposure.place(self.topology.nodes)
        if self.monkey is None:
            self.plan = by_hand(self.request.stages, self.topology, self.request.seed)
        else:
            self.plan = propose(self.monkey, self.topology, self.request.seed, self.request.options)
        self.tools.journal.keep(self.request.run, plan={**self.plan.to_json(), "hash": self.plan.hash})

    def _preflight(self) -> None:
        self._enter("preflight")
        reasons = [*preflight.climb(self._case()), *self.attention.ask_guards()]
        if reasons:
            raise Refused(reasons)
        wanted = [(fault.layer, fault.target) for fault in self._agreed.faults]
        taken = self.tools.journal.lock(self.request.run, wanted)
        if taken:
            raise Refused(taken)
        self.plan = preflight.prepared(self._case())
        self.controls = preflight.controls(self._case())
        self.notes += sorted({said for fault in self.plan.faults if (said := fault.caveat(self.tools.world))})
        self.before = snapshot.take(self.tools.world, self.tools.hands)
        self.sides = tuple(self.tools.world.data.regions()) if self._data_checks else ()
        load = (
            self.tools.world.steering.load() if any(fault.layer == "steering" for fault in self._agreed.faults) else {}
        )
        self.capacity = {"capacity_rps": {region: one.capacity_rps for region, one in load.items()}}
        self.tools.journal.keep(self.request.run, snapshot=self.before, figures=self._figures())

    @property
    def _agreed(self) -> Plan:
        assert self.plan is not None, "the plan phase comes first"
        return self.plan

    @property
    def _seen(self) -> Topology:
        assert self.topology is not None, "the plan phase comes first"
        return self.topology

    def _case(self) -> preflight.Case:
        t = self.tools
        return preflight.Case(self.request, self._agreed, self._seen, t.world, t.journal, t.hands, t.lever)

    def _baseline(self) -> None:
        """The steady state holds for the whole planned time; one that does not at first may settle, twice."""
        self.attention.begin()
        for _ in range(PATIENCE):
            self._enter("baseline", for_s=self.request.baseline_s)
            self.steady.again("baseline")
            if self._held_for(self.request.baseline_s):
                return
            self.notes.append("the baseline was begun anew: " + "; ".join(self.steady.why_not("baseline")))
        raise Refused(self._unsteady())

    def _held_for(self, span_s: float) -> bool:
        """Watch for this long, and as long again while too little was seen to say."""
        self.attention.live(span_s)
        until = self.clock.elapsed() + span_s
        while (holds := self.steady.holds_now("baseline")) is None and self.clock.elapsed() < until:
            self.attention.tick(LOOK_EVERY_S)
        return holds is True

    def _unsteady(self) -> list[str]:
        why = self.steady.why_not("baseline") or ["it could not be told"]
        return [f"the steady state does not hold before the run: {line}" for line in why]

    # --- inject: the only phase that does harm

    def _inject(self) -> None:
        self._enter("inject")
        self._start_writers()
        t, within_s = self.tools, self.request.recover_within_s
        parts = (t, self.attention, self.steady, self._seen, self.controls, self, within_s)
        Injection(self.request.run, *parts).put(self._agreed.stages)

    def _start_writers(self) -> None:
        """In a run that looks at the data, somebody has to write on all sides."""
        if self.sides:
            t, request = self.tools, self.request
            self.attention.writers = Writers(request.run, t.world, t.hands, request.seed, self.sides, writing=True)

    @property
    def _data_checks(self) -> tuple[str, ...]:
        return tuple(self.request.verify) or (self.monkey.verify if self.monkey else ())

    def _observe(self) -> None:
        self._enter("observe", for_s=self.request.for_s)
        self.steady.enter("during")
        self.attention.moment("hold")
        self.attention.live(self.request.for_s)

    # --- recover, verify, report: shielded from signals and alarms

    def _recover(self) -> None:
        """Undo everything: nodes first, users after; paced stage by stage when all is well, at once when not."""
        self.attention.shielded = True
        if self.attention.writers is not None:
            self.attention.writers.writing = False
        if not self.entries:
            return
        for entry in self.entries:
            self.note(entry, exposure=self.exposure.met(entry.fault, self._seen, entry.mark))
        self._judge_voids()
        self._enter("recover")
        ready_within_s = max(READY_WITHIN_S, self.request.recover_within_s)
        recovery = Recovery(self.tools.world, self.tools.hands, self, self.attention.breathe, ready_within_s)
        parts = in_order(self.entries)
        for undone in parts:
            if self.outcome == "completed":
                self._ease(undone)
            recovery.undo_stage([self.entries[entry.n - 1] for entry in undone])  # easing may have left a doubt
            self.attention.moment("undone", detail=undone[0].stage)
            if self.outcome == "completed" and undone is not parts[-1]:
                self._settle(undone[0].stage)
        recovery.outwait()
        if self.attention.writers is not None:
            self.aftermath = Aftermath(self.attention.writers, self._seen)  # from now on the regions can speak again
        self.stuck = recovery.stuck
        self.reasons += [f"stuck: {line}" for line in self.stuck]

    def _ease(self, entries: Sequence[Entry]) -> None:
        """Lessen step by step what can be; whatever fails here, undo is what puts things right."""
        for step in range(max(entry.fault.eases for entry in entries)):
            eased = [entry for entry in entries if step < entry.fault.eases]
            calls = [partial(entry.fault.ease, self.tools.world, entry.mark, step) for entry in eased]
            answers = self.tools.hands.each(calls, deadline_s=EASE_DEADLINE_S)
            for entry in (e for e, done in zip(eased, answers, strict=True) if done.doubtful):
                self.mark(entry, "doubtful", doubtful_until=self.clock.now() + QUARANTINE_S)
            if any(done.error for done in answers):
                return
            self.attention.moment("eased", detail=f"{entries[0].stage}, step {step + 1}")
            self._settle(entries[0].stage)

    def _settle(self, name: str) -> None:
        """Between two steps of a calm return let the users settle; a return that hurts them goes on, but slowly."""
        stage = next(stage for stage in self._agreed.stages if stage.name == name)
        self.attention.live(stage.settle_s if stage.judged or stage.drained else 0.0)
        until = self.clock.elapsed() + RETURN_GATE_S
        while stage.gate and self.steady.holds_now("during") is False and self.clock.elapsed() < until:
            self.attention.tick(LOOK_EVERY_S)

    def _judge_voids(self) -> None:
        if not any("users" in check["probe"] for check in self.request.checks):
            return
        if self.outcome != "completed" and not all(stage.judged for stage in self._agreed.stages):
            return  # it ended before anything was judged
        share = self.steady.void_share(VOID_WINDOW_S)
        if share > VOID_SHARE:
            text = f"the users were late in {share:.0%} of the {VOID_WINDOW_S:g} s after the injection"
            self.reasons.append(f"unknown: {text}; what they saw then says little about the system")

    def _verify(self) -> None:
        """The world equals the one before, and the steady state holds again, within the deadline."""
        if not self.entries or self.before is None:
            return
        self._enter("verify")
        self.steady.enter("after")
        until = self.clock.elapsed() + self.request.recover_within_s
        found, steady = self._world_differs(), self.steady.holds_now("after")
        while (found or steady is not True) and self.clock.elapsed() < until:
            self.attention.tick(LOOK_EVERY_S)
            self._look_at_data()
            found, steady = found and self._world_differs(), self.steady.holds_now("after")
        while not self._look_at_data():
            self.attention.tick(LOOK_EVERY_S)
        self._judge_world(found)
        if steady is not True:
            word = "unknown" if steady is None else "broken"
            why = "; ".join(self.steady.why_not("after"))
            within_s = self.request.recover_within_s
            self.reasons.append(f"{word}: the steady state was not back {within_s:g} s after the recovery: {why}")

    def _look_at_data(self) -> bool:
        """Compare what was written, where that is asked for; whether that is over."""
        if self.aftermath is None:
            return True
        self.aftermath.look(self.tools.lease.renew)
        return self.aftermath.over

    def _world_differs(self) -> dict[str, str]:
        assert self.before is not None, "a run with faults has a snapshot"
        try:
            return snapshot.differences(self.before, snapshot.take(self.tools.world, self.tools.hands))
        except SimianError as error:
            return {"": f"the world could not be read after the run: {error}"}

    def _judge_world(self, found: Mapping[str, str]) -> None:
        ours = {entry.fault.target for entry in self.entries}
        ours |= {n.name for e in self.entries if e.fault.layer == "steering" for n in e.fault.places(self._seen)}
        for name, text in found.items():
            if name in ours:
                self.stuck.append(text)
                self.reasons.append(f'stuck: {text}; run "simian recover"')
            elif not name:
                self.reasons.append(f"unknown: {text}")
            else:
                self.notes.append(f"changed meanwhile, not by this run: {text}")

    def _report(self) -> None:
        self._enter("report")
        self.attention.end()
        verdicts = [asdict(verdict) for verdict in self._verdicts()] if self.entries else []
        verdict = self._verdict(verdicts)
        recovery = "stuck" if self.stuck else "clean"
        run, journal = self.request.run, self.tools.journal
        self._try_to(lambda: journal.keep(run, steady_state=verdicts, notes=self.notes, figures=self._figures()))
        end = {"outcome": self.outcome, "verdict": verdict, "recovery": recovery}
        self._try_to(partial(journal.end, run, at=self.clock.now(), reasons=self.reasons, **end))
        self.tools.lease.end()
        self.tools.emit({"event": "end", "run": run, **end, "reasons": self.reasons})

    def _verdicts(self) -> list[CheckVerdict]:
        """Those of the steady state, of the data, and of what ended the run."""
        found = [*self.steady.verdicts(), *self.weaknesses]
        if self._data_checks and self.aftermath is not None:
            return [*found, *self.aftermath.verdicts(self._data_checks)]
        if self._data_checks:
            self.reasons.append(f"unknown: {NO_DATA}")
        return found

    def _figures(self) -> dict[str, Any]:
        """What the report shows beside: who was left for whom, what they can carry, what became of the data."""
        if self.topology is None or self.plan is None:
            return {}
        shifts = [fault for fault in self.plan.faults if isinstance(fault, Shift)]
        regions = {node.name: node.region for node in self.topology.nodes}
        found: dict[str, Any] = {"regions": regions, **self.capacity, **self.exposure.figures()}
        if shifts:
            found |= {"left": shifts[0].left[0], "saviours": sorted({r for one in shifts for r in one.gaining})}
        return found | ({"data": self.aftermath.figures()} if self.aftermath else {})

    def _verdict(self, verdicts: Sequence[Mapping[str, Any]]) -> str:
        if not self.entries:
            self.reasons += ["leashed: nothing was touched"] if self.outcome == "completed" else []
            return "unknown"
        self.reasons += self._doubts()
        self.reasons += [f"{v['verdict']}: {v['check']}: {v['seen']}" for v in verdicts if v["verdict"] != "held"]
        if self.outcome != "completed":
            self.reasons.append("unknown: the run did not complete")
        told = {reason.partition(":")[0] for reason in self.reasons}
        return worst([word for word in ("broken", "unknown") if word in told] or ["held"])

    def _doubts(self) -> list[str]:
        try:
            rows = self.tools.journal.fault_rows(self.request.run)
        except JournalError as error:
            return [f"unknown: {error}"]
        assumed = self.request.exposure == "assumed"
        return doubts(rows, self.entries, exposure_assumed=assumed, why_unmet=self.exposure.why_unmet)

    # --- small things all phases use

    def mark(self, entry: Entry, state: str, **facts: object) -> None:
        """A fault's new state, to journal and guardian; never raises for a lost journal (``FaultLog``)."""
        until = facts.get("doubtful_until", entry.doubtful_until)
        until = until if isinstance(until, float) else None
        newer = replace(entry, state=state, doubtful_until=until)
        self.attention.entries[entry.n - 1] = newer
        self.tools.lease.mark(entry.n, state, until)
        self._try_to(partial(self.tools.journal.mark, self.request.run, entry.n, state, **facts))
        fault = entry.fault
        self.tools.emit({"event": "fault", "id": entry.n, "kind": fault.kind, "target": fault.target, "state": state})

    def note(self, entry: Entry, **facts: object) -> None:
        """Evidence or exposure of a fault, to the journal."""
        self._try_to(partial(self.tools.journal.note_fault, self.request.run, entry.n, **facts))

    def _enter(self, phase: str, for_s: float | None = None) -> None:
        self.tools.crash(f"phase.{phase}")
        self._try_to(partial(self.tools.journal.enter, self.request.run, phase, self.clock.now()))
        self.tools.emit({"event": "phase", "phase": phase, "for_s": for_s})

    def _try_to(self, write: Callable[[], None]) -> None:
        """Write to the journal; one that is lost ends a run that goes on, and is told of, but never stops undo."""
        try:
            write()
        except JournalError as error:
            if not self.attention.shielded:
                raise
            text = f"the journal was lost meanwhile: {error}"
            self.notes += [] if text in self.notes else [text]
