"""The world as it is: what must be equal before and after a run (DESIGN: "the world as before means equal")."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from simian.errors import DriverError
from simian.hands import Hands
from simian.topology import Topology
from simian.traffic import Shares, as_plain
from simian.world import World

Snapshot = dict[str, dict[str, dict[str, Any]]]
DEADLINE_S = 10.0
PARTS = ("nodes", "links", "rules", "shares", "modes")


def topology_of(world: World, system: str) -> Topology:
    """Regions, zones, nodes and links as seen now. Raises DriverError."""
    shares: Shares = {}
    why = ""
    try:
        shares = world.steering.shares()
    except DriverError as error:
        why = str(error)  # whoever moves users refuses then, the others have no need of it
    filtered = set(world.requests.nodes())  # a platform need not know what is mounted in its nodes
    nodes = tuple(replace(node, filters=node.filters or node.name in filtered) for node in world.platform.nodes())
    return Topology(system, nodes, tuple(world.network.links()), shares, why)


def take(world: World, hands: Hands) -> Snapshot:
    """Nodes' states and readiness, links, rules of services, where users go, modes of gateways. Raises DriverError."""
    nodes, links = list(world.platform.nodes()), list(world.network.links())
    filtered = list(world.requests.nodes())
    ready = hands.each([partial(world.platform.ready, n.name) for n in nodes], deadline_s=DEADLINE_S)
    read = hands.each([partial(world.network.read, k.name) for k in links], deadline_s=DEADLINE_S)
    rules = hands.each([partial(_rules, world, name) for name in filtered], deadline_s=DEADLINE_S)
    for done in [*ready, *read, *rules]:
        if done.error is not None:
            raise DriverError(f"the world could not be read whole: {done.error}") from done.error
    return {
        "nodes": {
            n.name: {"state": n.state, "ready": done.value, "address": n.address}
            for n, done in zip(nodes, ready, strict=True)
        },
        "links": {
            k.name: {"enabled": d.value.enabled, "marks": list(d.value.marks), "foreign": list(d.value.foreign)}
            for k, d in zip(links, read, strict=True)
        },
        "rules": {name: {"marks": done.value} for name, done in zip(filtered, rules, strict=True)},
        "shares": _shares(world),
        "modes": {name: as_plain(modes) for name, modes in world.steering.modes().items()},
    }


def _shares(world: World) -> dict[str, dict[str, Any]]:
    marks = world.steering.marks()
    return {
        home: {"shares": dict(row), "marks": sorted(mark for at, mark in marks if at == home)}
        for home, row in world.steering.shares().items()
    }


def _rules(world: World, node: str) -> list[str]:
    try:
        return sorted(reading.rule.mark for reading in world.requests.rules(node))
    except DriverError:
        # A service that is down has no rules in place: they live in its memory. Its state says that it is down.
        return []


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What differs, by the name of the node or link, a sentence each; not what was not ready yet, and is."""
    found: dict[str, str] = {}
    for part in PARTS:
        earlier, later = before.get(part, {}), after.get(part, {})
        for name in sorted({*earlier, *later}):
            was, now = earlier.get(name), later.get(name)
            if was != now and not _has_come_up(was, now):
                found[name] = f"{found[name]}; " if name in found else ""
                found[name] += f"{name}: {_told(was, now)}"
    return found


def _has_come_up(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Better than before: nothing that a run should wait for to be as bad again."""
    if was is None or now is None or was.get("ready") is not False:
        return False
    return now == {**was, "ready": True}


def _told(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if was is None or now is None:
        return "was not there before" if was is None else "is not there any more"
    return ", ".join(f"{key} was {was[key]!r}, is {now[key]!r}" for key in was if was[key] != now.get(key))
