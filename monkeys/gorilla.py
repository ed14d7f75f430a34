"""Gorilla: take a whole availability zone away."""

from random import Random

from simian import Kill, Radius, Topology, monkey
from simian.fault import Fault


@monkey(radius=Radius.ZONE)
def gorilla(topology: Topology, rng: Random, *, zone: str | None = None, region: str | None = None) -> list[Fault]:
    """Take a whole availability zone down: every candidate in it is killed at once.

    :param zone: the zone to take; else the die chooses
    :param region: choose among the zones of this region only
    """
    zones = topology.region(region).zones if region else topology.zones
    if not zones:
        raise ValueError("no node has a zone; name zones in the system's labels, or use chaos")
    home = topology.zone(zone) if zone else rng.choice(zones)
    if home not in zones:
        raise ValueError(f"zone {home.name} is not in region {region}")
    return [Kill(node.name, zone=home.name) for node in topology.candidates(zone=home)]
