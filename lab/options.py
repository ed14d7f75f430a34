"""How the nodes of a lab are set up. The defaults are a healthy lab's, all else a mistake of real ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Changes = Mapping[str, Mapping[str, Any]]  # service, region of a service (store-east) or node -> option -> value


@dataclass(frozen=True, slots=True)
class Options:
    """What one node is told about how to behave; each service reads its own.

    Gateways: ``members_zones`` (letters: whose members nodes it knows; empty: all of its region's), ``obeys_failover``
    (acts on its failover mode, and does not merely show it), ``misrouted_status`` (what a mis-routed user is answered
    instead of being helped on; 0: they are helped).
    Members: ``own_stores`` (reads and writes in its own region), ``clock_ahead_s`` (stamps writes with its own clock,
    which is so far ahead, instead of the device's; 0: the device's).
    Stores: ``keeps_hints`` (what another region's replica did not take is kept for it, and missed rows are repaired).
    Queues: ``retention_s`` (how long a message waits to be fetched).
    Users: ``sticky_share`` (that of the subnets whose resolvers ignore TTLs).
    """

    members_zones: str = ""
    obeys_failover: bool = True
    misrouted_status: int = 0
    own_stores: bool = True
    clock_ahead_s: float = 0.0
    keeps_hints: bool = True
    retention_s: float = 4 * 86_400.0
    sticky_share: float = 0.0

    @classmethod
    def of(cls, node: str, changes: Changes) -> "Options":
        """Those of a node: the changes for its service, then for its service in its region, then for itself."""
        parts = node.split("-")
        made = cls()
        for length in range(1, len(parts) + 1):
            made = replace(made, **changes.get("-".join(parts[:length]), {}))
        return made


HEALTHY = Options()
