"""A week of runs in short: who ran, what got worse, what it cost the users, what nobody measured.

Made of what ``History.week`` gives, which is data from elsewhere: all text goes through ``plain``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simian.report.blocks import Block, Bullets, Commands, Grid, Paragraph, Section
from simian.report.budget import Spent, budget_grid
from simian.report.clean import plain
from simian.report.days import days_picture
from simian.report.story import Story, Tone
from simian.report.words import NOTHING, clock_time, count, day, epoch_s, listed, percent

MOST_RUNS = 60
ENDS = ("held", "broken", "unknown", "refused", "leashed")


@dataclass(frozen=True, slots=True)
class Past:
    """One run of the week. ``end``: its verdict, or refused, or leashed. ``kind``: its experiment or monkey."""

    run: str
    kind: str
    monkey: str
    started: float
    outcome: str
    verdict: str
    recovery: str
    end: str
    spent: tuple[Spent, ...]
    counted: bool
    injected: bool
    weaknesses: tuple[tuple[str, str, str], ...]  # check, what was seen, where to look
    unmeasured: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A kind of run that was judged otherwise than before. ``was``: when and in which run it was so last."""

    kind: str
    was: str
    now: Past


@dataclass(frozen=True, slots=True)
class Week:
    """All that a digest tells."""

    system: str
    since: float
    until: float
    runs: tuple[Past, ...]
    worse: tuple[Turn, ...] = ()
    better: tuple[Turn, ...] = field(default_factory=tuple)

    def ended(self, end: str) -> list[Past]:
        """The runs that ended so."""
        return [run for run in self.runs if run.end == end]


def read_week(found: Mapping[str, Any], system: str = "") -> Week:
    """The model of what ``History.week`` gives."""
    runs = tuple(_past(item) for item in found["runs"])
    worse, better = _turns(runs, found["before"])
    since, until = (epoch_s(found[name]) or 0.0 for name in ("since", "until"))
    return Week(plain(system), since, until, runs, tuple(worse), tuple(better))


def _past(item: Mapping[str, Any]) -> Past:
    texts = {name: plain(item.get(name) or "") for name in ("run", "monkey", "outcome", "verdict", "recovery")}
    injected = bool(item["injected"])
    leashed = texts["outcome"] == "completed" and texts["verdict"] == "unknown" and not injected
    end = "refused" if texts["outcome"] == "refused" else "leashed" if leashed else texts["verdict"] or "unknown"
    spent = [Spent(plain(one["home"]), one["requests"], one["failed"], one["seconds"]) for one in item["spent"]]
    weak = [tuple(plain(one.get(key) or "") for key in ("check", "seen", "hint")) for one in item["weaknesses"]]
    return Past(
        **texts,
        kind=_kind(item),
        started=epoch_s(item["started"]) or 0.0,
        end=end,
        spent=tuple(spent),
        counted=bool(spent),
        injected=injected,
        weaknesses=tuple(weak),  # type: ignore[arg-type]
        unmeasured=tuple(plain(check) for check in item["unmeasured"]),
    )


def _kind(item: Mapping[str, Any]) -> str:
    return plain(item.get("experiment") or item.get("monkey") or "by hand")


def _turns(runs: Sequence[Past], before: Sequence[Mapping[str, Any]]) -> tuple[list[Turn], list[Turn]]:
    """What held before and broke since, and has not held again; and the other way round."""
    last = {_kind(each): (plain(each["verdict"]), _told(each)) for each in before}
    turned: dict[str, Turn] = {}
    for run in runs:
        if run.end not in ("held", "broken"):
            continue
        verdict, was = last.get(run.kind, ("", ""))
        if verdict and verdict != run.end:
            back = turned.pop(run.kind, None)
            if back is None:
                turned[run.kind] = Turn(run.kind, was, run)
        last[run.kind] = (run.end, f"{day(run.started)}, run {run.run}")
    ends = {name: [turn for turn in turned.values() if turn.now.end == name] for name in ("broken", "held")}
    return ends["broken"], ends["held"]


def _told(each: Mapping[str, Any]) -> str:
    return f"{day(epoch_s(each['started']) or 0.0)}, run {plain(each['run'])}"


# --- the story of it


def digest(told: Week) -> Story:
    """The week's story."""
    sections = [
        Section("What got worse", list(_worse(told))),
        Section("What got better", list(_better(told))),
        Section("Runs", list(_runs(told))),
        Section("Error budget", list(_budget(told))),
        Section("Weaknesses", list(_weaknesses(told))),
        Section("What was not measured", list(_unmeasured(told))),
        Section("Every run", list(_every(told))),
        Section("How to see more", [Commands(list(_commands(told)))]),
    ]
    word, tone = _word(told)
    last_day = day(told.until - 1.0)
    return Story(
        title=f"{told.system or 'simian'}: {day(told.since)} to {last_day}",
        about=[f"from {day(told.since)}, {clock_time(told.since)}, to {day(told.until)}, {clock_time(told.until)} UTC"],
        word=word,
        tone=tone,
        headline=_headline(told),
        rest=_rest(told),
        facts=[count(len(told.runs), "run"), *(f"{len(told.ended(end))} {end}" for end in ENDS if told.ended(end))],
        sections=[section for section in sections if section.blocks],
    )


def _word(told: Week) -> tuple[str, Tone]:
    if told.worse:
        return "WORSE", "bad"
    if _stuck(told):
        return "STUCK", "bad"
    if told.ended("broken"):
        return "BROKEN", "bad"
    if not told.runs:
        return "QUIET", "doubt"
    return ("HELD", "good") if told.ended("held") else ("UNKNOWN", "doubt")


def _headline(told: Week) -> str:
    if not told.runs:
        return "Nothing was run this week, so nothing was learned."
    if told.worse:
        return f"{listed([turn.kind for turn in told.worse])} held before and broke this week."
    if _stuck(told):
        return f"Not everything was put back in {listed(_stuck(told))}: see 'simian recover'."
    return _judged(told)


def _stuck(told: Week) -> list[str]:
    return [run.run for run in told.runs if run.recovery == "stuck"]


def _judged(told: Week) -> str:
    judged, held = len(told.ended("held")) + len(told.ended("broken")), len(told.ended("held"))
    if not judged:
        return f"{count(len(told.runs), 'run')}, and none of them could be judged."
    runs = "the one run that was judged" if judged == 1 else f"all {judged} runs that were judged"
    if held == judged:
        return f"In {runs}, users were served within tolerance."
    return f"{held} of {count(judged, 'judged run')} held; what broke had broken before or was new."


def _rest(told: Week) -> str:
    found = []
    if told.better:
        found.append(f"{listed([turn.kind for turn in told.better])} had broken before and held this week.")
    if told.worse and _stuck(told):
        found.append(f"Not everything was put back in {listed(_stuck(told))}: see 'simian recover'.")
    if not told.worse and _stuck(told):
        found.append(_judged(told))
    homes = _spent(told)
    if any(one.failed for one in homes):
        shares = [f"{one.home} {percent(one.share)}" for one in homes if one.failed]
        found.append(f"Of the error budget of 30 days at 99.99 % the week's runs spent: {listed(shares)}.")
    silent = _uncounted(told)
    if silent:
        found.append(f"In {count(len(silent), 'run')} nobody counted what users saw.")
    return " ".join(found)


def _worse(told: Week) -> Iterator[Block]:
    if told.worse:
        yield Bullets([f"{turn.kind}: held last on {turn.was}; broke on {_at(turn.now)}" for turn in told.worse])
    elif told.runs:
        yield Paragraph("Nothing that held before broke this week.")


def _better(told: Week) -> Iterator[Block]:
    if told.better:
        yield Bullets([f"{turn.kind}: broke last on {turn.was}; holds since {_at(turn.now)}" for turn in told.better])


def _at(run: Past) -> str:
    seen = "; ".join(f"{check}: {seen}" for check, seen, _ in run.weaknesses)
    return f"{day(run.started)}, {clock_time(run.started)}, run {run.run}{f' ({seen})' if seen else ''}"


def _runs(told: Week) -> Iterator[Block]:
    """By monkey, those of its experiments among them."""
    if not told.runs:
        return
    yield days_picture([(run.monkey or run.kind, run.started, run.end) for run in told.runs], told.since, told.until)
    monkeys = sorted({run.monkey or run.kind for run in told.runs})
    ends = [end for end in ENDS if end != "leashed" or told.ended(end)]
    rows = [_monkey_row(name, [r for r in told.runs if (r.monkey or r.kind) == name], ends) for name in monkeys]
    if len(rows) > 1:
        rows.append(_monkey_row("all", list(told.runs), ends))
    head = ("monkey", "runs", *ends, "held of judged")
    yield Grid(head, rows, right=frozenset(range(1, len(head))))


def _monkey_row(name: str, runs: Sequence[Past], ends: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(run.end for run in runs)
    judged = counts["held"] + counts["broken"]
    return (
        name,
        count(len(runs)),
        *(count(counts[end]) for end in ends),
        percent(counts["held"] / judged) if judged else NOTHING,
    )


def _spent(told: Week) -> list[Spent]:
    """By home: what failed in all runs; seconds and requests of all, so that the rate is their mean."""
    sums: dict[str, list[float]] = {}
    for one in (one for run in told.runs for one in run.spent):
        known = sums.setdefault(one.home, [0, 0, 0.0])
        sums[one.home] = [known[0] + one.requests, known[1] + one.failed, known[2] + one.seconds]
    return [Spent(home, int(requests), int(failed), s) for home, (requests, failed, s) in sorted(sums.items())]


def _budget(told: Week) -> Iterator[Block]:
    homes = _spent(told)
    if homes:
        yield Paragraph("What failed since the first blow of each run, as a share of what 99.99 % allows in 30 days:")
        grid = budget_grid(homes)
        yield Grid(grid.head[:-1], [row[:-1] for row in grid.rows], grid.right - {len(grid.head) - 1})


def _weaknesses(told: Week) -> Iterator[Block]:
    found: dict[str, list[Past]] = {}
    seen: dict[str, tuple[str, str]] = {}
    for run in told.runs:
        for check, what, hint in run.weaknesses:
            found.setdefault(check, []).append(run)
            seen[check] = (what, hint or NOTHING)
    rows = [(check, count(len(runs)), seen[check][0], runs[-1].run, seen[check][1]) for check, runs in found.items()]
    if rows:
        yield Grid(("check", "runs", "seen last", "in", "where to look"), rows, right=frozenset({1}))


def _uncounted(told: Week) -> list[Past]:
    return [run for run in told.runs if run.injected and not run.counted]


def _unmeasured(told: Week) -> Iterator[Block]:
    lines = []
    for end, one, more in (
        ("unknown", "run could not be judged", "runs could not be judged"),
        ("refused", "run was refused, so that nothing was touched", "runs were refused, so that nothing was touched"),
    ):
        runs = [run.run for run in told.ended(end)]
        lines += [f"{len(runs)} {one if len(runs) == 1 else more}: {listed(runs)}"] if runs else []
    silent = _uncounted(told)
    if silent:
        lines.append(f"users' requests were not counted in {listed([run.run for run in silent])}: no budget of theirs")
    checks = Counter(check for run in told.runs for check in run.unmeasured)
    lines += [f"{check} could not be judged in {count(number, 'run')}" for check, number in checks.most_common(10)]
    if lines:
        yield Bullets(lines)


def _every(told: Week) -> Iterator[Block]:
    shown = told.runs[-MOST_RUNS:]
    rows = [
        (f"{day(run.started)}, {clock_time(run.started)}", run.run, run.kind, run.outcome, run.end) for run in shown
    ]
    if rows:
        yield Grid(("started", "run", "what", "outcome", "end"), rows)
    if len(told.runs) > MOST_RUNS:
        yield Paragraph(f"and {len(told.runs) - MOST_RUNS} before these")


def _commands(told: Week) -> Iterator[tuple[str, str]]:
    yield f"simian history --since {_iso(told.since)} --until {_iso(told.until)}", ""
    for turn in told.worse[:3]:
        yield f"simian report {turn.now.run}", turn.kind


def to_json(told: Week) -> dict[str, Any]:
    """The document of ``simian report --week --format json``."""
    monkeys = sorted({run.monkey or run.kind for run in told.runs})
    by = {name: Counter(run.end for run in told.runs if (run.monkey or run.kind) == name) for name in monkeys}
    unjudged = [run.run for run in told.ended("unknown")]
    return {
        "since": _iso(told.since),
        "until": _iso(told.until),
        "runs": [{name: getattr(run, name) for name in ("run", "kind", "outcome", "end")} for run in told.runs],
        "monkeys": [
            {"monkey": name, "runs": ends.total(), **{end: ends[end] for end in ENDS}} for name, ends in by.items()
        ],
        "worse": [{"what": turn.kind, "run": turn.now.run, "held": turn.was} for turn in told.worse],
        "better": [{"what": turn.kind, "run": turn.now.run, "broke": turn.was} for turn in told.better],
        "budget": [
            {"home": one.home, "failed": one.failed, "outage_s": one.outage_s, "share": one.share}
            for one in _spent(told)
        ],
        "unmeasured": {"users": [run.run for run in _uncounted(told)], "verdict": unjudged},
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
