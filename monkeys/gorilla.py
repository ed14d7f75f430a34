"""Gorilla: take a whole availability zone away."""

from random import Random

from simian import Kill, Radius, Topology, Zone, monkey
from simian.fault import Fault


@monkey(radius=Radius.ZONE)
def gorilla(topology: Topology, rng: Random, *, zone: str | None = None, region: str | None = None) -> list[Fault]:
    """Take a whole availability zone down: every candidate in it is killed at once.

    :param zone: the zone to take; else the die chooses
    :param region: choose among the zones of this region only
    """
    zones = topology.region(region).zones if region else topology.zones
    if not zones:
        where = f"no node of region {region}" if region and topology.zones else "no node"
        raise ValueError(f"{where} has a zone; name zones in the system's labels, or use chaos")
    home = _named(topology, zone, region) if zone else rng.choice(zones)
    return [Kill(node.name, zone=home.name) for node in topology.candidates(zone=home)]


def _named(topology: Topology, name: str, region: str | None) -> Zone:
    every = [each for each in topology.zones if each.name == topology.zone(name).name]
    found = [each for each in every if region in (None, each.region)]
    if not found:
        raise ValueError(f"zone {name} is not in region {region}")
    if len(found) > 1:
        raise ValueError(f"zone {name} is in {' and in '.join(each.region for each in found)}; name the region, too")
    return found[0]
