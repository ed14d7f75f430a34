"""``simian monkeys``: which there are, what they may reach and be told."""

import inspect
from typing import Annotated, Any

import typer

from simian.cli.context import found_monkeys
from simian.cli.monkey import split_doc
from simian.cli.output import print_json, print_table
from simian.monkey import Monkey

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)


def described(monkey: Monkey) -> dict[str, Any]:
    """A monkey as data."""
    text, params = split_doc(monkey.doc)
    options = [
        {
            "name": name,
            "default": None if p.default is inspect.Parameter.empty else p.default,
            "required": p.default is inspect.Parameter.empty,
            "help": params.get(name, ""),
        }
        for name, p in monkey.options.items()
    ]
    radius = monkey.radius.name.lower()
    return {"name": monkey.name, "radius": radius, "help": text, "options": options, "origin": monkey.origin}


@app.callback()
def listed(ctx: typer.Context) -> int:
    """Every monkey found, built in or not; broken plug-ins are named."""
    if ctx.invoked_subcommand:
        return 0
    found = found_monkeys(ctx.obj)
    monkeys = [described(monkey) for _, monkey in sorted(found.monkeys.items())]
    if ctx.obj.json:
        broken = [{"origin": origin, "why": why} for origin, why in found.broken]
        print_json({"monkeys": monkeys, "broken": broken})
        return 0
    rows = [(m["name"], m["radius"], str(m["help"]).partition("\n")[0]) for m in monkeys]
    print_table(("MONKEY", "RADIUS", "WHAT IT DOES"), rows)
    for origin, why in found.broken:
        print(f"broken: {origin}: {why}")
    return 0


@app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="A monkey's name.")]) -> int:
    """One monkey with its options."""
    monkey = described(found_monkeys(ctx.obj).get(name))
    if ctx.obj.json:
        print_json(monkey)
        return 0
    print(f"{monkey['name']} (reaches a {monkey['radius']} at most; from {monkey['origin']})\n\n{monkey['help']}\n")
    rows = [(f"--{o['name'].replace('_', '-')}", o["default"], o["help"]) for o in monkey["options"]]
    print_table(("OPTION", "DEFAULT", "WHAT IT MEANS"), rows)
    return 0
