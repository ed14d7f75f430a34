"""The null steering: a system whose users nobody can move."""

from collections.abc import Mapping, Sequence
from typing import Any

from simian.errors import Unsupported
from simian.traffic import Entrance, Load, Misroute, Modes, Shares

WHY = "no steering driver is configured; add a `steering:` section to simian.yaml"


class NoSteering:
    """Knows nothing, refuses every change; a driver that can do some of it says of the rest why not (``why``)."""

    why = WHY

    def unsupported(self, what: str) -> str:
        """Nothing can be done."""
        return self.why

    def shares(self) -> Shares:
        """None are known."""
        return {}

    def shift(self, home: str, mark: str, shares: Mapping[str, float]) -> None:
        """Cannot."""
        raise Unsupported(self.why)

    def unshift(self, home: str, mark: str) -> None:
        """Nothing was ever in place."""

    def entrances(self) -> Sequence[Entrance]:
        """None."""
        return ()

    def modes(self) -> Mapping[str, Modes]:
        """None."""
        return {}

    def set_failover(self, region: str, mark: str, homes: Sequence[str]) -> None:
        """Cannot."""
        raise Unsupported(self.why)

    def set_misrouted(self, region: str, mark: str, *, mode: Misroute, own: bool) -> None:
        """Cannot."""
        raise Unsupported(self.why)

    def set_limit(self, region: str, mark: str, concurrency: int) -> None:
        """Cannot."""
        raise Unsupported(self.why)

    def unset(self, region: str, mark: str, was: Mapping[str, Modes]) -> None:
        """Nothing was ever in place."""

    def marks(self) -> Sequence[tuple[str, str]]:
        """None."""
        return ()

    def arrivals(self) -> Mapping[str, Mapping[str, int]]:
        """None are counted."""
        return {}

    def load(self) -> Mapping[str, Load]:
        """None is known."""
        return {}


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> NoSteering:
    """The null steering."""
    return NoSteering()
