"""A monkey of one's own: the whole of it is this file."""

from simian import Kill, Radius, monkey


@monkey(radius=Radius.NODE)
def oldest_first(topology, rng, *, service: str = "web"):
    """Kill the node that has been up longest.

    :param service: of which service
    """
    nodes = topology.candidates(service=service)
    if not nodes:
        raise ValueError(f"no node of {service!r} may be killed; there are: {', '.join(topology.services)}")
    return [Kill(min(nodes, key=lambda node: node.since or 0.0).name)]
