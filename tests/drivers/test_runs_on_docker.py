"""Whole runs on labelled containers of a real engine: what the engine tells of them is as it was before."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .commands import CLEAN, told
from .docker_engine import FULL, SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401
from .shop import Shop

Until = Callable[..., Any]
PATIENCE_S = 180.0


@pytest.fixture
def shop(small_containers: SmallContainers, tmp_path: Path) -> Shop:
    return Shop(small_containers, tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "watched"), [("kill", "8s"), ("crash", "8s"), ("pause", "45s")][: 3 if FULL else 2])
def test_chaos_on_a_container_is_proven_and_put_back(shop: Shop, how: str, watched: str) -> None:
    before, target = shop.seen(), shop.containers.name("web-east-a")
    # The front waits for a paused server before it asks the next one: readings come slowly.
    record = shop.run({"monkey": "chaos", "options": {"node": [target], "how": how}, "for": watched})
    assert (told(record), record["exit"]) == (CLEAN, 0), record["reasons"]
    assert [(fault["target"], fault["evidence"]["held"]) for fault in record["faults"]] == [(target, True)]
    assert shop.seen() == before


@pytest.mark.timeout(600)
def test_a_front_that_asks_one_web_server_alone_is_broken_by_chaos(
    small_containers: SmallContainers, tmp_path: Path
) -> None:
    shop = Shop(small_containers, tmp_path, asked=["west-a"], misses=0)
    before, target = shop.seen(), shop.containers.name("web-west-a")
    record = shop.run({"monkey": "chaos", "options": {"node": [target], "how": "kill"}})
    assert (record["verdict"], record["recovery"], record["exit"]) == ("broken", "clean", 1), record["reasons"]
    assert shop.seen() == before


@pytest.mark.timeout(600)
def test_gorilla_takes_a_zone_of_containers_and_only_that(shop: Shop) -> None:
    before, started = shop.seen(), shop.starts()
    record = shop.run({"monkey": "gorilla", "options": {"zone": "east-b"}})
    assert told(record) == CLEAN, record["reasons"]
    hit = {shop.containers.name(f"{service}-east-b") for service in ("web", "store")}
    assert {fault["target"] for fault in record["faults"]} == hit
    assert shop.seen() == before
    assert {name for name, at in shop.starts().items() if at != started[name]} == hit


@pytest.mark.timeout(600)
def test_a_runner_that_is_killed_amid_a_zone_of_containers_is_recovered_by_its_guardian(
    shop: Shop, until: Until
) -> None:
    before, target = shop.seen(), shop.containers.name("store-east-b")
    with shop.begin({"monkey": "gorilla", "options": {"zone": "east-b"}, "for": "60s"}) as command:
        until(lambda: shop.seen()[target]["state"] == "exited", "its fault is in place", PATIENCE_S)
        os.kill(shop.journalled()["pid"], signal.SIGKILL)
        command.communicate(timeout=280)
    until(lambda: shop.journalled()["ended"], "the run ends", PATIENCE_S)
    row = shop.journalled()
    assert row["recovery"] == "clean"
    assert "the runner died" in row["reasons"]
    assert shop.seen() == before


@pytest.mark.timeout(600)
def test_a_container_out_of_its_network_is_put_back_by_hand_when_runner_and_guardian_are_killed(
    shop: Shop, until: Until
) -> None:
    before, target = shop.seen(), shop.containers.name("web-east-a")
    link = f"{shop.containers.networks['east']}--{target}"
    cut = {"stages": [{"stage": "cut", "faults": [{"cut": link, "how": "blackhole"}]}], "for": "60s"}
    with shop.begin(cut) as command:
        until(lambda: not shop.seen()[target]["places"], "it is out of its network", PATIENCE_S)
        row = shop.journalled()
        for pid in (row["guardian_pid"], row["pid"]):
            os.kill(pid, signal.SIGKILL)
        command.communicate(timeout=280)
    assert shop.seen() != before
    assert shop.recover() == 0
    assert shop.seen() == before
    assert shop.journalled()["outcome"] == "crashed"
