"""The probes that come with simian, one file each, named as the file; and finding anybody's by name.

Built-in probes are found like a stranger's: a ``Probe`` in a module. ``users`` is judged from the users' feed.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from simian.errors import PluginError, UsageError
from simian.monkey import load_module
from simian.probe import Probe, nearest

_NOT_PROBES = ("host",)


def built_in() -> list[str]:
    """Names of the probes in this folder."""
    return sorted(module.name for module in iter_modules(__path__) if module.name not in _NOT_PROBES)


def probes_in(module: ModuleType) -> list[Probe]:
    """Every probe that stands in the module."""
    return [value for value in vars(module).values() if isinstance(value, Probe)]


@cache
def load_file(path: Path) -> ModuleType:
    """Import one file of a plug-in folder, once. Raises PluginError with what it raised."""
    return load_module(path)


def plugin_files(folders: Sequence[str]) -> Iterator[Path]:
    """Python files of these folders, in order. Raises UsageError for what is no folder."""
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing:
        raise UsageError([f"plugins: {folder!r} is no folder; name a folder with .py files" for folder in missing])
    for folder in folders:
        yield from (path for path in sorted(Path(folder).glob("*.py")) if not path.name.startswith("_"))


def find_probes(plugins: Sequence[str] = ()) -> tuple[dict[str, Probe], list[str]]:
    """Every probe by name, and a line for each plug-in that is broken. A name taken twice is broken, too."""
    found: dict[str, Probe] = {}
    broken: list[str] = []
    for name in built_in():
        found[name] = _built_in(name)
    for entry in _entry_points():
        try:
            loaded = entry.load()
        except Exception as error:
            broken.append(f"entry point {entry.name}: {type(error).__name__}: {error}")
        else:
            _add(found, broken, [loaded] if isinstance(loaded, Probe) else [], f"entry point {entry.name}")
    for path in plugin_files(plugins):
        try:
            _add(found, broken, probes_in(load_file(path)), str(path))
        except PluginError as error:
            broken.append(f"{path}: {error}")
    return found, broken


def _entry_points() -> Sequence[Any]:
    from importlib.metadata import entry_points  # here, as it is slow and most probes are built in

    return tuple(entry_points(group="simian.probes"))


def _add(found: dict[str, Probe], broken: list[str], probes: Sequence[Probe], place: str) -> None:
    for one in probes:
        if found.get(one.name, one) is not one:
            broken.append(f"{place}: the probe name {one.name!r} is taken; choose another")
        else:
            found[one.name] = one


@cache
def _built_in(name: str) -> Probe:
    module = importlib.import_module(f"{__name__}.{name}")
    return next(one for one in probes_in(module) if one.name == name)


def probe_name(settings: Mapping[str, object], plugins: Sequence[str] = ()) -> str:
    """Which key of a check's probe names the probe. Raises UsageError."""
    quick = [key for key in settings if key in built_in()]
    if quick:
        return quick[0]
    found, broken = find_probes(plugins)
    named = [key for key in settings if key in found]
    if named:
        return named[0]
    first = str(next(iter(settings), ""))
    hint = nearest(first, found)
    raise UsageError([f"no probe is called {first!r:.60}; {hint}", *(f"broken plug-in: {line}" for line in broken)])


def find_probe(settings: Mapping[str, object], plugins: Sequence[str] = ()) -> Probe:
    """The probe that a check's settings name. Raises UsageError."""
    name = probe_name(settings, plugins)
    return _built_in(name) if name in built_in() else find_probes(plugins)[0][name]
