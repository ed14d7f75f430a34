"""After a region's return its caches are warm before users come."""

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from simian_lab.members_warming import keys_to_warm

pytestmark = pytest.mark.lab
EAST = "members-east-a"


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def _shown(services: Any, node: str, path: str) -> tuple[Any, list[str]]:
    answer = await services.ask(node, "GET", path)
    assert answer.status == 200, answer.body
    return answer.json(), answer.headers["x-lab-trace"].split(",")


def test_profile_and_progress_of_each_member_lately_seen_are_warmed() -> None:
    recent = ["played:ann", "deep", "progress:bob", "progress:ann"]
    assert keys_to_warm(recent) == ["profile:ann", "progress:ann", "profile:bob", "progress:bob"]
    assert keys_to_warm([]) == []


def test_a_region_that_returns_answers_its_first_users_from_warm_caches(kit: Any) -> None:
    async def test() -> None:
        lost = kit.of_region(kit.layout, "east", "cache", "store", "members")
        async with kit.running(kit.layout, kit.folder, "proxy-east", "queue-east", *lost) as services:
            for number in range(40):
                path = f"/progress?member=m{number}&title=title-{number}&position_s=7"
                assert (await services.ask(EAST, "POST", path)).status == 200
            assert (await services.ask(EAST, "GET", "/play?member=player")).status == 200
            await services.stop(*lost)
            await services.start(lost)
            for zone in "abc":
                node, hit = f"members-east-{zone}", [f"members-east-{zone}>cache-east-{zone}+"]
                for number in range(40):
                    shown, hops = await _shown(services, node, f"/continue?member=m{number}")
                    assert hops == hit
                    assert shown["progress"] == {"title": f"title-{number}", "position_s": 7}
                shown, hops = await _shown(services, node, "/profile?member=player")
                assert (shown["profile"]["name"], hops) == ("Player", hit)
                told = (await services.ask(node, "GET", "/headroom")).json()
                assert (told["cache_hits"], told["cache_misses"]) == (41, 0)

    _run(test())


def test_a_cache_that_has_something_newer_keeps_it(kit: Any) -> None:
    async def test() -> None:
        names = ["proxy-east", *kit.of_region(kit.layout, "east", "cache", "store")]
        async with kit.running(kit.layout, kit.folder, *names) as services:
            for number in range(10):
                body = json.dumps({"value": "stored", "timestamp_us": 10}).encode()
                assert (await services.ask("store-east-a", "PUT", f"/kv/progress:m{number}", body)).status == 200
            spec = services.layout.node("cache-east-a")
            reader, writer = await asyncio.open_connection(spec.host, spec.port)
            item = b'{"timestamp_us":20,"value":"newer"}'
            writer.write(b"set progress:m3 0 0 %d\r\n%b\r\n" % (len(item), item))
            assert await reader.readline() == b"STORED\r\n"
            writer.close()
            await services.start([EAST])
            found = [await _shown(services, EAST, f"/continue?member=m{number}") for number in range(10)]
            assert {hops[0] for _, hops in found} == {f"{EAST}>cache-east-a+"}
            assert [shown["progress"] for shown, _ in found] == ["stored"] * 3 + ["newer"] + ["stored"] * 6

    _run(test())


def test_a_members_node_whose_cache_is_full_reads_nothing_for_it(kit: Any) -> None:
    async def test() -> None:
        names = ["proxy-east", *kit.of_region(kit.layout, "east", "cache", "store"), EAST]
        async with kit.running(kit.layout, kit.folder, *names) as services:
            assert (await services.ask(EAST, "POST", "/progress?member=m1&title=x")).status == 200
            assert (await services.ask(EAST, "GET", "/profile?member=m1")).status == 200

            async def kept() -> bool:
                answers = [await _shown(services, EAST, f"/{path}?member=m1") for path in ("profile", "continue")]
                return all(hops == [f"{EAST}>cache-east-a+"] for _, hops in answers)

            await kit.eventually(kept)
            await services.stop(EAST)
            assert (await services.ask("store-east-a", "GET", "/recent")).json() == {"keys": ["progress:m1"]}
            for zone in "abc":  # no quorum: what would have to be read could not be
                rule = json.dumps(
                    {"side": "client", "share": 1.0, "seed": 1, "status": 503, "callee": "store"}
                ).encode()
                await services.admin(f"store-east-{zone}", "PUT", "/simian/faults/m.1", rule)
            began = time.monotonic()
            await services.start([EAST])
            assert await kept()
            print(f"ready after {time.monotonic() - began:.3f} s")

    _run(test())


def test_without_cache_and_store_a_members_node_is_ready_all_the_same(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, EAST) as services:
            assert (await services.ask(EAST, "GET", "/headroom")).status == 200

    _run(test())
