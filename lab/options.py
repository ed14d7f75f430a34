"""How the nodes of a lab are set up. The defaults are a healthy lab's, all else a mistake of real ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Changes = Mapping[str, Mapping[str, Any]]  # service, region of a service (store-east) or node -> option -> value


@dataclass(frozen=True, slots=True)
class Options:
    """What one node is told about how to behave; each service reads its own.

    Gateways: ``members_zones`` (letters: whose members nodes it knows; empty: all of its region's), ``obeys_failover``
    (acts on its failover mode, and does not merely show it), ``redirect_port`` (of the other region's gateways,
    where mis-routed users are sent; 0: the one they listen on).
    Members: ``own_stores`` (reads and writes in its own region), ``clock_ahead_s`` (stamps writes with its own clock,
    which is so far ahead, instead of the device's; 0: the device's), ``capacity_rps`` (requests a second it can do),
    ``thrash`` (by which share each takes longer for every other that waits), ``workers`` (so many requests are
    worked on at once, the others stand in line however long; 0: all are), ``asks_again`` (a call that a store answers
    with an error is made anew, so often at the same time; 0: one after the other), ``sessions_in_memory`` (the node
    which opened a session is the only one that knows it), ``late_after_s`` (what the other region announced so long ago
    is thrown away; 0: nothing is), ``two_replicas`` (the region of which a real store is told to keep two replicas of
    each key, so that a quorum is both; empty: every store node keeps every key).
    Both of these: ``gives_up`` (a call that takes too long is given up, and the next one tried), ``sheds`` (what cannot
    be done in time is turned away at once).
    Stores: ``keeps_hints`` (what another region's replica did not take is kept for it, and missed rows are repaired),
    ``quorum_zone`` (letter: the zone whose replica must be of every quorum; empty: any two are one).
    Queues: ``retention_s`` (how long a message waits to be fetched).
    Users: ``sticky_share`` (that of the subnets whose resolvers ignore TTLs), ``sticky_s`` (they keep answers so long).
    """

    members_zones: str = ""
    obeys_failover: bool = True
    redirect_port: int = 0
    own_stores: bool = True
    clock_ahead_s: float = 0.0
    capacity_rps: float = 250.0
    thrash: float = 0.0
    workers: int = 0
    asks_again: int = 0
    sessions_in_memory: bool = False
    late_after_s: float = 0.0
    two_replicas: str = ""
    gives_up: bool = True
    sheds: bool = True
    keeps_hints: bool = True
    quorum_zone: str = ""
    retention_s: float = 4 * 86_400.0
    sticky_share: float = 0.0
    sticky_s: float = 600.0

    @classmethod
    def of(cls, node: str, changes: Changes) -> "Options":
        """Those of a node: the changes for its service, then for its service in its region, then for itself."""
        parts = node.split("-")
        made = cls()
        for length in range(1, len(parts) + 1):
            made = replace(made, **changes.get("-".join(parts[:length]), {}))
        return made


HEALTHY = Options()
