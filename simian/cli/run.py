"""``simian run``: an experiment by file or name."""

import inspect
from typing import Annotated, Any

import typer

from simian.cli.options import RUN_OPTIONS, RunOptions


def run(**given: Any) -> int:
    """Run an experiment, by file or name."""
    ctx, wanted = given.pop("ctx"), given.pop("wanted")
    options = RunOptions.take_from(given)
    if ctx.obj.server:
        from simian.cli.server_run import experiment_there, run_there

        return run_there({"experiment": experiment_there(wanted, ctx.obj)}, options, ctx.obj)
    from simian.cli.start import run_experiment

    return run_experiment(wanted, options, ctx.obj)


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_WANTED = Annotated[str, typer.Argument(metavar="FILE|NAME", help="An experiment's file, or a shipped one's name.")]
_OWN = [
    inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context),
    inspect.Parameter("wanted", _KEYWORD, annotation=_WANTED),
]
run.__signature__ = inspect.Signature([*_OWN, *RUN_OPTIONS])  # type: ignore[attr-defined]
run.__annotations__ = {p.name: p.annotation for p in [*_OWN, *RUN_OPTIONS]} | {"return": int}
