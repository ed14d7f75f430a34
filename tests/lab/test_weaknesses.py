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
    return any(
        hop.startswith("members-east") and ">store-west" in hop for hop in answer.headers["x-lab-trace"].split(",")
    )


async def _stragglers_are_sent_where_nobody_listens(kit: Any, services: Any) -> bool:
    await _settings(services, WEST, misrouted={"mode": "redirect"})
    answer = await services.ask(WEST, "GET", "/profile?member=m", headers={"x-lab-home": "east"})
    assert answer.status == 307
    port = int(answer.headers["location"].split("/")[2].rpartition(":")[2])
    return port not in {node.port for node in kit.layout.nodes_of("gateway", "east")}


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


async def _slow(services: Any, delay: str, *nodes: str) -> None:
    rule = json.dumps({"side": "server", "share": 1.0, "seed": 1, "delay": delay}).encode()
    for node in nodes:
        assert (await services.admin(node, "PUT", "/simian/faults/t.1", rule)).status == 204


def _together(services: Any, node: str, targets: list[str]) -> Any:
    """Answers, or what became of them."""
    return asyncio.gather(*(services.ask(node, "GET", target) for target in targets), return_exceptions=True)


async def _no_quorum_without_zone_a(kit: Any, services: Any) -> bool:
    await services.stop("store-east-a")
    found: list[int] = []

    async def told() -> bool:
        """The first answers may be those of a peer that is found missing."""
        body = json.dumps({"value": 1}).encode()
        found.append((await services.ask("store-east-b", "PUT", "/kv/k", body)).status)
        return found[-1] == 200 or len(found) > 20

    await kit.eventually(told)
    return found[-1] == 503


async def _waits_as_long_as_it_takes(kit: Any, services: Any) -> bool:
    """A store node takes longer than a call to it may, and asks others which do as well."""
    await _slow(services, "constant:300ms", *kit.of_region(kit.layout, "east", "store"))
    return bool((await services.ask(EAST, "GET", "/play?member=m")).status == 200)


async def _asks_again_and_again(kit: Any, services: Any) -> bool:
    rule = {"side": "client", "callee": "store", "share": 1.0, "seed": 1, "status": 503}
    node = "members-east-a"
    assert (await services.admin(node, "PUT", "/simian/faults/t.1", json.dumps(rule).encode())).status == 204
    answer = await services.ask(node, "GET", "/continue?member=m")
    calls = [hop for hop in answer.headers["x-lab-trace"].split(",") if hop.startswith(f"{node}>store")]
    return len(calls) > 3  # each of the three nodes once


async def _works_for_those_who_have_gone(kit: Any, services: Any) -> bool:
    """Every time: once, a healthy node may be done before it notices that they have."""
    rule = {"side": "client", "callee": "store", "share": 1.0, "seed": 1, "delay": "constant:150ms"}
    node = "members-east-a"
    assert (await services.admin(node, "PUT", "/simian/faults/t.1", json.dumps(rule).encode())).status == 204
    return all([await _is_done_for_those_who_go(kit, services, node, turn) for turn in range(4)])


async def _is_done_for_those_who_go(kit: Any, services: Any, node: str, turn: int) -> bool:
    """Writes of clients that hang up when they stand in line; one that stays comes after them."""
    spec, members = kit.layout.node(node), [f"gone-{turn}-{number}" for number in range(4)]
    writers = []
    for member in members:
        _, writer = await asyncio.open_connection(spec.host, spec.port)
        head = f"POST /progress?member={member}&at_us=1 HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n"
        writer.write(head.encode())
        writers.append(writer)

    async def in_line() -> bool:
        return bool((await services.ask(node, "GET", "/headroom")).json()["in_flight"] >= 4)

    await kit.eventually(in_line)
    for writer in writers:
        writer.close()
    await kit.eventually(lambda: _answered_well(services, node, "/play?member=stays"))
    rows = [await services.ask("store-east-a", "GET", f"/replica/progress:{member}") for member in members]
    return all(row.status == 200 for row in rows)


async def _answered_well(services: Any, node: str, target: str) -> bool:
    return bool((await services.ask(node, "GET", target)).status == 200)


async def _takes_in_all_there_is(kit: Any, services: Any) -> bool:
    await _settings(services, EAST, limit={"concurrency": 1})
    await _slow(services, "constant:100ms", *kit.of_region(kit.layout, "east", "members"))
    await _together(services, EAST, [f"/profile?member=m{number}" for number in range(8)])
    return bool((await services.admin(EAST, "GET", "/admin/arrivals")).json()["shed"] == 0)


async def _can_do_little(kit: Any, services: Any) -> bool:
    """It says so, and it is so: what sixteen users ask for at once would take longer than anybody waits."""
    answers = await _together(services, "members-west-a", [f"/play?member=m{number}" for number in range(16)])
    shed = [answer for answer in answers if getattr(answer, "headers", {}).get("retry-after")]
    told = (await services.ask("members-west-a", "GET", "/headroom")).json()["capacity_rps"]
    assert bool(shed) == (told < 100), (len(shed), told)
    return bool(shed)


async def _sessions_are_known_to_one_node(kit: Any, services: Any) -> bool:
    first = await _ask(kit, services, "members-east-a", "/profile?member=m")
    session = first.headers.get("x-lab-session", "none")
    again, elsewhere = [
        await _ask(kit, services, f"members-east-{zone}", "/profile?member=m", **{"x-lab-session": session})
        for zone in "ab"
    ]
    assert again.status == 200
    return bool(elsewhere.status == 401)


SHOWN: dict[str, tuple[Look, tuple[str, ...]]] = {
    "single-instance": (_one_members_node_serves, ("gateway", "members", "store")),
    "gateway-pinned-to-zone": (_one_members_node_serves, ("gateway", "members", "store")),
    "quorum-in-one-zone": (_no_quorum_without_zone_a, ("store",)),
    "no-timeouts": (_waits_as_long_as_it_takes, ("gateway", "members", "store")),
    "retry-storm": (_asks_again_and_again, ("members", "store")),
    "unbounded-queue": (_works_for_those_who_have_gone, ("members", "store")),
    "no-shedding": (_takes_in_all_there_is, ("gateway", "members", "store")),
    "too-little-headroom": (_can_do_little, ("members", "store")),
    "session-in-memory": (_sessions_are_known_to_one_node, ("members", "store")),
    "cross-region-read": (_reads_abroad, ("gateway", "members", "store")),
    "lost-invalidations": (_messages_are_forgotten, ("queue",)),
    "dropped-hints": (_far_replicas_miss_a_write, ("store",)),
    "wrong-clock": (_later_writes_lose, ("gateway", "members", "store")),
    "stragglers-fail": (_stragglers_are_sent_where_nobody_listens, ("gateway",)),
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


def test_what_is_too_little_for_many_users_is_as_little_for_few() -> None:
    assert WEAKNESSES["unbounded-queue"].at(20.0)["members"]["capacity_rps"] == 10.0
    assert WEAKNESSES["too-little-headroom"].at(50.0)["members-west"]["capacity_rps"] > 50.0 / 4  # not in proportion
    assert [WEAKNESSES["unbounded-queue"].at(rate)["members"]["workers"] for rate in (200.0, 50.0)] == [2, 1]
    for one in WEAKNESSES.values():
        assert one.at(200.0) == one.changes


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
