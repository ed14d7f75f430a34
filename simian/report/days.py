"""A week as a picture: a row for each monkey, a column for each day, a square for each run."""

from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil

from simian.report.blocks import Chart, Grid, Picture
from simian.report.drawing import NARROW, WIDE, Size, element, words
from simian.report.words import day

Run = tuple[str, float, str]  # name of the row, when, how it ended
DAY_S = 86400.0
_SIGNS = {"held": "■", "broken": "✗", "unknown": "?", "refused": "-", "leashed": "·"}
_ROW, _SQUARE = 30.0, 13.0


def days_picture(runs: Sequence[Run], since: float, until: float) -> Picture:
    """Runs by day, in characters and as a drawing."""
    chart = Chart(
        name="days",
        title="Every run, by day",
        svg=partial(_both, runs, since, until),
        table=partial(_table, runs, since, until),
        mermaid=lambda: ((), ()),
    )
    return Picture(partial(_draw, runs, since, until), chart, "Every run, by day:", lead=True)


def _cells(runs: Sequence[Run], since: float, until: float) -> Iterator[tuple[str, list[list[str]]]]:
    """Of each row, the ends of its runs on each day, in order."""
    days = max(1, ceil((until - since) / DAY_S))
    for name in sorted({name for name, _, _ in runs}):
        cells: list[list[str]] = [[] for _ in range(days)]
        for mine, at, end in sorted(runs, key=lambda run: run[1]):
            if mine == name:
                cells[min(days - 1, max(0, int((at - since) / DAY_S)))].append(end)
        yield name, cells


def _names(since: float, until: float) -> list[str]:
    days = max(1, ceil((until - since) / DAY_S))
    return [day(since + number * DAY_S).rsplit(" ", 1)[0] for number in range(days)]


def _draw(runs: Sequence[Run], since: float, until: float, width: int) -> list[str]:
    """Empty where there is no room for seven columns."""
    rows = list(_cells(runs, since, until))
    names = _names(since, until)
    label = min(max(len(name) for name, _ in rows), width // 3)
    column = (width - label - 1) // len(names)
    if column < 7:
        return []
    told = [f"{name[:label]:<{label}} " + "".join(_cell(cell, column) for cell in cells) for name, cells in rows]
    head = " " * (label + 1) + "".join(f"{name:<{column}}" for name in names)
    signs = [f"{sign} {end}" for end, sign in _SIGNS.items() if any(run[2] == end for run in runs)]
    return [line.rstrip() for line in [head, *told, "  ".join(signs)] if len(line.rstrip()) <= width]


def _cell(ends: Sequence[str], column: int) -> str:
    signs = "".join(_SIGNS.get(end, "?") for end in ends)
    return f"{signs if len(signs) < column else signs[: column - 2] + '…':<{column}}"


def _table(runs: Sequence[Run], since: float, until: float) -> Grid:
    rows = [(name, *(", ".join(cell) for cell in cells)) for name, cells in _cells(runs, since, until)]
    return Grid(("", *_names(since, until)), rows)


def _both(runs: Sequence[Run], since: float, until: float) -> str:
    return "".join(_svg(runs, since, until, size) for size in (WIDE, NARROW))


def _svg(runs: Sequence[Run], since: float, until: float, size: Size) -> str:
    rows, names = list(_cells(runs, since, until)), _names(since, until)
    left = min(130.0 if size is WIDE else 76.0, 10 + 7.0 * max(len(name) for name, _ in rows))
    column = (size.width - left) / len(names)
    body = [element("text", words(_short(name, size)), x=left + column * n + 2, y=14, class_="soft small")
            for n, name in enumerate(names)]  # fmt: skip
    for number, (name, cells) in enumerate(rows):
        y = 22 + _ROW * number
        body.append(element("path", d=f"M0 {y:.1f}H{size.width:.0f}", class_="grid"))
        body.append(element("text", words(name[: int(left / 7)]), x=2, y=y + 19))
        for n, cell in enumerate(cells):
            body += _squares(cell, left + column * n + 2, y, column)
    height = 22 + _ROW * len(rows) + 26
    body += _legend({end for _, _, end in runs}, height - 8)
    ids = [f"days-{size.name}-{part}" for part in ("title", "about")]
    about = f"{len(runs)} runs; {', '.join(f'{sum(e == end for _, _, e in runs)} {end}' for end in _SIGNS)}"
    told = [element("title", words("Every run, by day"), id=ids[0]), element("desc", words(about), id=ids[1])]
    named = {"role": "img", "aria_labelledby": " ".join(ids), "class_": f"chart {size.name}"}
    return element(
        "svg", *told, *body, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {size.width:.0f} {height:.0f}", **named
    )


def _short(name: str, size: Size) -> str:
    return name if size is WIDE else name.split(" ")[0]


def _squares(ends: Sequence[str], x: float, y: float, column: float) -> Iterator[str]:
    """As many as there is room for, in two rows; then how many more."""
    a_row = max(1, int((column - 4) / _SQUARE))
    room = 2 * a_row
    shown = ends if len(ends) <= room else ends[: room - 1]
    for number, end in enumerate(shown):
        left, top = x + _SQUARE * (number % a_row), y + 3 + _SQUARE * (number // a_row)
        yield _square(end, left, top)
    if len(shown) < len(ends):
        yield element(
            "text", words(f"+{len(ends) - len(shown)}"), x=x + _SQUARE * (a_row - 1), y=y + 26, class_="small soft"
        )


def _square(end: str, x: float, y: float) -> str:
    """Its colour, and a sign for who cannot tell colours."""
    box = element("rect", x=x, y=y, width=_SQUARE - 2, height=_SQUARE - 2, rx=2, class_=f"run {end}")
    sign = {"broken": "×", "unknown": "?", "refused": "–"}.get(end, "")
    look = "sign dark" if end == "refused" else "sign"
    return box + (element("text", sign, x=x + 5.5, y=y + 9.5, text_anchor="middle", class_=look) if sign else "")


def _legend(ends: set[str], y: float) -> Iterator[str]:
    x = 2.0
    for end in _SIGNS:
        if end in ends:
            yield _square(end, x, y - 10)
            yield element("text", words(end), x=x + 16, y=y, class_="small soft")
            x += 36 + 6.6 * len(end)
