"""Charts as blocks of a story: a plot drawn in each of the ways that some format knows."""

from collections.abc import Callable, Iterator
from functools import partial

from simian.report.blocks import Chart, Grid, Picture
from simian.report.drawing import NARROW, WIDE, draw
from simian.report.mermaid import MOST_POINTS, key, mermaid
from simian.report.model import Run
from simian.report.plot import Plot, table
from simian.report.plots import drain_plot, steady_plots, traffic_plot

FEW_ROWS = 40
Drawn = Callable[[int], Plot]


def chart_of(name: str, drawn: Drawn) -> Chart:
    """The chart of a plot that can be made of as many columns as there is room for."""
    plot = drawn(1)
    return Chart(
        name=name,
        title=plot.title,
        svg=partial(_both, name, drawn),
        table=partial(_table, drawn),
        mermaid=partial(_mermaid, drawn),
        notes=plot.notes,
    )


def traffic_chart(run: Run, name: str = "traffic") -> Chart | None:
    """Traffic by region with the faults over it; None without traffic."""
    return chart_of(name, partial(traffic_plot, run)) if run.traffic else None


def drain_chart(run: Run, name: str = "drain") -> Chart | None:
    """Who still arrived in the region that was left; None where nobody left, or nobody counted."""
    if drain_plot(run, 1) is None:
        return None
    return chart_of(name, partial(_drain, run))


def _drain(run: Run, columns: int) -> Plot:
    plot = drain_plot(run, columns)
    assert plot is not None  # as there is one of one column
    return plot


def steady_charts(run: Run, name: str = "steady") -> list[Chart]:
    """What users saw against the checks of it, and each check that has readings of its own."""
    return [chart_of(f"{name}-{part}", drawn) for part, drawn in steady_plots(run)]


def steady_pictures(run: Run) -> Iterator[Picture]:
    """The same for a story."""
    yield from (Picture(nothing, chart) for chart in steady_charts(run))


def nothing(width: int) -> list[str]:
    """For a picture that characters do not show."""
    return []


def _both(name: str, drawn: Drawn) -> str:
    return "".join(draw(drawn(size.columns), size, name) for size in (WIDE, NARROW))


def _mermaid(drawn: Drawn) -> tuple[list[str], list[str]]:
    plot = drawn(MOST_POINTS)
    return mermaid(plot), key(plot)


def _table(drawn: Drawn) -> Grid:
    return table(drawn(FEW_ROWS))
