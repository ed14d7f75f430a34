"""Chaos: take single nodes away."""

from random import Random
from typing import Literal

from simian import Crash, Kill, Pause, Radius, Stop, Topology, monkey
from simian.fault import Fault

How = Literal["kill", "crash", "stop", "pause"]
FAULTS: dict[How, type[Kill] | type[Crash] | type[Stop] | type[Pause]] = {
    "kill": Kill,
    "crash": Crash,
    "stop": Stop,
    "pause": Pause,
}
HOWS: list[How] = sorted(FAULTS)


@monkey(radius=Radius.NODE)
def chaos(
    topology: Topology,
    rng: Random,
    *,
    node: list[str] | None = None,
    service: str | None = None,
    region: str | None = None,
    count: int = 1,
    how: How | None = None,
) -> list[Fault]:
    """Take nodes away, one unless told otherwise: kill, crash, stop or pause them.

    :param node: the nodes to hit, by name; else the die chooses
    :param service: choose among the nodes of this service only
    :param region: choose among the nodes of this region only
    :param count: how many to hit
    :param how: kill (stays down), crash (its supervisor restarts it), stop (in good order), pause (frozen)
    """
    if region is not None:
        topology.region(region)
    if node:
        chosen = [topology.node(name) for name in dict.fromkeys(node)]
    else:
        candidates = topology.candidates(service=service, region=region)
        if service is not None and not candidates:
            raise ValueError(f"no node of service {service!r} may be hit; there are: {', '.join(topology.services)}")
        if count < 1 or count > len(candidates):
            raise ValueError(f"count is {count}; there are {len(candidates)} candidates, so 1 to that many would do")
        chosen = rng.sample(candidates, count)
    if how is not None and how not in FAULTS:
        raise ValueError(f"how is {how!r}; there are: {', '.join(FAULTS)}")
    return [FAULTS[how if how is not None else rng.choice(HOWS)](each.name) for each in chosen]
