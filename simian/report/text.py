"""The story for a terminal: plain text of any width, in colour only where it is asked for."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Protocol

from simian.report.blocks import Block, Bullets, Commands, Grid, Paragraph, Picture
from simian.report.model import Run
from simian.report.story import Story, Tone, story

NARROWEST = 20
_INDENT = "  "
_TIE = "\u00a0"  # a space at which no line ends
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|h)(?!\w))")


class Style(Protocol):
    """How a piece of text is set off. ``tone``: good, bad, doubt or plain; ``strong``: a title."""

    def tone(self, text: str, tone: Tone) -> str:
        """Text that judges."""
        ...

    def strong(self, text: str) -> str:
        """Text that leads."""
        ...


class Plain:
    """No colours."""

    def tone(self, text: str, tone: Tone) -> str:
        """As it is."""
        return text

    def strong(self, text: str) -> str:
        """As it is."""
        return text


class Ansi:
    """Colours of a terminal."""

    _CODES: dict[Tone, str] = {"good": "1;32", "bad": "1;31", "doubt": "1;33", "plain": "1"}  # noqa: RUF012

    def tone(self, text: str, tone: Tone) -> str:
        """In green, red or yellow."""
        return f"\x1b[{self._CODES[tone]}m{text}\x1b[0m"

    def strong(self, text: str) -> str:
        """Bold."""
        return f"\x1b[1m{text}\x1b[0m"


def text(run: Run, *, width: int = 100, style: Style | None = None) -> str:
    """The whole report; every line at most ``width`` wide (20 at least), a last newline."""
    return text_of(story(run), width=width, style=style)


def text_of(told: Story, *, width: int = 100, style: Style | None = None) -> str:
    """The same for what is no run's story: a comparison, a digest."""
    page = _Page(max(NARROWEST, width), style or Plain())
    return "\n".join(page.lines(told)) + "\n"


class _Page:
    """One report on one width."""

    def __init__(self, width: int, style: Style) -> None:
        self.width = width
        self.style = style

    def lines(self, told: Story) -> Iterator[str]:
        yield from self._alarm(told)
        yield from (self.style.strong(line) for line in self._wrapped(told.title))
        for line in told.about:
            yield from self._wrapped(line)
        yield ""
        yield from self._verdict(told)
        yield from self._wrapped("; ".join(told.facts), _INDENT)
        for section in told.sections:
            yield ""
            yield from (self.style.strong(line) for line in self._wrapped(section.title))
            for block in section.blocks:
                yield from self._block(block)
        yield from list(self._alarm(told))[:-1]

    def _alarm(self, told: Story) -> Iterator[str]:
        if not told.alarm:
            return
        bar = "!" * self.width
        title = "STUCK: something that was broken may still be in place"
        yield ""
        for line in [bar, *self._wrapped(title), *(row for each in told.alarm for row in self._wrapped(each)), bar]:
            yield self.style.tone(line, "bad")
        yield ""

    def _verdict(self, told: Story) -> Iterator[str]:
        first, *rest = self._wrapped(f"{told.word}  {told.why}", after=_INDENT)
        yield first.replace(told.word, self.style.tone(told.word, told.tone), 1)
        yield from rest

    def _block(self, block: Block) -> Iterator[str]:
        match block:
            case Paragraph(text=words):
                yield from self._wrapped(words, _INDENT)
            case Bullets(items=items):
                for item in items:
                    yield from self._wrapped(f"- {item}", _INDENT, _INDENT * 2)
            case Grid():
                yield from self._grid(block)
            case Picture():
                yield from self._picture(block)
            case Commands(lines=lines):
                yield from self._commands(lines)

    def _picture(self, picture: Picture) -> Iterator[str]:
        lines = picture.draw(self.width - len(_INDENT))
        if lines and picture.title:
            yield from self._wrapped(picture.title, _INDENT)
        yield from (_INDENT + line for line in lines)

    def _commands(self, lines: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Never wrapped: a command is there to be copied."""
        for command, about in lines:
            yield f"{_INDENT}{command}{f'    # {about}' if about else ''}"

    def _wrapped(self, words: str, before: str = "", after: str | None = None) -> list[str]:
        after = before if after is None else after
        return _lines(words, self.width, before, after) or [""]

    def _grid(self, grid: Grid) -> Iterator[str]:
        """Columns; the last one wraps when it is text; with no room for that, one cell a line."""
        rows = [grid.head, *grid.rows] if any(grid.head) else list(grid.rows)
        widths = [max(len(row[column]) for row in rows) for column in range(len(grid.head))]
        last = len(widths) - 1
        fixed = len(_INDENT) + sum(widths[:-1]) + 2 * last
        least = widths[-1] if last in grid.right else min(widths[-1], NARROWEST)
        if fixed + least > self.width:
            yield from self._stacked(grid)
            return
        for row in rows:
            cells = [_aligned(cell, widths[column], column in grid.right) for column, cell in enumerate(row[:-1])]
            head = _INDENT + "".join(f"{cell}  " for cell in cells)
            tail = _aligned(row[-1], widths[-1], True) if last in grid.right else row[-1]
            yield from (line.rstrip() for line in self._hung(head, tail))

    def _hung(self, head: str, tail: str) -> list[str]:
        if len(head) + len(tail) <= self.width:
            return [head + tail]
        lines = _lines(tail, self.width - len(head))
        return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]

    def _stacked(self, grid: Grid) -> Iterator[str]:
        for row in grid.rows:
            cells = [f"{label} {cell}".strip() for label, cell in zip(grid.head, row, strict=True) if cell]
            first, *rest = cells
            yield from self._wrapped(first, _INDENT)
            for cell in rest:
                yield from self._wrapped(cell, _INDENT * 2)


def _lines(words: str, width: int, before: str = "", after: str = "") -> list[str]:
    """Wrapped, and no number apart from its unit."""
    together = _UNIT.sub(_TIE, words)
    lines = textwrap.wrap(together, width, initial_indent=before, subsequent_indent=after, break_on_hyphens=False)
    return [line.replace(_TIE, " ") for line in lines]


def _aligned(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)
