"""The options of a run, the same for every monkey and for ``run``."""

import inspect
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from simian.errors import UsageError

SHORTEST_S = 0.01  # as in an experiment's file
GREATEST_SEED = 2**63 - 1  # what the history's column holds


@dataclass(frozen=True)
class RunOptions:
    """``--for`` in seconds, or ``None`` for the default; the rest as on the line."""

    for_s: float | None = None
    seed: int | None = None
    plan: bool = False
    leashed: bool = False
    note: str = ""
    report: str | None = None
    yes: bool = False
    no_progress: bool = False
    force_headroom: bool = False

    @classmethod
    def take_from(cls, given: dict[str, Any]) -> "RunOptions":
        """Take the run's options out of all that were given."""
        span = given.pop("for_", None)
        taken = {field.name: given.pop(field.name) for field in fields(cls) if field.name in given}
        return cls(for_s=None if span is None else _hold(span), **taken)


def _hold(text: str) -> float:
    span = seconds(text, "--for")
    if span < SHORTEST_S:
        raise UsageError(f"--for: {text!r} is too short to see anything; give 10ms or more, such as 30s")
    return span


def seconds(text: str, option: str) -> float:
    """A duration such as ``30s`` or ``5m`` in seconds. Raises UsageError naming the option."""
    from simian_filters.units import parse_duration_s

    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def option(name: str, flag: str, kind: Any, default: Any, text: str, **more: Any) -> inspect.Parameter:
    """One option of a command whose signature is put together."""
    annotation = Annotated[kind, typer.Option(flag, help=text, **more)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


RUN_OPTIONS = [
    option("for_", "--for", str | None, None, "How long the faults stay: 500ms, 30s, 5m, 24h. [default: 30s]"),
    option(
        "seed", "--seed", int | None, None, "The die's seed; the same one plans the same.", min=0, max=GREATEST_SEED
    ),
    option("plan", "--plan", bool, False, "Print the plan; touch nothing."),
    option("leashed", "--leashed", bool, False, "Go as far as the baseline; record what would have been done."),
    option("note", "--note", str, "", "A note kept with the run."),
    option(
        "report", "--report", str | None, None, "Write the report to this file (.txt, .md, .json, .xml: JUnit, .html)."
    ),
    option("yes", "--yes", bool, False, "Do not ask before a run that reaches a region or more."),
    option("force_headroom", "--force-headroom", bool, False, "Move users although the saviour lacks head-room."),
    option("no_progress", "--no-progress", bool, False, "No live view."),
]
