"""What reports ask of earlier runs: the traffic of a week before, and a week whole."""

import pytest

from simian.history import History
from simian.report import render_week
from simian.report.digest import read_week

from ..report import records
from ..report.records import Record, moment

WEEK_S = 7 * 86400


def at(offset_s: float, record: Record, run: str) -> Record:
    """The record as if it had begun so much later; rows of traffic and faults with it."""
    faults = [
        fault | {key: later(fault[key], offset_s) for key in ("injected", "undone")} for fault in record["faults"]
    ]
    traffic = [row | {"at": row["at"] + offset_s} for row in record["traffic"]]
    return record | {"run": run, "started": moment(offset_s - 0.6), "faults": faults, "traffic": traffic}


def later(text: str | None, offset_s: float) -> str | None:
    from simian.report.words import epoch_s

    known = epoch_s(text)
    return None if known is None else moment(known - records.START + offset_s)


@pytest.mark.parametrize(("offset_s", "found"), [(0, True), (3500, True), (-3500, True), (3700, False), (-3700, False)])
def test_a_run_of_a_week_before_began_within_an_hour_of_that_time(
    offset_s: float, found: bool, history: History
) -> None:
    history.store(at(offset_s - WEEK_S, records.held_gorilla(), "before"))
    told = history.week_before(at(0, records.held_gorilla(), "now"))
    assert (told is not None) is found
    if told is not None:
        assert told["run"] == "before"
        assert told["traffic"][0]["at"] == records.START + offset_s - WEEK_S
        assert len(told["traffic"]) == len(records.held_gorilla()["traffic"])


def test_it_is_the_last_one_of_the_same_system_in_which_users_were_counted(history: History) -> None:
    history.store(at(-WEEK_S - 1200, records.held_gorilla(), "early"))
    history.store(at(-WEEK_S - 600, records.held_gorilla(), "late"))
    history.store(at(-WEEK_S, records.held_gorilla() | {"traffic": []}, "blind"))
    history.store(at(-WEEK_S + 60, records.held_gorilla() | {"system": "other"}, "others"))
    told = history.week_before(records.held_gorilla())
    assert told is not None
    assert told["run"] == "late"


def test_a_week_has_its_runs_with_what_failed_since_the_first_blow(history: History) -> None:
    broken = records.broken_chaos()
    broken["traffic"][0] |= {"failed": 50}  # before the blow: somebody else's
    history.store(at(-3600, broken, "broken"))
    history.store(at(-WEEK_S - 60, records.held_gorilla(), "too old"))
    history.store(at(60, records.held_gorilla(), "too new"))
    week = history.week(moment(-WEEK_S), moment(0))
    (run,) = week["runs"]
    assert {key: run[key] for key in ("run", "monkey", "verdict", "injected", "broken")} == {
        "run": "broken", "monkey": "chaos", "verdict": "broken", "injected": True, "broken": ["streams start"],
    }  # fmt: skip
    assert [(one["home"], one["failed"], one["seconds"]) for one in run["spent"]] == [
        ("east", 230, 33.0), ("west", 0, 33.0),
    ]  # fmt: skip
    assert run["weaknesses"][0]["hint"].startswith("does gateway-east-b try")


def test_what_each_monkey_and_each_experiment_came_to_last_before_is_told(history: History) -> None:
    history.store(at(-WEEK_S - 300, records.held_gorilla(), "gorilla 1"))
    history.store(at(-WEEK_S - 200, records.unfelt_chaos(), "chaos judged by nobody"))
    history.store(at(-WEEK_S - 100, records.broken_chaos(), "experiment"))
    for number, make in enumerate((records.held_gorilla, records.unfelt_chaos, records.broken_chaos)):
        history.store(at(-3600 - number, make(), f"new {number}"))
    week = history.week(moment(-WEEK_S), moment(0))
    assert [(each["monkey"], each["experiment"], each["verdict"], each["run"]) for each in week["before"]] == [
        ("chaos", "members survive a lost node", "broken", "experiment"),
        ("gorilla", None, "held", "gorilla 1"),
    ]


def test_a_digest_can_be_made_of_a_real_history(history: History) -> None:
    for number, make in enumerate(records.ALL.values()):
        history.store(at(-3600.0 * (number + 1), make(), f"run{number}"))
    week = read_week(history.week(moment(-WEEK_S), moment(0)), "lab")
    assert {run.end for run in week.runs} == {"held", "broken", "refused", "unknown", "leashed"}
    assert "monkey" in render_week(history.week(moment(-WEEK_S), moment(0)), system="lab")


def test_an_empty_week_is_one(history: History) -> None:
    assert history.week(moment(-WEEK_S), moment(0))["runs"] == []
