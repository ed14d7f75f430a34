"""``simian lab``: the embedded two-region system."""

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from simian.cli.context import lab_state
from simian.cli.output import print_json, print_table
from simian.errors import DriverError, UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The two-region system.")
FLAVOURS = ("process", "docker")
Flavour = Annotated[
    str,
    typer.Option(
        "--flavour",
        help="process: local processes on loopback; docker: containers. By default that of the lab which is up.",
    ),
]


def _control() -> Any:
    # The lab imports nothing of simian, and simian only this one door of it.
    from simian_lab import control

    return control


def _docker() -> Any:
    from simian_lab import docker_control

    return docker_control


def _flavour(asked: str) -> str:
    """The one asked for, else that of the lab which is up. Raises UsageError for one that there is not."""
    if asked and asked not in FLAVOURS:
        raise UsageError(f"there is no flavour {asked!r}; right would be --flavour {' or --flavour '.join(FLAVOURS)}")
    return asked or _control().flavour(lab_state().path) or FLAVOURS[0]


@app.command()
def up(
    ctx: typer.Context,
    flavour: Flavour = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the users' dice.")] = 0,
    real: Annotated[
        str,
        typer.Option("--real", metavar="PART,…", help="Real programs for stand-ins: toxiproxy, memcached, dns, sqs."),
    ] = "",
    weakness: Annotated[
        str, typer.Option("--weakness", metavar="NAME", help="Build it with one flaw; simian lab weaknesses has them.")
    ] = "",
    small: Annotated[bool, typer.Option("--small", help="One store node a region (docker only).")] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=1,
            max=1000,
            help="Users' requests a second; by default 200, in containers 50.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Bring the lab up; a second time does nothing."""
    flavour = _flavour(flavour)
    _only_known(weakness)
    if flavour == "docker":
        manifest = _docker_up(seed, real, weakness, small, rate)
    elif small:
        raise UsageError("--small is for the lab in containers; add --flavour docker, or leave it out")
    else:
        manifest = lab_up(seed, real_parts(real, os.environ), weakness, rate)
    nodes, parts = len(manifest.layout.nodes), sorted(manifest.real)
    if ctx.obj.json:
        up_now = {"lab": "up", "nodes": nodes, "real": parts, "weakness": manifest.weakness}
        print_json({**up_now, "folder": str(lab_state().lab)})
        return 0
    told = f", with the real {', '.join(parts)}" if parts else ""
    flaw = _control().WEAKNESSES.get(manifest.weakness)
    told += f", with the weakness {flaw.name}" if flaw else ""
    print(f"the lab is up: {nodes} nodes in two regions{told}; try: simian {flaw.monkey if flaw else 'kong'}")
    return 0


def _docker_up(seed: int, real: str, weakness: str, small: bool, rate: float | None) -> Any:
    if real:
        raise UsageError("--real is for the lab of local processes; in containers every part is a real one already")
    docker = _docker()
    more = ({"stores": 1} if small else {}) | ({"rate": rate} if rate else {})
    try:
        return docker.up(lab_state().path, os.environ, seed=seed, weakness=weakness, **more)
    except docker.LabError as error:
        raise DriverError(str(error)) from error


def _only_known(weakness: str) -> None:
    from simian.probe import nearest

    known = _control().WEAKNESSES
    if weakness and weakness not in known:
        raise UsageError(f"there is no weakness {weakness!r}; {nearest(weakness, known)}")


@app.command()
def weaknesses(ctx: typer.Context) -> int:
    """The flaws a lab can be built with, and the monkey that should find each."""
    known = _control().WEAKNESSES.values()
    if ctx.obj.json:
        rows = [{"name": one.name, "monkey": one.monkey, "about": one.about, "look": one.look} for one in known]
        print_json({"weaknesses": rows})
    else:
        print_table(["weakness", "found by", "what is wrong"], [[one.name, one.monkey, one.about] for one in known])
    return 0


def real_parts(listed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The programs of the parts listed, by part. Raises UsageError for an unknown part, DriverError for a missing."""
    control = _control()
    names = [name.strip() for name in listed.split(",") if name.strip()]
    unknown = [name for name in names if name not in control.PARTS]
    if unknown:
        raise UsageError(
            f"--real {', '.join(unknown)}: there is no such real part; there is: {', '.join(control.PARTS)}"
        )
    try:
        return dict(control.find_parts(names, environment))
    except control.LabError as error:
        raise DriverError(str(error)) from error


def lab_up(seed: int, real: Mapping[str, str] | None = None, weakness: str = "", rate: float | None = None) -> Any:
    """Bring it up and return its manifest; ``real`` as ``real_parts``. Raises DriverError with the lab's own words."""
    control = _control()
    try:
        more = {"rate": rate} if rate else {}
        return control.up(lab_state().path, seed=seed, real=real, weakness=weakness, **more)
    except control.LabError as error:
        raise DriverError(str(error)) from error


def lab_down() -> None:
    """Take it down, nothing left behind."""
    control = _control()
    try:
        if control.flavour(lab_state().path) == "docker":
            _docker().down(lab_state().path, os.environ)
        else:
            control.down(lab_state().path)
    except control.LabError as error:
        raise DriverError(str(error)) from error


@app.command()
def down(ctx: typer.Context, flavour: Flavour = "") -> int:
    """Take the lab down; nothing is left behind but the journal and history of its runs."""
    _flavour(flavour)
    lab_down()
    print_json({"lab": "down"}) if ctx.obj.json else print("the lab is down")
    return 0


@app.command()
def status(ctx: typer.Context, flavour: Flavour = "") -> int:
    """Each node of the lab: ready, held (meant to be down) or dead."""
    flavour = _flavour(flavour)
    control = _control()
    try:
        nodes, real, weakness = _status(flavour), control.real(lab_state().path), control.planted(lab_state().path)
    except control.LabError as error:
        raise DriverError(str(error)) from error
    if ctx.obj.json:
        print_json({"nodes": nodes, "real": real, "weakness": weakness})
    elif not nodes:
        print('no lab is up; "simian lab up" brings it up')
    else:
        print_table(list(nodes[0]), [list(node.values()) for node in nodes])
        print(f"real: {', '.join(real) or 'nothing; all parts are stand-ins'}")
        print(f"weakness: {weakness or 'none'}")
    return 0


def _status(flavour: str) -> list[dict[str, Any]]:
    """Nothing where no lab of this flavour is up."""
    path = lab_state().path
    if flavour != _control().flavour(path):
        return []
    found: list[dict[str, Any]] = _docker().status(path, os.environ) if flavour == "docker" else _control().status(path)
    return found


@app.command()
def logs(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="A node, as simian lab status names it.")],
    lines: Annotated[int, typer.Option("--lines", help="How many of the last lines.")] = 50,
) -> int:
    """The last lines of a node's log."""
    control = _control()
    try:
        if _flavour("") == "docker":
            text = _docker().logs(lab_state().path, os.environ, node, lines)
        else:
            text = control.logs(lab_state().path, node, lines)
    except control.LabError as error:
        raise DriverError(str(error)) from error
    shown = "\n".join(text)
    print_json({"node": node, "lines": shown.splitlines()}) if ctx.obj.json else print(shown)
    return 0
