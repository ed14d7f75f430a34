"""A year of schedules on a clock that jumps from start to start: what ran is what the preview said, die by die."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from simian.daemon.owner import Daemon
from simian.schedule.preview import coming
from simian.schedule.row import Schedule
from simian.schedule.when import moment_of

from .conftest import Stage

BERLIN = ZoneInfo("Europe/Berlin")
CALENDAR = {
    "zone": "Europe/Berlin", "hours": "00:30-04:00, 09:00-15:00", "holidays": "DE-BY",
    "closed": ["2026-12-20..2027-01-06"],
}  # fmt: skip
KINDS = {
    "nightly": {"when": {"cron": "30 2 * * *"}},
    "tuesdays": {"when": {"cron": "0 10 * * tue"}, "jitter_s": 1800.0},
    "by-chance": {"when": {"chance": {"mean_days": 2.0, "min_days": 1}}},
    "half-days": {"when": {"every_s": 43_200.0, "from": "2026-01-01T11:00:00Z"}},
    "once": {"when": {"at": "2026-06-30T10:00:00Z"}},
}


@pytest.mark.timeout(120)
def test_a_year_with_holidays_and_both_clock_changes_is_as_previewed(stage: Stage) -> None:
    begin, until = moment_of("2026-01-01T00:00Z"), moment_of("2027-01-01T00:00Z")
    schedules = [
        stage.add(name, made="2026-01-01T00:00:00.000000Z", zone="Europe/Berlin", **more)
        for name, more in KINDS.items()
    ]
    said = [
        (one.schedule.name, round(one.due * 1e6), one.closed)
        for one in coming(schedules, begin, until, calendar=CALENDAR)
    ]
    stage.clock.at, stage.starter.last = begin, False
    keeper = stage.another(Daemon.me(stage.folder), CALENDAR)
    keeper.look()
    while (starts := keeper.next_starts()) and min(starts.values()) <= until:
        stage.clock.at = min(starts.values())
        keeper.look()
    rows = {(row.schedule, row.due): row for row in stage.store.dues(limit=100_000)}
    assert {(name, due): closed for name, due, closed in said} == {
        key: row.reason if row.state == "skipped" else "" for key, row in rows.items()
    }
    dice = {one.name: one for one in schedules}
    begun = stage.starter.begun()
    ran = {key: row for key, row in rows.items() if row.state in ("started", "ended")}
    assert {row.run: (row.schedule, dice[row.schedule].die_of(row.due / 1e6)) for row in ran.values()} == begun
    _both_clock_changes(rows)
    assert [row.state for (name, _), row in rows.items() if name == "once"] == ["ended"]


def _both_clock_changes(rows: dict[tuple[str, int], object]) -> None:
    """02:30 every night: at 03:00 when there is none, and once when there are two."""
    nights = [datetime.fromtimestamp(due / 1e6, BERLIN) for name, due in rows if name == "nightly"]
    days = {night.strftime("%m-%d"): night.strftime("%H:%M %Z") for night in nights}
    assert len(nights) == len(days) == 365
    assert (days["03-29"], days["10-25"], days["07-01"]) == ("03:00 CEST", "02:30 CEST", "02:30 CEST")


def test_a_schedule_of_another_seed_is_another_year() -> None:
    base = {"name": "s", "monkey": "chaos", "when": {"chance": {"mean_days": 2.0}}, "made": "2026-01-01T00:00Z"}
    one, other = (Schedule.from_json(base | {"seed": seed}) for seed in (1, 2))
    begin, until = moment_of("2026-01-01T00:00Z"), moment_of("2027-01-01T00:00Z")
    as_if = [one.due for one in coming([one], begin, until, calendar=CALENDAR, seed=2)]
    assert as_if == [due.due for due in coming([other], begin, until, calendar=CALENDAR)]
    assert as_if != [due.due for due in coming([one], begin, until, calendar=CALENDAR)]
