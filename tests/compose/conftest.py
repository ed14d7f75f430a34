"""Compose files in a folder of their own, and what our reading and compose's own make of them."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from simian.compose import Project, read_project

Files = Mapping[str, str]
Read = Callable[..., Project]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """``read({"docker-compose.yml": TEXT, …}, profiles=…, environment=…)``; the first file, or those ``named``."""
    monkeypatch.chdir(tmp_path)

    def made(files: Files, *, named: Sequence[str] = (), profiles: Sequence[str] = (), **environment: str) -> Project:
        write(tmp_path, files)
        return read_project([Path(name) for name in named or list(files)[:1]], environment, profiles)

    return made


def write(folder: Path, files: Files) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def told(project: Project) -> dict[str, Any]:
    """What both know, in one form."""
    return {
        name: {
            "ports": sorted(((p.host, p.published, p.target, p.protocol) for p in one.ports), key=str),
            "environment": dict(one.environment),
            "labels": dict(one.labels),
            "depends_on": dict(one.depends_on),
            "networks": {net: sorted(aliases) for net, aliases in one.networks.items()},
            "test": list(one.test),
            "container_name": one.container_name,
            "image": one.image,
        }
        for name, one in project.services.items()
    }


def compose_tells(folder: Path, files: Sequence[str], profiles: Sequence[str], environment: Files) -> dict[str, Any]:
    """The same, by ``docker compose config``. Raises CalledProcessError where it refuses."""
    words = [word for name in files for word in ("-f", name)] + [
        word for name in profiles for word in ("--profile", name)
    ]
    clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "DOCKER_CONFIG")}
    said = subprocess.run(
        ["docker", "compose", *words, "config", "--format", "json"],
        cwd=folder, env=clean | dict(environment), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    document = json.loads(said.stdout)
    there = set(document["services"])  # what a service can do without is kept by compose where it is not there
    return {name: _told(one, there) for name, one in document["services"].items()} | {"": document["name"]}


def _told(one: Mapping[str, Any], there: set[str]) -> dict[str, Any]:
    networks = one.get("networks") or ({} if "network_mode" in one else {"default": None})
    test = (one.get("healthcheck") or {}).get("test") or []
    needs = one.get("depends_on") or {}
    links = {link.partition(":")[0] for link in one.get("links") or []}
    return {
        "ports": sorted(map(_port, one.get("ports") or []), key=str),
        "environment": {k: v.replace("$$", "$") for k, v in (one.get("environment") or {}).items() if v is not None},
        "labels": one.get("labels") or {},
        "depends_on": {k: v["condition"] for k, v in needs.items() if k in there - links},
        "networks": {net: sorted((how or {}).get("aliases") or []) for net, how in networks.items()},
        "test": [] if test[:1] == ["NONE"] else test,
        "container_name": one.get("container_name", ""),
        "image": one.get("image", ""),
    }


def _port(port: Mapping[str, Any]) -> tuple[str, int | None, int, str]:
    published = str(port.get("published", ""))
    return (port.get("host_ip", ""), int(published) if published.isdigit() else None, port["target"], port["protocol"])
