"""What ``simian doctor`` says of links: whether traffic really flows through the proxies that are to carry it."""

from collections.abc import Iterator, Mapping
from typing import Any

from simian.errors import SimianError
from simian.topology import Link
from simian.world import SeesWays, Way, World

MEND = "start it anew with the override file: docker compose -f … -f compose.simian.yaml up -d"


def ways_of_links(world: World, settings: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Link, finding, whether it is as it should be; nothing where links have no proxies, or nobody can look.

    ``settings``: the section ``network`` of the configuration; only its listed links are chosen ones.
    """
    chosen = {str(one.get("name")) for one in settings.get("links") or () if isinstance(one, Mapping)}
    if settings.get("driver") != "toxiproxy" or not isinstance(world.observer, SeesWays):
        return
    nodes = settings.get("nodes") or {}
    for link in world.network.links():
        if link.name in chosen:
            yield (link.name, *_way(world, world.observer, link, nodes))


def _way(world: World, observer: SeesWays, link: Link, nodes: Mapping[str, str]) -> tuple[str, bool]:
    try:
        proxy = world.network.read(link.name).proxy
        server = str(proxy["server"])
        port = int(str(proxy["listen"]).rpartition(":")[2])
        ways = observer.way(link, nodes.get(server, f"proxy-{server}"), port)
    except SimianError as error:
        return f"cannot be told: {error}", False
    wrong = [text for name, way in ways.items() if (text := _wrong(name, way, link))]
    if wrong or not ways:
        return "; ".join(wrong) or f"cannot be told: {link.source} is down", False
    through = sum(way.through for way in ways.values())
    if through:
        return f"through its proxy: {through} connections, none past it", True
    return "its name leads to the proxy; no connection is open just now", True


def _wrong(name: str, way: Way, link: Link) -> str:
    if way.past:
        return f"round the proxy: {name} has {way.past} connections straight to {link.target}; {MEND}"
    if way.led_past:
        return f"round the proxy: in {name} the target's name leads to {', '.join(way.leads)}; {MEND}"
    if not way.leads and not way.through:
        return f"cannot be told: in {name} the target's name leads nowhere, and no connection is open; is it running?"
    return ""
