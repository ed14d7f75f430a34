"""The null data driver: a system of whose data nothing can be said."""

from collections.abc import Mapping, Sequence
from typing import Any

from simian.errors import Unsupported
from simian.world import Cell

WHY = "no data driver is configured; add a `data:` section to simian.yaml"


class NoData:
    """Has no regions to write to."""

    def regions(self) -> Sequence[str]:
        """None."""
        return ()

    def write(self, region: str, key: str, value: str, at_us: int) -> None:
        """Cannot."""
        raise Unsupported(WHY)

    def replicas(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Cannot."""
        raise Unsupported(WHY)

    def caches(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
        """Cannot."""
        raise Unsupported(WHY)

    def backlog(self) -> Mapping[str, int]:
        """Nothing is known."""
        return {}


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> NoData:
    """The null driver."""
    return NoData()
