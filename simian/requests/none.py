"""The null driver of request faults: a system whose services mount no filter."""

from collections.abc import Mapping, Sequence
from typing import Any

from simian.errors import Unsupported
from simian.world import Rule, RuleReading

WHY = "no request filters are configured; mount simian_filters in the services and add a `requests:` section"


class NoRequests:
    """Reaches no filter, refuses every rule."""

    def put(self, node: str, rule: Rule) -> None:
        """Cannot."""
        raise Unsupported(WHY)

    def remove(self, node: str, mark: str) -> None:
        """Nothing was ever in place."""

    def rules(self, node: str) -> Sequence[RuleReading]:
        """None."""
        return ()

    def nodes(self) -> Sequence[str]:
        """None."""
        return ()


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> NoRequests:
    """The null driver."""
    return NoRequests()
