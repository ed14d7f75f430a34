"""A monkey and a probe of somebody else's, one file each in a folder that simian.yaml names: all promises hold."""

import json
from pathlib import Path

import pytest

from .conftest import CHECKS, OwnLab, kill

MONKEY = '''
from simian import Pause, Radius, monkey

@monkey(radius=Radius.NODE)
def last_by_name(topology, rng, *, service: str = "web"):
    """Freeze the node whose name comes last.

    :param service: of which service
    """
    return [Pause(topology.candidates(service=service)[-1])]
'''
PROBE = '''
import socket
from simian import Reading, probe

@probe("gateway greets")
def greets(host: str, port: int) -> Reading:
    """Whether a gateway accepts a connection: 1 or 0."""
    with socket.create_connection((host, port), timeout=2):
        return Reading(1.0, "accepted")
'''


@pytest.fixture(name="configured", scope="module")
def fixture_configured(own_lab: OwnLab) -> Path:
    """The lab's own simian.yaml with a folder of plug-ins and a check with the stranger's probe."""
    folder = own_lab.state / "stranger"
    (folder / "chaos").mkdir(parents=True, exist_ok=True)
    (folder / "chaos" / "last.py").write_text(MONKEY)
    (folder / "chaos" / "greets.py").write_text(PROBE)
    gateway = next(n for n in own_lab.manifest["nodes"] if n["name"] == "gateway-west-a")
    host, _, port = gateway["address"].rpartition(":")
    lines = (own_lab.folder / "lab" / "simian.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("steady_state:", "abort:"))]
    own = [
        "plugins: [./chaos]",
        f'  - {{check: a gateway greets, probe: {{gateway greets: "{host}", port: {port}}}, tolerance: ">= 50 %"}}',
    ]
    checks = CHECKS.partition("baseline:")[0].rstrip()
    (folder / "simian.yaml").write_text("\n".join([*kept, own[0], checks, own[1], ""]))
    return folder / "simian.yaml"


def test_it_runs_like_any_other(own_lab: OwnLab, configured: Path) -> None:
    before = own_lab.world()
    words = [
        "last-by-name",
        "--service",
        "members",
        "--for",
        "4s",
        "--seed",
        "1",
        "--json",
        "--config",
        str(configured),
    ]
    answer = own_lab.simian(*words)
    record = json.loads(answer.stdout)
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    (fault,) = record["faults"]
    assert (fault["kind"], fault["target"], fault["evidence"]["held"]) == ("pause", "members-west-c", True)
    assert fault["exposure"] > 0
    judged = {check["check"]: check["verdict"] for check in record["steady_state"]}
    assert judged["a gateway greets"] == "held"
    assert answer.returncode == 0
    own_lab.is_as(before)


def test_its_runner_killed_the_guardian_puts_all_back(own_lab: OwnLab, configured: Path) -> None:
    before, last = own_lab.world(), own_lab.newest()
    words = ["last-by-name", "--service", "store", "--for", "4s", "--config", str(configured)]
    command = own_lab.start(*words)
    run = own_lab.run_after(last)
    own_lab.in_phase(run["run"], "observe")
    kill(run["pid"])
    row = own_lab.ended(run["run"])
    command.communicate(timeout=240)
    assert (row["outcome"], row["recovery"]) == ("crashed", "clean")
    own_lab.is_as(before)
