"""The monkeys of a daemon elsewhere, as if they were here: their commands have the same options and the same help."""

import ast
import inspect
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from simian.cli.server import Server
from simian.errors import UsageError
from simian.monkey import Found, Monkey, Radius

KINDS: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}
KINDS |= {f"list[{name}]": list[kind] for name, kind in KINDS.items()}  # type: ignore[valid-type]


def monkeys_of(server: Server) -> Found:
    """All that it has, and what is broken there. Raises SimianError."""
    told = server.get("/monkeys")
    found = Found(broken=[(each["origin"], each["why"]) for each in told.get("broken", ())])
    for each in told["monkeys"]:
        found.monkeys[each["name"]] = _monkey(each, server.url)
    return found


def _monkey(told: Mapping[str, Any], url: str) -> Monkey:
    """One that can be asked about, and is never called here."""

    def propose(*_: object, **__: object) -> NoReturn:
        raise UsageError(f"the monkey {told['name']} is at {url}; it makes its plans there")

    options = [_parameter(option) for option in told["options"]]
    helps = [f":param {option['name']}: {option.get('help') or ''}" for option in told["options"]]
    propose.__doc__ = "\n".join([str(told.get("help") or ""), "", *helps])
    propose.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return Monkey(told["name"], Radius.named(told["radius"]), propose, origin=str(told.get("origin") or url))


def _parameter(told: Mapping[str, Any]) -> inspect.Parameter:
    default = inspect.Parameter.empty if told.get("required") else told.get("default")
    kind = _kind(str(told.get("type") or "str"))
    return inspect.Parameter(str(told["name"]), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _kind(told: str) -> Any:
    """``list[str] | None``, ``Optional[Literal['kill', 'stop']]``; what is not known here is a text, checked there."""
    bare = told.removesuffix(" | None")
    if bare.startswith("Optional["):
        bare = bare[len("Optional[") : -1]
    if not bare.startswith("Literal["):
        return KINDS.get(bare, str)
    try:
        words = tuple(ast.literal_eval(bare.removeprefix("Literal")))
    except (ValueError, SyntaxError):
        return str
    return Literal[words] if words and all(isinstance(word, str) for word in words) else str
