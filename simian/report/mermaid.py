"""A plot as an ``xychart`` of Mermaid, the one kind of drawing that GitHub shows in the text of a pull request.

GitHub takes <svg> and data: images out of Markdown. No text of a record goes into the chart, so nothing in a name can
become a part of it; names stand beside it, each with the colour of its line.
"""

from collections.abc import Sequence

from simian.report.plot import Plot, Series, Value, scale_of
from simian.report.words import clock_time

MOST_POINTS = 60
MOST_UNKNOWN = 0.1
_HARM = "#f6cfd2"
_COLOURS = {  # of a look, and the square that is nearest to it
    "r0": ("#0067b8", "🟦"), "r1": ("#e08a1e", "🟧"), "r2": ("#2da44e", "🟩"), "r3": ("#8a3fa0", "🟪"),
    "r4": ("#e3c000", "🟨"), "r5": ("#7a4a2e", "🟫"), "all": ("#8c959f", "⬜"), "week": ("#24292f", "⬛"),
    "failed": ("#cf222e", "🟥"), "retried": ("#cf222e", ""),
}  # fmt: skip


def mermaid(plot: Plot) -> list[str]:
    """Lines of a chart, without the fence; empty where nothing was measured, or no straight scale would show it."""
    scale, shown = scale_of(plot), _shown(plot)
    if not shown or scale.log:
        return []
    harm = _bars(plot, scale.high)
    colours = [_HARM] * bool(harm) + [_COLOURS[each.look][0] for each in shown]
    times = 100.0 if plot.unit == "share" else 1.0
    ends = plot.axis.columns * plot.axis.step
    return [
        "---",
        "config:",
        "  xyChart: {width: 900, height: 320}",
        f'  themeVariables: {{xyChart: {{plotColorPalette: "{", ".join(colours)}"}}}}',
        "---",
        "xychart-beta",
        f'  x-axis "seconds since {clock_time(plot.axis.start)} UTC" 0 --> {ends:.0f}',
        f"  y-axis {scale.low * times:g} --> {scale.high * times:g}",
        *([f"  bar {_numbers(harm, times)}"] if harm else []),
        *(f"  line {_numbers(_whole(each.values), times)}" for each in shown),
    ]


def key(plot: Plot) -> list[str]:
    """What each colour stands for, in the order of the lines."""
    shown = _shown(plot)
    names = [f"{_COLOURS[each.look][1]} {each.name}" for each in shown]
    names += [
        f"not drawn here, as parts of it are not known: {each.name}" for each in _wanted(plot) if each not in shown
    ]
    return [*names, "shaded: faults in place"] if plot.harm else names


def _wanted(plot: Plot) -> list[Series]:
    return [each for each in plot.series if each.look != "retried"]


def _shown(plot: Plot) -> list[Series]:
    """A line has no gaps here: of what is not known for more than a tenth of the time there is none."""
    return [each for each in _wanted(plot) if each.values.count(None) <= len(each.values) * MOST_UNKNOWN]


def _bars(plot: Plot, top: float) -> list[float]:
    """A bar as high as the chart for each column with faults in place."""
    if plot.harm is None:
        return []
    middles = [plot.axis.start + (column + 0.5) * plot.axis.step for column in range(plot.axis.columns)]
    return [top if plot.harm[0] <= at <= plot.harm[1] else 0.0 for at in middles]


def _whole(values: Sequence[Value]) -> list[float]:
    """Where nothing is known, what was known last, or first."""
    known = [value for value in values if value is not None]
    whole, last = [], known[0] if known else 0.0
    for value in values:
        last = last if value is None else value
        whole.append(last)
    return whole


def _numbers(values: Sequence[float], times: float) -> str:
    return f"[{', '.join(f'{value * times:.6g}' for value in values)}]"
