"""The sections that tell of an evacuation: its timeline, who still arrived, who carried the users, caches."""

from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter

from simian.report.blocks import Block, Grid, Paragraph, Picture, Section
from simian.report.charts import drain_chart
from simian.report.evacuation import (
    BEFORE,
    WHEN_READ,
    Carried,
    Drain,
    Evacuation,
    Stretch,
    carried,
    drain,
    evacuation,
    hit_rates,
    late,
    stretches,
)
from simian.report.model import Run
from simian.report.picture import Frame, highest
from simian.report.timeline import timeline
from simian.report.words import NOTHING, clock_time, count, listed, part, percent, span

_BECAME = {"redirected": "redirected", "proxied": "proxied", "served": "served there", "failed": "failed tries"}
_SHORT_MARKS = ("dark", "detected", "drained")


def evacuation_sections(run: Run) -> Iterator[Section]:
    """What there is to say; nothing for a run that moved nobody."""
    away = evacuation(run)
    if away is None:
        return
    yield Section(f"Evacuation of {away.left}", list(_evacuation(run, away)))
    yield Section(f"Who still arrived in {away.left}", list(_drain(run, away)))
    yield Section(f"What {listed(away.saviours)} carried", list(_carried(carried(run, away))))
    yield Section("What caches had", list(_caches(run, away)))


def evacuation_in_short(run: Run) -> str:
    """The evacuation in one to three sentences for somebody who reads no further; empty where there was none."""
    away = evacuation(run)
    return " ".join([_moved(run, away), *_most(run, away)]) if away else ""


def _moved(run: Run, away: Evacuation) -> str:
    where = f"{away.left} for {listed(away.saviours)}"
    home = " and came home" if away.returned is not None else ""
    if away.drained is None:
        return f"Users were leaving {where}{home}; it was not seen that {away.left} drained."
    held = f", were away for {span(away.returning - away.drained)}" if away.returning is not None else ""
    left = f"Users left {where} in {span(away.drained - away.began)}{held}{home}."
    return f"{away.left} went dark{_noticed(run, away)}. {left} {_lost(run, away)}" if away.hard else left


def _noticed(run: Run, away: Evacuation) -> str:
    found = [moment.at for moment in run.moments if moment.name == "detected"]
    return f", which was noticed after {span(min(found) - away.began)}" if found else ""


def _lost(run: Run, away: Evacuation) -> str:
    """Of a region that went dark: what was lost before users had been moved, and after; empty if nobody looked."""
    found = [each for each in stretches(run, away) if each.name != BEFORE]
    if not found:
        return ""
    dark, *later = found
    lost = part(dark.failed, dark.requests)
    then = part(sum(each.failed for each in later), sum(each.requests for each in later))
    return f"Requests that failed until they had been moved: {lost}; afterwards: {then}."


def _most(run: Run, away: Evacuation) -> Iterator[str]:
    for each in carried(run, away):
        used = f", {percent(each.used)} of what it declares" if each.used is not None else ""
        yield f"{each.region} carried {each.peak_rps:.0f} requests a second at most{used}."


def _evacuation(run: Run, away: Evacuation) -> Iterator[Block]:
    yield timeline(run, away)
    rows = [_stretch_row(each) for each in stretches(run, away)]
    if rows:
        yield Paragraph("All users' requests meanwhile:")
        yield Grid(("", "for", "requests", "failed", "share", "another try", "worst at"), rows, frozenset(range(1, 7)))


def _stretch_row(each: Stretch) -> tuple[str, ...]:
    numbers = (count(each.requests), count(each.failed), percent(each.failed / each.requests), count(each.retried))
    return each.name, span(each.took_s), *numbers, clock_time(each.worst)


def _drain(run: Run, away: Evacuation) -> Iterator[Block]:
    seconds = drain(run, away.left)
    if not seconds:
        return
    yield Paragraph(_late(away, seconds))
    if run.traffic:
        title = f"Tries of users at the gateways of {away.left} per second, and what became of them:"
        yield Picture(partial(_curve, run, away, seconds), drain_chart(run), title)


def _late(away: Evacuation, seconds: Sequence[Drain]) -> str:
    after = late(away, seconds)
    since = f"After the last shift, at {clock_time(away.shifted)},"
    if after.last is None:
        return f"{since} nobody arrived in {away.left} any more."
    became = ", ".join(f"{getattr(after, name):,} {label.removesuffix(' tries')}" for name, label in _BECAME.items())
    last = f"the last one came {span(after.last - away.shifted)} later, at {clock_time(after.last)}"
    return f"{since} users still tried {away.left} {_times(after.arrived)}: {became}; {last}."


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _curve(run: Run, away: Evacuation, seconds: Sequence[Drain], width: int) -> list[str]:
    frame = Frame(run, width)
    arrived = frame.axis.rates(seconds, attrgetter("arrived"))
    became = {label: frame.axis.rates(seconds, attrgetter(name)) for name, label in _BECAME.items()}
    rows = {f"arrived in {away.left}": arrived} | {label: values for label, values in became.items() if any(values)}
    top = highest(rows)
    legend = frame.legend(f"a full block is {top:.0f} tries a second")
    return frame.rows(rows, top) + frame.marks(_marks(run, away), names=3) + legend


def _marks(run: Run, away: Evacuation) -> list[tuple[float, str]]:
    shifts = {fault.stage: fault.injected for fault in run.injected if fault.kind == "shift"}
    marks = [(at, stage.removeprefix("shift to ")) for stage, at in shifts.items() if at is not None]
    marks += [(moment.at, moment.name) for moment in run.moments if moment.name in _SHORT_MARKS]
    marks += [(at, name) for at, name in ((away.returning, "return"), (away.returned, "home")) if at is not None]
    return sorted(marks)


def _carried(found: Sequence[Carried]) -> Iterator[Block]:
    head = ("requests per second", "before", "while away", "at most", "at", "declared", "used at most")
    rows = [
        (
            each.region,
            _rate(each.before_rps),
            _rate(each.away_rps),
            _rate(each.peak_rps),
            clock_time(each.peak_at),
            _rate(each.capacity_rps),
            NOTHING if each.used is None else percent(each.used),
        )
        for each in found
    ]
    if rows:
        yield Grid(head, rows, right=frozenset(range(1, len(head))))
    for each in found:
        if each.used is not None and each.used > 1:
            yield Paragraph(f"{each.region} was given more than it declares; what did it shed?")


def _rate(rps: float | None) -> str:
    return NOTHING if rps is None else f"{rps:,.0f}"


def _caches(run: Run, away: Evacuation) -> Iterator[Block]:
    rates = hit_rates(run, away)
    if rates:
        yield Paragraph("Share of reads that a region's caches had:")
        rows = [(region, *(_hit_rate(found[name]) for name in WHEN_READ)) for region, found in rates.items()]
        yield Grid(("region", *WHEN_READ), rows, right=frozenset(range(1, 1 + len(WHEN_READ))))


def _hit_rate(share: float | None) -> str:
    return NOTHING if share is None else percent(share)
