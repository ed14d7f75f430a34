"""The section that tells what became of the data: written, lost, stale, conflicting, converged, waiting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from simian.report.blocks import Block, Bullets, Grid, Paragraph, Picture, Section
from simian.report.figures import Data, Example, Waiting
from simian.report.model import Run
from simian.report.picture import Frame, kind_waiting, phase_marks
from simian.report.words import NOTHING, clock_time, count, listed, percent, span

EXAMPLES = 3
MOST_NAMES = 8
_MEANS = {
    "lost": "acknowledged, and gone everywhere",
    "stale": "older than the latest that was acknowledged",
    "conflicting": "replicas differ",
}


def data_sections(run: Run) -> Iterator[Section]:
    """What there is to say; nothing for a run in which nobody wrote to look."""
    blocks = [*(_written(run.figures.data) if run.figures.data else []), *_backlog(run)]
    if blocks:
        yield Section("What became of the data", blocks)


def data_in_short(run: Run) -> str:
    """One sentence; empty where nobody looked."""
    data = run.figures.data
    if data is None or not data.acknowledged:
        return ""
    if not data.compared:
        return f"What became of {count(data.keys, 'key')} written could not be read."
    numbers = {name: found.count for name, found in data.wrong.items() if found.count}
    wrong = [f"{number:,} {'is' if number == 1 else 'are'} {name}" for name, number in numbers.items()]
    return f"Of {count(data.keys, 'key')} written {listed(wrong) or 'none is lost, stale or conflicting'}."


def _written(data: Data) -> Iterator[Block]:
    unanswered = f", {data.unanswered:,} more without an answer" if data.unanswered else ""
    written = f"{count(data.acknowledged, 'write')} of {count(data.keys, 'key')} acknowledged on all sides{unanswered}."
    yield Paragraph(written)
    if not data.compared:
        yield Paragraph("What became of them could not be read.")
        return
    rows = [
        (name, count(found.count), percent(found.count / data.keys) if data.keys else "", _MEANS[name])
        for name, found in data.wrong.items()
    ]
    yield Grid(("keys", "", "share", ""), rows, right=frozenset({1, 2}))
    examples = [_example(name, one) for name, found in data.wrong.items() for one in found.examples[:EXAMPLES]]
    yield from [Bullets(examples)] if examples else []
    if data.converged_s:
        yield Paragraph(_converged(data))


def _example(name: str, one: Example) -> str:
    where = f" at {one.where}" if one.where else ""
    return f"{name}: {one.key} should be {one.wanted} and is {one.found or 'nothing'}{where}"


def _converged(data: Data) -> str:
    bound = "in time" if data.bound_s is None else f"within {span(data.bound_s)}"
    told = [f"{region} {f'not {bound}' if s is None else f'after {span(s)}'}" for region, s in data.converged_s.items()]
    return f"All replicas and caches of a region agreed, once the regions could speak again: {', '.join(told)}."


@dataclass(frozen=True, slots=True)
class _Queue:
    """How much waited somewhere: at most, when, and from when on nothing did (None: it still does)."""

    name: str
    peak: int
    peak_at: float
    empty_at: float | None


def _queues(backlog: Sequence[Waiting]) -> list[_Queue]:
    """Those in which anything waited, the longest first."""
    names = dict.fromkeys(name for each in backlog for name in each.waiting)
    queues = [_queue(name, [(each.at, each.waiting.get(name, 0)) for each in backlog]) for name in names]
    return sorted((each for each in queues if each.peak), key=lambda each: -each.peak)


def _queue(name: str, levels: Sequence[tuple[float, int]]) -> _Queue:
    peak_at, peak = max(levels, key=lambda level: level[1])
    empty_at = None
    for at, waiting in reversed(levels):
        if waiting:
            break
        empty_at = at
    return _Queue(name, peak, peak_at, empty_at)


def _backlog(run: Run) -> Iterator[Block]:
    if not run.backlog:
        return
    queues = _queues(run.backlog)
    if not queues:
        yield Paragraph("Nothing had to wait between the regions.")
        return
    mended = max((fault.undone for fault in run.injected if fault.undone is not None), default=None)
    shown = [(q.name, count(q.peak), clock_time(q.peak_at), *_empty(q, mended)) for q in queues[:MOST_NAMES]]
    yield Paragraph("What waited to be told to others:")
    yield Grid(("", "at most", "at", "none from", "after undo"), shown, right=frozenset(range(1, 5)))
    if queues[MOST_NAMES:]:
        yield Paragraph(f"and {len(queues) - MOST_NAMES} more with less")
    if run.traffic:
        yield Picture(partial(_picture, run))


def _empty(queue: _Queue, mended: float | None) -> tuple[str, str]:
    """When it was, and how long after the last fault had been undone."""
    if queue.empty_at is None:
        return "still waiting", NOTHING
    return clock_time(queue.empty_at), NOTHING if mended is None else span(max(0.0, queue.empty_at - mended))


def _picture(run: Run, width: int) -> list[str]:
    """One row for each kind of thing that waits, its queues added up."""
    frame = Frame(run, width)
    sums = [(each.at, _by_kind(each.waiting)) for each in run.backlog]
    kinds = sorted({kind for _, waiting in sums for kind in waiting if waiting[kind]})
    rows = {kind: frame.axis.levels((at, waiting.get(kind, 0)) for at, waiting in sums) for kind in kinds}
    lines = [line for kind, values in rows.items() for line in frame.rows({kind: values}, max(values, default=0.0))]
    return lines + frame.marks(phase_marks(run)) + frame.legend("a full block is the most of its row")


def _by_kind(waiting: Mapping[str, int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, number in waiting.items():
        sums[kind_waiting(name)] = sums.get(kind_waiting(name), 0) + number
    return sums
