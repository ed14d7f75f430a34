"""``simian schedule``: recurring runs. The rows are in the history's database; ``simian serve`` starts what is due."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simian.cli.context import load_system, system_looked_back_on
from simian.cli.output import print_json, print_table
from simian.cli.schedule_add import Targets
from simian.cli.schedule_rows import local_time, note_change, rows, wake_daemon, with_next

if TYPE_CHECKING:
    pass

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Recurring runs.")
app.add_typer(
    typer.Typer(
        cls=Targets, no_args_is_help=True, invoke_without_command=False, callback=lambda: None, rich_markup_mode=None
    ),
    name="add",
    help='One more: simian schedule add kong --region east --cron "0 10 * * tue".',
)
Name = Annotated[str, typer.Argument(help="A schedule's name; simian schedule list has them.")]
MOST_SHOWN = 1_000


@app.command("list")
def listed(ctx: typer.Context) -> int:
    """All of them, with when each is due next."""
    system = load_system(ctx.obj)
    with rows(system) as store:
        told = [with_next(system, row) for row in store.all()]
    if ctx.obj.json:
        print_json({"schedules": told})
        return 0
    from simian.schedule.words import told_when

    shown = [
        (
            one["name"],
            one["monkey"] or one["experiment"],
            told_when(one["when"]),
            local_time(one["next"], one["zone"]),
            _state(one),
        )
        for one in told
    ]
    print_table(("NAME", "WHAT", "WHEN", "NEXT", "STATE"), shown)
    return 0


def _state(row: dict[str, Any]) -> str:
    return ", ".join(word for word in ("paused", "declared") if row[word]) or "-"


@app.command()
def show(ctx: typer.Context, name: Name) -> int:
    """One of them, and what became of its last due times."""
    system = load_system(ctx.obj)
    with rows(system) as store:
        row = with_next(system, store.get(name))
        dues = [due.to_json() for due in store.dues(name, limit=20)]
    if ctx.obj.json:
        print_json({"schedule": row, "dues": dues})
        return 0
    for key, value in row.items():
        if value not in (None, "", {}, False):
            print(f"{key}: {value}")
    print()
    shown = [(local_time(due["due"], row["zone"]), due["state"], due["run"], due["reason"]) for due in dues]
    print_table(("DUE", "STATE", "RUN", "REASON"), shown)
    return 0


@app.command()
def pause(ctx: typer.Context, name: Name) -> int:
    """Let its due times pass, each recorded as skipped."""
    return _change(ctx, name, paused=True)


@app.command()
def resume(ctx: typer.Context, name: Name) -> int:
    """Go on with it."""
    return _change(ctx, name, paused=False)


def _change(ctx: typer.Context, name: str, **facts: Any) -> int:
    system = system_looked_back_on(ctx.obj)
    with rows(system) as store:
        store.change(name, facts)
        note_change(system, store, "pause" if facts["paused"] else "resume", name)
        row = store.get(name)
    wake_daemon(system)
    if ctx.obj.json:
        print_json({"schedule": row})
    elif not ctx.obj.quiet:
        print(f"schedule {name} is {'paused' if row['paused'] else 'on'}")
    return 0


@app.command()
def remove(ctx: typer.Context, name: Name) -> int:
    """Take it away; what became of its due times is kept. One of simian.yaml comes back at the daemon's next start."""
    system = system_looked_back_on(ctx.obj)
    with rows(system) as store:
        store.remove(name)
        note_change(system, store, "remove", name)
    wake_daemon(system)
    if ctx.obj.json:
        print_json({"removed": name})
    elif not ctx.obj.quiet:
        print(f"schedule {name} is removed")
    return 0


@app.command()
def preview(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Schedules; without any, all.")] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=3660, help="How far to look.")] = 30.0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="As if each schedule had this seed. Without it: each its own.")
    ] = None,
) -> int:
    """What would happen: when, with which die, to whom. The same die is thrown when the day comes."""
    system = load_system(ctx.obj)
    with rows(system) as store:
        kept = [store.get(name) for name in names] if names else store.all()
    from simian.cli.schedule_preview import previewed
    from simian.schedule.row import Schedule

    told = previewed(system, [Schedule.from_json(row) for row in kept], days, seed, most=MOST_SHOWN)
    if ctx.obj.json:
        print_json(told)
        return 0
    _tell_preview(told, {row["name"]: row["zone"] for row in kept})
    return 0


def _tell_preview(told: dict[str, Any], zones: dict[str, str]) -> None:
    shown = [
        (
            local_time(one["starts"], zones[one["schedule"]]),
            one["schedule"],
            one["seed"],
            one["why_not"] or ", ".join(one["targets"]),
        )
        for one in told["coming"]
    ]
    print_table(("STARTS", "SCHEDULE", "SEED", "TARGETS, OR WHY NOT"), shown)
    if told["more"]:
        print(f"and more; the first {len(shown)} are shown: give fewer --days")
    print(f"for topology {told['topology_hash']} as it is now; nothing was touched")
