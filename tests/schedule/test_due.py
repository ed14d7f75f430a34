"""What becomes of due times: a table of lateness, misfire rules, pauses and closed hours."""

from typing import Any

import pytest

from simian.schedule.due import MOST_ROWS, fates
from simian.schedule.preview import coming
from simian.schedule.row import Schedule
from simian.schedule.when import moment_of

NINE = moment_of("2026-11-25T09:00Z")  # a Wednesday
HOUR_S = 3600.0


def hourly(**more: Any) -> Schedule:
    base = {"name": "s", "monkey": "chaos", "when": {"cron": "0 * * * *"}, "made": "2026-01-01T00:00Z", "seed": 7}
    return Schedule.from_json(base | more)


@pytest.mark.parametrize(
    ("more", "late_s", "states"),
    [
        ({}, 0.0, ["claimed"]),
        ({}, 29.0, ["claimed"]),
        ({}, 31.0, ["missed"]),
        ({"misfire": "late"}, 599.0, ["claimed"]),
        ({"misfire": "late"}, 601.0, ["missed"]),
        ({"misfire": "late"}, 2 * HOUR_S + 5, ["missed", "missed", "claimed"]),
        ({"misfire": "late"}, 2 * HOUR_S + 601, ["missed", "missed", "missed"]),
        ({"misfire": "late", "grace_s": 3 * HOUR_S}, 2 * HOUR_S + 601, ["missed", "missed", "claimed"]),
        ({}, 2 * HOUR_S + 5, ["missed", "missed", "claimed"]),
        ({"paused": True}, HOUR_S, ["skipped", "skipped"]),
        ({"calendar": {"hours": "10:00-15:00"}}, 0.0, ["skipped"]),
        ({"calendar": {"hours": "09:00-15:00"}}, 0.0, ["claimed"]),
        ({"calendar": {"hours": "09:00-10:00"}, "zone": "Europe/Berlin"}, 0.0, ["skipped"]),
        ({"expires": "2026-11-25T09:00:00Z"}, HOUR_S, []),
        ({"when": {"at": "2026-11-25T09:00:00Z"}}, 5 * HOUR_S, ["missed"]),
    ],
)
def test_what_has_come_runs_is_missed_or_skipped(more: dict[str, Any], late_s: float, states: list[str]) -> None:
    found = fates(hourly(**more), NINE - 1, NINE + late_s)
    assert [fate.state for fate in found] == states
    assert all(fate.reason for fate in found if fate.state != "claimed")


def test_the_systems_calendar_holds_beside_the_schedules_own() -> None:
    (fate,) = fates(hourly(calendar={"hours": "09:00-15:00"}), NINE - 1, NINE, {"closed": ["2026-11-25"]})
    assert (fate.state, fate.reason) == ("skipped", "closed: 2026-11-25")


def test_a_run_that_would_be_late_into_closed_hours_is_skipped() -> None:
    late = hourly(misfire="late", calendar={"hours": "09:00-09:05"})
    assert fates(late, NINE - 1, NINE + 240)[0].state == "claimed"
    assert fates(late, NINE - 1, NINE + 360)[0].state == "skipped"


def test_a_start_that_jitter_puts_off_is_not_due_yet() -> None:
    shaken = hourly(jitter_s=1800.0)
    due = shaken.dues(NINE - 1, NINE)[0]
    starts = shaken.starts(due)
    assert NINE < starts < NINE + 1800
    assert fates(shaken, NINE - 1, starts - 0.001) == []
    assert [fate.due for fate in fates(shaken, NINE - 1, starts)] == [NINE]


def test_who_slept_for_a_year_gets_the_last_and_a_number() -> None:
    found = fates(hourly(when={"cron": "* * * * *"}), NINE - 365 * 86_400, NINE)
    assert len(found) == MOST_ROWS
    assert found[-1].state == "claimed"
    left_out = 365 * 24 * 60 - MOST_ROWS
    assert f"so did {left_out} before it" in found[0].reason


def test_a_preview_shows_what_the_day_will_bring_and_why_not() -> None:
    schedules = [hourly(calendar={"hours": "09:00-10:30"}), hourly(name="t", when={"cron": "30 9 * * *"}, paused=True)]
    found = list(coming(schedules, NINE - 1, NINE + 2 * HOUR_S, calendar=None))
    told = [(one.schedule.name, one.due - NINE, one.closed.split(":")[0]) for one in found]
    assert told == [("s", 0.0, ""), ("t", 1800.0, "paused"), ("s", 3600.0, ""), ("s", 7200.0, "closed")]
    assert found[0].seed == schedules[0].die_of(NINE)
    other = next(coming(schedules, NINE - 1, NINE + 1, calendar=None, seed=8))
    assert other.seed == hourly(seed=8).die_of(NINE)
