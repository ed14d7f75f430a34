"""``simian history``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from simian.cli.context import System, server_of, system_looked_back_on
from simian.cli.defaults import Command, Group
from simian.cli.globals import Globals, only_here
from simian.cli.output import print_json, print_table

Text = Annotated[str | None, typer.Option()]
Wanted = dict[str, Any]  # as ``simian.history.read_page`` takes it
Page = tuple[Sequence[Mapping[str, Any]], str | None, list[str]]  # rows, cursor, what went wrong
COLUMNS = ("run", "monkey", "started", "outcome", "verdict", "recovery", "seed")


def moment(text: str | None, option: str) -> datetime | None:
    """``2026-11-22``, ``2026-11-22T10:00`` (UTC unless said) or an age such as ``24h``. Raises UsageError."""
    if text is None:
        return None
    from simian.cli.options import seconds

    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC) - timedelta(seconds=seconds(text, option))


app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None, invoke_without_command=True)


@app.callback(cls=Group)
def history(
    ctx: typer.Context,
    monkey: Text = None,
    verdict: Text = None,
    outcome: Text = None,
    since: Annotated[str | None, typer.Option(help="2026-11-22, 2026-11-22T10:00, or an age: 24h.")] = None,
    until: Annotated[str | None, typer.Option(help="As --since.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
) -> int:
    """Past runs, newest first."""
    if ctx.invoked_subcommand:
        return 0
    wanted: Wanted = {
        "monkey": monkey, "verdict": verdict, "outcome": outcome, "since": moment(since, "--since"),
        "until": moment(until, "--until"), "limit": limit, "after": after,
    }  # fmt: skip
    rows, following, problems = _page_there(ctx.obj, wanted) if ctx.obj.server else _page_here(ctx.obj, wanted)
    if ctx.obj.json:
        print_json({"runs": [{name: row[name] for name in COLUMNS} for row in rows], "next": following})
        return 0
    print_table([name.upper() for name in COLUMNS], [[row[name] for name in COLUMNS] for row in rows])
    print(f"more: simian history --after {following}" if following else "", end="\n" if following else "")
    for problem in problems:
        typer.echo(f"warning: {problem}", err=True)
    return 0


def _page_here(settings: Globals, wanted: Wanted) -> Page:
    from simian.history import read_page

    system = system_looked_back_on(settings)
    problems = fed(system)
    return *read_page(system.history_place, **wanted), problems


def _page_there(settings: Globals, wanted: Wanted) -> Page:
    moments = {key: wanted[key].isoformat() for key in ("since", "until") if wanted[key]}
    told = server_of(settings).get("/runs", **{**wanted, **moments})
    return told["runs"], told["next"], []


@app.command(cls=Command)
def prune(
    ctx: typer.Context,
    keep: Annotated[str, typer.Option("--keep", help="How far back runs stay: 180d, 24h.")],
) -> int:
    """Take away older runs with all their readings, and due times as old. Sums by day stay."""
    only_here(ctx.obj, "simian history prune", "run it where the daemon's history is")
    from simian.history import open_schedules
    from simian.schedule.when import text_of
    from simian.schedule.words import span_s

    system = system_looked_back_on(ctx.obj)
    before = system.clock.now() - span_s("--keep", keep)
    with system.history() as past, open_schedules(system.history_place) as rows:
        gone = {"runs": past.prune(text_of(before)), "dues": rows.prune(round(before * 1e6))}
    if ctx.obj.json:
        print_json({"pruned": gone, "before": text_of(before)})
    elif not ctx.obj.quiet:
        print(f"{gone['runs']} runs and {gone['dues']} due times before {text_of(before)[:16]}Z are gone")
    return 0


def fed(system: System) -> list[str]:
    """Runs whose command died are closed and brought into the history by the next command that looks."""
    if system.journal().unfinished():
        from simian.guardian import close_harmless

        close_harmless(system.journal(), system.clock)
    if not system.journal().unfed():
        return []  # the usual case, in which the configuration is not read
    from simian.cli.herald import tell_of_ended_runs

    return [*tell_of_ended_runs(system), *system.feed_history()]
