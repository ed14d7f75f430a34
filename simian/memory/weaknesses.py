"""Weaknesses that can be planted in a memory world, so that what finds weaknesses can be tested."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from simian.memory.habits import Habits
from simian.memory.nodes import MemoryNode


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


def _no_next_gateway(shape: Shape) -> Shape:
    return replace(shape, habits=replace(shape.habits, device_tries=1))


WEAKNESSES = {
    one.name: one
    for one in (
        Weakness("single-instance", "one members node serves all regions", _single_instance),
        Weakness("no-next-gateway", "devices never try the next gateway of their answer", _no_next_gateway),
    )
}
