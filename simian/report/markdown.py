"""The story as Markdown, for an issue or a wiki."""

import re
from collections.abc import Iterable, Iterator

from simian.report.blocks import Block, Bullets, Commands, Grid, Paragraph, Picture
from simian.report.model import Run
from simian.report.story import Story, story

_PICTURE_COLUMNS = 100
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def markdown(run: Run) -> str:
    """The whole report, with a last newline."""
    return "\n".join(_lines(story(run))) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, HTML included."""
    return _SPECIAL.sub(r"\\\1", text)


def _lines(told: Story) -> Iterator[str]:
    yield f"# {escaped(told.title)}: {escaped(told.word)}"
    yield ""
    yield from _alarm(told)
    yield f"**{escaped(told.word)}** {escaped(told.why)}"
    yield ""
    yield from (f"- {escaped(line)}" for line in ["; ".join(told.facts), *told.about])
    for section in told.sections:
        yield ""
        yield f"## {escaped(section.title)}"
        for block in section.blocks:
            yield ""
            yield from _block(block)


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
        case Picture(draw=draw):
            yield from _code(draw(_PICTURE_COLUMNS))
        case Commands(lines=lines):
            yield from _code([command for command, _ in lines])


def _code(lines: list[str]) -> Iterator[str]:
    """Indented, not fenced: nothing inside can end it."""
    yield from (f"    {line}" for line in lines)


def _grid(grid: Grid) -> Iterator[str]:
    yield _row(grid.head)
    yield _row("---:" if column in grid.right else "---" for column in range(len(grid.head)))
    yield from (_row(escaped(cell) for cell in row) for row in grid.rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
