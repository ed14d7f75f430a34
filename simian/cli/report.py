"""``simian report`` and ``simian compare``: what history tells of one run, of two, of a week."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simian.cli.context import System, system_looked_back_on
from simian.cli.globals import Globals
from simian.cli.history import fed, moment
from simian.cli.output import print_json
from simian.cli.show import Made, check_format, check_report, tell, write_report
from simian.errors import HistoryError, UsageError

if TYPE_CHECKING:
    from simian.history import History

WEEK = timedelta(days=7)
Format = Annotated[str | None, typer.Option("--format", help="text, md, json, junit or html.")]
Output = Annotated[
    str | None, typer.Option("-o", "--output", help="Write to this file (.txt, .md, .json, .xml, .html).")
]


def report(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, a unique beginning of one, or `last`.")] = None,
    format: Format = None,
    output: Output = None,
    week: Annotated[bool, typer.Option("--week", help="Not of a run: of all runs of seven days.")] = False,
    until: Annotated[
        str | None, typer.Option(help="With --week: its end, 2026-11-22, or an age. [default: now]")
    ] = None,
) -> int:
    """The report of a run: `last`, a name, or a unique beginning of one; with --week, the digest of seven days."""
    if week and run is not None:
        raise UsageError(f"--week is of all runs, and {run!r} is one; give one of them")
    if until is not None and not week:
        raise UsageError("--until is the end of a week; give --week, too")
    end = moment(until, "--until") or datetime.now(UTC)
    _check(ctx.obj, format, output)
    system = system_looked_back_on(ctx.obj)
    fed(system)
    with system.history() as history:
        made = _of_week(system, history, end) if week else of_run(history, history.get(run or "last"))
    return _give(made, format, output, ctx.obj)


def compare(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="RUN", help="The earlier run, or the one to measure by.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with it.")],
    format: Format = None,
    output: Output = None,
) -> int:
    """What changed from one run to another: steady state, recovery time, weaknesses, plan."""
    from simian.report import render_comparison

    _check(ctx.obj, format, output)
    system = system_looked_back_on(ctx.obj)
    fed(system)
    with system.history() as history:
        made = partial(render_comparison, history.get(first), history.get(second))
    return _give(made, format, output, ctx.obj)


def _check(settings: Globals, format: str | None, output: str | None) -> None:
    """Whether what is asked for can be given, before anything is read. Raises UsageError."""
    wanted = check_format(format) if format else None
    if settings.json and output is None and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} contradict each other; give one of them")
    if output is not None:
        check_report(Path(output), wanted)


def _give(made: Made, format: str | None, output: str | None, settings: Globals) -> int:
    if output is None:
        tell(made, format or ("json" if settings.json else "text"))
        return 0
    write_report(made, Path(output), format)
    if settings.json:
        print_json({"written": output})
    return 0


def of_run(history: "History", record: Mapping[str, Any]) -> Made:
    """The report of a run, with what history has of the week before."""
    from simian.report import render

    return partial(render, record, before=history.week_before(record))


def of_ended_run(system: System, record: Mapping[str, Any]) -> Made:
    """The same for a run that has just ended, whatever may be wrong with the history."""
    from simian.report import render

    try:
        with system.history() as history:
            return of_run(history, record)
    except (HistoryError, UsageError):  # told already, when the run could not be stored there
        return partial(render, record)


def _of_week(system: System, history: "History", end: datetime) -> Made:
    from simian.report import render_week

    since, until = ((end - ago).astimezone(UTC).isoformat(timespec="microseconds") for ago in (WEEK, timedelta()))
    found = history.week(*(at.replace("+00:00", "Z") for at in (since, until)))
    return partial(render_week, found, system=system.name)
