"""What a chart shows, as numbers: each format draws it in its own way (SVG, a table, a Mermaid chart)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from simian.report.blocks import Grid
from simian.report.picture import Axis
from simian.report.words import NOTHING, clock_time, milliseconds, percent

Unit = Literal["rate", "share", "ms", "plain"]
Value = float | None
_LOG_FROM = 30.0  # times the least value: beyond that a straight scale shows the small ones as nothing


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a value for each column of the axis (None: nothing was measured). ``look``: its class in the style.

    ``sparse``: where it is nothing, no line. ``labelled``: its name stands at its end, too.
    """

    name: str
    values: Sequence[Value]
    look: str
    filled: bool = False
    sparse: bool = False
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A level: what a check must keep (``bad``: above or below it), or its baseline (``bad`` empty)."""

    name: str
    value: float
    bad: Literal["", "above", "below"] = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with a name: a phase, or faults in place. ``end`` None: it has none yet."""

    name: str
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart whose time axis is ``axis``. ``about``: what can be seen, for whoever cannot see it."""

    title: str
    about: str
    unit: Unit
    axis: Axis
    series: Sequence[Series]
    limits: Sequence[Limit] = ()
    phases: Sequence[Span] = ()
    faults: Sequence[Span] = ()
    harm: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def values(self) -> list[float]:
        """All that was measured."""
        return [value for each in self.series for value in each.values if value is not None]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high``, with ``ticks`` between; ``log``: equal factors are equally far apart."""

    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def part(self, value: float) -> float:
        """Where a value lies, 0 at the bottom, 1 at the top; what is beyond stays at the edge."""
        held = min(self.high, max(self.low, value))
        if self.log:
            return math.log(held / self.low) / math.log(self.high / self.low)
        return (held - self.low) / (self.high - self.low)


def scale_of(plot: Plot) -> Scale:
    """A scale on which all values and limits can be seen."""
    known = plot.values + [limit.value for limit in plot.limits]
    if plot.unit == "share":
        return _share_scale(min(known, default=1.0))
    high, above = max(known, default=1.0), [value for value in known if value > 0]
    if plot.unit == "ms" and above and high > _LOG_FROM * min(above):
        return _log_scale(min(above), high)
    return _straight_scale(min([0.0, *known]), high or 1.0)


def _share_scale(least: float) -> Scale:
    """Up to 100 %, and no further down than needed: a dip of a thousandth is a finding."""
    steps = ((0.998, 0.0005), (0.99, 0.0025), (0.96, 0.01), (0.9, 0.025), (0.6, 0.1))
    low, step = next(((low, step) for low, step in steps if least > low), (0.0, 0.25))
    return Scale(low, 1.0, [low + step * number for number in range(round((1.0 - low) / step) + 1)])


def _log_scale(least: float, most: float) -> Scale:
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most * 1.01))
    return Scale(10.0**first, 10.0**last, [10.0**power for power in range(first, last + 1)], log=True)


def _straight_scale(least: float, most: float) -> Scale:
    step = nice_step((most - least) / 5)
    first, last = math.floor(least / step), math.ceil(most * 1.02 / step) or 1
    return Scale(first * step, last * step, [step * number for number in range(first, last + 1)])


def nice_step(least: float) -> float:
    """1, 2, 2.5 or 5 times a power of ten: not less than ``least`` (> 0)."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((times * power for times in (1.0, 2.0, 2.5, 5.0) if times * power >= least * 0.9999), 10.0 * power)


def shown(value: Value, unit: Unit) -> str:
    """A value in the plot's unit."""
    if value is None:
        return NOTHING
    if unit == "share":
        return percent(round(value, 9))
    if not value:
        return "0"
    return milliseconds(value) if unit == "ms" else f"{value:,.4g}" if abs(value) < 10 else f"{value:,.0f}"


def table(plot: Plot) -> Grid:
    """The same as numbers, a row for each column."""
    head = ("from", *(each.name for each in plot.series))
    return Grid(head, list(_rows(plot)), right=frozenset(range(1, len(head))))


def _rows(plot: Plot) -> Iterator[tuple[str, ...]]:
    for column in range(plot.axis.columns):
        at = plot.axis.start + column * plot.axis.step
        yield clock_time(at), *(shown(each.values[column], plot.unit) for each in plot.series)
