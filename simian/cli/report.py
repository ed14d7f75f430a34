"""``simian report`` and ``simian compare``: what history tells of one run, of two, of a week."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simian.cli.context import System, path_of, server_of, system_looked_back_on
from simian.cli.globals import Globals, only_here
from simian.cli.history import fed, moment
from simian.cli.output import print_json
from simian.cli.show import Made, check_format, check_report, tell, write_report
from simian.errors import HistoryError, UsageError

if TYPE_CHECKING:
    from simian.cli.server import Server
    from simian.history import History

WEEK = timedelta(days=7)
Record = Mapping[str, Any]
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
    if ctx.obj.server:
        if week:
            only_here(ctx.obj, "simian report --week", "run it where the daemon's history is")
        server = server_of(ctx.obj)
        return _give(of_run_there(server, server.get(path_of("runs", run or "last"))), format, output, ctx.obj)
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
    records = _both_there(server_of(ctx.obj), first, second) if ctx.obj.server else _both_here(ctx.obj, first, second)
    return _give(partial(render_comparison, *records), format, output, ctx.obj)


def _both_here(settings: Globals, first: str, second: str) -> tuple[Record, Record]:
    system = system_looked_back_on(settings)
    fed(system)
    with system.history() as history:
        return history.get(first), history.get(second)


def _both_there(server: "Server", first: str, second: str) -> tuple[Record, Record]:
    return server.get(path_of("runs", first)), server.get(path_of("runs", second))


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


def of_run(history: "History", record: Record) -> Made:
    """The report of a run, with what history has of the week before."""
    from simian.report import render

    return partial(render, record, before=history.week_before(record))


def of_run_there(server: "Server", record: Record) -> Made:
    """The same of a run at a daemon elsewhere, which has the week before."""
    from simian.report import render

    def made(format: str, *, width: int = 100, colour: bool = False) -> str:
        before = None if format == "json" else server.get(path_of("runs", record["run"], "week-before"))["before"]
        return render(record, format, width=width, colour=colour, before=before)

    return made


def of_ended_run(system: System, record: Record) -> Made:
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
