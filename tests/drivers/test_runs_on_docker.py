"""Whole runs on labelled containers of a real engine: what the engine tells of them is as it was before."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .docker_engine import IMAGE, PORT, SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401

Until = Callable[..., Any]
PATIENCE_S = 180.0
ZONES = ("east-a", "east-b", "west-a")
FRONT = """
echo 'while read line && [ "${#line}" -gt 1 ]; do :; done  # all of it: else the connection ends with a reset
for host in %s; do
  answer=$(printf "GET /cgi-bin/health HTTP/1.0\\r\\n\\r\\n" | timeout 3 nc -w 1 $host 8000)
  [ -z "$answer" ] || exec echo "$answer"
done' > /front
while :; do nc -ll -p 8000 -e sh /front; done
"""


class Shop:
    """Two services in three zones, and a front that asks each web server until one answers."""

    def __init__(
        self, containers: SmallContainers, folder: Path, asked: Sequence[str] = ZONES, misses: int = 2
    ) -> None:
        """The front asks the web servers of these zones; a busy machine may keep it from ``misses`` of its answers."""
        self.containers, self.folder = containers, folder
        for zone in ZONES:
            region = zone.partition("-")[0]
            for service in ("web", "store"):
                labels = {"simian.service": service, "simian.zone": zone}
                containers.add(f"{service}-{zone}", region=region, labels=labels)
        webs = " ".join(containers.addresses[f"web-{zone}"] for zone in asked)
        instrument = {"simian.enabled": "false", "simian.role": "instrument"}
        containers.add("front", command=FRONT % webs, labels=instrument)
        sections = {
            "platform": containers.settings,
            "network": {"driver": "docker"},
            "observer": {"driver": "sidecar", "image": IMAGE},
        }
        probe = f'{{http: "http://{containers.addresses["front"]}:{PORT}/"}}'
        (folder / "simian.yaml").write_text(
            f"system: {containers.project}\n"
            + "".join(f"{port}: {json.dumps(section)}\n" for port, section in sections.items())
            + f"steady_state: [{{check: the front answers, probe: {probe}, every: 500ms, deadline: 20s, "
            f'tolerance: ">= 90 %", misses: {misses}}}]\n'
        )

    def run(self, how: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a run of this experiment, and its exit code."""
        with self.begin(how) as command:
            said, complained = command.communicate(timeout=280)
        assert said, complained
        return {**json.loads(said), "exit": command.returncode}

    def begin(self, how: Mapping[str, Any]) -> "subprocess.Popen[str]":
        experiment = {
            "experiment": "on containers", "hypothesis": "The front answers as others are left.",
            "for": "8s", "baseline": "4s", "recover_within": "120s", "exposure": "assumed", **how,
        }  # fmt: skip
        (self.folder / "run.yaml").write_text(json.dumps(experiment))
        return self._simian("run", "run.yaml", "--json", "--config", "simian.yaml")

    def recover(self) -> int:
        """The exit code of ``simian recover``."""
        with self._simian("recover", "--config", "simian.yaml") as command:
            command.communicate(timeout=280)
        return command.returncode

    def _simian(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "simian", *words],
            cwd=self.folder,
            env={**os.environ, "SIMIAN_STATE": str(self.folder / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def journalled(self) -> dict[str, Any]:
        """The newest run in the journal."""
        (path,) = (self.folder / "state").rglob("journal.db")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            return dict(db.execute("SELECT * FROM runs ORDER BY started DESC LIMIT 1").fetchone())

    def seen(self) -> dict[str, Any]:
        """The containers as the engine tells: ids, states, networks, aliases, addresses, MACs; our volumes."""
        ours = {"label": f"com.docker.compose.project={self.containers.project}"}
        names = [each["Names"][0].lstrip("/") for each in self.containers.api.containers(all=True, filters=ours)]
        return {name: self._one(name) for name in sorted(names)} | {"volumes": self.containers.volumes()}

    def _one(self, name: str) -> dict[str, Any]:
        shape = self.containers.engine.inspect(name)
        ends = shape["NetworkSettings"]["Networks"]
        kept = ("IPAMConfig", "Links", "IPAddress", "MacAddress", "DriverOpts", "Gateway")
        places = {net: {key: end[key] for key in kept} for net, end in ends.items()}
        aliases = {net: sorted(end["Aliases"] or []) for net, end in ends.items()}
        return {"id": shape["Id"], "state": shape["State"]["Status"], "places": places, "aliases": aliases}

    def starts(self) -> dict[str, str]:
        """When each container was started."""
        return {name: self.containers.engine.inspect(name)["State"]["StartedAt"] for name in self.seen() if "-" in name}


@pytest.fixture
def shop(small_containers: SmallContainers, tmp_path: Path) -> Shop:
    return Shop(small_containers, tmp_path)


CLEAN = ("completed", "held", "clean")


def told(record: Mapping[str, Any]) -> tuple[str, ...]:
    return record["outcome"], record["verdict"], record["recovery"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "watched"), [("kill", "8s"), ("crash", "8s"), ("pause", "45s")])
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
