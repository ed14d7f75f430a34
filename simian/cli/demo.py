"""``simian demo``: lab up, one monkey under its users, the report, lab down."""

from typing import Annotated

import typer

from simian.cli.globals import Globals
from simian.cli.options import RunOptions


def demo(
    ctx: typer.Context,
    seed: Annotated[int, typer.Option("--seed", help="The die's seed.")] = 7,
    span: Annotated[str, typer.Option("--for", help="How long the region stays away.")] = "10s",
) -> int:
    """Lab up, a region left by its users, taken down and brought back, the report, lab down; nothing left behind."""
    from simian.cli.context import lab_config, lab_state
    from simian.cli.lab import _control, lab_down, lab_up
    from simian.cli.options import seconds
    from simian.cli.start import run_monkey
    from simian.errors import Refused

    if _control().status(lab_state().path):
        raise Refused('a lab is up already; use it ("simian kong"), or take it down first ("simian lab down")')
    for_s = seconds(span, "--for")
    say = (lambda text: None) if ctx.obj.json or ctx.obj.quiet else print
    say("bringing up a two-region system of local processes …")
    lab_up(seed)
    try:
        settings = Globals(str(lab_config()), ctx.obj.json, ctx.obj.quiet, ctx.obj.verbose)
        say("it is up, and its users are at it; now Kong moves a region's users away and takes it down …")
        return run_monkey("kong", {}, RunOptions(for_s=for_s, seed=seed), settings)
    finally:
        lab_down()
        say("the lab is down again; nothing is left running")
