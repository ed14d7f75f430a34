"""Print for people or for programs."""

import json
from collections.abc import Sequence
from typing import Any


def print_json(data: Any) -> None:
    """Exactly one JSON document."""
    print(json.dumps(data, default=str))


def printable(text: str) -> str:
    """Control characters in words: a name from a file or a node must not steer anybody's terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their longest cell; the last one is left ragged."""
    cells = [[printable(str(cell)) if cell is not None else "-" for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
