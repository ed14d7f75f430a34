"""What the daemon tells of monkeys and experiments: all that a page shows of them, and that a form needs."""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from simian.cli.monkeys import described
from simian.errors import SimianError
from simian.monkey import Monkey

Told = dict[str, Any]


def monkey_told(monkey: Monkey) -> Told:
    """As ``simian monkeys show --json`` tells it; ``text`` is its help, for pages.

    ``choices`` of an option: all that it may be; empty: anything of its ``type``.
    """
    told = described(monkey)
    for option in told["options"]:
        annotation = monkey.options[option["name"]].annotation
        kind = "str" if annotation is inspect.Parameter.empty else inspect.formatannotation(annotation)
        option |= {"type": kind, "choices": _choices(annotation), "text": option["help"]}
    return {**told, "text": told["help"]}


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
    document = one.model_dump(mode="json", by_alias=True)
    return {"name": name, "title": one.experiment, **facts, "text": path.read_text(), "document": document}


def _unreadable(name: str, error: Exception) -> Told:
    """A schedule names it, so somebody should see that it cannot be run."""
    why = f"A schedule names it, and it cannot be read: {error}"
    known: Told = {"hypothesis": why, "monkey": None, "radius": None, "tags": []}
    return {"name": name, "title": name, **known, "text": "", "document": {}}
