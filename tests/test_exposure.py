"""Exposure by a counter of the system's own: the judge as tables, and whole runs without users' feed."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from simian.exposure import COUNTER, CountedExposure, exposure_of
from simian.faults.node import Kill
from simian.monkey import find_monkeys
from simian.probe import CheckReading, Slice
from simian.report.model import read
from simian.report.text import text
from simian.simulation import Simulation
from simian.tally import Exposure
from simian.topology import Topology
from simian.verdict import exit_code

FOUND = find_monkeys()
PROBE = {"prometheus": "sum(http_requests_total)", "url": "http://127.0.0.1:9090", "token": {"env": "PROM_TOKEN"}}
NOWHERE = Topology("none", (), (), {})
ANSWERS = {"name": "answers", "probe": {"http": "http://127.0.0.1:1/"}, "tolerance": ">= 99 %"}
ASKED: dict[str, Any] = {"checks": (ANSWERS,), "baseline_s": 10.0, "for_s": 20.0, "exposure": PROBE}
Value = float | str | None


def counted(*values: Value, before: tuple[float, ...] = (900.0, 990.0)) -> CountedExposure:
    """A counter read once a second; a fault went in at second 100. A text is why a reading failed."""
    found = CountedExposure(PROBE)
    for at, value in enumerate(before):
        found.take(CheckReading(COUNTER, 90.0 + at, value))
    found.begin(100.0)
    for at, one in enumerate(values):
        failed = isinstance(one, str)
        found.take(CheckReading(COUNTER, 100.5 + at, None if failed else one, detail=one if failed else ""))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("values", "met", "said"),
    [
        # the first reading since may have been asked for before the fault, and is left out
        ((1000.0, 1000.0, 1004.0), 4, ""),
        ((1000.0, 1000.0, 1002.0, 1002.0, 1007.0), 7, ""),
        ((0.0, 0.0, 0.25), 1, ""),
        ((1000.0, 1000.0, "no route", "no route", 1003.0), 3, ""),
        ((1000.0, 1000.0, 1003.0, "no route"), 3, ""),
        (("no route", 1000.0, 1003.0), 3, ""),
        ((1000.0, 1010.0, 1010.0, 1010.0), 0, "stood still at 1010 in 3 readings"),
        ((1000.0, 1010.0, 1010.0, "no route"), 0, "stood still at 1010 in 2 readings; 1 failed: no route"),
        ((1000.0, 1010.0, 3.0, 8.0), 0, "was set back from 1010 to 3"),
        ((1000.0, 1010.0, 3.0, 2000.0), 0, "was set back from 1010 to 3"),
        ((1000.0, 1010.0, "gone", 3.0), 0, "was set back from 1010 to 3"),
        ((1000.0, "gone", "gone"), 0, "was read 0 times with the faults in place, 2 are needed; 2 failed: gone"),
        ((1000.0, 1010.0), 0, "was read 1 times with the faults in place, 2 are needed"),
        ((1000.0,), 0, "was read 0 times"),
        ((), 0, "was read 0 times"),
    ],
)
def test_what_a_counter_tells(values: tuple[Value, ...], met: int, said: str) -> None:
    found = counted(*values)
    assert found.met(Kill("web-1"), NOWHERE, "mark") == met
    if not met:
        assert said in found.why_unmet("kill of web-1")


def test_readings_before_the_fault_and_of_other_checks_count_for_nothing() -> None:
    found = counted(before=(1.0, 2.0, 3.0))
    for at, value in enumerate((1.0, 5.0, 9.0)):
        found.take(CheckReading("answers", 101.0 + at, value))
    found.take(Slice(101.0, 0.2, {}, 3))
    assert found.met(Kill("web-1"), NOWHERE, "mark") == 0


def test_without_a_counter_users_requests_are_counted() -> None:
    assert type(exposure_of("required")) is type(exposure_of("assumed")) is Exposure
    assert exposure_of("required").checks == ()
    found = exposure_of(PROBE)
    assert isinstance(found, CountedExposure)
    assert [check.name for check in found.checks] == [COUNTER]
    assert not found.checks[0].on_users


def served(sim: Simulation, target: str) -> Callable[[], float]:
    """A counter as a service keeps it: the calls that users made to the target; they tell simian nothing."""
    calls = {"all": 0}

    def note(seen: Slice) -> None:
        calls["all"] += sum(count for hop, count in seen.hops.items() if hop.rstrip("!~+-").endswith(f">{target}"))

    sim.memory.users.subscribe(note)

    def look() -> float:
        sim.memory.users.settle()
        return float(calls["all"])

    return look


def without_users(counter: Callable[[Simulation], Callable[[], float | None]], seed: int = 3) -> dict[str, Any]:
    """A whole run of chaos with one probe and a counter."""
    sim = Simulation.seeded(seed, feed=False)
    sim.looks = {"answers": lambda: 1.0, COUNTER: counter(sim)}
    return sim.run(FOUND.get("chaos"), options={"node": ["store-east-a"]}, **ASKED)


def code(record: Mapping[str, Any]) -> int:
    return exit_code(record["outcome"], record["verdict"], record["recovery"])


def test_a_run_with_probes_only_is_held_when_its_counter_grew() -> None:
    record = without_users(lambda sim: served(sim, "store-east-a"))
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    assert record["traffic"] == []
    assert not record["exposure_assumed"]
    told = record["figures"]["exposure"]
    assert told["to"] - told["from"] == record["faults"][0]["exposure"] > 0
    assert told["counter"] == "prometheus sum(http_requests_total), url http://127.0.0.1:9090"
    assert code(record) == 0
    shown = text(read(record))
    assert "HELD" in shown
    assert f"growth of a counter with the faults in place: {told['from']:.15g} to {told['to']:.15g}" in shown


@pytest.mark.parametrize(
    ("counter", "said"),
    [
        (lambda sim: lambda: 7.0, "stood still at 7 in"),
        (lambda sim: lambda: None, "no answer within 2 s"),
        (lambda sim: lambda: 1 / 0, "ZeroDivisionError"),
        (lambda sim: lambda: -sim.memory.clock.elapsed(), "was set back from"),
        (lambda sim: served(sim, "no-such-node"), "stood still at 0 in"),
    ],
    ids=["stands still", "is silent", "fails", "is set back", "is of nothing"],
)
def test_a_run_whose_counter_proves_nothing_is_unknown_and_says_why(
    counter: Callable[[Simulation], Callable[[], float | None]], said: str
) -> None:
    record = without_users(counter)
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "unknown", "clean")
    assert [reason for reason in record["reasons"] if said in reason], record["reasons"]
    assert record["faults"][0]["exposure"] == 0
    assert code(record) == 4
    shown = text(read(record))
    assert "the counter of `exposure`" in shown
    assert "user's request" not in shown


def test_a_counter_is_no_check_and_ends_no_run() -> None:
    record = without_users(lambda sim: lambda: None)
    assert record["outcome"] == "completed"
    assert [check["check"] for check in record["steady_state"]] == ["answers"]


def test_without_counter_and_feed_nobody_is_known_to_have_met_the_fault() -> None:
    sim = Simulation.seeded(3, feed=False, looks={"answers": lambda: 1.0})
    record = sim.run(FOUND.get("chaos"), **ASKED | {"exposure": "required"})
    assert record["verdict"] == "unknown"
    assert "no user's request met the" in record["reasons"][0]
    assumed = Simulation.seeded(3, feed=False, looks={"answers": lambda: 1.0})
    assert assumed.run(FOUND.get("chaos"), **ASKED | {"exposure": "assumed"})["verdict"] == "held"


def test_one_reason_is_told_once_for_all_faults() -> None:
    sim = Simulation.seeded(3, feed=False, looks={"answers": lambda: 1.0, COUNTER: lambda: 7.0})
    record = sim.run(FOUND.get("gorilla"), **ASKED)
    assert len(record["faults"]) > 1
    assert len([reason for reason in record["reasons"] if "stood still" in reason]) == 1


def test_the_die_the_counter_and_the_world_are_the_same_for_the_same_seed() -> None:
    first, again = (without_users(lambda sim: served(sim, "store-east-a"), seed=11) for _ in range(2))
    assert first["faults"] == again["faults"]
    assert first["readings"] == again["readings"]
