"""A comparison as a story, which each format lays out as it does a run's."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from simian.report.blocks import Block, Bullets, Commands, Grid, Paragraph, Picture, Section
from simian.report.budget import spent
from simian.report.charts import chart_of, nothing
from simian.report.clean import plain
from simian.report.compare import Comparison, Pair, changed
from simian.report.model import Check, Run, Weakness
from simian.report.plots import success_beside
from simian.report.story import Story, Tone
from simian.report.users import WHEN, users
from simian.report.words import NOTHING, clock_time, count, day, listed, measured, milliseconds, percent, span

_TONES: dict[str, Tone] = {"better": "good", "worse": "bad", "same": "plain", "unclear": "doubt", "changed": "doubt"}
_LONGER = 1.5  # times as long, and by a second at least: worth a word in the first lines


def compared(told: Comparison) -> Story:
    """The second run beside the first."""
    first, second = told.first, told.second
    sections = [
        Section("What changed", list(_changes(told))),
        Section("Steady state", list(_steady(told))),
        Section("What users saw", list(_users(first, second))),
        Section("Recovery time", list(_times(told.times_s))),
        Section("Weaknesses", list(_weaknesses(told))),
        Section("Error budget", list(_budget(first, second))),
        Section("Plan", list(_plan(told))),
        Section("The runs", [Commands([(f"simian report {run.run}", _when(run)) for run in (first, second)])]),
    ]
    other = f"{second.what} " if second.what != first.what else ""
    return Story(
        title=f"{first.what} {first.run} and {other}{second.run}",
        about=["the second beside the first", f"first: {_when(first)}", f"second: {_when(second)}"],
        word=told.change.upper(),
        tone=_TONES[told.change],
        headline=_headline(told),
        rest=" ".join(_rest(told)),
        facts=[f"first {_ended(first)}", f"second {_ended(second)}"],
        sections=[section for section in sections if section.blocks],
    )


def _when(run: Run) -> str:
    started = f", {day(run.started)}, {clock_time(run.started)} UTC" if run.started is not None else ""
    return f"{run.what}{f' on {run.system}' if run.system else ''}, {run.verdict}{started}"


def _ended(run: Run) -> str:
    return f"{run.outcome}, {run.verdict}, recovery {run.recovery}"


def _headline(told: Comparison) -> str:
    worse = [pair.name for pair in told.checks if changed(pair.first, pair.second) == "worse"]
    better = [pair.name for pair in told.checks if changed(pair.first, pair.second) == "better"]
    if told.change == "unclear":
        runs = [run.run for run in (told.first, told.second) if run.verdict == "unknown"]
        return f"Which one was better cannot be told: the verdict of {listed(runs)} is unknown."
    if told.change == "worse" and told.second.recovery == "stuck" != told.first.recovery:
        return "The second run could not put everything back, which the first did."
    if worse and better:
        return f"{listed(worse)} held and broke; {listed(better)} broke and held."
    if worse or better:
        return f"{listed(worse or better)} {'held, and broke' if worse else 'broke, and held'} in the second run."
    if told.change == "same":
        return f"Both runs were {told.first.verdict}."
    return f"The second run {'broke' if told.change == 'worse' else 'held'}."


def _rest(told: Comparison) -> Iterator[str]:
    for pair in told.times_s:
        if pair.first is not None and pair.second is not None and abs(pair.second - pair.first) >= 1.0:
            more, less = max(pair.first, pair.second), min(pair.first, pair.second)
            if more > _LONGER * less:
                yield f"{pair.name[:1].upper()}{pair.name[1:]}: {span(pair.second)}, after {span(pair.first)}."
    if not told.same_plan:
        names = [_PLAN.get(pair.name, pair.name) for pair in told.plan if not pair.same]
        yield f"The plans were not the same: {listed(names)} differ{'s' if len(names) == 1 else ''}."


def _changes(told: Comparison) -> Iterator[Block]:
    rows = [
        ("outcome", told.first.outcome, told.second.outcome),
        ("verdict", told.first.verdict, told.second.verdict),
        ("recovery", told.first.recovery, told.second.recovery),
    ]
    yield Grid(("", "first", "second"), rows)


def _steady(told: Comparison) -> Iterator[Block]:
    rows = [_check_row(pair) for pair in told.checks]
    if rows:
        head = ("check", "", "must be", "during, first", "second", "after, first", "second")
        yield Grid(head, rows, right=frozenset(range(3, 7)))
    if told.first.traffic and told.second.traffic:
        yield Picture(nothing, chart_of("success", partial(success_beside, told.first, told.second)), lead=True)


def _check_row(pair: Pair) -> tuple[str, ...]:
    must = " / ".join(dict.fromkeys(check.tolerance for check in (pair.first, pair.second) if check))
    only = "first only" if pair.second is None else "second only" if pair.first is None else ""
    values = [_value(check, when) for when in ("during", "after") for check in (pair.first, pair.second)]
    return pair.name, only or changed(pair.first, pair.second), must, *values


def _value(check: Check | None, when: str) -> str:
    return NOTHING if check is None else measured(getattr(check, when), check.tolerance)


def _users(first: Run, second: Run) -> Iterator[Block]:
    had, has = users(first).all, users(second).all
    rows = [
        (name, when, count(seen.requests), count(seen.failed), percent(seen.failed / seen.requests),
         count(seen.retried), milliseconds(seen.p50_ms), milliseconds(seen.p99_ms))
        for when in WHEN
        for name, seen in (("first", had[when]), ("second", has[when]))
        if seen.requests
    ]  # fmt: skip
    if rows:
        head = ("run", "when", "requests", "failed", "share", "another try", "p50", "p99")
        yield Grid(head, rows, right=frozenset(range(2, len(head))))


def _times(times: Sequence[Pair]) -> Iterator[Block]:
    rows = [(pair.name, span(pair.first), span(pair.second), _longer(pair)) for pair in times]
    if rows:
        yield Grid(("", "first", "second", "change"), rows, right=frozenset({1, 2, 3}))


def _longer(pair: Pair) -> str:
    if pair.first is None or pair.second is None:
        return NOTHING
    return f"{pair.second - pair.first:+.1f} s"


def _weaknesses(told: Comparison) -> Iterator[Block]:
    for name, found in (("New", told.new), ("Gone", told.gone), ("Still there", told.still)):
        if found:
            yield Paragraph(f"{name}:")
            yield Bullets([_weakness(each) for each in found])
    if not (told.new or told.gone or told.still):
        yield Paragraph("None in either run.")


def _weakness(each: Weakness) -> str:
    return f"{each.check}: {each.seen}{f'; where to look: {each.hint}' if each.hint else ''}"


def _budget(first: Run, second: Run) -> Iterator[Block]:
    had, has = ({each.home: each for each in spent(run)} for run in (first, second))
    rows = [
        (home, *(percent(found[home].share) if home in found else NOTHING for found in (had, has)))
        for home in sorted({*had, *has})
    ]
    if rows:
        yield Grid(("of 30 days' 99.99 %, users of", "first", "second"), rows, right=frozenset({1, 2}))


_PLAN = {"plan_hash": "plan", "topology_hash": "topology", "for_s": "time in place", "simian": "version of simian"}


def _plan(told: Comparison) -> Iterator[Block]:
    if told.same_plan:
        yield Paragraph(f"The same in both: plan {told.first.plan_hash}, topology {told.first.topology_hash}.")
        return
    rows = [
        (_PLAN.get(pair.name, pair.name), _plain(pair.first), _plain(pair.second))
        for pair in told.plan
        if not pair.same and pair.name != "faults"
    ]
    if rows:
        yield Grid(("", "first", "second"), rows)
    faults = next(pair for pair in told.plan if pair.name == "faults")
    had, has = set(faults.first), set(faults.second)
    for name, only in (("Only in the first", had - has), ("Only in the second", has - had)):
        if only:
            yield Paragraph(f"{name}: {listed(sorted(only), 12)}.")


def _plain(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    return plain(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)
