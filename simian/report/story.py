"""The story of a run as sections of plain blocks, which each format then lays out in its own way."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from simian.report.blocks import Block, Bullets, Commands, Grid, Paragraph, Picture, Section
from simian.report.budget import budget_blocks
from simian.report.charts import steady_pictures, traffic_chart
from simian.report.clean import plain
from simian.report.data import data_in_short, data_sections
from simian.report.evacuated import evacuation_in_short, evacuation_sections
from simian.report.evacuation import evacuation
from simian.report.model import Fault, Phase, Run
from simian.report.picture import picture
from simian.report.users import WHEN, Seen, Users, users
from simian.report.verdict import facts, mend, reasons, to_look_at, why, word
from simian.report.words import NOTHING, clock_time, count, day, grouped, listed, measured, milliseconds, span

Tone = Literal["good", "bad", "doubt", "plain"]
_TONES: dict[str, Tone] = {"HELD": "good", "BROKEN": "bad", "UNKNOWN": "doubt", "REFUSED": "doubt", "LEASHED": "good"}
_SIDE_PHASES = ("plan", "preflight", "report")
_ABOUT = {
    "baseline": "the steady state, before anything is touched",
    "observe": "watched with the faults in place",
    "verify": "the world compared with before, the steady state again",
}


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report says, in order. ``alarm``: faults that may still be in place; shown first and last.

    ``why``: one to some sentences; the first of them is the ``headline``, the others are the ``rest``.
    """

    title: str
    about: Sequence[str]
    word: str
    tone: Tone
    headline: str
    facts: Sequence[str]
    rest: str = ""
    alarm: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)

    @property
    def why(self) -> str:
        """The verdict in words."""
        return " ".join(text for text in (self.headline, self.rest) if text)


def story(run: Run) -> Story:
    """Tell a run."""
    seen = users(run)
    sections = (*_sections(run, seen),)
    headline, *rest = [text for text in (*why(run, seen), *_in_short(run)) if text]
    return Story(
        title=f"{run.what} on {run.system}" if run.system else run.what,
        about=list(_about(run)),
        word=word(run),
        tone=_TONES.get(word(run), "plain"),
        headline=headline,
        rest=" ".join(rest),
        facts=facts(run),
        alarm=[line for fault in run.stuck for line in _alarm(fault)],
        sections=[section for section in sections if section.blocks],
    )


def _in_short(run: Run) -> tuple[str, ...]:
    """What else whoever reads no further must know, once something was done."""
    return (evacuation_in_short(run), data_in_short(run)) if run.injected and run.outcome != "running" else ()


def _sections(run: Run, seen: Users) -> Iterator[Section]:
    more = reasons(run)
    yield Section("Why", [Bullets(more)] if more else [])
    yield Section("What was done", list(_done(run)))
    yield Section("What users saw", list(_users(run, seen)))
    yield Section("Error budget", list(budget_blocks(run)))
    yield from evacuation_sections(run)
    yield from data_sections(run)
    yield Section("Steady state", list(_steady(run)))
    yield from (Section(f"Weakness: {each.check}", [_weakness(each)]) for each in run.weaknesses)
    yield Section("Faults", list(_faults(run)))
    yield Section("What to look at", [Bullets(to_look_at(run, seen) or [_nothing(run)])])
    yield Section("How to see it again", [Commands(list(_again(run)))])
    yield Section("Notes", [Bullets(run.notes)] if run.notes else [])


def _nothing(run: Run) -> str:
    if run.outcome == "refused":
        return "the reasons above; nothing was touched, so there is nothing to mend"
    if run.outcome == "running":
        return "this report, once the run has ended"
    if run.verdict == "held" or word(run) == "LEASHED":
        return "nothing: no weakness, no doubt, nothing left behind"
    again = "see to the reasons above, then run it again" if run.outcome == "completed" else "run it again"
    return f"this run could not be judged: {again}"


def _about(run: Run) -> Iterator[str]:
    if run.started is not None:
        until = f" to {clock_time(run.ended)}" if run.ended is not None else ""
        took = f" ({span(run.ended - run.started)})" if run.ended is not None else ""
        yield f"{day(run.started)}, {clock_time(run.started)}{until} UTC{took}"
    seed = "" if run.seed is None else f", seed {plain(run.seed)}"
    monkey = f", monkey {run.monkey}" if run.monkey and run.monkey != run.what else ""
    yield f"run {run.run}{monkey}{seed}{f', simian {run.simian}' if run.simian else ''}"
    if run.hypothesis:
        yield f"Hypothesis: {run.hypothesis}"
    if run.note:
        yield f"Note: {run.note}"


def _alarm(fault: Fault) -> Iterator[str]:
    error = f": {fault.error}" if fault.error else ""
    yield f"#{fault.id} {fault.name} is {fault.state}{error}"
    yield f"   mend it with {mend(fault)}"


def _done(run: Run) -> Iterator[Block]:
    rows = [_phase_row(run, phase) for phase in run.phases if phase.name not in _SIDE_PHASES]
    if rows:
        yield Grid(("from", "phase", "took", ""), rows, right=frozenset({2}))
    if not run.injected and run.stages:
        planned = [f"{stage.name}: {grouped(stage.faults)}" for stage in run.stages]
        yield Paragraph("Planned, and not done:")
        yield Bullets(planned)


def _phase_row(run: Run, phase: Phase) -> tuple[str, str, str, str]:
    return clock_time(phase.started), phase.name, span(phase.seconds), _phase_text(run, phase)


def _phase_text(run: Run, phase: Phase) -> str:
    if phase.ended is None and run.outcome == "crashed":
        return "the run died here"
    if phase.name == "inject":
        stages = list(dict.fromkeys(fault.stage for fault in run.injected))
        if evacuation(run):
            return f"{listed(stages, len(stages))}; see the timeline below"
        return "; ".join(_stage_text(run, stage) for stage in stages) or "nothing was injected"
    if phase.name == "recover":
        undone = sum(fault.state == "undone" for fault in run.injected)
        return f"{undone} of {count(len(run.injected), 'fault')} undone"
    return _ABOUT.get(phase.name, "")


def _stage_text(run: Run, stage: str) -> str:
    text = grouped([fault.name for fault in run.injected if fault.stage == stage])
    return f"{stage}: {text}" if stage else text


def _users(run: Run, seen: Users) -> Iterator[Block]:
    if not run.traffic:
        return
    rows = [
        (home if name == when[0] else "", name, *_cells(values[name]))
        for home, values in seen.homes.items()
        for when in [[name for name in WHEN if values[name].requests]]
        for name in when
    ]
    head = ("home", "when", "requests", "failed", "another try", "shed", "elsewhere", "p50", "p99")
    yield Grid(head, rows, right=frozenset(range(2, len(head))))
    worst = seen.worst
    if worst is not None:
        failed = f"{worst.failed} of {worst.ended} requests failed"
        tries = f"{worst.first_failed} needed another try"
        yield Paragraph(f"Worst second: {clock_time(worst.at)}, home {worst.home}: {failed}, {tries}.")
    title = "Where users were served, requests per second:"
    yield Picture(partial(picture, run), traffic_chart(run), title, lead=True)


def _cells(seen: Seen) -> tuple[str, ...]:
    numbers = (seen.requests, seen.failed, seen.retried, seen.shed, seen.elsewhere)
    return (*(count(number) for number in numbers), milliseconds(seen.p50_ms), milliseconds(seen.p99_ms))


def _steady(run: Run) -> Iterator[Block]:
    if run.checks:
        yield _checks(run)
        yield from steady_pictures(run)


def _checks(run: Run) -> Grid:
    head = ("check", "verdict", "must be", "baseline", "during", "after", "readings")
    rows = [
        (
            check.name,
            check.verdict,
            check.tolerance,
            *(measured(value, check.tolerance) for value in (check.baseline, check.during, check.after)),
            count(check.readings),
        )
        for check in run.checks
    ]
    return Grid(head, rows, right=frozenset({3, 4, 5, 6}))


def _weakness(weakness: object) -> Grid:
    labels = (("seen", "seen"), ("where", "where"), ("hint", "where to look"))
    return Grid(("", ""), [(label, getattr(weakness, key) or NOTHING) for key, label in labels])


def _faults(run: Run) -> Iterator[Block]:
    if not run.faults:
        return
    head = ("#", "fault", "from", "for", "state", "met by", "proof")
    yield Grid(head, [_fault_row(run, fault) for fault in run.faults], right=frozenset({0, 3, 5}))
    yield Paragraph(_what_met(run))


def _what_met(run: Run) -> str:
    if run.exposure_assumed:
        return "That users met the faults is assumed by the experiment, not measured."
    counter = run.figures.counter
    if counter is None:
        return "met by: requests of users that passed the target meanwhile."
    far = NOTHING if counter.first is None or counter.last is None else f"{counter.first:.15g} to {counter.last:.15g}"
    return (
        f"met by: growth of a counter with the faults in place: {far} in {counter.readings} readings ({counter.probe})."
    )


def _fault_row(run: Run, fault: Fault) -> tuple[str, ...]:
    took = None if fault.injected is None or fault.undone is None else fault.undone - fault.injected
    met = NOTHING if fault.exposure is None else count(fault.exposure)
    met = "assumed" if run.exposure_assumed and not fault.exposure else met
    return str(fault.id), fault.name, clock_time(fault.injected), span(took), fault.state, met, _proof(fault)


def _proof(fault: Fault) -> str:
    if fault.proven is None:
        return f"not measured: {fault.seen}" if fault.seen else "none was taken"
    before = f"; before: {fault.before}" if fault.before else ""
    return f"{'' if fault.proven else 'NOT proven: '}{fault.seen or NOTHING}{before}"


def _again(run: Run) -> Iterator[tuple[str, str]]:
    yield again(run), ""
    yield f"simian replay {shlex.quote(run.run)}", "the same plan, refused if the system has changed"
    yield f"simian report {shlex.quote(run.run)}", "this report"


def again(run: Run) -> str:
    """The command that runs the same again, the die included."""
    words = ["simian", *(("run", run.experiment) if run.experiment else (run.monkey,))]
    for name, value in {} if run.experiment else run.options.items():
        words += _option(name, value)
    if run.seed is not None:
        words += ["--seed", str(run.seed)]
    if run.for_s is not None:
        words += ["--for", f"{run.for_s:g}s"]
    return " ".join(plain(shlex.quote(word)) for word in words)


def _option(name: str, value: object) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is None or value is False or value == []:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        return [word for each in value for word in (flag, str(each))]
    return [flag, str(value)]
