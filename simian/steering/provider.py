"""The port of DNS services that lead a name to others by weight; each provider in a file of its own.

A provider is found by its name in the entry-point group ``simian.dns_providers`` and made by
``from_settings(settings, shared)`` from the keys of the section ``steering:`` that are not the driver's own.
"""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from simian.errors import PluginError, UsageError

GROUP = "simian.dns_providers"
Weights = Mapping[str, int]  # name led to, with its end dot -> weight; 0: it is not led there


@dataclass(frozen=True, slots=True)
class Switch:
    """A name that leads to others by weight: ``weights`` in the order the service has them, and our ``notes``.

    ``ttl_s`` is how long an answer may be kept. ``notes`` are the texts at ``note_name``, in any order.
    """

    name: str
    weights: Weights
    ttl_s: int
    notes: Sequence[str] = field(default=())


class DnsProvider(Protocol):
    """One DNS service. Calls have time limits of their own; Unreachable, TimedOut and DriverError as in ``world``."""

    def read(self, names: Sequence[str]) -> Mapping[str, Switch]:
        """What is set now at each of these names, with its notes.

        Raises NoSuchTarget for a name without a record, DriverError for one that does not lead on by weight.
        """
        ...

    def change(self, switch: Switch) -> None:
        """Set weights and notes, both or neither, in one request; no notes: the record of notes is taken out."""
        ...


def note_name(name: str) -> str:
    """Where the notes about a name stand: beside it."""
    return f"_simian.{name}"


def provider_of(settings: Mapping[str, Any], shared: dict[str, Any]) -> DnsProvider:
    """The provider that ``settings["provider"]`` names. Raises UsageError naming what there is, PluginError."""
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    name = str(settings.get("provider"))
    if name not in entries:
        raise UsageError(f"no DNS provider is called {name!r}; provider: is one of {', '.join(sorted(entries))}")
    try:
        maker: Callable[..., DnsProvider] = entries[name].load()
    except Exception as error:
        raise PluginError(f"the DNS provider {name!r} ({entries[name].value}) cannot be loaded: {error}") from error
    return maker({key: value for key, value in settings.items() if key != "provider"}, shared)
