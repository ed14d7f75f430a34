"""Charts in SVG: a plot and a size in, the text of one <svg> out. Nothing in it is loaded from anywhere, nothing runs.

Colours are classes (``templates/chart.css``), so that a page can be light, dark or on paper.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simian.report.clean import plain
from simian.report.plot import Plot, Scale, Series, Span, scale_of, shown
from simian.report.words import clock_time

_CHAR = 6.4  # width of a character at the size of ``templates/chart.css``, a little more than most have
_LEGEND, _LANE, _PHASES, _TIMES = 20.0, 17.0, 17.0, 24.0
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600)


@dataclass(frozen=True, slots=True)
class Size:
    """How wide a chart is, how high its plot is (points), and how many columns of data it takes at most."""

    width: float
    plot_height: float
    columns: int
    name: str


WIDE = Size(960, 230, 300, "wide")
NARROW = Size(360, 200, 120, "narrow")


def element(tag: str, *inside: str, **attributes: object) -> str:
    """``<tag a="…">inside</tag>``; values are escaped, ``inside`` is markup already; ``class_`` is ``class``."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_shown(value))}"' for name, value in attributes.items()
    )
    return f"<{tag}{told}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{told}/>"


def words(text: str) -> str:
    """Text as markup: escaped, control characters made visible."""
    return html.escape(plain(text, 1000))


def _shown(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else plain(value, 100_000)


@dataclass(frozen=True, slots=True)
class _Area:
    """The rectangle of the plot, and where moments and values lie in it."""

    left: float
    top: float
    width: float
    height: float
    start: float
    end: float
    scale: Scale

    def x(self, at: float) -> float:
        held = min(self.end, max(self.start, at))
        return self.left + (held - self.start) / (self.end - self.start) * self.width

    def y(self, value: float) -> float:
        return self.top + (1.0 - self.scale.part(value)) * self.height

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


def draw(plot: Plot, size: Size = WIDE, name: str = "chart") -> str:
    """The chart. ``name``: what its ids begin with; it must be there once in a page."""
    scale = scale_of(plot)
    legend = _legend(plot, size)
    head = _LEGEND * len(legend) + _LANE * len(plot.faults) + (_PHASES if plot.phases else 4.0)
    left = 10.0 + 7.0 * max((len(shown(tick, plot.unit)) for tick in scale.ticks), default=1)
    right = 8.0 + (_CHAR * _longest_label(plot) if size.width >= 600 else 0.0)
    end = max(plot.axis.end, plot.axis.start + 1e-3)
    area = _Area(left, head, size.width - left - right, size.plot_height, plot.axis.start, end, scale)
    height = area.bottom + _TIMES
    ids = [f"{name}-{size.name}-{part}" for part in ("title", "about")]
    body = [*legend, *_lanes(plot, area), *_phases(plot, area), *_grid(plot, area), *_limits(plot, area)]
    body += [*_lines(plot, area), *_marks(plot, area), *(_ends(plot, area) if size.width >= 600 else ())]
    told = [element("title", words(plot.title), id=ids[0]), element("desc", words(plot.about), id=ids[1])]
    named = {"role": "img", "aria_labelledby": " ".join(ids), "class_": f"chart {size.name}"}
    box = f"0 0 {size.width:.0f} {height:.0f}"
    return element("svg", *told, *body, xmlns="http://www.w3.org/2000/svg", viewBox=box, **named)


def _text(x: float, y: float, text: str, look: str = "", anchor: str = "start") -> str:
    more = {"text_anchor": anchor} if anchor != "start" else {}
    return element("text", words(text), x=x, y=y, **({"class_": look} if look else {}), **more)


def _longest_label(plot: Plot) -> int:
    return max((min(18, len(each.name)) + 1 for each in plot.series if each.labelled), default=0)


def _cut(text: str, room: float) -> str:
    """As much of a text as there is room for; empty where that is next to nothing."""
    most = int(room / _CHAR)
    return text if len(text) <= most else f"{text[: most - 1]}…" if most >= 6 else ""


# --- what is what


def _legend(plot: Plot, size: Size) -> list[str]:
    """Rows of names, each with its line."""
    entries = [(each.name, f"line {each.look}") for each in plot.series]
    entries += [(limit.name, "limit" if limit.bad else "base") for limit in plot.limits[:3]]
    rows, x = [[]], 2.0  # type: list[list[str]], float
    for name, look in entries:
        shown_name = _cut(name, size.width - 40)
        room = 30 + _CHAR * len(shown_name) + 16
        if x + room > size.width and rows[-1]:
            rows.append([])
            x = 2.0
        y = _LEGEND * (len(rows) - 1) + 12
        rows[-1] += [element("path", d=f"M{x:.0f} {y - 4:.0f}h22", class_=look), _text(x + 28, y, shown_name)]
        x += room
    return [element("g", *row, class_="legend") for row in rows if row]


def _lanes(plot: Plot, area: _Area) -> Iterator[str]:
    """A bar for each stage's faults, from injection to undo, above the plot."""
    top = area.top - (_PHASES if plot.phases else 4.0) - _LANE * len(plot.faults)
    for number, lane in enumerate(plot.faults):
        yield from _lane(lane, area, top + number * _LANE)


def _lane(lane: Span, area: _Area, y: float) -> Iterator[str]:
    start, end = area.x(lane.start), area.x(lane.end if lane.end is not None else area.end)
    width = max(3.0, end - start)
    look = "fault" if lane.end is not None else "fault open"
    yield element("rect", x=start, y=y + 1, width=width, height=_LANE - 3, rx=2, class_=look)
    name = lane.name if lane.end is not None else f"{lane.name} (still in place)"
    rooms = (width - 8, area.right - end - 6, start - area.left - 6)
    if len(name) * _CHAR <= rooms[0] or rooms[0] >= max(rooms[1:]):
        yield _text(start + 4, y + 12, _cut(name, rooms[0]), "small")
    elif rooms[1] >= rooms[2]:
        yield _text(start + width + 4, y + 12, _cut(name, rooms[1]), "small")
    else:
        yield _text(start - 4, y + 12, _cut(name, rooms[2]), "small", "end")


def _phases(plot: Plot, area: _Area) -> Iterator[str]:
    """Where each phase begins, its name where there is room; the time of harm is tinted."""
    if plot.harm is not None:
        x, end = area.x(plot.harm[0]), area.x(plot.harm[1])
        yield element("rect", x=x, y=area.top, width=max(1.0, end - x), height=area.height, class_="harm")
    for phase in plot.phases:
        x, end = area.x(phase.start), area.x(phase.end if phase.end is not None else area.end)
        yield element("path", d=f"M{x:.1f} {area.top - _PHASES + 3:.1f}V{area.bottom:.1f}", class_="phase")
        if len(phase.name) * _CHAR + 4 <= end - x:
            yield _text(x + 4, area.top - 4, phase.name, "small soft")


def _grid(plot: Plot, area: _Area) -> Iterator[str]:
    for tick in area.scale.ticks:
        y = area.y(tick)
        yield element("path", d=f"M{area.left:.1f} {y:.1f}H{area.right:.1f}", class_="grid")
        yield _text(area.left - 5, y + 4, shown(tick, plot.unit), "soft", "end")
    step = time_step(area.end - area.start, area.width)
    at = -(-area.start // step) * step
    while at <= area.end:
        x = area.x(at)
        yield element("path", d=f"M{x:.1f} {area.bottom:.1f}v5", class_="tick")
        if area.left + 20 <= x <= area.right - 20:
            yield _text(x, area.bottom + 18, clock_time(at), "soft", "middle")
        at += step


def time_step(seconds: float, width: float) -> float:
    """Seconds between times on the axis, so that none touches the next."""
    least = seconds * (_CHAR * 8 + 24) / max(1.0, width)
    return next((float(step) for step in _STEPS_S if step >= least), 86400.0)


def _limits(plot: Plot, area: _Area) -> Iterator[str]:
    """Levels as lines; what is beyond the first one is tinted."""
    for number, limit in enumerate(plot.limits[:3]):
        y = area.y(limit.value)
        if limit.bad and number == 0:
            top, bottom = (area.top, y) if limit.bad == "above" else (y, area.bottom)
            yield element("rect", x=area.left, y=top, width=area.width, height=bottom - top, class_="beyond")
        look = "limit" if limit.bad else "base"
        yield element("path", d=f"M{area.left:.1f} {y:.1f}H{area.right:.1f}", class_=look)


def _lines(plot: Plot, area: _Area) -> Iterator[str]:
    for each in plot.series:
        points = _points(plot, each, area)
        if each.filled:
            yield from (element("path", d=_under(run, area), class_=f"area {each.look}") for run in points)
        path = "".join(_path(run) for run in points)
        if path:
            yield element("path", d=path, class_=f"line {each.look}")


Points = list[tuple[float, float]]


def _points(plot: Plot, series: Series, area: _Area) -> list[Points]:
    """Unbroken stretches, a point in the middle of each column; of what is sparse, stretches of nothing are out."""
    runs: list[Points] = [[]]
    for column, value in enumerate(series.values):
        if value is None or (series.sparse and not value and not _beside(series.values, column)):
            runs.append([])
            continue
        at = plot.axis.start + (column + 0.5) * plot.axis.step
        runs[-1].append((area.x(at), area.y(value)))
    return [run for run in runs if run]


def _beside(values: Sequence[float | None], column: int) -> bool:
    """Whether something is next to this column, so that what rises from nothing begins there."""
    return any(values[max(0, column - 1) : column + 2])


def _path(points: Points) -> str:
    if len(points) == 1:  # alone: a dot as long as the line is thick
        points = [points[0], (points[0][0] + 1.5, points[0][1])]
    first, *rest = points
    return f"M{first[0]:.1f} {first[1]:.1f}L" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)


def _under(points: Points, area: _Area) -> str:
    return f"{_path(points)}V{area.bottom:.1f}H{points[0][0]:.1f}Z"


def _marks(plot: Plot, area: _Area) -> Iterator[str]:
    """Moments with a name, one row each so that none covers another."""
    for row, (at, name) in enumerate(plot.marks):
        x, y = area.x(at), area.top + 14 + 15 * row
        yield element("path", d=f"M{x:.1f} {area.top:.1f}V{area.bottom:.1f}", class_="mark")
        fits = x + 4 + _CHAR * len(name) <= area.right
        yield _text(x + (4 if fits else -4), y, name, "small", "start" if fits else "end")


def _ends(plot: Plot, area: _Area) -> Iterator[str]:
    """The names of lines at their ends, moved apart where they would cover one another."""
    last = [(area.y(value), each) for each in plot.series if each.labelled for value in _last(each.values)]
    below = area.top - 20.0
    for y, each in sorted(last, key=lambda pair: pair[0]):
        below = max(y + 4, below + 14)
        yield _text(area.right + 5, below, each.name[:18], f"name {each.look}")


def _last(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None][-1:]
