"""``simian experiments`` and ``simian validate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simian.cli.context import config_path, load_system, server_of
from simian.cli.globals import Globals, only_here
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
    found = server_of(ctx.obj).get("/experiments")["experiments"] if ctx.obj.server else shipped()
    told = [{key: one[key] for key in ("name", "monkey", "hypothesis")} for one in found]
    if ctx.obj.json:
        print_json({"experiments": told})
    else:
        rows = [(one["name"], one["monkey"], one["hypothesis"]) for one in told]
        print_table(("EXPERIMENT", "MONKEY", "HYPOTHESIS"), rows)
    return 0


def shipped() -> list[dict[str, Any]]:
    """Each that comes with simian: what it is about, its ``text`` and, as data, its ``document``."""
    from simian.experiment import find_experiments, load_experiment

    told = []
    for name, path in sorted(find_experiments().items()):
        one = load_experiment(path)
        facts = {key: getattr(one, key, None) for key in ("hypothesis", "monkey", "radius", "tags")}
        document = one.model_dump(mode="json", by_alias=True)
        told.append({"name": name, **facts, "text": path.read_text(), "document": document})
    return told


@app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="An experiment's file or name.")]) -> int:
    """The file of one experiment."""
    document, text = _there(ctx.obj, name) if ctx.obj.server else _here(name)
    if ctx.obj.json:
        print_json(document)
    else:
        print(text, end="")
    return 0


def _here(name: str) -> tuple[Any, str]:
    from simian.experiment import find_experiments, load_experiment

    found = load_experiment(name)
    return found.model_dump(mode="json", by_alias=True), find_experiments().get(name, Path(name)).read_text()


def _there(settings: Globals, name: str) -> tuple[Any, str]:
    found = {one["name"]: one for one in server_of(settings).get("/experiments")["experiments"]}
    if name not in found:
        names = ", ".join(found) or "none"
        raise UsageError(f"{settings.server} has no experiment called {name!r:.80}; it has: {names}")
    return found[name].get("document"), found[name]["text"]


@app.command()
def schema(ctx: typer.Context, of: Annotated[str, typer.Argument(help="experiment or config.")] = "experiment") -> int:
    """The JSON Schema of an experiment's file, or of simian.yaml."""
    only_here(ctx.obj, "simian experiments schema", "it is that of the simian on this machine")
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
