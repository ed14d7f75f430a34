"""Putting faults in place, stage by stage: intend, act, mark, prove, settle, drain, gate."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol

from simian.attention import Aborted, Attention, Tools
from simian.drain import LOOK_EVERY_S, Drain
from simian.errors import LeaseLost
from simian.fault import Control, Evidence
from simian.hands import Done
from simian.journal import Entry
from simian.plan import Stage
from simian.recover import QUARANTINE_S, FaultLog
from simian.steady_state import CheckVerdict, SteadyState
from simian.topology import Topology

INJECT_DEADLINE_S = 15.0
EVIDENCE_DEADLINE_S = 60.0


class Log(FaultLog, Protocol):
    """Where states of faults, and what was found of them, are written."""

    def note(self, entry: Entry, **facts: object) -> None:
        """Evidence or exposure of a fault; its state stays."""
        ...


@dataclass
class Injection:
    """The only part of a run that does harm. ``gate_within_s``: how long a gate waits for the steady state."""

    run: str
    tools: Tools
    attention: Attention
    steady: SteadyState
    topology: Topology
    controls: Sequence[Control]
    log: Log
    gate_within_s: float

    def __post_init__(self) -> None:
        self.clock = self.tools.world.clock

    def put(self, stages: Sequence[Stage]) -> None:
        """All stages, one after the other. Raises ``Aborted`` when the run must end."""
        for index, stage in enumerate(stages):
            self.steady.enter("during" if stage.judged else "moving")
            if not stage.judged and index == 1:
                self.attention.moment("decided", detail="to move users")
            entries = self._intend(stage)
            self.act(entries)
            if not stage.judged and (index == 0 or stage.drained):
                self.attention.moment("dark" if index == 0 else "shifted", detail=stage.name)
            self._prove(entries)
            self._settle(stage)
            if stage.gate and index + 1 < len(stages):
                self._gate(stage)

    def _intend(self, stage: Stage) -> list[Entry]:
        """Write down and have acknowledged what will be done, before it is done."""
        self.attention.tick()
        run, numbered = self.run, list(enumerate(stage.faults, len(self.attention.entries) + 1))
        written = [(n, stage.name, fault, asdict(self.controls[n - 1])) for n, fault in numbered]
        self.tools.journal.intend(run, written, self.clock.now())
        # What is written down is ours to close, also when nobody acknowledges it and it is never done.
        entries = [Entry(run, n, stage.name, fault, "intended") for n, fault in numbered]
        self.attention.entries.extend(entries)
        self.tools.lease.intend([{"n": n, "stage": stage.name, "fault": f.to_json()} for n, f in numbered])
        return entries

    def act(self, entries: Sequence[Entry]) -> None:
        """Do what was written down. Raises ``Aborted`` when any of it failed."""
        calls = [partial(entry.fault.inject, self.tools.world, entry.mark) for entry in entries]
        answers = self.tools.hands.each(calls, deadline_s=INJECT_DEADLINE_S, idle=self.attention.breathe)
        failed = [self._acted(entry, done) for entry, done in zip(entries, answers, strict=True)]
        if any(failed):
            raise Aborted("aborted: " + "; ".join(text for text in failed if text))

    def _acted(self, entry: Entry, done: Done) -> str:
        if done.error is None:
            self.log.mark(entry, "injected", injected=self.clock.now())
            self.attention.exposure.begin(self.clock.now())
            return ""
        if isinstance(done.error, LeaseLost):
            raise done.error
        # Whatever the error, the call may have done part of its work: the fault stays open and is undone.
        until = self.clock.now() + QUARANTINE_S if done.doubtful else None
        self.log.mark(entry, "doubtful" if done.doubtful else "intended", doubtful_until=until, error=str(done.error))
        return f"{entry.fault.kind} of {entry.fault.target} could not be injected: {done.error}"

    def _prove(self, entries: Sequence[Entry]) -> None:
        """Take evidence of all of them at once, while the users are watched."""
        calls = [partial(self._evidence, entry) for entry in entries]
        answers = self.tools.hands.each(calls, deadline_s=EVIDENCE_DEADLINE_S, idle=self.attention.tick)
        unproven: list[tuple[Entry, Evidence]] = []
        for entry, done in zip(entries, answers, strict=True):
            before = self.controls[entry.n - 1].seen
            found = done.value or Evidence(None, before, f"could not be measured: {done.error}")
            self.log.note(entry, evidence=asdict(found))
            self.tools.emit({"event": "evidence", "id": entry.n, "target": entry.fault.target, **asdict(found)})
            unproven += [(entry, found)] if entry.fault.last and found.held is not True else []
        if unproven:
            raise _not_obeyed(*unproven[0])

    def _evidence(self, entry: Entry) -> Evidence:
        control = self.controls[entry.n - 1]
        return entry.fault.evidence(self.tools.world, self.topology, entry.mark, control)

    def _settle(self, stage: Stage) -> None:
        if stage.drained:
            Drain(stage, self.tools, self.attention, self.topology).wait()
        if stage.judged or stage.drained:
            self.attention.live(stage.settle_s)
        else:
            self._wait_until_noticed(stage.settle_s)

    def _wait_until_noticed(self, within_s: float) -> None:
        """As long as it takes whoever runs the system to see that something is wrong, by the guard of this run."""
        until = self.clock.elapsed() + within_s
        while not self.steady.noticed() and self.clock.elapsed() < until:
            self.attention.tick(min(LOOK_EVERY_S / 5, self.tools.tick_s))
        if within_s:
            said = self.steady.noticed()
            self.attention.moment("detected" if said else "unnoticed", detail=said or f"nothing within {within_s:g} s")

    def _gate(self, stage: Stage) -> None:
        until = self.clock.elapsed() + self.gate_within_s
        # A blip right after an injection is no reason to stop; lasting harm is the guard's affair, in every tick.
        while self.steady.holds_now("during") is not True:
            if self.clock.elapsed() >= until:
                raise Aborted(f"aborted: the steady state does not hold after stage {stage.name!r}")
            self.attention.tick(LOOK_EVERY_S)


def _not_obeyed(entry: Entry, found: Evidence) -> Aborted:
    """Users are not moved any further on steering that is not proven: who would take them is not sure."""
    called = f"{entry.fault.kind} of {entry.fault.target}"
    text = f"aborted: the {called} is not proven to be in place, and users are not moved on such ground: {found.seen}"
    if found.held is None:
        return Aborted(text)
    hint = "it was accepted and is not acted on: look at what reads this setting, and at caches in between"
    target = entry.fault.target
    return Aborted(
        text, CheckVerdict(f"{called} works", "broken", "in place", None, None, None, 1, found.seen, target, hint)
    )
