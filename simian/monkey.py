"""What a monkey is, and where monkeys are found.

A monkey is a pure function: topology and seeded die in, faults or stages of faults out. It cannot touch the system.
Its signature becomes its command's options, its docstring the help. Built-in monkeys come through the same
entry-point group (``simian.monkeys``) as anybody's; files in folders that the operator names work too.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

from simian.errors import PluginError, UsageError

GROUP = "simian.monkeys"
Propose = Callable[..., Any]


class Radius(IntEnum):
    """How far harm may reach; they compare."""

    NODE = 1
    ZONE = 2
    REGION = 3
    SYSTEM = 4

    @classmethod
    def named(cls, text: str) -> "Radius":
        """The radius of that name in any case. Raises UsageError naming the four."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise UsageError(f"{text!r} is no radius; there are: node, zone, region, system") from None


@dataclass(frozen=True)
class Monkey:
    """A registered monkey: calling it is calling its function."""

    name: str
    radius: Radius
    function: Propose
    origin: str = ""
    verify: tuple[str, ...] = ()

    @property
    def doc(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """Its keyword options by name, annotations resolved."""
        parameters = inspect.signature(self.function, eval_str=True).parameters
        return {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options it may be called with. Raises UsageError naming every unknown or missing one."""
        known, problems = self.options, []
        for name in options:
            if name.replace("-", "_") not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it has: {', '.join(known) or 'none'}"
                problems.append(f"monkey {self.name!r} has no option {name!r}{hint}")
        given = {name.replace("-", "_"): value for name, value in options.items()}
        lacking = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in given]
        problems += [f"monkey {self.name!r} needs the option {name!r}" for name in lacking]
        if problems:
            raise UsageError(problems)
        return given


def monkey(*, radius: Radius, name: str | None = None, verify: Iterable[str] = ()) -> Callable[[Propose], Monkey]:
    """Make a monkey of ``function(topology, rng, *, options…) -> faults or stages``. See docs/adding-a-monkey.md.

    ``verify``: data checks that belong to its runs (``simian.convergence.DATA_CHECKS``).
    """

    def register(function: Propose) -> Monkey:
        called = name or function.__name__.strip("_").replace("_", "-")
        return Monkey(called, Radius(radius), function, origin=function.__module__, verify=tuple(verify))

    return register


@dataclass
class Found:
    """What was found: monkeys by name, modules of the plug-in folders, and what is broken with its reason."""

    monkeys: dict[str, Monkey] = field(default_factory=dict)
    modules: list[ModuleType] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> Monkey:
        """The monkey of that name. Raises UsageError with the nearest name, or with why its plug-in is broken."""
        if name in self.monkeys:
            return self.monkeys[name]
        near = get_close_matches(name, self.monkeys, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self.monkeys)) or 'none'}"
        problems = [f"no monkey is called {name!r}; {hint}"]
        raise UsageError(problems + [f"broken plug-in {origin}: {why}" for origin, why in self.broken])

    def add(self, found: Monkey, origin: str) -> None:
        """Take a monkey in; a second one of a name is broken, so that nobody's monkey is quietly replaced."""
        if found.name in self.monkeys and self.monkeys[found.name].function is not found.function:
            self.broken.append((origin, f"a monkey called {found.name!r} exists already; name this one otherwise"))
            return
        self.monkeys[found.name] = replace(found, origin=origin)


def load_module(path: Path) -> ModuleType:
    """Import one plug-in file under a name of its own. Raises PluginError whatever it raises, exits included."""
    import importlib.util

    name = f"simian_plugin_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"{type(error).__name__}: {error}") from error
    return module


def _plugin_files(folders: Iterable[Path], found: Found) -> list[Path]:
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            found.broken.append((str(folder), "is no folder; name a folder that holds .py files"))
            continue
        files += sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    return files


def find_monkeys(folders: Iterable[Path] = ()) -> Found:
    """Every monkey there is, from entry points and from the folders named; broken plug-ins are listed, not raised."""
    import importlib.metadata  # here, as every command imports this module and few look for monkeys

    found = Found()
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        origin = f"{entry.value} ({entry.dist.name})" if entry.dist else entry.value
        try:
            loaded = entry.load()
        except Exception as error:
            found.broken.append((origin, f"{type(error).__name__}: {error}"))
            continue
        if isinstance(loaded, Monkey):
            found.add(loaded, origin)
        else:
            found.broken.append((origin, "is no monkey; decorate its function with @monkey(radius=…)"))
    for path in _plugin_files(folders, found):
        try:
            module = load_module(path)
        except PluginError as error:
            found.broken.append((str(path), str(error)))
            continue
        found.modules.append(module)
        for value in vars(module).values():
            if isinstance(value, Monkey) and value.function.__module__ == module.__name__:
                found.add(value, str(path))
    return found


class _CallableModule(ModuleType):
    """``from simian import monkey`` may find this module instead of the decorator: so it is one."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return monkey(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
