"""Reports of a run: ``render(record, format)``. One model (``model``), one story (``story``), a module a format."""

from collections.abc import Mapping
from typing import Any

from simian.errors import UsageError
from simian.report.json import json
from simian.report.junit import junit
from simian.report.markdown import markdown_of
from simian.report.model import read
from simian.report.story import Story, story
from simian.report.text import Ansi, Plain, text_of
from simian.report.weekbefore import with_week_before

FORMATS = ("text", "md", "json", "junit", "html")
Record = Mapping[str, Any]


def render(
    record: Record, format: str = "text", *, width: int = 100, colour: bool = False, before: Record | None = None
) -> str:
    """The report of a run's record in one of ``FORMATS``, with a last newline.

    ``width`` (columns, 20 at least) and ``colour`` are for text. ``before``: a run of the same system a week before,
    for its traffic. Raises UsageError for another format or for something that is no record of a run.
    """
    if format == "json":
        return json(record)
    if format not in FORMATS:
        raise UsageError(f"{format!r} is no format of a report; choose one of {', '.join(FORMATS)}")
    run = with_week_before(read(record), before)
    return junit(run) if format == "junit" else _laid_out(story(run), format, width, colour)


def render_comparison(
    first: Record, second: Record, format: str = "text", *, width: int = 100, colour: bool = False
) -> str:
    """Two runs side by side, the second beside the first; all formats but ``junit``. Raises UsageError."""
    from simian.report.compare import compare, to_json
    from simian.report.compared import compared

    told = compare(read(first), read(second))
    return json(to_json(told), ()) if format == "json" else _laid_out(compared(told), format, width, colour)


def render_week(week: Record, format: str = "text", *, system: str = "", width: int = 100, colour: bool = False) -> str:
    """The digest of what ``History.week`` gave; all formats but ``junit``. Raises UsageError."""
    from simian.report.digest import digest, read_week, to_json

    told = read_week(week, system)
    return json(to_json(told), ()) if format == "json" else _laid_out(digest(told), format, width, colour)


def _laid_out(told: Story, format: str, width: int, colour: bool) -> str:
    if format == "text":
        return text_of(told, width=width, style=Ansi() if colour else Plain())
    if format == "md":
        return markdown_of(told)
    if format == "html":
        from simian.report.html import html_of  # Jinja2 is imported by those who want a page only

        return html_of(told)
    there = ", ".join(name for name in FORMATS if name != "junit")
    raise UsageError(f"this has no form as {format!r}; choose one of {there}")


__all__ = ["FORMATS", "render", "render_comparison", "render_week"]
