"""When schedules are due: cron against a second library, intervals, chance, and what clocks do twice a year."""

import random
import statistics
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from simian.errors import UsageError
from simian.opening import Calendar
from simian.schedule.row import Schedule
from simian.schedule.when import moment_of, text_of, when_of

YEAR_S = 366 * 86_400.0


def schedule(when: dict[str, Any], **more: Any) -> Schedule:
    base = {"name": "s", "monkey": "chaos", "when": when, "made": "2026-01-01T00:00:00.000000Z", "seed": 7}
    return Schedule.from_json(base | more)


def moments(made: Schedule, after: str, count: int) -> list[str]:
    """Local times of the next due ones, with their offset from UTC."""
    at, found = moment_of(after), []
    for _ in range(count):
        due = made.due_after(at)
        if due is None:
            break
        at = due
        found.append(datetime.fromtimestamp(at, ZoneInfo(made.zone)).strftime("%m-%d %H:%M%z"))
    return found


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "59", "*/7", "5,35", "10-20/5"]),
    st.sampled_from(["*", "0", "2", "23", "*/5", "9-15"]),
    st.sampled_from(["*", "1", "31", "*/10", "13"]),
    st.sampled_from(["*", "2", "3", "10", "jan,jun"]),
    st.sampled_from(["*", "0", "7", "1", "6", "1-5", "mon", "tue-thu", "sun", "5,6"]),
)


@settings(max_examples=300, deadline=None)
@given(
    fields=FIELDS,
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_cron_is_due_when_a_second_library_says_so(fields: tuple[str, ...], zone: str, start: datetime) -> None:
    home, text = ZoneInfo(zone), " ".join(fields)
    possible = True
    try:
        ours = schedule({"cron": text}, zone=zone)
    except UsageError:
        possible = False  # 31 February
    if not possible:
        assert "31" in text
        return
    at = start.replace(tzinfo=UTC, microsecond=0).timestamp()
    # `*/10` as a day and a weekday beside it: both must hold, as in all crons that people run
    other = croniter(text, datetime.fromtimestamp(at, home), implement_cron_bug=True)
    for _ in range(5):
        theirs = other.get_next(datetime)
        due = ours.due_after(at)
        assert due is not None
        if _near_a_change(theirs, home) or _near_a_change(datetime.fromtimestamp(due, home), home):
            return  # each library has its own opinion there; ours is in the tests below
        assert datetime.fromtimestamp(due, home) == theirs
        at = due


def _near_a_change(moment: datetime, home: ZoneInfo) -> bool:
    return (moment + timedelta(hours=26)).astimezone(home).utcoffset() != (moment - timedelta(hours=26)).astimezone(
        home
    ).utcoffset()


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        # the hour that does not exist: when the gap ends, once
        ("30 2 * * *", "2026-03-28T12:00+01:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("15,45 2 * * *", "2026-03-28T12:00+01:00", ["03-29 03:00+0200", "03-30 02:15+0200"]),
        ("0 3 * * *", "2026-03-28T12:00+01:00", ["03-29 03:00+0200", "03-30 03:00+0200"]),
        # the hour that exists twice: a fixed time once, "each half hour" through both
        ("30 2 * * *", "2026-10-24T12:00+02:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("30 2 * * *", "2026-10-25T02:30+02:00", ["10-26 02:30+0100"]),
        (
            "*/30 * * * *",
            "2026-10-25T01:45+02:00",
            ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100", "10-25 03:00+0100"],
        ),
        ("0 10 * * 1-5", "2026-11-20T12:00+01:00", ["11-23 10:00+0100", "11-24 10:00+0100"]),  # Friday -> Monday
        ("0 10 * * tue", "2026-11-24T10:00+01:00", ["12-01 10:00+0100"]),
    ],
)
def test_cron_where_clocks_change_and_weekdays_have_numbers(cron: str, after: str, due: list[str]) -> None:
    assert moments(schedule({"cron": cron}, zone="Europe/Berlin"), after, len(due)) == due


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"cron": "0 10 * *"}, "five fields"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "0 10 * * funday"}, "bad day-of-week"),
        ({"cron": "0 0 31 2 *"}, "day"),
        ({"cron": 7}, "five fields"),
        ({"every_s": 0}, "between 1s and a year"),
        ({"every_s": float("nan")}, "between 1s and a year"),
        ({"every_s": True}, "between 1s and a year"),
        ({"at": "tomorrow"}, "no moment"),
        ({"chance": {"mean_days": 0.5}}, "mean_days"),
        ({"chance": {"mean_days": 2, "min_days": 3}}, "mean_days"),
        ({"chance": {"mean_days": 2, "min_days": 1.5}}, "whole work days"),
        ({"chance": {"mean_days": 2, "max_days": 3}}, "mean_days"),
        ({"chance": 2}, "mean_days"),
        ({}, "right would be one of"),
        ({"cron": "* * * * *", "every_s": 60}, "right would be one of"),
    ],
    ids=str,
)
def test_what_can_never_be_due_is_told_at_once(when: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        schedule(when)


def test_an_hour_that_does_not_exist_cannot_be_chosen() -> None:
    with pytest.raises(UsageError, match="does not exist"):
        moment_of("2026-03-29T02:30", ZoneInfo("Europe/Berlin"))
    assert text_of(moment_of("2026-10-25T02:30", ZoneInfo("Europe/Berlin"))) == "2026-10-25T00:30:00.000000Z"


def test_an_interval_goes_on_through_any_clock_change() -> None:
    made = schedule({"every_s": 43_200.0, "from": "2026-03-28T12:00:00+01:00"}, zone="Europe/Berlin")
    assert moments(made, "2026-03-28T00:00Z", 3) == ["03-28 12:00+0100", "03-29 00:00+0100", "03-29 13:00+0200"]
    assert made.due_after(moment_of("2026-03-28T11:00Z")) == moment_of("2026-03-28T23:00Z")


@settings(max_examples=200, deadline=None)
@given(every_s=st.floats(1.0, 1e6), after=st.floats(0, 4e9))
def test_an_interval_is_due_later_and_soon_enough(every_s: float, after: float) -> None:
    due = when_of({"every_s": every_s}, calendar=Calendar.of({}), made=1.7e9, seed=1).due_after(after)
    assert due is not None
    assert after < due <= max(after, 1.7e9) + every_s + 1e-5


def test_once_is_once_and_what_has_expired_is_over() -> None:
    once = schedule({"at": "2026-12-01T10:00:00Z"})
    assert once.dues(0.0, 4e9) == [moment_of("2026-12-01T10:00Z")]
    daily = schedule({"cron": "0 10 * * *"}, expires="2026-01-04T10:00:00Z")
    assert len(daily.dues(moment_of("2026-01-01T00:00Z"), 4e9)) == 3


HOURS = {"zone": "Europe/Berlin", "hours": "09:00-12:00, 13:00-15:00", "days": "mon-fri", "holidays": "DE-BY"}


@pytest.mark.parametrize(("mean", "least"), [(2.0, 1), (5.0, 3), (1.0, 1), (10.0, 1)])
def test_chance_has_the_mean_it_says_in_work_days_and_never_less_than_its_least(mean: float, least: int) -> None:
    made = schedule({"chance": {"mean_days": mean, "min_days": least}}, calendar=HOURS)
    start = moment_of(made.made)
    days = [
        datetime.fromtimestamp(due, ZoneInfo("Europe/Berlin")).date() for due in made.dues(start, start + 20 * YEAR_S)
    ]
    work = [day for n in range(20 * 366) if made.hours.open_spans(day := days[0] + timedelta(days=n))]
    place = {day: n for n, day in enumerate(work)}
    gaps = [place[later] - place[earlier] for earlier, later in pairwise(days) if later in place]
    assert min(gaps) >= least
    tolerance = 5 * statistics.pstdev(gaps) / len(gaps) ** 0.5 + 1e-9
    assert abs(statistics.mean(gaps) - mean) <= tolerance


def test_chance_falls_on_any_open_minute_and_on_no_other() -> None:
    made = schedule({"chance": {"mean_days": 1.0}}, calendar=HOURS)
    start = moment_of(made.made)
    dues = made.dues(start, start + 20 * YEAR_S)
    assert all(made.hours.why_closed(due) == "" for due in dues)
    hours = [datetime.fromtimestamp(due, ZoneInfo("Europe/Berlin")).hour for due in dues]
    counts = [hours.count(hour) for hour in (9, 10, 11, 13, 14)]
    expected = len(hours) / 5
    assert sum(counts) == len(hours)
    assert sum((count - expected) ** 2 / expected for count in counts) < 18.5  # chi-square, 4 degrees, p = 0.001


def test_chance_is_told_the_same_to_whoever_asks_whenever() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    made = schedule({"chance": {"mean_days": 3.0, "min_days": 2}}, calendar=HOURS, seed=seed)
    start = moment_of(made.made)
    whole = made.dues(start, start + YEAR_S)
    for _ in range(20):
        at = random.Random(seed).uniform(start, start + YEAR_S)
        again = schedule({"chance": {"mean_days": 3.0, "min_days": 2}}, calendar=HOURS, seed=seed)
        assert again.dues(at, start + YEAR_S) == [due for due in whole if due > at]
    other = schedule({"chance": {"mean_days": 3.0, "min_days": 2}}, calendar=HOURS, seed=seed + 1)
    assert other.dues(start, start + YEAR_S) != whole


def test_what_is_never_open_is_never_due() -> None:
    made = schedule({"chance": {"mean_days": 1.0}}, calendar={"closed": ["2020-01-01..2100-01-01"]})
    assert made.due_after(moment_of(made.made)) is None


def test_jitter_and_die_follow_from_the_due_time() -> None:
    made = schedule({"cron": "0 10 * * *"}, jitter_s=600.0)
    dues = made.dues(moment_of(made.made), moment_of(made.made) + 30 * 86_400.0)
    late = [made.starts(due) - due for due in dues]
    assert all(0 <= one <= 600 for one in late)
    assert len(set(late)) == len({made.die_of(due) for due in dues}) == 30
    assert [made.starts(due) - due for due in dues] == late


def test_every_problem_of_a_schedule_is_told_at_once() -> None:
    wrong = {
        "misfire": "never",
        "overlap": "both",
        "jitter_s": -1.0,
        "grace_s": -1.0,
        "zone": "Mars",
        "expires": "soon",
    }
    with pytest.raises(UsageError) as told:
        schedule({"cron": "0 10 * * *"}, experiment="x", **wrong)
    assert len(told.value.problems) == 7
    with pytest.raises(UsageError, match="has no colour"):
        schedule({"cron": "0 10 * * *"}, colour="red")
    with pytest.raises(UsageError, match="lacks made, seed"):
        Schedule.from_json({"name": "s", "when": {}})
