"""The platform of the memory world: the reference for what the calls of ``Platform`` mean."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from simian.errors import NoSuchTarget
from simian.memory.build import state_from
from simian.memory.state import MemoryState
from simian.topology import Node


class MemoryPlatform:
    """Nodes of a ``MemoryState``. Calls take no simulated time and land when they return."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def nodes(self) -> Sequence[Node]:
        """See ``Platform.nodes``."""
        return [one.seen for one in list(self._state.nodes.values())]

    def start(self, node: str) -> None:
        """See ``Platform.start``."""
        self._state.boot(node)

    def stop(self, node: str) -> None:
        """See ``Platform.stop``."""
        self._state.end(node, held=True)

    def kill(self, node: str) -> None:
        """See ``Platform.kill``."""
        self._state.end(node, held=True)

    def crash(self, node: str) -> None:
        """See ``Platform.crash``."""
        self._state.end(node, held=False)

    def pause(self, node: str) -> None:
        """See ``Platform.pause``. Raises NoSuchTarget for one that is down: there is nothing to freeze."""
        if self._state.node(node).state == "stopped":
            raise NoSuchTarget(f"{node} is down; only a running node can be paused")
        self._state.freeze(node, frozen=True)

    def resume(self, node: str) -> None:
        """See ``Platform.resume``."""
        self._state.freeze(node, frozen=False)

    def ready(self, node: str) -> bool:
        """See ``Platform.ready``."""
        return self._state.ready(self._state.node(node))

    def incarnation(self, node: str) -> str | None:
        """See ``Platform.incarnation``."""
        return self._state.node(node).incarnation


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryPlatform:
    """The platform of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemoryPlatform(state_from(settings, shared))
