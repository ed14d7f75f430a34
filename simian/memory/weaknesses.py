"""Weaknesses that can be planted in a memory world, so that what finds weaknesses can be tested."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from simian.memory.habits import Habits
from simian.memory.nodes import MemoryNode

CLOCK_AHEAD_US = 5_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What a world is built from."""

    nodes: tuple[MemoryNode, ...]
    habits: Habits


@dataclass(frozen=True, slots=True)
class Weakness:
    """A way to build a world badly; ``about`` says what is wrong with it."""

    name: str
    about: str
    plant: Callable[[Shape], Shape]


def _single_instance(shape: Shape) -> Shape:
    members = [one for one in shape.nodes if one.node.service == "members"]
    for only in members[:1]:
        only.capacity_rps *= len(members)
    gone = {one.node.name for one in members[1:]}
    return replace(shape, nodes=tuple(one for one in shape.nodes if one.node.name not in gone))


def _too_little_headroom(shape: Shape) -> Shape:
    members = [one for one in shape.nodes if one.node.service == "members"]
    for one in members:
        region = sum(other.node.region == one.node.region for other in members)
        one.capacity_rps = 0.75 * shape.habits.rate_rps / region
    return shape


def _habit(**changes: Any) -> Callable[[Shape], Shape]:
    return lambda shape: replace(shape, habits=replace(shape.habits, **changes))


def _wrong_clock(shape: Shape) -> Shape:
    region = min(one.node.region for one in shape.nodes if one.node.service == "gateway")
    return _habit(clock_ahead_us={region: CLOCK_AHEAD_US})(shape)


WEAKNESSES = {
    one.name: one
    for one in (
        Weakness("single-instance", "one members node serves all regions", _single_instance),
        Weakness("no-next-gateway", "devices never try the next gateway of their answer", _habit(device_tries=1)),
        Weakness("too-little-headroom", "no region can carry everybody's requests", _too_little_headroom),
        Weakness(
            "failover-mode-ignored",
            "gateways tell their failover mode and take foreign users home all the same",
            _habit(obeys_failover=False),
        ),
        Weakness(
            "sticky-resolver",
            "a fifth of the devices keeps a DNS answer for up to ten minutes, whatever its TTL",
            _habit(sticky_share=0.2),
        ),
        Weakness(
            "dropped-hints",
            "what cannot cross to the other region's replicas is thrown away",
            _habit(keeps_hints=False),
        ),
        Weakness(
            "lost-invalidations",
            "what the other region's caches should forget is told only if they listen",
            _habit(keeps_invalidations=False),
        ),
        Weakness("wrong-clock", "the first region's stores stamp writes with a clock that is 5 s ahead", _wrong_clock),
    )
}
