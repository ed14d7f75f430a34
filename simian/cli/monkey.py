"""A monkey's command: its options come from its signature, its help from its docstring."""

import inspect
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from simian.cli.globals import Globals
from simian.cli.options import RUN_OPTIONS, RunOptions
from simian.errors import UsageError
from simian.monkey import Monkey

PARAM = re.compile(r"^:param (\w+):\s*(.*)$")


def monkey_command(name: str, settings: Globals | None, others: Sequence[str] = ()) -> Any:
    """The Typer command of the monkey called ``name``. Raises UsageError naming the nearest monkey or other command."""
    from simian.cli.context import found_monkeys

    found = found_monkeys(settings or Globals())
    if name not in found.monkeys:
        near = get_close_matches(name, [*others, *found.monkeys], 1)
        hint = f"did you mean {near[0]!r}?" if near else "`simian --help` and `simian monkeys` list them"
        broken = [f"perhaps because this is broken: {origin}: {why}" for origin, why in found.broken]
        raise UsageError([f"no command or monkey is called {name!r:.80}; {hint}", *broken])
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(_function(found.monkeys[name], settings or Globals()))
    command = typer.main.get_command(app)
    command.name = name
    return command


def split_doc(doc: str) -> tuple[str, dict[str, str]]:
    """The text of a docstring without its ``:param name:`` lines, and those by name."""
    texts, params = [], {}
    for line in doc.splitlines():
        matched = PARAM.match(line.strip())
        if matched:
            params[matched[1]] = matched[2]
        else:
            texts.append(line)
    return "\n".join(texts).strip(), params


def _function(monkey: Monkey, settings: Globals) -> Callable[..., int]:
    text, own = split_doc(monkey.doc)[0], parameters(monkey)

    def command(**given: Any) -> int:
        options = RunOptions.take_from(given)
        # An option that was not given is left to the monkey, so that defaults of simian.yaml can come between.
        chosen = {key: value for key, value in given.items() if value is not None and value != []}
        if settings.server:
            from simian.cli.server_run import run_there

            return run_there({"monkey": monkey.name, "options": chosen}, options, settings)
        from simian.cli.start import run_monkey

        return run_monkey(monkey.name, chosen, options, settings)

    command.__doc__ = text
    command.__signature__ = inspect.Signature([*own, *RUN_OPTIONS])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *RUN_OPTIONS]} | {"return": int}
    return command


def parameters(monkey: Monkey) -> list[inspect.Parameter]:
    """A monkey's own options, as those of a command."""
    params = split_doc(monkey.doc)[1]
    return [_parameter(parameter, params.get(name, "")) for name, parameter in monkey.options.items()]


def _parameter(parameter: inspect.Parameter, help_text: str) -> inspect.Parameter:
    flag = "--" + parameter.name.strip("_").replace("_", "-")
    annotation = str if parameter.annotation is inspect.Parameter.empty else parameter.annotation
    shown = parameter.default not in (inspect.Parameter.empty, None)
    text = f"{help_text} [default: {parameter.default}]" if shown else help_text
    required = parameter.default is inspect.Parameter.empty
    wanted = annotation if required else annotation | None
    option = typer.Option(flag, help=text)
    default = inspect.Parameter.empty if required else None
    return parameter.replace(annotation=Annotated[wanted, option], default=default)
