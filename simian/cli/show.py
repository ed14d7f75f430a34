"""What a command shows while a run goes on, and where its report is written."""

import contextlib
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Protocol

from simian.cli.globals import Globals
from simian.cli.live import View, open_view
from simian.cli.options import RunOptions
from simian.clock import SystemClock
from simian.errors import UsageError

FORMATS = {".txt": "text", ".md": "md", ".json": "json", ".xml": "junit", ".html": "html"}
SUMMARY = "GITHUB_STEP_SUMMARY"  # the file whose Markdown GitHub shows on the page of a job


class Made(Protocol):
    """A report that can be had in any format; raises UsageError for one that it does not have."""

    def __call__(self, format: str, *, width: int = 100, colour: bool = False) -> str:
        """The whole text. ``width`` and ``colour`` are for text."""
        ...


def view_for(settings: Globals, options: RunOptions) -> View:
    """Live on a terminal, a line an event elsewhere, nothing for programs."""
    silent = settings.json or settings.quiet
    live = not options.no_progress
    return open_view(sys.stdout, sys.stderr, SystemClock(), environ=os.environ, silent=silent, live=live)


def report_format(path: Path) -> str:
    """The format that a report's file name asks for. Raises UsageError."""
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: a report's file ends in {', '.join(FORMATS)}; this one ends in {path.suffix!r}")
    return FORMATS[path.suffix]


def check_format(wanted: str) -> str:
    """The format, if there is one of that name. Raises UsageError."""
    if wanted not in FORMATS.values():
        there = ", ".join(FORMATS.values())
        raise UsageError(f"{wanted!r} is no format of a report in this version; there are: {there}")
    return wanted


def check_report(path: Path, format: str | None = None) -> None:
    """Whether a report can be written there later. Raises UsageError, before anything is touched."""
    if format is None:
        report_format(path)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise UsageError(f"the report cannot be written to {path}: {path.parent} is no folder that can be written to")


def write_report(made: Made, path: Path, format: str | None = None) -> None:
    """Write what ``made`` gives, whole or not at all; without a format, that of the file's name. Raises UsageError."""
    text = made(format or report_format(path))
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # where nobody can have laid a link before
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else text + "\n")
        new.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise UsageError(f"the report cannot be written to {path}: {getattr(error, 'strerror', error)}") from error


def tell(made: Made, format: str) -> None:
    """Print the report, as wide as the terminal."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(made(format, width=shutil.get_terminal_size((100, 24)).columns, colour=colour), end="")


def add_to_summary(made: Made) -> str:
    """Add the Markdown to GitHub's summary of this job, where there is one; returns what went wrong, if anything."""
    place = os.environ.get(SUMMARY)
    if not place:
        return ""
    try:
        with open(place, "a", encoding="utf-8") as summary:
            summary.write(made("md") + "\n")
    except OSError as error:
        return f"the job's summary cannot be written to {place} ({SUMMARY}): {error.strerror}"
    return ""
