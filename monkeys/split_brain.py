"""Split-brain: cut the regions apart, and see what becomes of the data."""

from random import Random
from typing import Literal

from simian import Cut, Link, Radius, Topology, monkey
from simian.fault import Fault

How = Literal["refuse", "blackhole"]
Direction = Literal["both", "forward", "backward"]
HOWS: tuple[How, ...] = ("refuse", "blackhole")


@monkey(radius=Radius.SYSTEM, verify=("nothing lost", "nothing stale", "converged"))
def split_brain(
    topology: Topology,
    rng: Random,
    *,
    between: str | None = None,
    how: How | None = None,
    direction: str = "both",
) -> list[Fault]:
    """Cut every link between two regions, while both go on serving; then compare what was written on both sides.

    :param between: the two regions, like east,west; else the die chooses
    :param how: refuse (connections are closed and refused) or blackhole (bytes vanish); else the die chooses
    :param direction: both, or one way like east->west: what east sends does not arrive in west
    """
    one, other = _pair(topology, rng, between)
    chosen = how if how is not None else rng.choice(HOWS)
    there, back = topology.links_between(one, other), topology.links_between(other, one)
    if direction == "both":
        return [_cut(link, chosen, "both") for link in there + back]
    source, target = _way(direction, {one, other})
    opened, answering = (there, back) if (source, target) == (one, other) else (back, there)
    if chosen == "refuse":  # connections as wholes: those that the source opens
        return [_cut(link, chosen, "both") for link in opened]
    ways: list[tuple[list[Link], Direction]] = [(opened, "forward"), (answering, "backward")]
    return [_cut(link, chosen, way) for links, way in ways for link in links]


def _cut(link: Link, how: How, direction: Direction) -> Fault:
    return Cut(link.name, how=how, direction=direction, partition=True)


def _pair(topology: Topology, rng: Random, between: str | None) -> tuple[str, str]:
    names = [region.name for region in topology.regions]
    if between is None:
        if len(names) < 2:
            raise ValueError(f"there is no pair of regions, only {', '.join(names)}")
        one, other = sorted(rng.sample(names, 2))
        return one, other
    found = [topology.region(name.strip()).name for name in between.split(",")]
    if len(set(found)) != 2:
        raise ValueError(f"between names two regions, like {','.join(names[:2])}, not {between!r}")
    return found[0], found[1]


def _way(direction: str, pair: set[str]) -> tuple[str, str]:
    source, arrow, target = direction.partition("->")
    if not arrow or {source.strip(), target.strip()} != pair:
        one, other = sorted(pair)
        raise ValueError(f"a direction is both, {one}->{other} or {other}->{one}, not {direction!r}")
    return source.strip(), target.strip()
