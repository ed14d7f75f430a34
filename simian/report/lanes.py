"""What stands over the charts of a run: its phases, and its faults stage by stage, each from injection to undo."""

from collections.abc import Collection

from simian.report.model import Fault, Run
from simian.report.plot import Span
from simian.report.words import count, grouped

MOST_LANES = 8
_SHOWN = ("baseline", "inject", "observe", "recover", "verify")


def phases(run: Run) -> list[Span]:
    """Those that people look for, in order."""
    return [
        Span(phase.name, phase.started, phase.ended)
        for phase in run.phases
        if phase.name in _SHOWN and phase.started is not None
    ]


def faults(run: Run, kinds: Collection[str] = ()) -> list[Span]:
    """One span a stage, of these kinds or all; where there are too many, the last one stands for all the rest."""
    stages: dict[str, list[Fault]] = {}
    for fault in run.injected:
        if fault.injected is not None and (not kinds or fault.kind in kinds):
            stages.setdefault(fault.stage, []).append(fault)
    spans = [_span(_name(stage, members), members) for stage, members in stages.items()]
    if len(spans) <= MOST_LANES:
        return spans
    kept = spans[: MOST_LANES - 1]
    rest = [fault for members in list(stages.values())[len(kept) :] for fault in members]
    return [*kept, _span(f"and {count(len(rest), 'fault')} of {len(spans) - len(kept)} more stages", rest)]


def _span(name: str, members: list[Fault]) -> Span:
    """``end`` None while one of them is in place."""
    ends = [fault.undone for fault in members]
    known = [end for end in ends if end is not None]
    starts = [fault.injected for fault in members if fault.injected is not None]
    return Span(name, min(starts), max(known) if len(known) == len(ends) else None)


def _name(stage: str, members: list[Fault]) -> str:
    told = grouped([fault.name for fault in members])
    return f"{stage}: {told}" if stage and len(members) > 1 else told
