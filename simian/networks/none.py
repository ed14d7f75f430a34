"""The null network: a system whose links nobody can touch. For a platform without proxies."""

from collections.abc import Mapping, Sequence
from typing import Any

from simian_filters.distribution import Distribution

from simian.errors import NoSuchTarget, Unsupported
from simian.topology import Link
from simian.world import CutHow, Direction, LinkReading

WHY = "no network driver is configured; add a `network:` section to simian.yaml"


class NoNetwork:
    """Has no links, refuses every change."""

    def links(self) -> Sequence[Link]:
        """None."""
        return ()

    def read(self, link: str) -> LinkReading:
        """There is no such link."""
        raise NoSuchTarget(f"no link is called {link!r}: {WHY}")

    def unsupported(self, kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
        """Nothing can be done."""
        return WHY

    def caveat(self, kind: str, *, by: Distribution | None = None) -> str:
        """Nothing to say."""
        return ""

    def cut(self, link: str, mark: str, *, how: CutHow, direction: Direction) -> None:
        """Cannot."""
        raise Unsupported(WHY)

    def delay(self, link: str, mark: str, *, by: Distribution, direction: Direction) -> None:
        """Cannot."""
        raise Unsupported(WHY)

    def throttle(self, link: str, mark: str, *, rate_kb_s: float, direction: Direction) -> None:
        """Cannot."""
        raise Unsupported(WHY)

    def mend(self, link: str, mark: str, was: LinkReading) -> None:
        """Nothing was ever in place."""

    def marks(self) -> Sequence[tuple[str, str]]:
        """None."""
        return ()


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> NoNetwork:
    """The null network."""
    return NoNetwork()
