"""Whole runs on labelled containers of a real engine: what the engine tells of them is as it was before."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .docker_engine import IMAGE, PORT, SmallContainers, real_engine_fixture, small_containers_fixture  # noqa: F401

ZONES = ("east-a", "east-b", "west-a")
FRONT = """
echo 'while read line && [ "${#line}" -gt 1 ]; do :; done  # all of it: else the connection ends with a reset
for host in %s; do
  answer=$(printf "GET /cgi-bin/health HTTP/1.0\\r\\n\\r\\n" | timeout 5 nc -w 1 $host 8000)
  [ -z "$answer" ] || exec echo "$answer"
done' > /front
while :; do nc -ll -p 8000 -e sh /front; done
"""


class Shop:
    """Two services in three zones, and a front that asks each web server until one answers."""

    def __init__(self, containers: SmallContainers, folder: Path) -> None:
        self.containers, self.folder = containers, folder
        for zone in ZONES:
            region = zone.partition("-")[0]
            for service in ("web", "store"):
                labels = {"simian.service": service, "simian.zone": zone}
                containers.add(f"{service}-{zone}", region=region, labels=labels)
        webs = " ".join(containers.addresses[f"web-{zone}"] for zone in ZONES)
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
            + f"steady_state: [{{check: the front answers, probe: {probe}, every: 1s, deadline: 20s, "
            'tolerance: ">= 90 %", misses: 20}]\n'
        )

    def run(self, monkey: str, **options: Any) -> dict[str, Any]:
        """The record of a run of this monkey."""
        experiment = {
            "experiment": f"{monkey} on containers", "hypothesis": "The front answers as others are left.",
            "monkey": monkey, "options": options, "for": "3s", "baseline": "3s", "recover_within": "120s",
            "exposure": "assumed",
        }  # fmt: skip
        (self.folder / "run.yaml").write_text(json.dumps(experiment))
        answer = subprocess.run(
            [sys.executable, "-m", "simian", "run", "run.yaml", "--json", "--config", "simian.yaml"],
            cwd=self.folder,
            env={**os.environ, "SIMIAN_STATE": str(self.folder / "state")},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert answer.stdout, answer.stderr
        return dict(json.loads(answer.stdout))

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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["kill", "crash", "stop", "pause"])
def test_chaos_on_a_container_is_proven_and_put_back(shop: Shop, how: str) -> None:
    before, target = shop.seen(), shop.containers.name("web-east-a")
    record = shop.run("chaos", node=[target], how=how)
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    assert [(fault["target"], fault["evidence"]["held"]) for fault in record["faults"]] == [(target, True)]
    assert shop.seen() == before


@pytest.mark.timeout(600)
def test_gorilla_takes_a_zone_of_containers_and_only_that(shop: Shop) -> None:
    before, started = shop.seen(), shop.starts()
    record = shop.run("gorilla", zone="east-b")
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    hit = {shop.containers.name(f"{service}-east-b") for service in ("web", "store")}
    assert {fault["target"] for fault in record["faults"]} == hit
    assert shop.seen() == before
    assert {name for name, at in shop.starts().items() if at != started[name]} == hit
