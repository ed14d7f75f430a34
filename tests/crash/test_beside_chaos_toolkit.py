"""The same three faults by simian and by Chaos Toolkit, each ended in the middle of its work: what is left of them.

Both get the same signals at the same moments, told by the world and not by what they say of themselves, and are judged
by the same comparison of the lab with what it was before. Chaos Toolkit runs with the rollback strategy that undoes
the most (`always`). It is the `chaos` on PATH: ``python -m venv v; v/bin/pip install chaostoolkit==1.19.0``.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from ..figures import note_figures
from ..real_parts import part_missing
from .conftest import CHECKS, OwnLab, process_state, until

NODE, CUT, SLOW = "members-east-b", "members-west-a--queue-west", "members-east-a--cache-east-a"
STAGES = [
    {"stage": "pause", "settle": "1s", "faults": [{"pause": NODE}]},
    {"stage": "cut", "settle": "1s", "faults": [{"cut": CUT, "how": "refuse"}]},
    {"stage": "slow", "settle": "1s", "faults": [{"delay": SLOW, "by": "constant:60ms"}]},
]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE_S = 30.0


def ask(method: str, url: str, body: Any = None) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or b"null")


class Faults:
    """The three of them, seen and undone from outside."""

    def __init__(self, lab: OwnLab) -> None:
        nodes = {node["name"]: node for node in lab.manifest["nodes"]}
        self.pid = nodes[NODE]["pid"]
        self.urls = {name: self._url(nodes, name) for name in (CUT, SLOW)}

    @staticmethod
    def _url(nodes: dict[str, Any], link: str) -> str:
        servers = [node["address"] for node in nodes.values() if node["service"] == "proxy"]
        return next(f"http://{one}/proxies/{link}" for one in servers if link in ask("GET", f"http://{one}/proxies"))

    def in_place(self) -> int:
        slow = ask("GET", self.urls[SLOW])["toxics"]
        cut = not ask("GET", self.urls[CUT])["enabled"] or bool(ask("GET", self.urls[CUT])["toxics"])
        return (process_state(self.pid) == "T") + cut + bool(slow)

    def undo(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        ask("POST", self.urls[CUT], {"enabled": True})
        for toxic in ask("GET", self.urls[SLOW])["toxics"]:
            ask("DELETE", f"{self.urls[SLOW]}/toxics/{toxic['name']}")

    def experiment(self) -> dict[str, Any]:
        """As Chaos Toolkit is told them: the same, in the same order and with the same pauses."""
        patch = {"headers": {"Content-Type": "application/json"}, "method": "POST"}
        toxic = {"name": "slow", "type": "latency", "stream": "downstream", "attributes": {"latency": 60}}
        acts = [
            ("pause", {"type": "process", "path": "kill", "arguments": ["-STOP", str(self.pid)]}),
            ("cut", {"type": "http", "url": self.urls[CUT], "arguments": {"enabled": False}, **patch}),
            ("slow", {"type": "http", "url": f"{self.urls[SLOW]}/toxics", "arguments": toxic, **patch}),
        ]
        backs = [
            ("mend", {"type": "http", "url": f"{self.urls[SLOW]}/toxics/slow", "method": "DELETE"}),
            ("join", {"type": "http", "url": self.urls[CUT], "arguments": {"enabled": True}, **patch}),
            ("go on", {"type": "process", "path": "kill", "arguments": ["-CONT", str(self.pid)]}),
        ]
        return {
            "version": "1.0.0", "title": "three faults", "description": "three faults",
            "method": [action(*act, after_s=1) for act in acts],
            "rollbacks": [action(*back, after_s=1) for back in backs],
        }  # fmt: skip


def action(name: str, provider: dict[str, Any], after_s: int) -> dict[str, Any]:
    return {"type": "action", "name": name, "provider": provider, "pauses": {"after": after_s}}


Begun = tuple["subprocess.Popen[str]", int]


def simian(lab: OwnLab) -> Begun:
    """A run, and who is to die: the runner."""
    last = lab.newest()
    return lab.begin("three"), lab.run_after(last)["pid"]


def chaos_toolkit(lab: OwnLab) -> Begun:
    program = shutil.which("chaos")
    if program is None:
        part_missing("chaostoolkit", "there is no chaos on PATH; pip install chaostoolkit in an environment of its own")
    (lab.state / "three.json").write_text(json.dumps(Faults(lab).experiment()))
    command = subprocess.Popen(
        [program, "--no-version-check", "run", "--rollback-strategy", "always", "three.json"],
        cwd=lab.state, env=lab.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    return command, command.pid


TOOLS: dict[str, Callable[[OwnLab], Begun]] = {"simian": simian, "Chaos Toolkit": chaos_toolkit}


def ended_at(lab: OwnLab, faults: Faults, tool: str, number: signal.Signals | None, moment: str) -> int:
    """How many of the three are left once it is over, at most ``PATIENCE_S`` after the end of the process."""
    command, pid = TOOLS[tool](lab)
    wanted = 3 if moment == "undo" else int(moment)
    until(lambda: faults.in_place() == wanted, f"{wanted} faults of {tool} are in place")
    if moment == "undo":
        until(lambda: faults.in_place() < 3, f"{tool} undoes")
    if number is not None:
        os.kill(pid, number)
    command.communicate(timeout=240)
    deadline = time.monotonic() + PATIENCE_S
    while (left := faults.in_place()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.fixture(scope="module")
def faults(own_lab: OwnLab) -> Faults:
    if shutil.which("chaos") is None:
        part_missing("chaostoolkit", "there is no chaos on PATH; see the head of this file")
    stages = f"experiment: three\nstages: {json.dumps(STAGES)}\n{CHECKS}exposure: assumed\n"
    (own_lab.state / "three.yaml").write_text(stages)
    return Faults(own_lab)


@pytest.mark.lab
@pytest.mark.parametrize("tool", TOOLS)
def test_left_alone_both_undo_all_of_it(own_lab: OwnLab, faults: Faults, tool: str) -> None:
    before = own_lab.world()
    assert ended_at(own_lab, faults, tool, None, "3") == 0
    own_lab.is_as(before)


@pytest.mark.lab
@pytest.mark.parametrize("moment", ["1", "2", "3", "undo"])
@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_left_of_one_that_was_ended(
    own_lab: OwnLab, faults: Faults, tool: str, number: signal.Signals, moment: str
) -> None:
    before = own_lab.world()
    left = ended_at(own_lab, faults, tool, number, moment)
    note_figures(tool=tool, signal=number.name, moment=moment, left=left)
    if tool == "simian":
        assert left == 0
    else:
        faults.undo()
    own_lab.is_as(before)
