"""The story as Markdown, for a pull request, an issue, a wiki or a job's summary.

Its pictures are charts of Mermaid's where one can show them, since GitHub takes <svg> and data: images out of what
people write; block characters otherwise, and folded away beside each chart for whatever shows no Mermaid.
"""

import re
from collections.abc import Iterable, Iterator

from simian.report.blocks import Block, Bullets, Chart, Commands, Grid, Paragraph, Picture
from simian.report.clean import no_formula
from simian.report.story import Story

_PICTURE_COLUMNS = 100
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&@])")


def markdown_of(told: Story) -> str:
    """The whole report, with a last newline."""
    return "\n".join(_lines(told)) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, HTML included; nobody is called by an @name in it."""
    return _SPECIAL.sub(_harmless, text)


def _harmless(match: re.Match[str]) -> str:
    return "&#64;" if match[0] == "@" else f"\\{match[0]}"  # GitHub mentions people in spite of a backslash


def _lines(told: Story) -> Iterator[str]:
    yield f"# {escaped(told.title)}: {escaped(told.word)}"
    yield ""
    yield from _alarm(told)
    yield f"**{escaped(told.word)}** {escaped(told.why)}"
    yield ""
    yield from _lead(told)
    yield from (f"- {escaped(line)}" for line in ["; ".join(told.facts), *told.about] if line)
    for section in told.sections:
        yield ""
        yield f"## {escaped(section.title)}"
        for block in section.blocks:
            lines = list(_block(block))
            if lines:
                yield ""
                yield from lines


def _lead(told: Story) -> Iterator[str]:
    """The first picture of all, before everything else."""
    for section in told.sections:
        for block in section.blocks:
            if isinstance(block, Picture) and block.lead:
                yield from _picture(block)
                yield ""
                return


def _alarm(told: Story) -> Iterator[str]:
    if told.alarm:
        yield "> **STUCK: something that was broken may still be in place**"
        yield from (f"> {escaped(line.strip())}" for line in told.alarm)
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text=words):
            yield escaped(words)
        case Bullets(items=items):
            yield from (f"- {escaped(item)}" for item in items)
        case Grid():
            yield from _grid(block)
        case Picture(lead=False):
            yield from _picture(block)
        case Commands(lines=lines):
            yield from _code([command for command, _ in lines])


def _picture(picture: Picture) -> Iterator[str]:
    blocks = picture.draw(_PICTURE_COLUMNS)
    chart = list(_chart(picture.chart)) if picture.chart else []
    yield from chart
    if blocks and chart:
        yield from ("", "<details><summary>The same in characters</summary>", "")
    elif blocks and picture.title:
        yield from (escaped(picture.title), "")
    yield from _code(blocks)
    if blocks and chart:
        yield from ("", "</details>")


def _chart(chart: Chart) -> Iterator[str]:
    """A chart between its title and what its colours mean; nothing where Mermaid cannot show it."""
    lines, key = chart.mermaid()
    if lines:
        yield from (f"**{escaped(chart.title)}**", "", "```mermaid", *lines, "```", "")
        yield escaped("; ".join(key))
        yield from (line for note in chart.notes if note for line in ("", escaped(note)))


def _code(lines: list[str]) -> Iterator[str]:
    """Indented, not fenced: nothing inside can end it."""
    yield from (f"    {line}" for line in lines)


def _grid(grid: Grid) -> Iterator[str]:
    yield _row(grid.head)
    yield _row("---:" if column in grid.right else "---" for column in range(len(grid.head)))
    yield from (_row(escaped(no_formula(cell)) for cell in row) for row in grid.rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
