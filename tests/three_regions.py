"""A system that is not the lab: three regions of different sizes, one mostly a single zone, one without any zone."""

from simian.memory import MemoryWorld, build_memory_world

REGIONS = {"north": ("a", "a", "b", "b", "c"), "south": ("a", "b", "b", "b"), "isle": ("", "", "")}


def three_regions(seed: int = 0) -> MemoryWorld:
    return build_memory_world(seed, regions=REGIONS)
