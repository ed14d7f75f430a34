"""``simian experiments`` and ``simian validate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simian.cli.context import config_path, load_system
from simian.cli.globals import Globals
from simian.cli.output import print_json, print_table
from simian.errors import UsageError
from simian.monkey import find_monkeys

if TYPE_CHECKING:
    from simian.yamlfile import Document

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)


@app.callback()
def listed(ctx: typer.Context) -> int:
    """The experiments that come with simian."""
    if ctx.invoked_subcommand:
        return 0
    from simian.experiment import find_experiments, load_experiment

    loaded = {name: load_experiment(path) for name, path in sorted(find_experiments().items())}
    told = [{"name": name, "monkey": e.monkey, "hypothesis": e.hypothesis} for name, e in loaded.items()]
    if ctx.obj.json:
        print_json({"experiments": told})
    else:
        rows = [(one["name"], one["monkey"], one["hypothesis"]) for one in told]
        print_table(("EXPERIMENT", "MONKEY", "HYPOTHESIS"), rows)
    return 0


@app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="An experiment's file or name.")]) -> int:
    """The file of one experiment."""
    from simian.experiment import find_experiments, load_experiment

    found = load_experiment(name)
    if ctx.obj.json:
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        print(find_experiments().get(name, Path(name)).read_text(), end="")
    return 0


@app.command()
def schema(ctx: typer.Context, of: Annotated[str, typer.Argument(help="experiment or config.")] = "experiment") -> int:
    """The JSON Schema of an experiment's file, or of simian.yaml."""
    from simian.config import config_schema
    from simian.experiment import experiment_schema

    schemas = {"experiment": experiment_schema, "config": config_schema}
    if of not in schemas:
        raise UsageError(f"there is no schema of {of!r}; there are: {', '.join(schemas)}")
    print_json(schemas[of]())
    return 0


def validate(
    ctx: typer.Context, files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Experiments or simian.yaml.")]
) -> int:
    """Check experiment and configuration files; touch nothing."""
    problems: list[str] = []
    for file in files:
        try:
            _validate(Path(file), ctx.obj)
        except UsageError as error:
            problems += error.problems
    if problems:
        raise UsageError(problems)
    print_json({"valid": files}) if ctx.obj.json else print(f"valid: {', '.join(files)}")
    return 0


def _validate(path: Path, settings: Globals) -> None:
    from simian.experiment import load_experiment
    from simian.yamlfile import load_yaml

    document = load_yaml(path)
    if "system" in document.data and "experiment" not in document.data:
        _validate_config(path, document)
        return
    system = load_system(settings) if config_path(settings) else None
    found = system.monkeys() if system else find_monkeys()
    plugins = list(system.config.plugins) if system else []
    load_experiment(path, plugins=plugins, monkeys=found.monkeys)


def _validate_config(path: Path, document: "Document") -> None:
    """What a system's every command checks, and the defaults of monkeys, which only a run of theirs would."""
    from simian.config import load_config

    config = load_config(path)
    found, problems = find_monkeys([Path(folder) for folder in config.plugins]), []
    for name, options in config.monkeys.items():
        try:
            found.get(name).checked(options)
        except UsageError as error:
            problems += [document.problem(("monkeys", name), what) for what in error.problems]
    if problems:
        raise UsageError(problems)
