"""Flaws that a lab can be built with, each of a kind that real systems have, for what looks for flaws to be tried on.

Nodes know options, never the name of a weakness, so nothing but their behaviour gives it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .manifest import LabError
from .options import Changes

USUAL_RATE = 200.0  # of the users of a lab of processes
BUNCHED = 0.65  # with it, at a quarter of the usual rate, healthy times are borne and twice the load is not


@dataclass(frozen=True, slots=True)
class Weakness:
    """``monkey``: the command line that should find it. ``about``: what is wrong. ``look``: where it can be seen.

    ``changes`` to the options of nodes, those of work as they are for users who make ``USUAL_RATE`` requests a second;
    ``absent``: nodes that are not started. ``capacity_power``: capacity goes with the rate to that power, below 1 where
    it must still do for a region's own users, since few requests come in bunches and time limits stay as they are.
    """

    name: str
    monkey: str
    about: str
    look: str
    changes: Changes = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    capacity_power: float = 1.0

    def at(self, rate: float) -> Changes:
        """The changes for that many requests a second: what is too little for many is plenty for few."""
        return {
            part: {name: _scaled(name, value, rate, self.capacity_power) for name, value in of.items()}
            for part, of in self.changes.items()
        }


def _scaled(name: str, value: Any, rate: float, power: float) -> Any:
    if name == "capacity_rps":
        return value * (rate / USUAL_RATE) ** power
    return max(1, round(value * rate / USUAL_RATE)) if name == "workers" else value


_ALL = (
    Weakness(
        "single-instance",
        "chaos --service members --region east",
        "one members node serves the whole of east",
        "members of east: how many run, and which ones the gateways know",
        {"gateway-east": {"members_zones": "a"}},
        absent=frozenset({"members-east-b", "members-east-c"}),
    ),
    Weakness(
        "gateway-pinned-to-zone",
        "gorilla --zone east-a",
        "the gateways of east send everything to the members node of zone a",
        "gateways of east: which members nodes they know",
        {"gateway-east": {"members_zones": "a"}},
    ),
    Weakness(
        "quorum-in-one-zone",
        "gorilla --zone east-a",
        "every quorum of the stores of east needs the replica of zone a",
        "stores of east: which replicas make a quorum",
        {"store-east": {"quorum_zone": "a"}, "members": {"two_replicas": "east"}},  # of a real store: of most keys
    ),
    Weakness(
        "cross-region-read",
        "split-brain",
        "the members of east keep their data in the stores of west",
        "members of east: which stores they ask",
        {"members-east": {"own_stores": False}},
    ),
    Weakness(
        "lost-invalidations",
        "split-brain",
        "what is announced to the other region's caches is forgotten after half a second",
        "queues: how long messages are retained; consumers: which ones they throw away",
        {"queue": {"retention_s": 0.5}, "members": {"late_after_s": 0.5}},  # a real queue keeps them, its consumer not
    ),
    Weakness(
        "dropped-hints",
        "split-brain",
        "stores throw away what the other region's replicas do not take at once, and repair nothing",
        "stores: hints that are kept, and repair between regions",
        {"store": {"keeps_hints": False}},
    ),
    Weakness(
        "wrong-clock",
        "split-brain",
        "the members of east stamp writes with their own clock, which is 5 s ahead",
        "members of east: the clock, and whose time a write carries",
        {"members-east": {"clock_ahead_s": 5.0}},
    ),
    Weakness(
        "no-timeouts",
        "latency --service store --share 25% --delay constant:2s --error-share 0%",
        "gateways and members wait for an answer for as long as it takes",
        "gateways and members: how long they wait for whom they call, and what they do then",
        {"gateway": {"gives_up": False}, "members": {"gives_up": False}},
    ),
    Weakness(
        "retry-storm",
        "latency --service store --share 0% --error-share 40%",
        "members make a call that a store answers with an error sixteen times over, all at once",
        "members: when a call to a store is made again, how often, and whether anything bounds it",
        {"members": {"asks_again": 16}},
    ),
    Weakness(
        "unbounded-queue",
        "latency --service store --share 50% --delay constant:150ms --error-share 0%",
        "members work on two requests at a time and let all others wait in line, however long, even those given up",
        "members: how many requests wait in line, what bounds the line, and what becomes of those given up",
        {"members": {"workers": 2, "sheds": False, "capacity_rps": 100.0}},
    ),
    Weakness(
        "no-shedding",
        "kong --region east --hard",
        "members thrash the more requests wait, and neither they nor the gateways turn away what is too much",
        "gateways and members: the limit above which they shed, and caches that are cold for users who were moved",
        {"gateway": {"sheds": False}, "members": {"sheds": False, "capacity_rps": 110.0, "thrash": 0.1}},
        capacity_power=BUNCHED,
    ),
    Weakness(
        "too-little-headroom",
        "kong --region east --force-headroom",
        "the members of west can do little more than what their own users ask for",
        "members of west: capacity beside the load of both regions",
        {"members-west": {"capacity_rps": 50.0}},
        capacity_power=BUNCHED,
    ),
    Weakness(
        "session-in-memory",
        "chaos --service members --region east",
        "members nodes keep sessions in their own memory, so no other node knows them",
        "members: where sessions are kept",
        {"members": {"sessions_in_memory": True}},
    ),
    Weakness(
        "stragglers-fail",
        "kong --region east",
        "gateways redirect stragglers to a port where nobody listens; most users straggle for up to 20 s",
        "gateways: where they send users whom the DNS leads elsewhere by now, and whether they arrive",
        {"gateway": {"redirect_port": 8443}, "users": {"sticky_share": 0.7, "sticky_s": 20.0}},
    ),
    Weakness(
        "failover-mode-ignored",
        "kong --region east",
        "gateways show their failover mode and take foreign users home all the same",
        "gateways of west: where they send users of east while failover mode is on",
        {"gateway": {"obeys_failover": False}},
    ),
    Weakness(
        "sticky-resolver",
        "kong --region east",
        "the resolvers of a fifth of the users keep a DNS answer for ten minutes, whatever its TTL",
        "users: how long their resolvers keep what the DNS told them, and the tail of the drain curve",
        {"users": {"sticky_share": 0.2}},
    ),
)
WEAKNESSES: Mapping[str, Weakness] = {one.name: one for one in _ALL}


def weakness(name: str) -> Weakness | None:
    """The weakness of that name; none for no name. Raises ``LabError`` for a name that is unknown."""
    if name and name not in WEAKNESSES:
        raise LabError(f"there is no weakness {name!r}; there are: {', '.join(WEAKNESSES)}")
    return WEAKNESSES.get(name)
