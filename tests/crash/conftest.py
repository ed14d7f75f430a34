"""A lab of this session's own, looked at by other means than simian's: /proc, raw HTTP, plain sqlite3."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from simian_lab import control

from ..databases import rows_of

PATIENCE_S = 120.0

CHECKS = """
steady_state:  # by the names of the lab's own checks, so that these take their place: few requests are enough
  - {check: requests succeed, probe: {users: success_share}, tolerance: ">= 50 %"}
  - {check: streams start, probe: {users: success_share, kind: play}, tolerance: ">= 50 %"}
  - {check: first tries, probe: {users: first_try_share}, tolerance: ">= 20 %"}
  - {check: latency, probe: {users: p99_ms}, tolerance: "<= 2500 ms"}
baseline: 3s
for: 3s
recover_within: 60s
"""
EXPERIMENTS = {
    "chaos": "monkey: chaos\noptions: {node: [members-east-b], how: pause}",
    "gorilla": "monkey: gorilla\noptions: {zone: west-a}",
    "latency": 'monkey: latency\noptions: {service: gateway, share: "20%", delay: "constant:80ms", error_share: "0%"}',
    "slow-link": 'stages: [{stage: slow, faults: [{delay: members-east-a--cache-east-a, by: "constant:60ms"}]}]',
    "kong": 'monkey: kong\noptions: {region: east, steps: "50,0"}',
    "kong-hard": 'monkey: kong\noptions: {region: east, steps: "50,0", hard: true}',
    "split-brain": "monkey: split-brain\noptions: {between: 'east,west', how: refuse}",
    "cut-link": "stages: [{stage: cut, faults: [{cut: members-west-a--queue-west, how: refuse}]}]",
}


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition and return the value that it became."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s in vain: {what}"
        time.sleep(0.02)
    return value


def fetched(url: str, token: str | None = None) -> Any:
    """JSON at an address, or the HTTP status where it is an error, or None where nothing answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
            return json.loads(text) if text.startswith((b"{", b"[")) else answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def process_state(pid: int) -> str:
    """A letter of /proc/PID/stat: T is stopped; '-' is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "-"


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what SIGKILL leaves behind does not depend on the disk, the pace does."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory, prefix="simian-") as folder:
        yield Path(folder)


class OwnLab:
    """The lab, its state folder, and its world as seen from outside."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.folder = state / "lab"
        self.journal = self.folder / "journal.db"
        control.up(self.folder, seed=3, rate=50.0)  # users enough for checks that ask for little
        for name, text in EXPERIMENTS.items():
            (state / f"{name}.yaml").write_text(f"experiment: {name}\n{text}\n{CHECKS}exposure: assumed\n")

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "lab" / "manifest.json").read_text()))

    def world(self) -> dict[str, Any]:
        """Nodes alive and not stopped, proxies as their servers tell them, rules as the services tell them."""
        manifest = self.manifest
        nodes = {n["name"]: process_state(n["pid"]).replace("S", "R").replace("D", "R") for n in manifest["nodes"]}
        proxies = {}
        for node in manifest["nodes"]:
            if node["service"] == "proxy":
                answer = fetched(f"http://{node['address']}/proxies") or {}
                proxies |= {n: (p["enabled"], [t["name"] for t in p["toxics"]]) for n, p in answer.items()}
        rules = {
            n["name"]: fetched(n["faults_url"], manifest["token"]) for n in manifest["nodes"] if n.get("faults_url")
        }
        ready = {
            n["name"]: fetched(n["ask"]) not in (None, 503) for n in manifest["nodes"] if n["ask"].startswith("http")
        }
        seen = {"nodes": nodes, "proxies": proxies, "rules": rules, "ready": ready}
        return {**seen, "answers": self.answers(manifest), "modes": self.modes(manifest)}

    def answers(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The switch's records as the DNS server's API tells them, texts included, serials left out."""
        dns = next(node for node in manifest["nodes"] if node["service"] == "dns")
        url = f"http://{dns['address'].rpartition(':')[0]}:{dns['ports']['api']}/api/v1/servers/localhost/zones/switch.lab."
        request = urllib.request.Request(url, headers={"X-API-Key": manifest["token"]})
        with urllib.request.urlopen(request, timeout=5) as answer:
            rrsets = json.loads(answer.read())["rrsets"]
        kept = [one for one in rrsets if one["type"] in ("LUA", "TXT")]
        return {f"{one['name']} {one['type']}": sorted(r["content"] for r in one["records"]) for one in kept}

    def modes(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The settings of each gateway as it tells them."""
        gateways = [node for node in manifest["nodes"] if node["service"] == "gateway"]
        return {n["name"]: fetched(f"http://{n['address']}/admin/settings", manifest["token"]) for n in gateways}

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "SIMIAN_STATE": str(self.state), "COLUMNS": "100", **more}

    def simian(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """A command to its end."""
        command = [sys.executable, "-m", "simian", *words]
        return subprocess.run(
            command, cwd=self.state, env=self.environment(**more), capture_output=True, text=True, timeout=240
        )

    def begin(self, experiment: str, *words: str, **more: str) -> "subprocess.Popen[str]":
        """A run of one of the experiments that goes on."""
        return self.start("run", f"{experiment}.yaml", "--json", *words, **more)

    def start(self, *words: str, **more: str) -> "subprocess.Popen[str]":
        """A command that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "simian", *words],
            cwd=self.state,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return rows_of(self.journal, query, *values)

    def newest(self) -> dict[str, Any]:
        rows = self.rows("SELECT * FROM runs ORDER BY started DESC LIMIT 1")
        return rows[0] if rows else {}

    def run_after(self, before: dict[str, Any]) -> dict[str, Any]:
        """The run that began after ``before`` was the newest."""
        return dict(
            until(lambda: (row := self.newest()).get("run") != before.get("run") and row, "a new run in the journal")
        )

    def in_phase(self, run: str, phase: str) -> None:
        """Wait until a run is in a phase (with its faults in place, for the phases that have some)."""

        def there() -> bool:
            phases = self.rows("SELECT phase FROM phases WHERE run=?", run)
            return any(row["phase"] == phase for row in phases)

        until(there, f"run {run} enters {phase}")

    def ended(self, run: str) -> dict[str, Any]:
        """The row of a run once it has ended."""
        return dict(
            until(lambda: self.rows("SELECT * FROM runs WHERE run=? AND ended IS NOT NULL", run), f"run {run} ends")[0]
        )

    def is_as(self, before: dict[str, Any]) -> None:
        """Wait until the world is as it was; on failure show what differs."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := self.world()) != before:
            if time.monotonic() > deadline:
                assert now == before
            time.sleep(0.1)


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnLab]:
    state = tmp_path_factory.mktemp("state")
    lab = OwnLab(state)
    try:
        until(lambda: all(lab.world()["ready"].values()), "the lab is ready")
        yield lab
    finally:
        control.down(lab.folder)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Only ever called with pids that the journal of this session's own lab names."""
    os.kill(pid, number)
