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
class Picture:
    """Lines of block characters; ``draw`` makes them for a width in characters."""

    draw: Callable[[int], list[str]]


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
