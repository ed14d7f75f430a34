"""``halt``, ``resume`` and ``recover``; and the refusals of a run of several processes, without a lab."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from simian.faults.node import Kill
from simian.journal import Journal
from simian.owner import Owner

from .conftest import MEMORY, Call, Program

GONE = (2**22 + 7, "1")  # no process has this number and start time


@pytest.fixture
def pair(nowhere: Program) -> Iterator[Program]:
    """A system of two real processes, each alive, that a run could be planned for."""
    sleepers = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    nodes = [
        {"name": f"web-{zone}", "service": "web", "region": "east", "zone": f"east-{zone}", "role": "service",
         "address": "127.0.0.1:9", "ask": "http://127.0.0.1:9/", "ask_behind": None, "faults_url": None,
         "command": [], "cwd": str(nowhere.folder), "pid": sleeper.pid, "start_time": Owner.of(sleeper.pid).start_time,
         "started": 1.0, "held": False}
        for zone, sleeper in zip("ab", sleepers, strict=True)
    ]  # fmt: skip
    manifest = {"version": 1, "system": "shop", "flavour": "process", "number": 0, "seed": 7, "started": 1.0,
                "token": "t", "supervisor": {"pid": GONE[0], "start_time": GONE[1], "control": "127.0.0.1:9"},
                "nodes": nodes, "links": []}  # fmt: skip
    nowhere.file("manifest.json", json.dumps(manifest))
    nowhere.file("simian.yaml", "system: shop\nplatform: {driver: process, manifest: manifest.json}\n")
    yield nowhere
    alive = [sleeper.poll() is None for sleeper in sleepers]
    for sleeper in sleepers:
        sleeper.communicate(b"\n")
    assert alive == [True, True], "a refused run touches nothing"


def test_halt_pulls_the_lever_and_resume_takes_it_back(shop: Program, call: Call) -> None:
    assert call("halt", "release of the shop").code == 0
    assert (shop.state / "halt").read_text() == "release of the shop\n"
    assert call("status", "--json").document["halted"] == "release of the shop"
    assert "halted: release of the shop" in call("status").out
    assert call("doctor").code == 4
    assert call("resume").out == "runs are allowed again\n"
    assert call("status", "--json").document["halted"] is None
    assert call("resume", "--json").document == {"resumed": False}


def test_halt_as_json(call: Call) -> None:
    assert call("halt", "why", "--json").document == {"halted": "why", "ended": [], "stuck": []}


def test_a_halted_system_refuses_a_run_with_the_reason(pair: Program) -> None:
    assert pair("halt", "release of the shop").code == 0
    answer = pair("gorilla", "--zone", "east-a", "--for", "1s", "--json")
    assert answer.code == 3
    assert answer.document["outcome"] == "refused"
    assert any("halted: release of the shop" in reason for reason in answer.document["reasons"])
    assert answer.document["faults"] == []
    assert pair("history", "--json").document["runs"][0]["outcome"] == "refused"
    assert pair("resume").code == 0
    again = pair("gorilla", "--zone", "east-a", "--for", "1s", "--json")
    assert again.code == 3, "nothing answers at these addresses, so nothing could be proven"
    assert not any("halted" in reason for reason in again.document["reasons"])


def test_a_refused_run_is_told_to_people_and_written_to_a_file(pair: Program) -> None:
    pair("halt", "release of the shop")
    answer = pair("chaos", "--node", "web-a", "--report", "r.md", "--no-progress")
    assert answer.code == 3
    assert "REFUSED" in answer.out
    assert "release of the shop" in answer.out
    assert "release of the shop" in (pair.folder / "r.md").read_text()
    quiet = pair("chaos", "--node", "web-a", "-q")
    assert (quiet.code, quiet.out) == (3, "")


def test_a_lever_that_cannot_be_read_counts_as_pulled(pair: Program, nowhere: Program) -> None:
    assert pair("status").code == 0
    folder = next(path for path in pair.state.parent.iterdir() if path.is_dir())
    (folder / "halt").mkdir()
    answer = pair("gorilla", "--zone", "east-a", "--json")
    assert answer.code == 3
    assert any("counts as pulled" in reason for reason in answer.document["reasons"])


def test_a_region_of_a_system_of_ones_own_needs_a_yes(pair: Program) -> None:
    answer = pair("chaos", "--node", "web-a", "--node", "web-b", "--json")
    assert answer.code == 3
    assert "--yes" in answer.document["error"]["reasons"][0]


def test_a_journal_that_is_none_refuses_a_run(pair: Program) -> None:
    assert pair("status").code == 0
    journal = next(pair.state.parent.glob("*/journal.db"))
    for file in journal.parent.glob("journal.db*"):
        file.unlink()
    journal.write_text("this is a diary")
    answer = pair("gorilla", "--zone", "east-a", "--json")
    assert answer.code == 3
    assert answer.document["error"]["kind"] == "refused"
    assert "journal.db" in answer.document["error"]["reasons"][0]


def test_nothing_to_recover(call: Call) -> None:
    assert call("recover", "--json").document == {"undone": [], "stuck": []}
    assert call("recover").out == "nothing was left behind\n"
    assert call("recover", "--orphans", "--json").document == {"undone": [], "stuck": []}


def left_behind(shop: Program) -> None:
    """A run whose runner and guardian are gone, with a fault in place."""
    journal = Journal(shop.state / "journal.db")
    settings = {port: {"driver": "memory"} for port in ("platform", "network", "requests", "observer")}
    request = {"run": "deadrun", "system": "shop", "seed": 1, "settings": settings, "state_folder": str(shop.state),
               "monkey": "chaos", "experiment": None}  # fmt: skip
    journal.begin("deadrun", at=1795255200.0, owner=GONE, request=request, world=settings)
    journal.intend("deadrun", [(1, "chaos", Kill("members-east-a"), {})], at=1795255201.0)
    journal.mark("deadrun", 1, "injected", injected=1795255201.5)
    journal.close()


def test_what_a_dead_run_left_is_told_and_recovered(shop: Program, call: Call) -> None:
    left_behind(shop)
    told = call("status", "--json").document
    assert [(run["run"], run["state"]) for run in told["runs"]] == [("deadrun", "dead")]
    assert [(fault["kind"], fault["target"]) for fault in told["faults"]] == [("kill", "members-east-a")]
    assert told["recover"] is True
    assert 'run "simian recover"' in call("status").out
    assert call("doctor").code == 4
    assert call("recover", "--json").document == {"undone": ["kill of members-east-a"], "stuck": []}
    assert call("status", "--json").document == {"halted": None, "runs": [], "faults": [], "recover": False}
    assert call("recover").out == "nothing was left behind\n"
    ended = call("history", "--json").document["runs"]
    assert [(row["run"], row["outcome"], row["recovery"]) for row in ended] == [("deadrun", "crashed", "clean")]


def test_a_halt_recovers_what_a_dead_run_left(shop: Program, call: Call) -> None:
    left_behind(shop)
    assert call("halt", "enough").code == 0
    assert call("status", "--json").document["faults"] == []


def test_a_world_in_memory_is_planned_for_and_not_run_on(shop: Program) -> None:
    assert MEMORY in (shop.folder / "simian.yaml").read_text()
    answer = shop("gorilla", "--json")
    assert answer.code == 3
    assert "add --plan" in answer.document["error"]["reasons"][0]
    assert not (shop.state / "journal.db").exists()
