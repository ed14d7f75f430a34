"""Data in the memory world: the reference for what the calls of ``Data`` mean."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from simian.memory.build import state_from
from simian.memory.replication import Replication
from simian.world import Cell


class MemoryData:
    """What was written to the nodes of a ``MemoryState``. Calls take no simulated time."""

    def __init__(self, replication: Replication) -> None:
        self._replication = replication

    def regions(self) -> Sequence[str]:
        """See ``Data.regions``."""
        return self._replication.regions

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        """See ``Data.write``. TimedOut where silent replicas leave it open whether it was made."""
        self._replication.write(region, key, Cell(value, at_us))

    def replicas(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """See ``Data.replicas``. Raises Unreachable when one is down, TimedOut when one is frozen."""
        return self._replication.cells("store", keys)

    def caches(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """See ``Data.caches``. The same."""
        return self._replication.cells("cache", keys)

    def backlog(self) -> Mapping[str, int]:
        """See ``Data.backlog``: hints of stores, invalidations of queues, deletions that caches wait for."""
        return self._replication.backlog()


def from_settings(settings: Mapping[str, Any], shared: MutableMapping[str, Any]) -> MemoryData:
    """Data of the memory world in ``shared``, which is made from the settings when it is not there yet."""
    return MemoryData(Replication(state_from(settings, shared)))
