"""The mid-tier service over real caches, stores, queues and proxies of a whole region or two."""

import asyncio
import json
import socket
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from simian_lab.members import Load

pytestmark = pytest.mark.lab
EAST = "members-east-a"


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def _region(kit: Any, region: str) -> list[str]:
    return [f"proxy-{region}", f"queue-{region}", *kit.of_region(kit.layout, region, "cache", "store", "members")]


async def _trace(services: Any, node: str, method: str, path: str) -> tuple[Any, list[str]]:
    answer = await services.ask(node, method, path)
    assert answer.status == 200, answer.body
    return answer.json(), answer.headers["x-lab-trace"].split(",")


def test_a_profile_comes_from_the_store_once_and_then_from_the_nearest_cache(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_region(kit, "east")) as services:

            async def cached() -> bool:
                shown, hops = await _trace(services, EAST, "GET", "/profile?member=m1")
                assert shown["profile"]["name"] == "M1"
                return hops == [f"{EAST}>cache-east-a+"]

            _, first = await _trace(services, EAST, "GET", "/profile?member=m1")
            assert first[:2] == [f"{EAST}>cache-east-a-", f"{EAST}>store-east-a"]
            await kit.eventually(cached)
            told = (await services.ask(EAST, "GET", "/headroom")).json()
            assert told["cache_hits"] >= 1
            assert told["cache_misses"] >= 1

    _run(test())


def test_no_call_on_a_requests_path_crosses_regions(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_region(kit, "east")) as services:
            for method, path in (("GET", "/play"), ("GET", "/profile"), ("GET", "/continue"), ("POST", "/progress")):
                _, hops = await _trace(services, EAST, method, f"{path}?member=m1")
                waited_for = [hop for hop in hops if not hop.endswith("~")]
                assert waited_for
                assert not [hop for hop in waited_for if "west" in hop]

    _run(test())


def test_progress_is_shown_everywhere_and_a_late_try_does_not_win(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_region(kit, "east")) as services:
            now_us = time.time_ns() // 1000
            await _trace(services, EAST, "POST", f"/progress?member=m1&at_us={now_us}&title=new&position_s=7")
            await _trace(
                services, "members-east-b", "POST", f"/progress?member=m1&at_us={now_us - 5_000_000}&title=old"
            )
            for zone in "abc":

                async def new(zone: str = zone) -> bool:
                    shown, _ = await _trace(services, f"members-east-{zone}", "GET", "/continue?member=m1")
                    return bool(shown["progress"] == {"title": "new", "position_s": 7})

                await kit.eventually(new)

    _run(test())


def test_a_write_in_one_region_takes_the_old_value_out_of_the_others_caches(kit: Any) -> None:
    async def test() -> None:
        names = [*_region(kit, "east"), *_region(kit, "west")]
        async with kit.running(kit.layout, kit.folder, *names) as services:

            async def progress(node: str) -> Any:
                return (await _trace(services, node, "GET", "/continue?member=m1"))[0]["progress"]

            for zone in "abc":  # all caches of the west hold that there is nothing
                assert await progress(f"members-west-{zone}") is None
            await _trace(services, EAST, "POST", "/progress?member=m1&title=new")
            for zone in "abc":

                async def new(zone: str = zone) -> bool:
                    shown = await progress(f"members-west-{zone}")
                    return shown is not None and shown["title"] == "new"

                await kit.eventually(new)

    _run(test())


def test_without_caches_and_queue_users_are_served_from_the_store(kit: Any) -> None:
    async def test() -> None:
        stores = kit.of_region(kit.layout, "east", "store")
        async with kit.running(kit.layout, kit.folder, EAST, *stores) as services:
            _, hops = await _trace(services, EAST, "GET", "/play?member=m1")
            assert f"{EAST}>cache-east-a!" in hops
            await _trace(services, EAST, "POST", "/progress?member=m1&title=x")
            shown, _ = await _trace(services, EAST, "GET", "/continue?member=m1")
            assert shown["progress"]["title"] == "x"
            headroom = (await services.ask(EAST, "GET", "/headroom")).json()
            assert headroom["announcements_waiting"] == 1
            await services.start(["proxy-east", "queue-east"])

            async def announced() -> bool:
                return bool((await services.ask(EAST, "GET", "/headroom")).json()["announcements_waiting"] == 0)

            await kit.eventually(announced)

    _run(test())


def test_a_lost_store_node_costs_no_request(kit: Any) -> None:
    async def test() -> None:
        stores = kit.of_region(kit.layout, "east", "store")
        async with kit.running(kit.layout, kit.folder, EAST, *stores) as services:
            await services.stop("store-east-a")
            _, hops = await _trace(services, EAST, "GET", "/play?member=m1")
            assert f"{EAST}>store-east-a!" in hops
            assert f"{EAST}>store-east-b" in hops
            await services.stop("store-east-b")
            answer = await services.ask(EAST, "GET", "/play?member=m1")
            assert answer.status == 503

    _run(test())


def test_a_request_without_a_proper_member_is_refused(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, EAST) as services:
            for path in ("/play", "/play?member=", "/play?member=a%20b", f"/play?member={'x' * 101}"):
                assert (await services.ask(EAST, "GET", path)).status == 400
            assert (await services.ask(EAST, "POST", "/progress?member=m&at_us=soon")).status == 400
            assert (await services.ask(EAST, "GET", "/nothing?member=m")).status == 404
            health = await services.ask(EAST, "GET", "/health?size_b=5000")
            assert (health.headers["x-lab-incarnation"], len(health.body)) == ("7-7", 5000)

    _run(test())


def test_client_side_faults_are_met_behind_and_told(kit: Any) -> None:
    async def test() -> None:
        stores = kit.of_region(kit.layout, "east", "store")
        caches = kit.of_region(kit.layout, "east", "cache")
        async with kit.running(kit.layout, kit.folder, EAST, "proxy-east", *stores, *caches) as services:
            assert (await services.ask(EAST, "GET", "/deep")).status == 200
            for number, callee in enumerate(("cache", "store")):
                rule = {"side": "client", "share": 1.0, "seed": 1, "status": 503, "callee": callee}
                await services.admin(EAST, "PUT", f"/simian/faults/m.{number}", json.dumps(rule).encode())
                answer = await services.ask(EAST, "GET", "/deep")
                assert (answer.status, answer.headers["x-simian-faults"]) == (503, f"m.{number}")
                await services.admin(EAST, "DELETE", f"/simian/faults/m.{number}")
            assert (await services.ask(EAST, "GET", "/deep")).status == 200

    _run(test())


def test_load_counts_the_last_seconds_only() -> None:
    now = [100.0]
    load = Load(lambda: now[0])
    load.begun()
    now[0] += 10.0
    for _ in range(50):
        load.begun()
        load.ended()
    assert load.rps() == 10.0
    now[0] += 5.1
    assert load.rps() == 0.0
    assert load.in_flight == 1


def test_the_load_of_a_node_that_has_just_begun_is_told_of_the_time_since_then() -> None:
    """Else whoever moves users within seconds of the start would be told of more room than there is."""
    now = [0.0]
    load = Load(lambda: now[0])
    for _ in range(80):
        load.begun()
        now[0] += 0.025
    assert load.rps() == pytest.approx(40.0)


def _item(services: Any, cache: str, key: str) -> bytes | None:
    """What a cache has, asked straight."""
    spec = services.layout.node(cache)
    with socket.create_connection((spec.host, spec.port), 5) as sock, sock.makefile("rb") as lines:
        sock.sendall(f"get {key}\r\n".encode())
        head = lines.readline().split()
        return lines.read(int(head[3])) if head[0] == b"VALUE" else None


async def _times(services: Any, caches: list[str], key: str) -> list[int]:
    """The times of what these caches have of a key."""
    items = [await asyncio.to_thread(_item, services, cache, key) for cache in caches]
    return [json.loads(item)["timestamp_us"] for item in items if item is not None]


def test_an_older_write_that_comes_a_moment_later_is_not_kept_by_any_cache(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, *_region(kit, "east")) as services:
            caches = kit.of_region(kit.layout, "east", "cache")
            now_us = time.time_ns() // 1000 + 60_000_000  # a clock that goes fast: no write here counts as late
            await _trace(services, EAST, "POST", f"/progress?member=m1&at_us={now_us}&title=new")

            async def have(key: str, at_us: int) -> None:
                async def all_have() -> bool:
                    return await _times(services, caches, key) == [at_us] * 3

                await kit.eventually(all_have)

            await have("progress:m1", now_us)
            for member, at_us in (("m1", now_us - 1000), ("m2", now_us)):  # the second comes behind the first
                await _trace(services, "members-east-b", "POST", f"/progress?member={member}&at_us={at_us}")
            await have("progress:m2", now_us)
            assert set(await _times(services, caches, "progress:m1")) <= {now_us}

    _run(test())


def test_an_announcement_that_overtakes_the_write_itself_leaves_no_old_value(kit: Any) -> None:
    async def test() -> None:
        names = [*_region(kit, "east"), *_region(kit, "west")]
        async with kit.running(kit.layout, kit.folder, *names) as services:

            async def title(node: str) -> Any:
                return (await _trace(services, node, "GET", "/continue?member=m1"))[0]["progress"]["title"]

            async def replicate(enabled: bool) -> None:
                for zone in "abc":
                    body = json.dumps({"enabled": enabled}).encode()
                    answer = await services.ask("proxy-west", "POST", f"/proxies/store-east--store-west-{zone}", body)
                    assert answer.status == 200

            await _trace(services, EAST, "POST", "/progress?member=m1&title=old")
            for zone in "abc":

                async def old(zone: str = zone) -> bool:
                    shown, hops = await _trace(services, f"members-west-{zone}", "GET", "/continue?member=m1")
                    return bool(shown["progress"]) and hops == [f"members-west-{zone}>cache-west-{zone}+"]

                await kit.eventually(old)
            await replicate(False)
            await _trace(services, EAST, "POST", "/progress?member=m1&title=new")

            async def overtaken() -> bool:  # it was received in the west, and is there still
                query = {"QueueUrl": "http://queue/0/invalidations", "AttributeNames": ["All"]}
                headers = {"x-amz-target": "AmazonSQS.GetQueueAttributes"}
                told = (await services.ask("queue-east", "POST", "/", json.dumps(query).encode(), headers)).json()
                return bool(told["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1")

            await kit.eventually(overtaken)
            assert await title("members-west-a") == "old"
            await replicate(True)
            for zone in "abc":

                async def new(zone: str = zone) -> bool:
                    return await title(f"members-west-{zone}") == "new"

                await kit.eventually(new)

    _run(test())
