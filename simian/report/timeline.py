"""The timeline of an evacuation: what was done and what was noticed, one line each."""

from collections.abc import Iterator
from dataclasses import dataclass

from simian.report.blocks import Grid
from simian.report.evacuation import Evacuation
from simian.report.figures import Moment
from simian.report.model import Fault, Run
from simian.report.words import clock_time, count, grouped, listed, span

_ABOUT = {
    "drained": "nobody arrives in {region} any more",
    "uncounted": "whether anybody still tried {region} is not known",
    "unnoticed": "nobody saw that something was wrong",
    "eased": "users go home step by step",
    "hold": "all of it in place",
    "ready": "what was taken away serves again",
    "returned": "users are where they were",
}
_DONE = ("undone",)  # told by the faults themselves, which know when each was


@dataclass(frozen=True, slots=True)
class Line:
    """One line: when, what step, and more about it."""

    at: float
    step: str
    what: str


def timeline(run: Run, away: Evacuation) -> Grid:
    """A table; ``after``: since the first thing that was done."""
    lines = sorted(_lines(run, away), key=lambda line: line.at)
    rows = [(clock_time(line.at), _after(line.at - away.began), line.step, line.what) for line in lines]
    return Grid(("at", "after", "step", "what"), rows, right=frozenset({1}))


def _after(seconds: float) -> str:
    return f"+{seconds:.1f} s" if seconds < 100 else f"+{span(seconds)}"


def _lines(run: Run, away: Evacuation) -> Iterator[Line]:
    stages: dict[str, list[Fault]] = {}
    for fault in run.injected:
        stages.setdefault(fault.stage, []).append(fault)
    names = {moment.detail: moment.name for moment in run.moments if moment.name not in _DONE}
    for stage, faults in stages.items():
        yield from _injected(stage, faults, names.get(stage, ""))
        yield from _undone(stage, faults)
    for moment in run.moments:
        if moment.detail not in stages and moment.name not in _DONE:
            yield Line(moment.at, moment.name, _told(moment, away))


def _injected(stage: str, faults: list[Fault], moment: str) -> Iterator[Line]:
    """``moment``: what this stage meant to those who watched, such as *dark*."""
    at = [fault.injected for fault in faults if fault.injected is not None]
    if not at:
        return
    doubt = [f"{fault.name}: {fault.seen or 'not measured'}" for fault in faults if fault.proven is not True]
    told = f"; NOT proven: {listed(doubt, 3)}" if doubt else ""
    yield Line(min(at), moment or stage, grouped([fault.name for fault in faults]) + told)


def _undone(stage: str, faults: list[Fault]) -> Iterator[Line]:
    at = [fault.undone for fault in faults if fault.undone is not None]
    if not at:
        return
    every = count(len(faults), "fault") if len(at) == len(faults) else f"{len(at)} of {count(len(faults), 'fault')}"
    back = [f"users of {fault.target} at {fault.back}" for fault in faults if fault.kind == "shift" and fault.back]
    yield Line(max(at), "back", f"{stage}: {'; '.join(back) or f'{every} undone'}")


def _told(moment: Moment, away: Evacuation) -> str:
    about = _ABOUT.get(moment.name, "").format(region=moment.region or away.left)
    return ": ".join(text for text in (about, moment.detail) if text)
