"""A compose project under simian's override on a real engine: its calls go through Toxiproxy, and no trace is left."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simian.adopt.routes import IMAGE as TOXIPROXY
from simian.compose import read_project

from .conftest import part_missing
from .docker_engine import IMAGE, RealEngine, real_engine_fixture  # noqa: F401

Until = Callable[..., Any]
PATIENCE_S = 120.0
# The caller asks its cache again and again, on connections that it opens anew, and says what came.
CALL = """
while :; do
  echo "$(printf "GET /cgi-bin/health HTTP/1.0\r\n\r\n" | timeout 3 nc -w 2 cache 8000 | head -n 1)" > /tmp/said
  sleep 0.2
done
"""
HEARD = 'read line < /tmp/said; case "$line" in *200*) ;; *) exit 1 ;; esac'
FILE = f"""\
services:
  web:
    image: "{IMAGE}"
    init: true
    stop_grace_period: 0s
    command: [sh, -c, {json.dumps(CALL.replace("$", "$$"))}]
    environment: {{CACHE: "cache:8000"}}
  other:
    image: "{IMAGE}"
    init: true
    stop_grace_period: 0s
    command: [sh, -c, {json.dumps(CALL.replace("$", "$$"))}]
  cache:
    image: "{IMAGE}"
    init: true
    stop_grace_period: 0s
    command: [sh, -c, "httpd -f -p 8000 -h /www & wait"]
    expose: [8000]
"""


class Adopted:
    """A project in a folder, the real ``docker compose`` on it, and the program."""

    def __init__(self, engine: RealEngine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.name = f"adopted{uuid.uuid4().hex[:8]}"
        (folder / "docker-compose.yml").write_text(FILE)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SIMIAN_", "COMPOSE_"))}
        self.environment = kept | {
            "DOCKER_HOST": engine.url,
            "COMPOSE_PROJECT_NAME": self.name,
            "SIMIAN_STATE": str(folder / "state"),
        }

    def compose(self, *words: str, override: bool = False) -> str:
        files = ["-f", "docker-compose.yml", *(["-f", "compose.simian.yaml"] if override else [])]
        return self._run(["docker", "compose", *files, *words], 0).stdout

    def simian(self, *words: str, code: int = 0) -> Any:
        return json.loads(self._run([sys.executable, "-m", "simian", *words, "--json"], code).stdout)

    def _run(self, line: list[str], code: int) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            line, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        return done

    def said(self, service: str) -> str:
        """What the caller heard last."""
        return self.engine.run_in(f"{self.name}-{service}-1", "cat /tmp/said").decode().strip()

    def seen(self) -> dict[str, Any]:
        """All that compose made of the project, as the engine tells: no ids, no times, no addresses."""
        ours = {"label": f"com.docker.compose.project={self.name}"}
        names = sorted(each["Names"][0] for each in self.engine.api.containers(all=True, filters=ours))
        found: dict[str, Any] = {name: _shape(self.engine.inspect(name.strip("/"))) for name in names}
        found["networks"] = sorted(each["Name"] for each in self.engine.api.networks(filters=ours))
        return found | {"volumes": self.engine.api.volumes(filters=ours)["Volumes"] or []}

    def findings(self, code: int) -> dict[str, tuple[str, bool]]:
        told = self.simian("doctor", code=code)["findings"]
        return {one["what"]: (one["finding"], one["ok"]) for one in told if one["what"].startswith("link ")}


def _shape(shape: dict[str, Any]) -> dict[str, Any]:
    labels = {
        key: value for key, value in shape["Config"]["Labels"].items() if not key.startswith("com.docker.compose")
    }
    ends = shape["NetworkSettings"]["Networks"]
    links = {net: end["Links"] for net, end in ends.items()}
    kept = {key: shape["Config"][key] for key in ("Image", "Cmd", "Env")}
    return {"labels": labels, "links": links, "ports": shape["HostConfig"]["PortBindings"], **kept}


@pytest.fixture
def adopted(real_engine: RealEngine, tmp_path: Path) -> Iterator[Adopted]:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        part_missing("compose", "install the compose plugin of the docker command")
    if not real_engine.api.images(name=TOXIPROXY):
        part_missing("toxiproxy-image", f"the engine has no image {TOXIPROXY}; pull or build it")
    made = Adopted(real_engine, tmp_path)
    try:
        yield made
    finally:
        files = ["-f", "docker-compose.yml"] if not (tmp_path / "compose.simian.yaml").exists() else None
        made.compose("down", "--remove-orphans", "--volumes", "--timeout", "0", override=files is None)


def up(adopted: Adopted, until: Until, *, override: bool) -> None:
    adopted.compose("up", "--detach", "--remove-orphans", "--timeout", "0", override=override)
    for service in ("web", "other"):
        until(lambda name=service: "200" in adopted.said(name), f"{service} hears the cache", PATIENCE_S)


def init(adopted: Adopted) -> Any:
    """With an image for side containers that is there, and a port that nobody else has."""
    port = 20_000 + uuid.uuid4().int % 10_000
    told = adopted.simian("init", "--proxy", "web--cache", "--api-port", str(port))
    path = adopted.folder / "simian.yaml"
    path.write_text(path.read_text().replace("busybox:1.36", IMAGE))
    return told


@pytest.mark.timeout(600)
def test_calls_of_a_project_go_through_the_proxy_and_the_project_is_as_before_without_it(
    adopted: Adopted, until: Until
) -> None:
    up(adopted, until, override=False)
    before = adopted.seen()
    assert [link["name"] for link in init(adopted)["links"]] == ["web--cache"]
    assert (adopted.folder / "docker-compose.yml").read_text() == FILE

    up(adopted, until, override=True)
    until(lambda: "through its proxy" in adopted.findings(0)["link web--cache"][0], "connections are seen", PATIENCE_S)
    seen = adopted.seen()
    assert seen[f"/{adopted.name}-other-1"]["links"] == before[f"/{adopted.name}-other-1"]["links"]
    assert seen["networks"] == before["networks"]

    # The same, the user's file alone.
    up(adopted, until, override=False)
    assert adopted.seen() == before


@pytest.mark.timeout(600)
def test_a_cut_is_felt_by_the_caller_of_the_link_alone_and_proven(adopted: Adopted, until: Until) -> None:
    init(adopted)
    up(adopted, until, override=True)
    experiment = {
        "experiment": "the cache is gone", "for": "4s", "baseline": "3s", "exposure": "assumed",
        "stages": [{"stage": "cut", "faults": [{"cut": "web--cache", "how": "blackhole"}]}],
        "steady_state": [{
            "check": "the other hears it", "every": "500ms", "deadline": "20s", "tolerance": ">= 90 %",
            "probe": {"command": [shutil.which("docker"), "exec", f"{adopted.name}-other-1", "sh", "-c", HEARD],
                      "environment": {"DOCKER_HOST": adopted.engine.url}},
        }],
    }  # fmt: skip
    (adopted.folder / "run.yaml").write_text(json.dumps(experiment))
    before = adopted.seen()
    record = adopted.simian("run", "run.yaml")
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    assert [(fault["target"], fault["evidence"]["held"]) for fault in record["faults"]] == [("web--cache", True)]
    assert adopted.seen() == before
    until(lambda: "200" in adopted.said("web"), "the caller hears its cache again", PATIENCE_S)


@pytest.mark.timeout(600)
def test_a_link_that_goes_round_the_proxy_is_found(adopted: Adopted, until: Until) -> None:
    init(adopted)
    up(adopted, until, override=True)
    # Somebody starts the caller anew without the override; the proxy and its links stay.
    adopted.compose("up", "--detach", "--timeout", "0", "--no-deps", "web", override=False)
    until(lambda: "200" in adopted.said("web"), "it hears the cache", PATIENCE_S)
    finding, good = adopted.findings(4)["link web--cache"]
    assert (good, finding.startswith("round the proxy: ")) == (False, True), finding
    assert "start it anew with the override file" in finding


def test_the_override_is_what_compose_takes_it_for(adopted: Adopted) -> None:
    init(adopted)
    theirs = json.loads(adopted.compose("config", "--format", "json", override=True))
    ours = read_project([adopted.folder / "docker-compose.yml", adopted.folder / "compose.simian.yaml"], {})
    assert set(theirs["services"]) == set(ours.services) == {"web", "other", "cache", "simian-proxy"}
    assert theirs["services"]["web"]["links"] == ["simian-proxy:cache"]
