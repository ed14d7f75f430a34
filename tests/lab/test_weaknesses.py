"""Each weakness shows in the behaviour of the nodes concerned, and the healthy lab does not have it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from simian_lab.layout import Layout
from simian_lab.manifest import Files, LabError, Manifest
from simian_lab.options import HEALTHY, Options
from simian_lab.weaknesses import WEAKNESSES, weakness

from simian.load.system import System

EAST, WEST = "gateway-east-b", "gateway-west-a"
Look = Callable[[Any, Any], Awaitable[bool]]


def _nodes(kit: Any, *services: str) -> list[str]:
    return [name for region in ("east", "west") for name in kit.of_region(kit.layout, region, *services)]


async def _settings(services: Any, node: str, **patch: Any) -> None:
    answer = await services.admin(node, "PATCH", "/admin/settings", json.dumps(patch).encode())
    assert answer.status == 200, answer.body


async def _ask(kit: Any, services: Any, node: str, target: str, **headers: str) -> Any:
    """An answer that is no sign of a busy machine."""
    found: list[Any] = []

    async def answered() -> bool:
        method = "POST" if target.startswith("/progress") else "GET"
        found.append(await services.ask(node, method, target, headers=headers))
        return found[-1].status not in (502, 503)

    await kit.eventually(answered)
    return found[-1]


async def _one_members_node_serves(kit: Any, services: Any) -> bool:
    """Gateways of other zones send what is theirs to the members node of zone a."""
    answer = await _ask(kit, services, EAST, "/profile?member=m")
    return answer.headers["x-lab-served-by"] == "members-east-a"


async def _reads_abroad(kit: Any, services: Any) -> bool:
    answer = await _ask(kit, services, EAST, "/play?member=m")
    return "members-east-b>store-west" in answer.headers["x-lab-trace"]


async def _stragglers_fail(kit: Any, services: Any) -> bool:
    answer = await _ask(kit, services, WEST, "/profile?member=m", **{"x-lab-home": "east"})
    assert answer.status in (200, 421)
    return answer.status == 421


async def _failover_is_only_shown(kit: Any, services: Any) -> bool:
    await _settings(services, WEST, failover={"regions": ["east"], "owner": "k7"})
    shown = (await services.admin(WEST, "GET", "/admin/settings")).json()
    assert shown["failover"] == {"regions": ["east"], "owner": "k7"}
    answer = await _ask(kit, services, WEST, "/profile?member=m", **{"x-lab-home": "east"})
    return answer.headers["x-lab-way"] == "isthmus"


async def _later_writes_lose(kit: Any, services: Any) -> bool:
    now_us = time.time_ns() // 1000
    for node, at_us, position in ((EAST, now_us, 1), (EAST.replace("east", "west"), now_us + 1, 2)):
        await _ask(kit, services, node, f"/progress?member=m&title=t&position_s={position}&at_us={at_us}")

    async def same() -> bool:
        rows = [await services.ask(node, "GET", "/replica/progress:m") for node in _nodes(kit, "store")]
        return len({row.body for row in rows}) == 1 and rows[0].status == 200

    await kit.eventually(same)
    row = (await services.ask("store-east-a", "GET", "/replica/progress:m")).json()
    return bool(row["value"]["position_s"] == 1)


async def _far_replicas_miss_a_write(kit: Any, services: Any) -> bool:
    """A write while the stores of west are away; another once they are back shows that the way is free again."""
    west = kit.of_region(kit.layout, "west", "store")
    await services.stop(*west)

    async def written(key: str) -> bool:
        body = json.dumps({"value": 1}).encode()
        return (await services.ask("store-east-a", "PUT", f"/kv/{key}", body)).status == 200

    async def waits_for_nobody() -> bool:
        told = (await services.ask("store-east-a", "GET", "/admin/hints")).json()["hints"]
        return all(told.get(name, 0) == 0 for name in west)

    await kit.eventually(lambda: written("first"))
    until = time.monotonic() + 3.0
    while not (thrown_away := await waits_for_nobody()) and time.monotonic() < until:
        await asyncio.sleep(0.05)
    await services.start(west)
    await kit.eventually(lambda: written("second"))

    async def arrived(key: str) -> bool:
        return all([(await services.ask(name, "GET", f"/replica/{key}")).status == 200 for name in west])

    await kit.eventually(lambda: arrived("second"))
    if not thrown_away:
        await kit.eventually(lambda: arrived("first"))
    return not await arrived("first")


async def _messages_are_forgotten(kit: Any, services: Any) -> bool:
    async def do(target: str, **fields: Any) -> Any:
        headers = {"x-amz-target": f"AmazonSQS.{target}", "content-type": "application/x-amz-json-1.0"}
        answer = await services.ask("queue-east", "POST", "/", json.dumps(fields).encode(), headers)
        assert answer.status == 200, answer.body
        return answer.json()

    url = (await do("CreateQueue", QueueName="q"))["QueueUrl"]
    await do("SendMessage", QueueUrl=url, MessageBody="forget k")
    until = time.monotonic() + 3.0
    while (told := await do("ReceiveMessage", QueueUrl=url, VisibilityTimeout=0)).get("Messages"):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.05)
    return not told.get("Messages")


async def _users_are_told_of_sticky_resolvers(kit: Any, services: Any) -> bool:
    """What such resolvers do is shown in tests/load; here, that a lab's manifest brings it to the users."""
    manifest = {**kit.layout.to_json(), "seed": 1, "changes": services.changes}
    return System.from_json(manifest).sticky_share > 0


SHOWN: dict[str, tuple[Look, tuple[str, ...]]] = {
    "single-instance": (_one_members_node_serves, ("gateway", "members", "store")),
    "gateway-pinned-to-zone": (_one_members_node_serves, ("gateway", "members", "store")),
    "cross-region-read": (_reads_abroad, ("gateway", "members", "store")),
    "lost-invalidations": (_messages_are_forgotten, ("queue",)),
    "dropped-hints": (_far_replicas_miss_a_write, ("store",)),
    "wrong-clock": (_later_writes_lose, ("gateway", "members", "store")),
    "stragglers-fail": (_stragglers_fail, ("gateway", "members", "store")),
    "failover-mode-ignored": (_failover_is_only_shown, ("gateway", "members", "store")),
    "sticky-resolver": (_users_are_told_of_sticky_resolvers, ()),
}


@pytest.mark.lab
@pytest.mark.parametrize("planted", [True, False], ids=["planted", "healthy"])
@pytest.mark.parametrize("name", list(WEAKNESSES))
def test_the_flaw_is_there_when_planted_and_not_otherwise(kit: Any, name: str, planted: bool) -> None:
    look, services_used = SHOWN[name]
    flaw = WEAKNESSES[name]

    async def test() -> None:
        away = flaw.absent if planted else frozenset[str]()
        names = ["proxy-east", "proxy-west", *(one for one in _nodes(kit, *services_used) if one not in away)]
        changes = flaw.changes if planted else {}
        async with kit.running(kit.layout, kit.folder, *names, changes=changes) as services:
            assert await look(kit, services) is planted

    _run(test())


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 90))


def test_every_weakness_is_shown_and_names_nodes_and_options_that_there_are() -> None:
    layout = Layout.compute(0, own_addresses=True)
    nodes = {node.name for node in layout.nodes}
    assert SHOWN.keys() == WEAKNESSES.keys()
    for flaw in WEAKNESSES.values():
        assert flaw.absent <= nodes
        changed = {name for name in nodes if Options.of(name, flaw.changes) != HEALTHY}
        assert changed, flaw.name
        for scope in flaw.changes:
            assert any(name == scope or name.startswith(f"{scope}-") for name in nodes), scope


def test_options_go_from_the_service_to_the_node() -> None:
    changes = {
        "store": {"keeps_hints": False},
        "store-east": {"clock_ahead_s": 1.0},
        "store-east-b": {"clock_ahead_s": 2},
    }
    assert Options.of("store-west-a", changes) == Options(keeps_hints=False)
    assert Options.of("store-east-a", changes) == Options(keeps_hints=False, clock_ahead_s=1.0)
    assert Options.of("store-east-b", changes) == Options(keeps_hints=False, clock_ahead_s=2)
    assert Options.of("gateway-east-a", changes) == HEALTHY


def test_an_unknown_weakness_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(LabError, match="single-instance, gateway-pinned-to-zone"):
        weakness("all-is-well")
    assert weakness("") is None


def test_the_manifest_keeps_it_for_nodes_that_are_started_later(tmp_path: Path) -> None:
    flaw = WEAKNESSES["wrong-clock"]
    files = Files.inside(tmp_path)
    files.make([])
    layout = Layout.compute(0, own_addresses=True)
    given: dict[str, Any] = {"seed": 1, "rate": 1.0, "held": flaw.absent, "real": {}}
    first = Manifest.first(files, layout, **given, weakness=flaw.name, changes=flaw.changes)
    first.write()
    again = Manifest.read(files.manifest)
    assert (again.weakness, again.changes) == (flaw.name, flaw.changes)
    assert Options.of("members-east-c", again.changes).clock_ahead_s == 5.0
