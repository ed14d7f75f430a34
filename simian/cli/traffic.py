"""``simian traffic``: where users go."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from simian.cli.context import load_system, server_of
from simian.cli.globals import Globals
from simian.cli.options import seconds
from simian.cli.output import print_json, print_table
from simian.errors import DriverError, UsageError
from simian.traffic import told_shares
from simian.world import World

COUNTED_FOR = "2s"
app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Where users go, by region.")


@app.callback()
def _several() -> None:
    """Where users go, by region."""


@app.command()
def show(
    ctx: typer.Context,
    span: Annotated[str, typer.Option("--for", help="How long arrivals are counted.")] = COUNTED_FOR,
) -> int:
    """Where users are sent, where DNS sends them, and where they arrive, by region."""
    told = _told_there(ctx.obj, span) if ctx.obj.server else _told_here(ctx.obj, span)
    if ctx.obj.json:
        print_json(told)
        return 0
    print_table(("HOME", "SENT TO"), [(home, told_shares(row)) for home, row in told["homes"].items()])
    print()
    keys = ("weight", "seen_by_dns", "seen_by_users")
    rows = [[region, *(_percent(row.get(key)) for key in keys)] for region, row in told["regions"].items()]
    print_table(("REGION", "WEIGHT", "SEEN BY DNS", "SEEN BY USERS"), rows)
    for mark in told.get("marks", ()):
        print(f"moved by {mark['mark']}: {mark['at']}")
    return 0


def _told_here(settings: Globals, span: str) -> Any:
    return traffic_of(load_system(settings).world(), seconds(span, "--for"))


def _told_there(settings: Globals, span: str) -> Any:
    if span != COUNTED_FOR:
        raise UsageError(f"--for {span}: the daemon at {settings.server} counts arrivals for a second; leave --for out")
    return server_of(settings).get("/traffic")


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} %"


def traffic_of(world: World, span_s: float) -> dict[str, Any]:
    """The JSON shape of docs/cli.md; percents of all users, ``None`` where it could not be seen. Raises DriverError."""
    why = world.steering.unsupported("shift")
    if why:
        raise DriverError(why)
    shares, regions = world.steering.shares(), {node.name: node.region for node in world.platform.nodes()}
    before = _arrived(world, regions)
    world.clock.wait(span_s)
    came = _arrived(world, regions) - before
    weights = Counter[str]()
    for row in shares.values():
        weights.update({region: share / len(shares) for region, share in row.items()})
    dns = _answered(world)
    seen = {name: {"weight": round(100 * weights[name], 1), "seen_by_dns": _of(dns, name),
                   "seen_by_users": _of(came, name)} for name in sorted({*weights, *dns, *came} - {""})}  # fmt: skip
    return {
        "homes": {home: dict(row) for home, row in shares.items()},
        "regions": seen,
        "marks": [{"at": at, "mark": mark} for at, mark in world.steering.marks()],
    }


def _arrived(world: World, regions: Mapping[str, str]) -> Counter[str]:
    came = Counter[str]()
    for gateway, counted in world.steering.arrivals().items():
        came[regions.get(gateway, "")] += sum(counted.values())
    return came


def _answered(world: World) -> Counter[str]:
    """Region -> subnets that DNS answers with it, over all homes."""
    seen = Counter[str]()
    for entrance in world.steering.entrances():
        for subnet in entrance.subnets:
            seen.update({entrance.regions.get(at, "") for at in world.observer.resolve(entrance, subnet)})
    return seen


def _of(counts: Mapping[str, int], name: str) -> float | None:
    every = sum(counts.values())
    return round(100 * counts[name] / every, 1) if every else None
