"""The record of a run, told from the journal's rows alone."""

import json
from typing import Any

import pytest

from simian import Kill
from simian.errors import JournalError
from simian.memory import build_memory_world
from simian.monkey import find_monkeys
from simian.record import iso, record_of
from simian.simulation import Simulation

GORILLA = find_monkeys().get("gorilla")


@pytest.fixture(scope="module")
def held() -> tuple[Simulation, dict[str, Any]]:
    sim = Simulation.seeded(1)
    return sim, sim.run(GORILLA, note="a note", hypothesis="users do not notice", for_s=20.0)


def test_moments_are_utc_with_microseconds() -> None:
    assert iso(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    assert iso(None) is None


def test_a_record_is_json_and_whole(held: tuple[Simulation, dict[str, Any]]) -> None:
    _, record = held
    assert json.loads(json.dumps(record)) == record
    assert {key: record[key] for key in ("run", "system", "monkey", "experiment", "seed", "note", "hypothesis")} == {
        "run": "simulated", "system": "memory", "monkey": "gorilla", "experiment": None, "seed": 1, "note": "a note",
        "hypothesis": "users do not notice",
    }  # fmt: skip
    assert record["started"] < record["ended"]
    assert len(record["plan_hash"]) == len(record["topology_hash"]) == 16
    planned = [fault["target"] for stage in record["plan"]["stages"] for fault in stage["faults"]]
    assert planned == [fault["target"] for fault in record["faults"]]
    assert [check["check"] for check in record["steady_state"]] == ["streams start", "requests succeed", "latency"]
    assert all("where" not in check and "hint" not in check for check in record["steady_state"])


def test_phases_follow_one_another_without_a_gap(held: tuple[Simulation, dict[str, Any]]) -> None:
    phases = held[1]["phases"]
    assert [phase["ended"] for phase in phases[:-1]] == [phase["started"] for phase in phases[1:]]
    assert phases[-1]["ended"] == held[1]["ended"]


def test_traffic_adds_up_to_what_users_did(held: tuple[Simulation, dict[str, Any]]) -> None:
    sim, record = held
    slices = [data for _, kind, data in sim.journal.observations("simulated") if kind == "slice"]
    for name in ("ended", "ok", "failed", "first_failed", "shed"):
        told = sum(second[name] for second in record["traffic"])
        assert told == sum(row[name] for data in slices for row in data["rows"]), name
    assert sum(second["ended"] for second in record["traffic"]) > 5_000
    for second in record["traffic"]:
        assert sum(second["latency"].values()) == second["ended"]
        assert sum(second["served"].values()) == second["ok"]
        assert second["ok"] + second["failed"] == second["ended"]
    assert {second["home"] for second in record["traffic"]} == {"east", "west"}


def test_weaknesses_are_the_checks_that_broke_with_where_to_look() -> None:
    sim = Simulation.seeded(1, weaknesses=["no-next-gateway"])
    record = sim.run(find_monkeys().get("chaos"), options={"service": "gateway", "how": "kill"})
    broken = [check["check"] for check in record["steady_state"] if check["verdict"] == "broken"]
    assert broken
    assert [weakness["check"] for weakness in record["weaknesses"]] == broken
    assert all(weakness["seen"] and weakness["hint"] for weakness in record["weaknesses"])


def test_a_run_that_goes_on_can_be_told_too() -> None:
    sim, told = Simulation.seeded(1), []
    sim.emit = lambda event: told.append(record_of(sim.journal, "simulated")) if event["event"] == "phase" else None
    sim.run(GORILLA, for_s=5.0, baseline_s=15.0)
    assert {record["outcome"] for record in told} == {"running"}
    assert {record["verdict"] for record in told} == {"unknown"}
    assert told[0]["plan"] == {"stages": []}
    assert told[-1]["faults"][0]["state"] == "undone"


def test_what_is_stuck_names_the_command_that_mends_it() -> None:
    sim = Simulation.seeded(1)
    sim.journal.begin("r", at=1.0, owner=(1, "x"), request={}, world={})
    sim.journal.intend("r", [(1, "s", Kill("a"), {}), (2, "s", Kill("b"), {})], 1.0)
    sim.journal.mark("r", 1, "stuck", error="will not start")
    sim.journal.mark("r", 2, "undone", undone=2.0)
    stuck, undone = record_of(sim.journal, "r")["faults"]
    assert (stuck["state"], stuck["error"], stuck["mend"]) == ("stuck", "will not start", "simian recover")
    assert (undone["mend"], undone["undone"]) == (None, "1970-01-01T00:00:02.000000Z")


def test_a_run_that_is_not_there_is_an_error() -> None:
    sim = Simulation(memory=build_memory_world())
    with pytest.raises(JournalError, match="no run 'nobody'"):
        record_of(sim.journal, "nobody")
