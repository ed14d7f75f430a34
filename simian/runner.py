"""The life of a run: plan, preflight, baseline, inject, observe, recover, verify, report.

Plain synchronous code in one thread, so that it reads from top to bottom and can be simulated step by step. What
goes on side by side is at the edges: ``Hands`` (driver calls) and ``watch`` (readings).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

from simian import preflight, snapshot
from simian.attention import Aborted, Attention, Tools
from simian.errors import JournalError, LeaseLost, Refused, SimianError, UsageError
from simian.fault import Control, Evidence
from simian.hands import Done
from simian.journal import Entry
from simian.monkey import Monkey
from simian.plan import Plan, Stage, by_hand, propose
from simian.recover import READY_WITHIN_S, Recovery
from simian.request import RunRequest
from simian.steady_state import Exposure, SteadyState
from simian.topology import Topology
from simian.verdict import doubts, worst

INJECT_DEADLINE_S = 15.0
EVIDENCE_DEADLINE_S = 60.0
QUARANTINE_S = 15.0  # longer than any driver's own time limit: a call that timed out cannot land after it
LOOK_EVERY_S = 0.5
PATIENCE = 3  # how many times the baseline is begun before the run is refused
VOID_WINDOW_S = 5.0
VOID_SHARE = 0.2


@dataclass
class Runner:
    """One run, from its request to its verdict."""

    request: RunRequest
    monkey: Monkey | None
    tools: Tools
    steady: SteadyState
    exposure: Exposure = field(default_factory=Exposure)
    plan: Plan | None = None
    topology: Topology | None = None
    before: snapshot.Snapshot | None = None
    controls: list[Control] = field(default_factory=list)
    outcome: str = "completed"
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.attention = Attention(self.request.run, self.tools, self.steady, self.exposure)
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
        if self.monkey is None:
            self.plan = by_hand(self.request.stages, self.topology, self.request.seed)
        else:
            self.plan = propose(self.monkey, self.topology, self.request.seed, self.request.options)
        self.tools.journal.keep(self.request.run, plan={**self.plan.to_json(), "hash": self.plan.hash})

    def _preflight(self) -> None:
        self._enter("preflight")
        reasons = preflight.climb(self._case())
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
        self.tools.journal.keep(self.request.run, snapshot=self.before)

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

    # --- inject: the only phase that writes harm

    def _inject(self) -> None:
        self._enter("inject")
        self.steady.enter("during")
        stages = self._agreed.stages
        for index, stage in enumerate(stages):
            entries = self._intend(stage)
            self._act(entries)
            self._prove(entries)
            self.attention.live(stage.settle_s)
            if stage.gate and index + 1 < len(stages):
                self._gate(stage)

    def _intend(self, stage: Stage) -> list[Entry]:
        """Write down and have acknowledged what will be done, before it is done."""
        self.attention.tick()
        run, numbered = self.request.run, list(enumerate(stage.faults, len(self.entries) + 1))
        written = [(n, stage.name, fault, asdict(self.controls[n - 1])) for n, fault in numbered]
        self.tools.journal.intend(run, written, self.clock.now())
        # What is written down is ours to close, also when nobody acknowledges it and it is never done.
        entries = [Entry(run, n, stage.name, fault, "intended") for n, fault in numbered]
        self.entries.extend(entries)
        self.tools.lease.intend([{"n": n, "stage": stage.name, "fault": f.to_json()} for n, f in numbered])
        return entries

    def _act(self, entries: Sequence[Entry]) -> None:
        calls = [partial(entry.fault.inject, self.tools.world, entry.mark) for entry in entries]
        answers = self.tools.hands.each(calls, deadline_s=INJECT_DEADLINE_S, idle=self.attention.breathe)
        failed = [self._acted(entry, done) for entry, done in zip(entries, answers, strict=True)]
        if any(failed):
            raise Aborted("aborted: " + "; ".join(text for text in failed if text))

    def _acted(self, entry: Entry, done: Done) -> str:
        if done.error is None:
            self.mark(entry, "injected", injected=self.clock.now())
            return ""
        if isinstance(done.error, LeaseLost):
            raise done.error
        # Whatever the error, the call may have done part of its work: the fault stays open and is undone.
        until = self.clock.now() + QUARANTINE_S if done.doubtful else None
        self.mark(entry, "doubtful" if done.doubtful else "intended", doubtful_until=until, error=str(done.error))
        return f"{entry.fault.kind} of {entry.fault.target} could not be injected: {done.error}"

    def _prove(self, entries: Sequence[Entry]) -> None:
        """Take evidence of all of them at once, while the users are watched."""
        calls = [partial(self._evidence, entry) for entry in entries]
        answers = self.tools.hands.each(calls, deadline_s=EVIDENCE_DEADLINE_S, idle=self.attention.tick)
        for entry, done in zip(entries, answers, strict=True):
            before = self.controls[entry.n - 1].seen
            found = done.value or Evidence(None, before, f"could not be measured: {done.error}")
            self._note(entry, evidence=asdict(found))
            self.tools.emit({"event": "evidence", "id": entry.n, "target": entry.fault.target, **asdict(found)})

    def _evidence(self, entry: Entry) -> Evidence:
        control = self.controls[entry.n - 1]
        return entry.fault.evidence(self.tools.world, self._seen, entry.mark, control)

    def _gate(self, stage: Stage) -> None:
        until = self.clock.elapsed() + self.request.recover_within_s
        # A blip right after an injection is no reason to stop; lasting harm is the guard's affair, in every tick.
        while self.steady.holds_now("during") is not True:
            if self.clock.elapsed() >= until:
                raise Aborted(f"aborted: the steady state does not hold after stage {stage.name!r}")
            self.attention.tick(LOOK_EVERY_S)

    def _observe(self) -> None:
        self._enter("observe", for_s=self.request.for_s)
        self.attention.live(self.request.for_s)

    # --- recover, verify, report: shielded from signals and alarms

    def _recover(self) -> None:
        """Undo everything, newest stage first; paced stage by stage when all is well, at once when not."""
        self.attention.shielded = True
        if not self.entries:
            return
        for entry in self.entries:
            self._note(entry, exposure=entry.fault.exposure(self.exposure, self._seen, entry.mark))
        self._judge_voids()
        self._enter("recover")
        ready_within_s = max(READY_WITHIN_S, self.request.recover_within_s)
        recovery = Recovery(self.tools.world, self.tools.hands, self, self.attention.breathe, ready_within_s)
        calm = self.outcome == "completed"
        backwards = groupby(reversed(self.entries), key=lambda entry: entry.stage)
        for name, undone in [(name, list(entries)) for name, entries in backwards]:
            recovery.undo_stage(undone)
            calm = calm and self._settled(name, last=undone[-1].n == 1)
        self.stuck = recovery.stuck
        self.reasons += [f"stuck: {line}" for line in self.stuck]

    def _settled(self, name: str, *, last: bool) -> bool:
        """Between two stages of a calm return let the users settle; False: what is left had better go at once."""
        if last:
            return True
        self.attention.live(next(stage.settle_s for stage in self._agreed.stages if stage.name == name))
        return self.steady.holds_now("during") is True

    def _judge_voids(self) -> None:
        if not any("users" in check["probe"] for check in self.request.checks):
            return
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
            found, steady = found and self._world_differs(), self.steady.holds_now("after")
        self._judge_world(found)
        if steady is not True:
            word = "unknown" if steady is None else "broken"
            why = "; ".join(self.steady.why_not("after"))
            within_s = self.request.recover_within_s
            self.reasons.append(f"{word}: the steady state was not back {within_s:g} s after the recovery: {why}")

    def _world_differs(self) -> dict[str, str]:
        assert self.before is not None, "a run with faults has a snapshot"
        try:
            return snapshot.differences(self.before, snapshot.take(self.tools.world, self.tools.hands))
        except SimianError as error:
            return {"": f"the world could not be read after the run: {error}"}

    def _judge_world(self, found: Mapping[str, str]) -> None:
        ours = {entry.fault.target for entry in self.entries}
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
        verdicts = [asdict(verdict) for verdict in self.steady.verdicts()] if self.entries else []
        verdict = self._verdict(verdicts)
        recovery = "stuck" if self.stuck else "clean"
        run, journal = self.request.run, self.tools.journal
        self._try_to(lambda: journal.keep(run, steady_state=verdicts, notes=self.notes))
        end = {"outcome": self.outcome, "verdict": verdict, "recovery": recovery}
        self._try_to(partial(journal.end, run, at=self.clock.now(), reasons=self.reasons, **end))
        self.tools.lease.end()
        self.tools.emit({"event": "end", "run": run, **end, "reasons": self.reasons})

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
        return doubts(rows, self.entries, exposure_assumed=self.request.exposure == "assumed")

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

    def _note(self, entry: Entry, **facts: object) -> None:
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
