"""Split-brain: cut the regions apart, and see what becomes of the data."""

from itertools import combinations
from random import Random
from typing import Literal

from simian import Cut, Link, Radius, Topology, monkey
from simian.fault import Fault

How = Literal["refuse", "blackhole"]
Direction = Literal["both", "forward", "backward"]
HOWS: tuple[How, ...] = ("refuse", "blackhole")
REST, ALL = "rest", "all"
Sides = dict[str, list[str]]  # what a side is called -> its regions


@monkey(radius=Radius.SYSTEM, verify=("nothing lost", "nothing stale", "converged"))
def split_brain(
    topology: Topology,
    rng: Random,
    *,
    between: str | None = None,
    how: How | None = None,
    direction: str = "both",
) -> list[Fault]:
    """Cut every link between regions, while all go on serving; then compare what was written on all sides.

    :param between: the regions, like east,west, each cut off from each other; or one from the rest, like east,rest;
        or all; else the die chooses two
    :param how: refuse (connections are closed and refused) or blackhole (bytes vanish); else the die chooses
    :param direction: both, or one way like east->west: what east sends does not arrive in west
    """
    sides = _sides(topology, rng, between)
    chosen = how if how is not None else rng.choice(HOWS)
    if direction == "both":
        apart = [each for one, other in combinations(sides.values(), 2) for each in _links(topology, one, other)]
        apart += [each for one, other in combinations(sides.values(), 2) for each in _links(topology, other, one)]
        return [_cut(link, chosen, "both") for link in apart]
    source, target = _way(direction, sides)
    opened, answering = _links(topology, source, target), _links(topology, target, source)
    if chosen == "refuse":  # connections as wholes: those that the source opens
        return [_cut(link, chosen, "both") for link in opened]
    ways: list[tuple[list[Link], Direction]] = [(opened, "forward"), (answering, "backward")]
    return [_cut(link, chosen, way) for links, way in ways for link in links]


def _cut(link: Link, how: How, direction: Direction) -> Fault:
    return Cut(link.name, how=how, direction=direction, partition=True)


def _links(topology: Topology, sources: list[str], targets: list[str]) -> list[Link]:
    return [link for one in sources for other in targets for link in topology.links_between(one, other)]


def _sides(topology: Topology, rng: Random, between: str | None) -> Sides:
    regions = [region.name for region in topology.regions]
    if len(regions) < 2:
        raise ValueError(f"there is no pair of regions, only {', '.join(regions)}")
    if between is None:
        return {name: [name] for name in rng.choice(_linked(topology, regions))}
    wanted = regions if between.strip() == ALL else [name.strip() for name in between.split(",")]
    named = [name if name == REST else topology.region(name).name for name in wanted]
    if len({*named}) < 2 or len({*named}) < len(named) or (REST in named and len(named) > 2):
        raise ValueError(f"between names two regions or more, like {','.join(regions[:2])}, one and the rest, like "
                         f"{regions[0]},{REST}, or {ALL}; not {between!r}")  # fmt: skip
    return {name: [name] if name != REST else [r for r in regions if r not in named] for name in named}


def _linked(topology: Topology, regions: list[str]) -> list[tuple[str, str]]:
    """Pairs of regions between which there is something to cut."""
    pairs = list(combinations(regions, 2))
    linked = [pair for pair in pairs if _links(topology, [pair[0]], [pair[1]]) + _links(topology, [pair[1]], [pair[0]])]
    if not linked:
        raise ValueError(f"no link leads from one of {', '.join(regions)} to another; list links in simian.yaml")
    return linked


def _way(direction: str, sides: Sides) -> tuple[list[str], list[str]]:
    source, arrow, target = (part.strip() for part in direction.partition("->"))
    if not arrow or len(sides) != 2 or {source, target} != {*sides}:
        one, other = sorted(sides)[:2]
        ways = f", {one}->{other} or {other}->{one}" if len(sides) == 2 else " where more than two are cut apart"
        raise ValueError(f"a direction is both{ways}, not {direction!r}")
    return sides[source], sides[target]
