"""From settings to a World: secrets resolved, drivers found by name through their entry points.

Light on purpose: the guardian builds its world with this, and nothing here needs the file formats.
"""

import importlib.metadata
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from simian.errors import PluginError, UsageError
from simian.secrets import with_secrets
from simian.world import Clock, World

PORTS = {
    "platform": "simian.platforms",
    "network": "simian.networks",
    "requests": "simian.requests",
    "steering": "simian.steering",
    "data": "simian.data",
    "observer": "simian.observers",
}
DEFAULTS = {
    "platform": "none",
    "network": "none",
    "requests": "none",
    "steering": "none",
    "data": "none",
    "observer": "socket",
}
Maker = Callable[[Mapping[str, Any], dict[str, Any]], Any]


def build_world(settings: Mapping[str, Any], *, clock: Clock, environment: Mapping[str, str]) -> World:
    """The world of ``settings``: one section a port, each ``{driver: NAME, …}``.

    A driver's maker is called with its section (secrets as text) and a dictionary that the drivers of one world
    share: earlier ports under their names, ``clock``, and whatever they leave there for each other.
    Raises UsageError with every problem at once.
    """
    shared: dict[str, Any] = {"clock": clock}
    problems, made = [], {}
    for port, group in PORTS.items():
        try:
            section = with_secrets(settings.get(port) or {"driver": DEFAULTS[port]}, environment)
            made[port] = shared[port] = maker_of(port, group, section)(section, shared)
        except UsageError as error:
            problems += [f"{port}: {line}" for line in error.problems]
    if problems:
        raise UsageError(problems)
    return World(**made, clock=shared["clock"])


def maker_of(port: str, group: str, section: Mapping[str, Any]) -> Maker:
    """The maker that is registered for this driver. Raises UsageError naming what there is."""
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=group)}
    name = str(section.get("driver"))
    if name not in entries:
        near = get_close_matches(name, entries, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(entries)) or 'none'}"
        raise UsageError(f"no {port} driver is called {name!r}; {hint}")
    try:
        maker: Maker = entries[name].load()
    except Exception as error:
        raise PluginError(f"the {port} driver {name!r} ({entries[name].value}) cannot be loaded: {error}") from error
    return maker
