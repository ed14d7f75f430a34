"""Traffic as a small picture in block characters: one row a region, time to the right, phases marked below."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from simian.report.model import Run, Second
from simian.report.words import clock_time, span

BLOCKS = "▁▂▃▄▅▆▇█"
FEWEST_COLUMNS = 8
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # columns people can count in
_MARKED = ("baseline", "inject", "observe", "recover", "verify")


def blocks(values: Sequence[float], top: float) -> str:
    """One block character a value, the highest for ``top``; a blank for nothing at all."""
    return "".join(_block(value, top) for value in values)


def _block(value: float, top: float) -> str:
    if value <= 0 or top <= 0:
        return " "
    return BLOCKS[min(len(BLOCKS), math.ceil(value / top * len(BLOCKS))) - 1]


def picture(run: Run, width: int) -> list[str]:
    """Lines of at most ``width`` characters: served per second by region, failures, phases. Empty without traffic."""
    if not run.traffic:
        return []
    regions = sorted({region for second in run.traffic for region in second.served})
    label = max([len("another try"), *map(len, regions)])
    label = min(label, max(4, width // 3))
    axis = _Axis.over(run.traffic, width - label - 1)
    served = {region: axis.rates(run.traffic, partial(_served, region)) for region in regions}
    top = max((value for values in served.values() for value in values), default=0.0)
    lines = [f"{region[:label]:<{label}} {blocks(values, top)}" for region, values in served.items()]
    lines += _hurt_lines(run, axis, label)
    lines += [" " * (label + 1) + line for line in _marks(run, axis)]
    return [line.rstrip() for line in [*lines, *_legend(axis, top, width)]]


def _legend(axis: "_Axis", top: float, width: int) -> list[str]:
    step = f"{axis.step} s" if axis.step < 60 else span(axis.step)
    long = f"each column {step} from {clock_time(axis.start)}; a full block is {top:.0f} requests a second"
    return [long] if len(long) <= width else []


def _hurt_lines(run: Run, axis: "_Axis", label: int) -> list[str]:
    """Rows for what went wrong, each by its own measure, and only where something did."""
    lines = []
    for name, number in (("another try", _retried), ("failed", _failed)):
        values = axis.rates(run.traffic, number)
        if any(values):
            lines.append(f"{name[:label]:<{label}} {blocks(values, max(values))}")
    return lines


def _served(region: str, second: Second) -> int:
    return second.served.get(region, 0)


def _retried(second: Second) -> int:
    return second.first_failed


def _failed(second: Second) -> int:
    return second.failed


def _marks(run: Run, axis: "_Axis") -> list[str]:
    """A ``╵`` where each phase begins, and names where they have room; two rows if they need them."""
    phases = [
        (axis.column(phase.started), phase.name) for phase in run.phases if phase.name in _MARKED and phase.started
    ]
    inside = [(column, name) for column, name in phases if 0 <= column < axis.columns]
    rows = ["", ""]
    ticks = [" "] * axis.columns
    for column, name in inside:
        ticks[column] = "╵"
        row = next((row for row in (0, 1) if len(rows[row]) <= column and column + len(name) <= axis.columns), None)
        if row is not None:
            rows[row] = f"{rows[row]:<{column}}{name} "
    return ["".join(ticks), *(row for row in rows if row)] if inside else []


class _Axis:
    """Columns of ``step`` seconds each: as many seconds as needed, so that the whole run fits."""

    def __init__(self, start: float, end: float, columns: int) -> None:
        self.start = start
        least = math.ceil((end - start) / max(FEWEST_COLUMNS, columns))
        self.step = next((step for step in _STEPS_S if step >= least), least)
        self.columns = max(1, math.ceil((end - start) / self.step))

    @classmethod
    def over(cls, traffic: Sequence[Second], columns: int) -> "_Axis":
        start = min(second.at for second in traffic)
        return cls(start, max(second.at + second.seconds for second in traffic), columns)

    def column(self, at: float) -> int:
        return math.floor((at - self.start) / self.step)

    def rates(self, traffic: Sequence[Second], number: Callable[[Second], int]) -> list[float]:
        """Per second, for each column; a slice that is longer than a column is spread over all it covers."""
        sums = [0.0] * self.columns
        for second in traffic:
            for column, share in self._shares(second):
                sums[column] += number(second) * share
        return [total / self.step for total in sums]

    def _shares(self, second: Second) -> Iterator[tuple[int, float]]:
        end = second.at + second.seconds
        for column in range(self.column(second.at), min(self.columns, self.column(end) + 1)):
            begins = self.start + column * self.step
            inside = min(end, begins + self.step) - max(second.at, begins)
            if inside > 0.001:  # less is an error of rounding, and would draw a block where nothing was
                yield column, inside / second.seconds
