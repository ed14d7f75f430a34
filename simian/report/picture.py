"""A run as small pictures in block characters: time to the right, the same for all pictures of a run."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from simian.report.model import Run, Second
from simian.report.words import clock_time, span

BLOCKS = "▁▂▃▄▅▆▇█"
FEWEST_COLUMNS = 8
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # columns people can count in
_MARKED = ("baseline", "inject", "observe", "recover", "verify")


class Slice(Protocol):
    """Something counted over a stretch of time."""

    @property
    def at(self) -> float:
        """When it began."""
        ...

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        ...


S = TypeVar("S", bound=Slice)


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
    frame = Frame(run, width)
    axis = frame.axis
    regions = sorted({region for second in run.traffic for region in second.served})
    served = {region: axis.rates(run.traffic, partial(_served, region)) for region in regions}
    top = highest(served)
    hurt = [
        (name, axis.rates(run.traffic, number)) for name, number in (("another try", _retried), ("failed", _failed))
    ]
    lines = frame.rows(served, top)
    lines += [line for name, values in hurt if any(values) for line in frame.rows({name: values}, max(values))]
    return lines + frame.marks(phase_marks(run)) + frame.legend(f"a full block is {top:.0f} requests a second")


def phase_marks(run: Run) -> list[tuple[float, str]]:
    """When the phases began that people look for."""
    return [(phase.started, phase.name) for phase in run.phases if phase.name in _MARKED and phase.started]


def highest(rows: Mapping[str, Sequence[float]]) -> float:
    """The largest of all values."""
    return max((value for values in rows.values() for value in values), default=0.0)


def _served(region: str, second: Second) -> int:
    return second.served.get(region, 0)


def _retried(second: Second) -> int:
    return second.first_failed


def _failed(second: Second) -> int:
    return second.failed


class Axis:
    """Columns of ``step`` seconds each: as many seconds as needed, so that the whole run fits."""

    def __init__(self, start: float, end: float, columns: int) -> None:
        self.start = start
        self.end = end
        least = math.ceil((end - start) / max(FEWEST_COLUMNS, columns))
        self.step = next((step for step in _STEPS_S if step >= least), least)
        self.columns = max(1, math.ceil((end - start) / self.step))

    @classmethod
    def of(cls, run: Run, width: int) -> "Axis":
        """Over the traffic of a run, beside its labels."""
        start = min(second.at for second in run.traffic)
        return cls(
            start, max(second.at + second.seconds for second in run.traffic), width - label_width(run, width) - 1
        )

    @classmethod
    def by_second(cls, traffic: Sequence[Slice]) -> "Axis":
        """Of one column a second, as many as it takes."""
        start, end = min(each.at for each in traffic), max(each.at + each.seconds for each in traffic)
        return cls(start, end, math.ceil(end - start))

    def column(self, at: float) -> int:
        """The column of a moment; it may lie outside."""
        return math.floor((at - self.start) / self.step)

    def rates(self, slices: Iterable[S], number: Callable[[S], float]) -> list[float]:
        """Per second, for each column; a slice that is longer than a column is spread over all it covers."""
        sums = [0.0] * self.columns
        for each in slices:
            counted = number(each)
            for column, share in self._shares(each) if counted else ():
                sums[column] += counted * share
        return [total / self._seconds(column) for column, total in enumerate(sums)]

    def _seconds(self, column: int) -> float:
        """How much of a column lies before the end: of the last one, a part only."""
        return min(float(self.step), max(0.001, self.end - self.start - column * self.step))

    def _shares(self, each: Slice) -> Iterator[tuple[int, float]]:
        end = each.at + each.seconds
        for column in range(max(0, self.column(each.at)), min(self.columns, self.column(end) + 1)):
            begins = self.start + column * self.step
            inside = min(end, begins + self.step) - max(each.at, begins)
            if inside > 0.001:  # less is an error of rounding, and would draw a block where nothing was
                yield column, inside / each.seconds

    def levels(self, points: Iterable[tuple[float, float]]) -> list[float]:
        """Of values that were read now and then, at most for each column; it stays until the next one is read."""
        found: dict[int, float] = {}
        last: dict[int, float] = {}
        for at, value in points:
            column = self.column(at)
            found[column] = max(found.get(column, 0.0), value)
            last[column] = value
        levels, now = [], 0.0
        for column in range(self.columns):
            levels.append(found.get(column, now))
            now = last.get(column, now)
        return levels


def label_width(run: Run, width: int) -> int:
    """The room for names at the left, the same for all pictures of a run so that their columns stand in line."""
    names = [region for second in run.traffic for region in second.served] + ["another try"]
    names += [f"arrived in {run.figures.left}"] if run.arrivals else []
    names += [kind_waiting(name) for each in run.backlog for name in each.waiting]
    return min(max(map(len, names)), max(4, width // 3))


def kind_waiting(name: str) -> str:
    """``hints`` of ``hints store-east-a``."""
    return name.partition(" ")[0]


class Frame:
    """Lays out rows, marks and the legend of one picture of a run with traffic, in ``width`` characters."""

    def __init__(self, run: Run, width: int) -> None:
        self.width = width
        self._label = label_width(run, width)
        self.axis = Axis.of(run, width)

    def rows(self, rows: Mapping[str, Sequence[float]], top: float) -> list[str]:
        """A name and its blocks each; ``top`` is a full block."""
        label = self._label
        return [f"{name[:label]:<{label}} {blocks(values, top)}".rstrip() for name, values in rows.items()]

    def marks(self, marks: Iterable[tuple[float, str]], names: int = 2) -> list[str]:
        """A ``╵`` at each moment, and its name where there is room in one of that many rows of ``names``."""
        columns = self.axis.columns
        inside = [(column, name) for at, name in marks if 0 <= (column := self.axis.column(at)) < columns]
        ticks, rows = [" "] * columns, [""] * names
        for column, name in inside:
            ticks[column] = "╵"
            free = (row for row, text in enumerate(rows) if len(text) <= column and column + len(name) <= columns)
            row = next(free, None)
            if row is not None:
                rows[row] = f"{rows[row]:<{column}}{name} "
        lines = ["".join(ticks), *(row for row in rows if row)] if inside else []
        return [(" " * (self._label + 1) + line).rstrip() for line in lines]

    def legend(self, unit: str) -> list[str]:
        """What a column and a block stand for, where there is room to say so."""
        axis = self.axis
        step = f"{axis.step} s" if axis.step < 60 else span(axis.step)
        long = f"each column {step} from {clock_time(axis.start)}; {unit}"
        return [long] if len(long) <= self.width else []
