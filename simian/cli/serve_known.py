"""What the daemon tells of monkeys and experiments: all that a page shows of them, and that a form needs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from simian.cli.monkey import split_doc
from simian.errors import SimianError
from simian.monkey import Monkey

Told = dict[str, Any]


def monkey_told(name: str, monkey: Monkey) -> Told:
    """``choices`` of an option: all that it may be; empty: anything of its type."""
    text, params = split_doc(monkey.doc)
    options = [
        {
            "name": option,
            "type": getattr(parameter.annotation, "__name__", str(parameter.annotation)),
            "default": None if parameter.default is parameter.empty else parameter.default,
            "choices": _choices(parameter.annotation),
            "text": params.get(option, ""),
        }
        for option, parameter in monkey.options.items()
    ]
    return {"name": name, "radius": monkey.radius.name.lower(), "text": text, "options": options}


def _choices(annotation: Any) -> list[Any]:
    """Of a Literal, or of one that may be left out."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (list, tuple, dict):
        return []
    return [choice for each in get_args(annotation) for choice in _choices(each)]


def experiments_told(named: Iterable[str], plugins: Sequence[str]) -> list[Told]:
    """Those that come with simian, then those ``named``; each under the name to start it by.

    ``title``: what it calls itself, which is what records of its runs say.
    """
    from simian.experiment import experiment_file, find_experiments

    shipped = find_experiments()
    told = [_experiment_told(name, path, ()) for name, path in sorted(shipped.items())]
    for name in sorted(set(named)):
        try:
            path = experiment_file(name)
            if path not in shipped.values():
                told.append(_experiment_told(name, path, plugins))
        except (SimianError, OSError) as error:
            told.append(_unreadable(name, error))
    return told


def _experiment_told(name: str, path: Path, plugins: Sequence[str]) -> Told:
    from simian.experiment import load_experiment

    one = load_experiment(path, plugins=plugins)
    facts = {"hypothesis": one.hypothesis, "monkey": one.monkey, "radius": one.radius, "tags": list(one.tags)}
    return {"name": name, "title": one.experiment, **facts, "text": path.read_text()}


def _unreadable(name: str, error: Exception) -> Told:
    """A schedule names it, so somebody should see that it cannot be run."""
    why = f"A schedule names it, and it cannot be read: {error}"
    return {"name": name, "title": name, "hypothesis": why, "monkey": None, "radius": None, "tags": [], "text": ""}
