"""A world in memory: every port's reference semantics and a simulated clock (see docs/memory-world.md)."""

import importlib
from typing import TYPE_CHECKING, Any

from simian.memory.clock import SimulatedClock
from simian.memory.state import MemoryState

if TYPE_CHECKING:
    from simian.memory.world import MemoryWorld, build_memory_world

__all__ = ["MemoryState", "MemoryWorld", "SimulatedClock", "build_memory_world"]


def __getattr__(name: str) -> Any:
    """The whole world is put together from the drivers, which use this package: so it is loaded when asked for."""
    if name in ("MemoryWorld", "build_memory_world"):
        return getattr(importlib.import_module("simian.memory.world"), name)
    raise AttributeError(f"module 'simian.memory' has no attribute {name!r}")
