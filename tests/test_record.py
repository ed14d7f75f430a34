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


REGIONS = {"gateway-east-a": "east", "gateway-east-b": "east", "gateway-west-a": "west", "cache-east-a": "east"}


def row_of(home: str, **other: Any) -> dict[str, Any]:
    counts = {"ended": 4, "ok": 4, "failed": 0, "first_failed": 0, "shed": 0}
    return {"home": home, "kind": "play", **counts, "served": {"west": 4}, "latency": {"9": 4}} | other


def told(*observations: tuple[float, str, dict[str, Any]], **kept: Any) -> dict[str, Any]:
    """The record of a run that observed this."""
    sim = Simulation(memory=build_memory_world())
    sim.journal.begin("r", at=1.0, owner=(1, "x"), request={}, world={})
    sim.journal.observe("r", observations)
    if kept:
        sim.journal.keep("r", **kept)
    return record_of(sim.journal, "r")


def test_arrivals_and_cache_reads_are_summed_by_second_and_region() -> None:
    first = {"arrived": {"gateway-east-a": [3, 1], "gateway-east-b": [2, 0]}, "caches": {"cache-east-a": [5, 2]}}
    second = {"arrived": {"gateway-east-a": [1, 1], "gateway-west-a": [7, 0], "stranger": [9, 9]}}
    slices = [(at, "slice", {"seconds": 0.5, "rows": [], **data}) for at, data in ((10.25, first), (10.75, second))]
    record = told(*slices, (11.25, "slice", {"seconds": 3.0, "rows": [], **first}), figures={"regions": REGIONS})
    assert record["arrivals"] == [
        {"at": 10.25, "seconds": 1.0, "region": "east", "answered": 6, "unanswered": 2},
        {"at": 10.25, "seconds": 1.0, "region": "west", "answered": 7, "unanswered": 0},
        {"at": 11.25, "seconds": 3.0, "region": "east", "answered": 5, "unanswered": 1},
    ]
    assert record["caches"] == [
        {"at": 10.25, "seconds": 1.0, "region": "east", "hits": 5, "misses": 2},
        {"at": 11.25, "seconds": 3.0, "region": "east", "hits": 5, "misses": 2},
    ]


def test_slices_that_do_not_begin_with_a_second_keep_their_rate() -> None:
    slices = [(10.0 + number * 0.7, "slice", {"seconds": 0.7, "rows": [row_of("east")]}) for number in range(20)]
    traffic = told(*slices)["traffic"]
    rates = [second["ended"] / second["seconds"] for second in traffic]
    assert rates == pytest.approx([4 / 0.7] * len(traffic))
    ends = [second["at"] + second["seconds"] for second in traffic]
    assert ends[:-1] == pytest.approx([second["at"] for second in traffic[1:]])


def test_homes_of_one_second_stand_side_by_side_though_one_came_later() -> None:
    rows = [(10.0, ["east"]), (10.5, ["east", "west"])]
    slices = [(at, "slice", {"seconds": 0.5, "rows": [row_of(home) for home in homes]}) for at, homes in rows]
    told_rows = [(second["home"], second["at"], second["seconds"]) for second in told(*slices)["traffic"]]
    assert told_rows == [("east", 10.0, 1.0), ("west", 10.0, 1.0)]


def test_ways_are_summed_by_second_and_home() -> None:
    rows = [row_of("east", ways={"direct": 3, "redirect": 1}), row_of("east", kind="profile", ways={"isthmus": 4})]
    record = told((10.0, "slice", {"seconds": 0.2, "rows": rows}))
    assert record["traffic"][0]["ways"] == {"direct": 3, "redirect": 1, "isthmus": 4}


def test_a_journal_of_an_earlier_simian_has_no_ways_arrivals_or_figures() -> None:
    record = told((10.0, "slice", {"seconds": 0.2, "rows": [row_of("east")], "arrived": {"gateway-east-a": [1, 0]}}))
    assert record["traffic"][0]["ways"] == {}
    assert record["traffic"][0]["served"] == {"west": 4}
    assert (record["arrivals"], record["caches"], record["figures"]) == ([], [], {})


def test_moments_backlog_and_figures_are_told_as_they_were_written() -> None:
    figures = {"regions": {}, "left": "east", "data": {"keys": 2}}
    waiting = {"hints store-east-a": 12}
    record = told(
        (10.5, "moment", {"name": "drained", "region": "east"}), (11.0, "backlog", {"waiting": waiting}),
        figures=figures,
    )  # fmt: skip
    assert record["moments"] == [{"at": 10.5, "name": "drained", "region": "east"}]
    assert record["backlog"] == [{"at": 11.0, "waiting": waiting}]
    assert record["figures"] == figures
    assert record["readings"] == []


def test_arrivals_of_a_whole_run_are_what_its_slices_counted(held: tuple[Simulation, dict[str, Any]]) -> None:
    sim, record = held
    slices = [data for _, kind, data in sim.journal.observations("simulated") if kind == "slice"]
    for index, name in enumerate(("answered", "unanswered")):
        counted = sum(pair[index] for data in slices for pair in data["arrived"].values())
        assert counted == sum(second[name] for second in record["arrivals"]) > 0
