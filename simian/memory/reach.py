"""Whether a driver's call gets through to a node of the memory world."""

from simian.errors import TimedOut, Unreachable
from simian.memory.nodes import MemoryNode
from simian.memory.state import MemoryState


def reached(state: MemoryState, name: str, what: str) -> MemoryNode:
    """The node, if it answers. Raises Unreachable when it is down, TimedOut when it is frozen, NoSuchTarget."""
    one = state.node(name)
    condition = state.condition(name)
    if condition == "silent":
        raise TimedOut(f"{name} did not answer in time, so {what}")
    if condition != "up":
        raise Unreachable(f"{name} is down, so {what}")
    return one
