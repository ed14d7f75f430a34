"""Latency: slow calls, and make some fail, at a rate and with a distribution."""

from random import Random
from typing import Literal

from simian_filters.units import parse_share

from simian import Delay, Node, Radius, RequestDelay, RequestError, Topology, monkey
from simian.fault import Fault

DELAY = "normal:100ms,20ms"
SHOWN = 5


@monkey(radius=Radius.NODE)
def latency(
    topology: Topology,
    rng: Random,
    *,
    service: str | None = None,
    link: str | None = None,
    side: Literal["client", "server"] = "server",
    share: str = "10%",
    delay: str | None = None,
    error_share: str = "2%",
    status: int = 503,
) -> list[Fault]:
    """Slow a share of a service's requests, or every byte of a link; make a share of the requests fail.

    :param service: the service to slow, on all its nodes, or, where it mounts no request filter, in the calls that
        others make to it; else the die chooses one that mounts it
    :param link: slow this link instead, below the requests (its driver draws its own delays: no seed reaches them)
    :param side: in the service itself (server), or in the calls it makes (client)
    :param share: how many of the requests are slowed
    :param delay: distribution of the delay, such as normal:100ms,20ms or lognormal:p50=80ms,p99=400ms
    :param error_share: how many of the requests fail
    :param status: what a failing request is answered with
    """
    if link is not None:
        if service is not None:
            raise ValueError("give a service or a link, not both")
        return [Delay(topology.link(link).name, by=delay or DELAY)]
    nodes = _filtered(topology, rng, service)
    callee = ""
    if service is not None and not nodes:  # a service of somebody else's making is slowed by those who ask it
        nodes, side, callee = _callers(topology, service), "client", service
    slow, failing = parse_share(share), parse_share(error_share)
    faults: list[Fault] = []
    for node in nodes:
        if slow > 0:
            die = rng.getrandbits(32)
            faults.append(RequestDelay(node.name, share=slow, side=side, callee=callee, seed=die, by=delay or DELAY))
        if failing > 0:
            die = rng.getrandbits(32)
            faults.append(RequestError(node.name, share=failing, side=side, callee=callee, seed=die, status=status))
    return faults


def _filtered(topology: Topology, rng: Random, service: str | None) -> list[Node]:
    """The nodes of the service that mount the filter, of one that the die chooses where none is named."""
    nodes = topology.candidates(service=service, where=lambda node: node.filters)
    if service is not None:
        return nodes
    services = sorted({node.service for node in nodes})
    if not services:
        some = ", ".join(one.name for one in topology.links[:SHOWN]) + (", …" if len(topology.links) > SHOWN else "")
        links = f" (--link, of {some})" if some else ""
        raise ValueError(f"no service mounts the request filter; mount simian_filters in one, or give a link{links}")
    chosen = rng.choice(services)
    return [node for node in nodes if node.service == chosen]


def _callers(topology: Topology, service: str) -> list[Node]:
    found = topology.candidates(where=lambda node: node.filters and service in node.calls)
    if not found:
        raise ValueError(
            f"service {service!r} has no node that mounts the request filter, and none that does is said to call it "
            "(label simian.calls); name one that does, mount simian_filters, or give a link"
        )
    return found
