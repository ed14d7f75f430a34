"""The network of the memory world: the reference for what the calls of ``Network`` mean."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from simian_filters.distribution import Distribution

from simian.errors import Unsupported
from simian.memory.build import state_from
from simian.memory.links import Effect
from simian.memory.state import MemoryState
from simian.topology import Link
from simian.world import CutHow, Direction, LinkReading


class MemoryNetwork:
    """Links of a ``MemoryState``. Calls take no simulated time and land when they return."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def links(self) -> Sequence[Link]:
        """See ``Network.links``."""
        return [replace(one.link, state=one.state) for one in self._state.links.values()]

    def read(self, link: str) -> LinkReading:
        """See ``Network.read``."""
        one = self._state.link(link)
        proxy = {"name": link, "upstream": one.link.target, "enabled": one.enabled}
        return LinkReading(link, one.enabled, tuple(one.ours), tuple(one.foreign), proxy)

    def unsupported(self, kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
        """See ``Network.unsupported``. Only what makes no sense anywhere is not supported here."""
        if kind not in ("cut", "delay", "throttle"):
            return f"no fault of links is called {kind!r}; there are: cut, delay, throttle"
        if kind == "cut" and how == "refuse" and direction != "both":
            return "refusing closes connections, which ends both directions; use blackhole for one of them"
        return ""

    def caveat(self, kind: str, *, by: Distribution | None = None) -> str:
        """Nothing to say."""
        return ""

    def cut(self, link: str, mark: str, *, how: CutHow, direction: Direction) -> None:
        """See ``Network.cut``."""
        self._lay(link, mark, Effect("cut", direction, how=how))

    def delay(self, link: str, mark: str, *, by: Distribution, direction: Direction) -> None:
        """See ``Network.delay``."""
        self._lay(link, mark, Effect("delay", direction, by=by))

    def throttle(self, link: str, mark: str, *, rate_kb_s: float, direction: Direction) -> None:
        """See ``Network.throttle``."""
        self._lay(link, mark, Effect("throttle", direction, rate_kb_s=rate_kb_s))

    def _lay(self, link: str, mark: str, effect: Effect) -> None:
        why = self.unsupported(effect.kind, how=effect.how, direction=effect.direction)
        if why:
            raise Unsupported(f"{effect.kind} of {link}: {why}")
        self._state.lay(link, mark, effect)

    def mend(self, link: str, mark: str, was: LinkReading) -> None:
        """See ``Network.mend``."""
        self._state.lift(link, mark, enable=was.enabled)

    def marks(self) -> Sequence[tuple[str, str]]:
        """See ``Network.marks``."""
        return [(name, mark) for name, one in self._state.links.items() for mark in one.ours]


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryNetwork:
    """The network of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemoryNetwork(state_from(settings, shared))
