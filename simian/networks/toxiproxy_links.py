"""Where each link leads: as the settings say, else worked out from a proxy's name, ``<source>--<target>``: pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from simian.errors import UsageError
from simian.networks.toxiproxy_client import Proxy, Server
from simian.networks.toxiproxy_toxics import is_ours
from simian.topology import Link, Node

_KEYS = ("name", "source", "target", "source_region", "target_region")


def links_from_settings(shapes: object) -> dict[str, Link]:
    """``[{name, source, target, source_region, target_region, ask}]`` by name. Raises UsageError, every problem."""
    if not isinstance(shapes, Sequence) or isinstance(shapes, str):
        raise UsageError("network.links should be a list of {name, source, target, source_region, target_region, ask}")
    problems = [problem for at, shape in enumerate(shapes, 1) for problem in _problems(at, shape)]
    if problems:
        raise UsageError(problems)
    return {shape["name"]: Link(**shape) for shape in shapes}


def _problems(at: int, shape: object) -> list[str]:
    if not isinstance(shape, Mapping):
        return [f"network.links[{at}] should be a mapping with {', '.join(_KEYS)}"]
    missing = [key for key in _KEYS if not isinstance(shape.get(key), str)]
    unknown = [str(key) for key in shape if key not in (*_KEYS, "ask")]
    found = [f"network.links[{at}] lacks {', '.join(missing)}"] if missing else []
    return found + ([f"network.links[{at}] has no {', '.join(unknown)}; drop it"] if unknown else [])


def link_by_name(proxy: Proxy, server: Server, nodes: Iterable[Node], regions: Sequence[str]) -> Link | None:
    """The link that a proxy's name tells of; ``None`` when it is named otherwise or is a note of ours.

    A region is that of the node, or of ``<service>-<region>``, else the region in the name, else the server's.
    """
    source, found, target = proxy.name.partition("--")
    if not found or not source or not target or is_ours(proxy.name):
        return None
    places = list(nodes)
    homes = {f"{node.service}-{node.region}": node.region for node in places if node.region}
    homes |= {node.name: node.region for node in places if node.region}
    into = homes.get(target) or _region_in(target, regions) or server.name
    return Link(
        proxy.name,
        source,
        target,
        homes.get(source) or _region_in(source, regions) or into,
        into,
        ask=f"tcp://{_reachable(proxy.listen, server)}",
    )


def _region_in(name: str, regions: Sequence[str]) -> str:
    return next((region for region in regions if region in name.split("-")), "")


def _reachable(listen: str, server: Server) -> str:
    """A proxy that listens on all addresses is reached where its server is."""
    host, _, port = listen.rpartition(":")
    # What a proxy listens on; it is reached where its server is.
    return f"{urlsplit(server.url).hostname}:{port}" if host in ("", "[::]", "0.0.0.0") else listen  # nosec B104


def servers_from_settings(shape: object) -> list[Server]:
    """``{east: http://host:8474, …}``. Raises UsageError, every problem."""
    if not isinstance(shape, Mapping) or not shape:
        raise UsageError(
            "network.servers should name each Toxiproxy by its region, as in servers: {east: http://127.0.0.1:8474}"
        )
    problems = [
        f"network.servers.{name} is {url!r}; it should be http://host:port"
        for name, url in shape.items()
        if not _is_url(url)
    ]
    if problems:
        raise UsageError(problems)
    return [Server(str(name), str(url).rstrip("/")) for name, url in shape.items()]


def _is_url(url: Any) -> bool:
    parts = urlsplit(str(url))
    try:
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False
