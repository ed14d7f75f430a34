"""The store: quorum, last write wins, hints, read repair, anti-entropy, and what is on disk."""

import asyncio
import json
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from simian_filters.rules import Rules
from simian_lab.calls import Callee, Caller
from simian_lab.http import Pool
from simian_lab.store import BadRequest, row_to_write
from simian_lab.store_data import HINTS_LIMIT, Replica, Row, newest
from simian_lab.store_repair import Repair

A, B, C = (f"store-east-{zone}" for zone in "abc")


def _loaded(path: Path) -> Replica:
    replica = Replica(path)
    asyncio.run(replica.load())
    return replica


def _body(value: Any, timestamp_us: int | None = None) -> bytes:
    return json.dumps({"value": value} | ({"timestamp_us": timestamp_us} if timestamp_us else {})).encode()


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (Row("k", "1", 10), Row("k", "2", 20), "2"),
        (Row("k", "2", 20), Row("k", "1", 10), "2"),
        (Row("k", "1", 10), Row("k", "2", 10), "2"),
        (Row("k", "2", 10), Row("k", "1", 10), "2"),
        (Row("k", "1", 10), Row("k", None, 10, True), None),
        (Row("k", None, 10, True), Row("k", "1", 11), "1"),
    ],
)
def test_the_last_write_wins_in_whatever_order_it_comes(
    tmp_path: Path, first: Row, second: Row, wins: str | None
) -> None:
    replica = _loaded(tmp_path / "store.db")
    replica.apply([first])
    replica.apply([second])
    row = replica.get("k")
    assert row is not None
    assert row.value == wins
    assert newest([first, second, None]) == row
    replica.close()


def test_replicas_that_saw_the_same_writes_in_any_order_have_the_same_digest(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    die = random.Random(seed)
    rows = [Row(f"k{die.randrange(50)}", str(die.randrange(9)), die.randrange(20), False) for _ in range(500)]
    digests = set()
    for number in range(3):
        die.shuffle(rows)
        replica = _loaded(tmp_path / f"{number}.db")
        replica.apply(rows)
        digests.add(tuple(replica.digest))
        replica.close()
        again = _loaded(tmp_path / f"{number}.db")
        digests.add(tuple(again.digest))
        again.close()
    assert len(digests) == 1


def test_what_is_applied_is_on_disk_though_nobody_closed_the_file(tmp_path: Path) -> None:
    replica = _loaded(tmp_path / "store.db")
    replica.apply([Row("k", "1", 10)], hints_for=["far"])
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("store.db*"):
        shutil.copy(path, left)
    replica.close()
    again = _loaded(left / "store.db")
    assert again.get("k") == Row("k", "1", 10)
    assert again.hints == {"far": 1}
    again.close()


def test_hints_are_bounded_and_the_dropped_ones_are_counted(tmp_path: Path) -> None:
    replica = _loaded(tmp_path / "store.db")
    replica.hints["far"] = HINTS_LIMIT - 1
    replica.hint("far", ["a", "b", "c"])
    assert replica.hints["far"] == HINTS_LIMIT
    assert replica.hints_dropped == {"far": 2}
    assert [key for _, key in replica.hinted("far", 0, 10)] == ["a"]
    replica.close()


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"value": 1, "timestamp_us": "now"}',
        b'{"value": 1, "timestamp_us": 99999999999999999}',
        json.dumps({"value": "x" * 100_000}).encode(),
    ],
)
def test_a_write_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        row_to_write("k", body, 1.7e9)


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def _has(services: Any, node: str, key: str, value: Any) -> bool:
    answer = await services.ask(node, "GET", f"/replica/{key}")
    return bool(answer.status == 200 and answer.json()["value"] == value)


def _each_has(services: Any, nodes: list[str], key: str, value: Any) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return all([await _has(services, node, key, value) for node in nodes])

    return check


@pytest.mark.lab
def test_a_write_is_read_at_every_node_and_reaches_the_other_region(kit: Any) -> None:
    async def test() -> None:
        stores = [*kit.of_region(kit.layout, "east", "store"), *kit.of_region(kit.layout, "west", "store")]
        async with kit.running(kit.layout, kit.folder, "proxy-east", "proxy-west", *stores) as services:
            answer = await services.ask(A, "PUT", "/kv/k%20x", _body({"a": 1}))
            assert answer.status == 200
            assert f"{A}>store-west-b~" in answer.headers["x-lab-trace"]
            for node in (A, B, C):
                found = await services.ask(node, "GET", "/kv/k%20x")
                assert found.json()["value"] == {"a": 1}
            await kit.eventually(_each_has(services, stores, "k%20x", {"a": 1}))
            digests = {(await services.ask(node, "GET", "/replica-digest")).json()["digest"] for node in stores}
            assert len(digests) == 1

            async def told() -> bool:
                hints = (await services.ask(A, "GET", "/admin/hints")).json()["hints"]
                return not any(hints.values())

            await kit.eventually(told)

    _run(test())


@pytest.mark.lab
def test_two_of_three_are_a_quorum_and_one_is_not(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            await services.stop(C)
            assert (await services.ask(A, "PUT", "/kv/k", _body(1))).status == 200
            answer = await services.ask(B, "GET", "/kv/k")
            assert answer.json()["value"] == 1
            await services.stop(B)
            answer = await services.ask(A, "PUT", "/kv/k", _body(2))
            assert answer.status == 503
            assert answer.headers["x-lab-trace"].count("!") == 2
            assert (await services.ask(A, "GET", "/kv/k")).status == 503

    _run(test())


@pytest.mark.lab
def test_a_node_that_was_away_is_told_what_it_missed_also_by_a_coordinator_that_was_restarted(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            await services.stop(C)
            for number in range(30):
                await services.ask(A, "PUT", f"/kv/k{number}", _body(number))
            await services.stop(A)
            await services.start([A, C])
            for number in range(30):
                await kit.eventually(_each_has(services, [C], f"k{number}", number))

    _run(test())


@pytest.mark.lab
def test_a_stale_replica_is_not_believed_and_is_repaired_by_the_read(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            now_us = time.time_ns() // 1000
            await services.ask(A, "PUT", "/kv/k", _body("old", now_us - 10))
            await kit.eventually(_each_has(services, [A, B, C], "k", "old"))
            newer = json.dumps({"get": [], "put": [["k", '"new"', now_us, False]]}).encode()
            for node in (B, C):
                await services.ask(node, "POST", "/replicas", newer)
            assert (await services.ask(A, "GET", "/kv/k")).json()["value"] == "new"
            assert await _has(services, A, "k", "new")

    _run(test())


@pytest.mark.lab
def test_a_writer_is_told_of_a_newer_write_that_only_the_other_replicas_have(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            now_us = time.time_ns() // 1000
            newer = json.dumps({"get": [], "put": [["k", '"new"', now_us, False]]}).encode()
            for node in (B, C):
                await services.ask(node, "POST", "/replicas", newer)
            answer = (await services.ask(A, "PUT", "/kv/k", _body("old", now_us - 10))).json()
            assert answer == {"key": "k", "timestamp_us": now_us, "kept": False}
            assert await _has(services, A, "k", "new")
            answer = (await services.ask(A, "PUT", "/kv/k", _body("newest", now_us + 10))).json()
            assert answer == {"key": "k", "timestamp_us": now_us + 10, "kept": True}

    _run(test())


@pytest.mark.lab
def test_what_no_hint_tells_of_is_found_by_comparing_digests(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, B, C) as services:
            rows = [[f"k{number}", "1", 10, False] for number in range(50)]
            await services.ask(B, "POST", "/replicas", json.dumps({"get": [], "put": rows}).encode())
            replica, pool = Replica(kit.folder / "mine.db"), Pool()
            await replica.load()
            peer = Callee.directly(kit.layout.node(B))
            repair = Repair(Caller(pool, Rules()), A, replica, [peer], random.Random(1))
            assert await repair.compare(peer) == 0, "a difference seen once may be a write under way"
            pulled = 0
            while found := await repair.compare(peer):
                pulled += found
            assert pulled == replica.keys == 50
            theirs = (await services.ask(B, "GET", "/replica-digest")).json()["buckets"]
            assert theirs == ",".join(f"{number:x}" for number in replica.digest)
            replica.close()
            await pool.aclose()

    _run(test())


@pytest.mark.lab
def test_request_faults_of_the_store_are_told_and_a_quorum_goes_around_them(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            rule = json.dumps({"side": "server", "share": 1.0, "seed": 1, "status": 503}).encode()
            assert (await services.admin(B, "PUT", "/simian/faults/m.1", rule)).status == 204
            assert (await services.ask(B, "GET", "/health")).headers["x-simian-faults"] == "m.1"
            answer = await services.ask(A, "PUT", "/kv/k", _body(1))
            assert answer.status == 200
            client = json.dumps({"side": "client", "share": 1.0, "seed": 1, "status": 500, "callee": "store"}).encode()
            await services.admin(A, "PUT", "/simian/faults/m.2", client)
            answer = await services.ask(A, "GET", "/deep")
            assert (answer.status, answer.headers["x-simian-faults"]) == (503, "m.2")

    _run(test())


@pytest.mark.lab
def test_many_keys_are_read_at_once_and_the_latest_are_told(kit: Any) -> None:
    async def test() -> None:
        async with kit.running(kit.layout, kit.folder, A, B, C) as services:
            for number in range(20):
                await services.ask(A, "PUT", f"/kv/k{number}", _body(number, 1000 + number))
            newer = json.dumps({"get": [], "put": [["k7", '"new"', 5000, False], ["k8", None, 5000, True]]}).encode()
            for node in (B, C):
                await services.ask(node, "POST", "/replicas", newer)
            asked = json.dumps({"keys": ["k7", "k8", "k9", "none"]}).encode()
            found = (await services.ask(A, "POST", "/kv", asked)).json()["found"]
            assert found == [["k7", "new", 5000], ["k8", None, 5000], ["k9", 9, 1009]]
            recent = (await services.ask(B, "GET", "/recent?limit=4")).json()["keys"]
            assert (set(recent[:2]), recent[2:]) == ({"k7", "k8"}, ["k19", "k18"])
            many = json.dumps({"keys": ["k"] * 501}).encode()
            for method, path, body in (("GET", "/recent?limit=x", b""), ("POST", "/kv", b"[]"), ("POST", "/kv", many)):
                assert (await services.ask(A, method, path, body)).status == 400

    _run(test())
