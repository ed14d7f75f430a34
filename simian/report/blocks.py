"""What a section of a story is made of; each format lays these out in its own way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: a head and rows of as many cells. ``right``: columns of numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing for those formats that have room for one. ``name``: there once in a report, letters and dashes.

    ``svg``: <svg> elements, for a wide page and for a narrow one. ``table``: the same as numbers. ``mermaid``: the
    same as a chart of Mermaid's, and what its colours mean; no lines where Mermaid cannot show it.
    """

    name: str
    title: str
    svg: Callable[[], str]
    table: Callable[[], Grid]
    mermaid: Callable[[], tuple[Sequence[str], Sequence[str]]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """Lines of block characters; ``draw`` makes them for a width in characters, none where only a ``chart`` will do.

    ``title``: above those lines; a chart has its own. ``lead``: it is the report's first picture, which some formats
    put above all sections.
    """

    draw: Callable[[int], list[str]]
    chart: Chart | None = None
    title: str = ""
    lead: bool = False


@dataclass(frozen=True, slots=True)
class Commands:
    """What to type, each with a word about it (may be empty)."""

    lines: Sequence[tuple[str, str]]


Block = Paragraph | Bullets | Grid | Picture | Commands


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands under it."""

    title: str
    blocks: Sequence[Block]
