"""Reports of a run: ``render(record, format)``. One model (``model``), one story (``story``), a module a format."""

from collections.abc import Mapping
from typing import Any

from simian.errors import UsageError
from simian.report.json import json
from simian.report.markdown import markdown
from simian.report.model import read
from simian.report.text import Ansi, Plain, text

FORMATS = ("text", "md", "json")
_LATER = ("junit", "html")


def render(record: Mapping[str, Any], format: str = "text", *, width: int = 100, colour: bool = False) -> str:
    """The report of a run's record as ``text``, ``md`` or ``json``, with a last newline.

    ``width`` (columns, 20 at least) and ``colour`` are for text. Raises UsageError for another format or for
    something that is no record of a run.
    """
    if format == "text":
        return text(read(record), width=width, style=Ansi() if colour else Plain())
    if format == "md":
        return markdown(read(record))
    if format == "json":
        return json(record)
    kind = "is not built yet" if format in _LATER else "is no format of a report"
    raise UsageError(f"{format!r} {kind}; choose one of {', '.join(FORMATS)}")


__all__ = ["FORMATS", "render"]
