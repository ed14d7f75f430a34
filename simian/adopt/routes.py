"""How chosen calls are led through Toxiproxy: which proxy listens where, and by which names callers come to it: pure.

A caller gets *links* in its override, ``proxy:redis``: the engine's resolver looks at a container's own links before
anybody's name, so that in this container alone the name leads to the proxy. The proxy listens on the target's port,
and finds the target by the same name, which means the target to everybody else. Nothing else of the system changes:
no network, no address, no environment value; nor could a name in a file or in code go round it.

One container cannot listen twice on a port. Where two calls want the same one there are more proxies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simian.adopt.calls import Call
from simian.compose import Project

IMAGE = "ghcr.io/shopify/toxiproxy:2.12.0"
NAME = "simian-proxy"
API_PORT = 8474  # inside the container


@dataclass(frozen=True, slots=True)
class Route:
    """A call and the proxy that it goes through. ``names``: those of the target that lead to the proxy instead."""

    call: Call
    proxy: str
    names: tuple[str, ...]
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProxyService:
    """One Toxiproxy: a service of the override; its API is published on loopback at ``api_port``.

    ``way_in``: one more network, where those in which callers and targets meet are all closed to the outside.
    """

    name: str
    api_port: int
    routes: tuple[Route, ...]
    way_in: str = ""

    @property
    def networks(self) -> tuple[str, ...]:
        """Those in which its callers and targets meet, and the way in."""
        return (*_met(self.routes), *filter(None, [self.way_in]))

    @property
    def config(self) -> list[dict[str, object]]:
        """Its proxies, as Toxiproxy reads them from ``-config``."""
        return [
            {
                "name": route.call.name,
                "listen": f"0.0.0.0:{route.call.port}",
                "upstream": f"{route.call.target}:{route.call.port}",
                "enabled": True,
            }
            for route in self.routes
        ]


def unroutable(call: Call, project: Project) -> str:
    """Why this call cannot be led through a proxy; empty when it can."""
    source, target = project.services[call.source], project.services[call.target]
    for one in (source, target):
        if one.network_mode:
            return f"{one.name} has network_mode {one.network_mode}, where names cannot be led elsewhere"
    if not _shared(call, project):
        return f"{source.name} and {target.name} have no network in common"
    return f"port {API_PORT} is that of Toxiproxy itself" if call.port == API_PORT else ""


def _shared(call: Call, project: Project) -> tuple[str, ...]:
    theirs = project.services[call.target].networks
    return tuple(net for net in project.services[call.source].networks if net in theirs)


def proxies_for(
    chosen: Sequence[Call], calls: Sequence[Call], project: Project, first_port: int = API_PORT
) -> list[ProxyService]:
    """As few proxies as there can be with each port taken once, first come, first served.

    A name leads to the proxy whatever the port: so all that a caller may ask of a target goes along with what was
    chosen, the ports that the target is known to listen on and that nobody told of included.
    """
    slots: list[list[Call]] = []
    for source, target in dict.fromkeys((call.source, call.target) for call in chosen):
        group = _between(source, target, calls, project)
        ports = {call.port for call in group}
        free = (slot for slot in slots if not ports & {call.port for call in slot})
        slot = next(free, None)
        if slot is None:
            slots.append(slot := [])
        slot += group
    api_ports = _free_ports(first_port, project)
    names = _free_names(len(slots), project)
    return [_proxy(name, next(api_ports), slot, project) for name, slot in zip(names, slots, strict=True)]


def _between(source: str, target: str, calls: Sequence[Call], project: Project) -> list[Call]:
    told = [call for call in calls if (call.source, call.target) == (source, target)]
    known = {call.port for call in told} | {API_PORT}
    more = [port for port in project.services[target].inner_ports if port not in known]
    return told + [Call(f"{source}--{target}-{port}", source, target, port, "it listens there") for port in more]


def _free_ports(first: int, project: Project) -> Iterator[int]:
    taken = {port.published for service in project.services.values() for port in service.ports}
    return (port for port in range(first, 65536) if port not in taken)


def _free_names(count: int, project: Project) -> list[str]:
    names = [NAME, *(f"{NAME}-{number}" for number in range(2, count + len(project.services) + 2))]
    return [name for name in names if name not in project.services][:count]


def _proxy(name: str, api_port: int, calls: Sequence[Call], project: Project) -> ProxyService:
    routes = tuple(_route(call, name, project) for call in calls)
    return ProxyService(name, api_port, routes, _way_in(routes, project))


def _met(routes: Sequence[Route]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(net for route in routes for net in route.networks))


def _way_in(routes: Sequence[Route], project: Project) -> str:
    """An open network for the proxy's API where it would be in closed ones only; empty where it is in an open one.

    One of its callers' or of anybody's, if no target's name means another service there; else one of its own.
    """
    if set(_met(routes)) - project.internal:
        return ""
    services = project.services
    nearest = [services[route.call.source] for route in routes]
    known = dict.fromkeys(net for one in [*nearest, *services.values()] for net in one.networks)
    wanted = {route.call.target for route in routes}
    strange = {
        net
        for one in services.values()
        for net, aliases in one.networks.items()
        if one.name not in wanted and wanted & {one.container_name, *aliases}
    }
    return next((net for net in known if net not in project.internal | strange), NAME)


def _route(call: Call, proxy: str, project: Project) -> Route:
    source, target = project.services[call.source], project.services[call.target]
    shared = _shared(call, project)
    aliases = [alias for net in shared for alias in target.networks[net]]
    own = [alias for alias, service in source.links.items() if service == target.name]
    names = filter(None, [target.name, target.container_name, *aliases, *own])
    return Route(call, proxy, tuple(dict.fromkeys(names)), shared)
