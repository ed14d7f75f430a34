"""The lab in containers: up, down and a look at it, through the command line of ``docker compose``.

The compose file is the one in the project's root; it is written into the lab's folder, so that it is there wherever
simian was installed to.
"""

import json
import os
import secrets
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .compose import FULL, HEADER, IMAGES, compose, text
from .configuration import write_configuration
from .container import TOKEN, Told
from .layout import ZONES
from .manifest import PROJECT, Files, LabError, Manifest
from .readiness import ready

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
_FEED_PORT = 9900
_UP_S, _DOWN_S, _ASK_S = 300.0, 120.0, 60.0
_POLL_S = 0.2
_SERVED_S = 300.0  # the users' own warm-up, and thrice as much until machines of Java have settled
_SLICES = 100  # of the users' feed: twenty seconds, as a run's baseline wants to see
_SENT, _ANSWERED = 0.95, 0.99  # nearly all
_LOOK_S = 2.0


@dataclass(frozen=True)
class Engine:
    """A Docker engine by its URL, and a command line for it that knows ``compose``."""

    url: str
    program: str
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def by(cls, environment: Mapping[str, str]) -> "Engine":
        """``DOCKER_HOST``'s, else the system's. Raises ``LabError`` when no ``docker compose`` is on PATH."""
        url = environment.get("DOCKER_HOST") or DEFAULT_ENGINE
        told = {**environment, "DOCKER_HOST": url}
        told.pop("DOCKER_CONTEXT", None)
        for folder in environment.get("PATH", "").split(os.pathsep):
            program = os.path.join(folder, "docker")
            if os.access(program, os.X_OK) and _knows_compose(program, told):
                return cls(url, program, told)
        raise LabError(
            "no docker with its compose plug-in is on PATH; install it (Debian: docker-compose of release 13, or "
            "docker-compose-plugin), or use the lab of local processes: --flavour process"
        )

    def run(self, *words: str, more: Mapping[str, str] | None = None, limit_s: float = _ASK_S) -> str:
        """What a command printed. Raises ``LabError`` with the last lines of what it complained of."""
        try:
            done = subprocess.run(
                [self.program, *words],
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise LabError(f"docker {' '.join(words[:4])} … is not done after {limit_s:g} s") from error
        if done.returncode:
            said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise LabError(f"docker {' '.join(words[:4])} … failed: {said}")
        return done.stdout


def _knows_compose(program: str, environment: Mapping[str, str]) -> bool:
    asked = [program, "compose", "version"]
    return (
        subprocess.run(asked, env=dict(environment), capture_output=True, check=False, timeout=_ASK_S).returncode == 0
    )


def up(
    folder: Path,
    environment: Mapping[str, str],
    *,
    seed: int = 0,
    rate: float = 50.0,
    stores: int = len(ZONES),
    weakness: str = "",
) -> Manifest:
    """Ensure that all containers are there and every node answers; content when they are.

    Raises ``LabError`` when an image can be had neither here nor from its registry, when a container is not healthy in
    time, or when a lab is up already and is another one.
    """
    engine, files = Engine.by(environment), Files.inside(folder)
    manifest = _standing(files, weakness) or _first(files, engine, Told("", seed, rate, stores, weakness))
    _check_images(engine)
    files.root.mkdir(parents=True, exist_ok=True)
    files.root.chmod(0o700)
    manifest.write()
    write_configuration(manifest)
    _file(files).write_text(HEADER + text(compose()))
    absent = [word for name, one in manifest.processes.items() if one.held for word in ("--scale", f"{name}=0")]
    wait = ("--wait", "--wait-timeout", f"{_UP_S:g}")
    _compose(engine, manifest, "up", "-d", "--quiet-pull", *wait, *absent, limit_s=_UP_S + _ASK_S)
    _wait_until_ready(manifest)
    wait_until_served(manifest.feed, manifest.rate)
    return manifest


def _standing(files: Files, weakness: str) -> Manifest | None:
    """The lab that was brought up already, be it half."""
    if not files.manifest.exists():
        return None
    manifest = Manifest.read(files.manifest)
    if manifest.layout.flavour != "docker":
        raise LabError("a lab of local processes is up; take it down first (simian lab down)")
    if manifest.weakness != weakness:
        there, other = (f"the weakness {name}" if name else "no weakness" for name in (manifest.weakness, weakness))
        raise LabError(f"the lab is up already, with {there}; take it down first, then bring it up with {other}")
    return manifest


def _first(files: Files, engine: Engine, told: Told) -> Manifest:
    token = replace(told, token=secrets.token_hex(16))
    port = engine.environment.get("SIMIAN_LAB_FEED_PORT") or _FEED_PORT
    return replace(token.manifest(files), engine=engine.url, feed=f"127.0.0.1:{port}")


def _check_images(engine: Engine) -> None:
    """One that is nowhere is best told before anything is started."""
    there = set(engine.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())
    ours = sorted({image for image in IMAGES.values() if image.startswith("simian-lab:")} - there)
    if ours:
        raise LabError(f"the image {ours[0]} is not there; build it: make images IMAGES={ours[0]}")


def _compose(engine: Engine, manifest: Manifest, *words: str, limit_s: float = _ASK_S) -> str:
    stores = len(manifest.layout.nodes_of("store")) // 2
    told = {
        TOKEN: manifest.token,
        "SIMIAN_LAB_SEED": str(manifest.seed),
        "SIMIAN_LAB_RATE": f"{manifest.rate:g}",
        "SIMIAN_LAB_STORES": str(stores),
        "SIMIAN_LAB_WEAKNESS": manifest.weakness,
        "SIMIAN_LAB_HINTS": str(manifest.changes.get("store", {}).get("keeps_hints", True)).lower(),
        "SIMIAN_LAB_FEED_PORT": manifest.feed.rpartition(":")[2],
        "COMPOSE_PROFILES": FULL if stores > 1 else "small",
        **_apart(os.cpu_count() or 1),
    }
    file = str(_file(manifest.files))
    return engine.run("compose", "-p", PROJECT, "-f", file, *words, more=told, limit_s=limit_s)


def _apart(cores: int) -> dict[str, str]:
    """Each region on processors of its own: waking a thread on another one is what costs most on a small machine."""
    if cores != 2:
        return {}
    return {"SIMIAN_LAB_EAST_CPUS": "0", "SIMIAN_LAB_WEST_CPUS": "1"}


def _file(files: Files) -> Path:
    return files.root / "docker-compose.yml"


def _wait_until_ready(manifest: Manifest) -> None:
    """As whoever hurts the lab asks, not as its health checks do."""
    deadline = time.monotonic() + _ASK_S
    for node in manifest.layout.nodes:
        if manifest.processes[node.name].held:
            continue
        while not ready(node.ask, timeout_s=_LOOK_S):
            if time.monotonic() > deadline:
                raise LabError(
                    f"{node.name} is healthy, but does not answer at {node.ask} from here after {_ASK_S:g} s; "
                    "containers must be reachable by their addresses: run simian beside a Linux engine"
                )
            time.sleep(_POLL_S)


def wait_until_served(feed: str, rate: float, limit_s: float = _SERVED_S) -> None:
    """Return once users send ``rate`` requests a second and nearly all are answered, by their feed at ``host:port``.

    Raises ``LabError`` when that does not come about in time.
    """
    host, _, port = feed.rpartition(":")
    deadline, lately = time.monotonic() + limit_s, deque[Counter[str]](maxlen=_SLICES)
    seen = Counter[str]()
    try:
        with socket.create_connection((host, int(port)), _ASK_S) as connection, connection.makefile() as lines:
            for line in lines:
                lately.append(_slice(json.loads(line)))
                seen = sum(lately, Counter[str]())
                enough = seen["sent"] >= rate * seen["ms"] / 1000 * _SENT and len(lately) == _SLICES
                if enough and seen["ok"] >= seen["ended"] * _ANSWERED:
                    return
                if time.monotonic() > deadline:
                    if enough and seen["ok"] >= seen["ended"] * _SENT:
                        return  # slowly, but they are
                    break
    except OSError as error:
        raise LabError(f"the users' feed at {feed} cannot be read: {error}") from error
    raise LabError(
        f"{limit_s:g} s after everything was healthy users are not served: of {seen['ended']} requests in the last "
        f"{seen['ms'] / 1000:g} s {seen['ok']} were; the machine may be too slow or busy for the lab in containers "
        f"(take it down, and try --rate {max(1, rate // 2):g} or --small), else look at: simian lab logs members-east-a"
    )


def _slice(told: Mapping[str, Any]) -> Counter[str]:
    """What one line of the feed counts, with its length in ms."""
    counted = Counter({"ms": round(told.get("seconds", 0.0) * 1000), "sent": told.get("sent", 0)})
    for row in told.get("rows", ()):
        counted.update({"ended": row["ended"], "ok": row["ok"]})
    return counted


def down(folder: Path, environment: Mapping[str, str]) -> bool:
    """Ensure that no container, network or volume of the lab is left; whether there was anything."""
    files = Files.inside(folder)
    if not files.manifest.exists():
        return False
    manifest = Manifest.read(files.manifest)
    engine = Engine.by({**environment, "DOCKER_HOST": manifest.engine})
    _compose(engine, manifest, "down", "-v", "--remove-orphans", "-t", "2", limit_s=_DOWN_S)
    for path in (_file(files), files.configuration, files.token, files.manifest):
        path.unlink(missing_ok=True)
    if not any(files.root.iterdir()):
        files.root.rmdir()
    return True


def status(folder: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every node as ``simian_lab.control.status`` tells it; ``state`` also ``paused``, and no ``supervisor``."""
    manifest = Manifest.read(Files.inside(folder).manifest)
    engine = Engine.by({**environment, "DOCKER_HOST": manifest.engine})
    states = _states(engine)
    with ThreadPoolExecutor(len(manifest.layout.nodes)) as pool:
        able = list(pool.map(lambda node: ready(node.ask), manifest.layout.nodes))
    return [
        {
            **{key: getattr(node, key) for key in ("name", "service", "region", "zone", "role", "address")},
            "state": _told(states.get(node.name, ""), is_ready, manifest.processes[node.name].held),
            "pid": None,
            "started": manifest.started,
        }
        for node, is_ready in zip(manifest.layout.nodes, able, strict=True)
    ]


def _told(state: str, is_ready: bool, held: bool) -> str:
    if state != "running":
        return "paused" if state == "paused" else "held" if held else "dead"
    return "ready" if is_ready else "starting"


def _states(engine: Engine) -> dict[str, str]:
    of_project = f"label=com.docker.compose.project={PROJECT}"
    lines = engine.run("ps", "-a", "--filter", of_project, "--format", "{{json .}}").splitlines()
    return {shape["Names"]: shape["State"] for shape in map(json.loads, lines)}


def logs(folder: Path, environment: Mapping[str, str], node: str, lines: int = 50) -> Sequence[str]:
    """The last lines that a node printed."""
    manifest = Manifest.read(Files.inside(folder).manifest)
    known = [spec.name for spec in manifest.layout.nodes]
    if node not in known:
        raise LabError(f"no node is called {node}; there are {', '.join(known)}")
    engine = Engine.by({**environment, "DOCKER_HOST": manifest.engine})
    return _compose(engine, manifest, "logs", "--no-log-prefix", "--tail", str(lines), node).splitlines()
