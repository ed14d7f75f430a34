"""Links that run through Toxiproxy servers (2.12, or what speaks the same API).

Settings: ``{driver: toxiproxy, servers: {east: URL, west: URL}}`` and optionally ``links`` (a list of ``{name, source,
target, source_region, target_region, ask}``; else a proxy's name says it: ``<source>--<target>``) and ``nodes``
(``{east: NODE}``: which node of the platform runs that server; else ``proxy-<server>``). Start a server with
``-config``: it keeps its proxies in memory alone.

Only TCP. Delays are whole ms, drawn for each chunk of data; a delay in both directions is given in each. Of what is in
place at a server only what carries our marks is ever removed; ``/reset`` is never called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simian_filters.distribution import Distribution

from simian.errors import DriverError, NoSuchTarget, Unsupported, UsageError
from simian.networks import toxiproxy_toxics as toxics
from simian.networks.toxiproxy_client import Proxy, Server, Toxic
from simian.networks.toxiproxy_links import link_by_name, links_from_settings, servers_from_settings
from simian.networks.toxiproxy_mending import Mending
from simian.networks.toxiproxy_toxics import approximation
from simian.topology import Link, Node
from simian.world import CutHow, Direction, LinkReading

_SETTINGS = ("driver", "servers", "links", "nodes")
__all__ = ["ToxiproxyNetwork", "approximation", "from_settings"]


class ToxiproxyNetwork:
    """Driver of the port ``Network``; make it with ``from_settings``."""

    def __init__(
        self, servers: Sequence[Server], links: Mapping[str, Link], nodes: Mapping[str, str], shared: Mapping[str, Any]
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._links = links
        self._nodes = nodes
        self._shared = shared  # the platform may be put there after us

    def links(self) -> Sequence[Link]:
        """Every link of the settings, or every proxy that is named as one."""
        proxies = [(server, proxy) for server in self._servers.values() for proxy in server.proxies().values()]
        if self._links:
            states = {proxy.name: toxics.state_of(proxy) for _, proxy in proxies}
            return [replace(link, state=states.get(name, "unknown")) for name, link in self._links.items()]
        nodes: Sequence[Node] = self._shared["platform"].nodes() if "platform" in self._shared else ()
        found = [(proxy, link_by_name(proxy, server, nodes, list(self._servers))) for server, proxy in proxies]
        return [replace(link, state=toxics.state_of(proxy)) for proxy, link in found if link is not None]

    def read(self, link: str) -> LinkReading:
        """One link; ``proxy`` has its server, its addresses and the toxics that are not ours."""
        server, proxy = self._find(link)
        strangers = toxics.foreign(proxy.toxics)
        shape = {
            "server": server.name,
            "name": link,
            "listen": proxy.listen,
            "upstream": proxy.upstream,
            "enabled": proxy.enabled,
            "toxics": [toxic.to_json() for toxic in strangers],
        }
        names = tuple(toxic.name for toxic in strangers)
        return LinkReading(link, proxy.enabled, toxics.own_marks(proxy), names, shape)

    def unsupported(self, kind: str, *, how: str = "", direction: str = "both", by: Distribution | None = None) -> str:
        """Why Toxiproxy cannot do that; empty when it can."""
        return toxics.unsupported(kind, how=how, direction=direction, by=by)

    def caveat(self, kind: str, *, by: Distribution | None = None) -> str:
        """Toxiproxy throws its own die for delays, and knows even draws only."""
        if kind != "delay" or by is None or by.kind == "constant":
            return ""
        told = ["Toxiproxy draws delays itself: no seed reaches them", toxics.approximation(by)]
        return "; ".join(filter(None, told))

    def cut(self, link: str, mark: str, *, how: CutHow, direction: Direction) -> None:
        """``refuse``: a flag with our mark, then disabled. ``blackhole``: a time-out that never comes."""
        self._check(link, mark, toxics.unsupported("cut", how=how, direction=direction))
        if how == "blackhole":
            self._put(link, toxics.blackhole(mark, direction))
            return
        server, _ = self._put(link, [toxics.flag(mark)])
        server.enable(link, False)
        if server.proxy(link).enabled:
            raise DriverError(f"{link} was disabled, but {server} says that it is enabled")

    def delay(self, link: str, mark: str, *, by: Distribution, direction: Direction) -> None:
        """A latency on the streams of the direction; ``approximation(by)`` tells how near it is to ``by``."""
        self._check(link, mark, toxics.unsupported("delay", direction=direction, by=by))
        self._put(link, toxics.latency(mark, direction, by))

    def throttle(self, link: str, mark: str, *, rate_kb_s: float, direction: Direction) -> None:
        """A bandwidth on the streams of the direction, rounded to whole KB/s."""
        self._check(link, mark, toxics.unsupported("throttle", direction=direction))
        self._put(link, toxics.bandwidth(mark, direction, rate_kb_s))

    def mend(self, link: str, mark: str, was: LinkReading) -> None:
        """See ``toxiproxy_mending``. May take up to half a minute when the server has to be restarted."""
        self._check(link, mark, "")
        try:
            server = self._home(link, mark, was)
        except NoSuchTarget:
            return
        Mending(server, link, mark, was, lambda: self._restart(server))()

    def marks(self) -> Sequence[tuple[str, str]]:
        """Our toxics on every server, and links that we died over while making them anew."""
        found: dict[tuple[str, str], None] = {}
        for server in self._servers.values():
            for proxy in server.proxies().values():
                found |= dict.fromkeys((proxy.name, mark) for mark in toxics.own_marks(proxy))
                note = toxics.noted(proxy.name)
                if note is not None:
                    found[note] = None
        return list(found)

    def _check(self, link: str, mark: str, why: str) -> None:
        toxics.check_mark(mark)
        why = why or toxics.check_link(link)
        if why:
            raise Unsupported(f"{link}: {why}")

    def _put(self, link: str, wanted: Sequence[Toxic]) -> tuple[Server, Proxy]:
        """Ensure these toxics and read them back."""
        server, proxy = self._find(link)
        present = {toxic.name: toxic for toxic in proxy.toxics}
        for toxic in wanted:
            _ensure(server, link, toxic, present.get(toxic.name))
        proxy = server.proxy(link)
        missing = [toxic.name for toxic in wanted if toxic not in proxy.toxics]
        if missing:
            raise DriverError(f"{', '.join(missing)} was put on {link}, but {server} does not have it as asked")
        return server, proxy

    def _find(self, link: str) -> tuple[Server, Proxy]:
        """The proxy and the server it is on. One server that fails does not hide what another one has."""
        why = toxics.check_link(link)
        if why:
            raise Unsupported(why)
        failed: DriverError | None = None
        for server in self._likely_first(link):
            try:
                return server, server.proxy(link)
            except NoSuchTarget:
                continue
            except DriverError as error:
                failed = failed or error
        raise failed or NoSuchTarget(f"no Toxiproxy has a proxy called {link!r}: asked {', '.join(self._servers)}")

    def _likely_first(self, link: str) -> list[Server]:
        known = self._links.get(link)
        return sorted(self._servers.values(), key=lambda server: known is None or server.name != known.target_region)

    def _home(self, link: str, mark: str, was: LinkReading) -> Server:
        """The server that the reading before names, without asking it: it may not answer any more."""
        named = self._servers.get(str(was.proxy.get("server")))
        if named is not None:
            return named
        try:
            return self._find(link)[0]
        except NoSuchTarget:
            return self._find(toxics.note_of(mark, link))[0]

    def _restart(self, server: Server) -> None:
        node = self._nodes.get(server.name, f"proxy-{server.name}")
        platform = self._shared.get("platform")
        try:
            if platform is None:
                raise NoSuchTarget("there is no platform to restart it with")
            platform.crash(node)
            platform.start(node)
        except NoSuchTarget as error:
            raise DriverError(
                f"{server} does not answer any more and cannot be restarted ({error}); restart it by "
                'hand, then run "simian recover"'
            ) from error


def _ensure(server: Server, link: str, wanted: Toxic, present: Toxic | None) -> None:
    if present == wanted:
        return
    if present is None:
        server.add(link, wanted)
    elif (present.type, present.stream) == (wanted.type, wanted.stream):
        server.update(link, wanted.name, toxicity=wanted.toxicity, attributes=dict(wanted.attributes))
    else:
        raise DriverError(
            f"{link} carries {present.name} already, as {present.type} on its {present.stream}; "
            f"{wanted.type} on {wanted.stream} was asked; mend it first"
        )


def from_settings(settings: Mapping[str, Any], shared: dict[str, Any]) -> ToxiproxyNetwork:
    """The driver of these settings; ``shared["platform"]`` is used once it is there. Raises UsageError."""
    unknown = [key for key in settings if key not in _SETTINGS]
    if unknown:
        known = ", ".join(_SETTINGS[1:])
        raise UsageError(f"network.{key} is no setting of driver 'toxiproxy'; it has: {known}" for key in unknown)
    servers = servers_from_settings(settings.get("servers"))
    nodes = settings.get("nodes") or {}
    if not isinstance(nodes, Mapping):
        raise UsageError("network.nodes should say which node runs which server, as in nodes: {east: proxy-east}")
    return ToxiproxyNetwork(servers, links_from_settings(settings.get("links") or []), nodes, shared)
