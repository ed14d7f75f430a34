"""``simian schedule``: recurring runs. The rows are in the history's database; ``simian serve`` starts what is due."""

from typing import Annotated, Any

import typer

from simian.cli.context import load_system, path_of, server_of, system_looked_back_on
from simian.cli.globals import Globals
from simian.cli.output import print_json, print_table
from simian.cli.schedule_add import Targets
from simian.cli.schedule_rows import in_words, local_time, note_change, rows, wake_daemon, with_next

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
DUES = 20


@app.command("list")
def listed(ctx: typer.Context) -> int:
    """All of them, with when each is due next."""
    told = server_of(ctx.obj).get("/schedules")["schedules"] if ctx.obj.server else _all_here(ctx.obj)
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


def _all_here(settings: Globals) -> list[dict[str, Any]]:
    system = load_system(settings)
    with rows(system) as store:
        return [with_next(system, row) for row in store.all()]


def _state(row: dict[str, Any]) -> str:
    return ", ".join(word for word in ("paused", "declared") if row[word]) or "-"


@app.command()
def show(ctx: typer.Context, name: Name) -> int:
    """One of them, and what became of its last due times."""
    row, dues = _one_there(ctx.obj, name) if ctx.obj.server else _one_here(ctx.obj, name)
    if ctx.obj.json:
        print_json({"schedule": row, "dues": dues})
        return 0
    for key, value in in_words(row):
        print(f"{key}: {value}")
    print()
    shown = [(local_time(due["due"], row["zone"]), due["state"], due["run"], due["reason"]) for due in dues]
    print_table(("DUE", "STATE", "RUN", "REASON"), shown)
    return 0


def _one_here(settings: Globals, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    system = load_system(settings)
    with rows(system) as store:
        return with_next(system, store.get(name)), [due.to_json() for due in store.dues(name, limit=DUES)]


def _one_there(settings: Globals, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    server, where = server_of(settings), path_of("schedules", name)
    return server.get(where), server.get(f"{where}/dues")["dues"][:DUES]


@app.command()
def pause(ctx: typer.Context, name: Name) -> int:
    """Let its due times pass, each recorded as skipped."""
    return _change(ctx, name, paused=True)


@app.command()
def resume(ctx: typer.Context, name: Name) -> int:
    """Go on with it."""
    return _change(ctx, name, paused=False)


def _change(ctx: typer.Context, name: str, *, paused: bool) -> int:
    change = _change_there if ctx.obj.server else _change_here
    row = change(ctx.obj, name, paused)
    if ctx.obj.json:
        print_json({"schedule": row})
    elif not ctx.obj.quiet:
        print(f"schedule {name} is {'paused' if row['paused'] else 'on'}")
    return 0


def _change_here(settings: Globals, name: str, paused: bool) -> dict[str, Any]:
    system = system_looked_back_on(settings)
    with rows(system) as store:
        store.change(name, {"paused": paused})
        note_change(system, store, "pause" if paused else "resume", name)
        row: dict[str, Any] = store.get(name)
    wake_daemon(system)
    return row


def _change_there(settings: Globals, name: str, paused: bool) -> dict[str, Any]:
    told: dict[str, Any] = server_of(settings).post(path_of("schedules", name, "pause" if paused else "resume"))
    return {key: value for key, value in told.items() if key != "next"}


@app.command()
def remove(ctx: typer.Context, name: Name) -> int:
    """Take it away; what became of its due times is kept. One of simian.yaml comes back at the daemon's next start."""
    if ctx.obj.server:
        server_of(ctx.obj).delete(path_of("schedules", name))
    else:
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
    look = _preview_there if ctx.obj.server else _preview_here
    told, zones = look(ctx.obj, names or [], days, seed)
    if ctx.obj.json:
        print_json(told)
        return 0
    _tell_preview(told, zones)
    return 0


Preview = tuple[dict[str, Any], dict[str, str]]  # and the zone of each schedule


def _preview_here(settings: Globals, names: list[str], days: float, seed: int | None) -> Preview:
    from simian.cli.schedule_preview import previewed
    from simian.schedule.row import Schedule
    from simian.snapshot import topology_of

    system = load_system(settings)
    with rows(system) as store:
        kept = [store.get(name) for name in names] if names else store.all()
    schedules, seen = [Schedule.from_json(row) for row in kept], topology_of(system.world(), system.name)
    told = previewed(system, seen, schedules, days, seed, most=MOST_SHOWN)
    return told, {row["name"]: row["zone"] for row in kept}


def _preview_there(settings: Globals, names: list[str], days: float, seed: int | None) -> Preview:
    server = server_of(settings)
    kept = {row["name"]: row["zone"] for row in server.get("/schedules")["schedules"]}
    for name in set(names) - set(kept):
        server.get(path_of("schedules", name))  # which says that there is none
    told: dict[str, Any] = server.get("/preview", days=days, seed=seed)
    coming = [one for one in told["coming"] if not names or one["schedule"] in names]
    return {**told, "coming": coming}, kept


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
