"""Opening hours as a table; a calendar that cannot be followed to the letter is closed."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from simian.opening import Calendar, why_closed


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("calendar", "moment", "is_open"),
    [
        (None, "2026-01-01T00:00", True),
        ({}, "2026-01-01T00:00", True),
        ({"hours": "09:00-15:00"}, "2026-11-23T08:59", False),
        ({"hours": "09:00-15:00"}, "2026-11-23T09:00", True),
        ({"hours": "09:00-15:00"}, "2026-11-23T14:59", True),
        ({"hours": "09:00-15:00"}, "2026-11-23T15:00", False),
        ({"hours": "09:00-11:00, 13:00-15:00"}, "2026-11-23T12:00", False),
        ({"hours": "09:00-11:00, 13:00-15:00"}, "2026-11-23T13:30", True),
        ({"days": "mon-fri"}, "2026-11-22T12:00", False),
        ({"days": "mon-fri"}, "2026-11-23T12:00", True),
        ({"days": "Mon, Sun"}, "2026-11-22T12:00", True),
        ({"days": "sat-mon"}, "2026-11-22T12:00", True),
        ({"days": "sat-mon"}, "2026-11-24T12:00", False),
        ({"closed": ["2026-11-23"]}, "2026-11-23T12:00", False),
        ({"closed": ["2026-12-20..2027-01-06"]}, "2027-01-06T23:59", False),
        ({"closed": ["2026-12-20..2027-01-06"]}, "2027-01-07T00:00", True),
        # Berlin is an hour ahead in winter, two in summer; hours and days are those of its clocks.
        ({"zone": "Europe/Berlin", "hours": "09:00-15:00"}, "2026-11-23T08:00", True),
        ({"zone": "Europe/Berlin", "hours": "09:00-15:00"}, "2026-11-23T14:00", False),
        ({"zone": "Europe/Berlin", "hours": "09:00-15:00"}, "2026-07-01T07:00", True),
        ({"zone": "Europe/Berlin", "hours": "09:00-15:00"}, "2026-07-01T13:00", False),
        ({"zone": "Europe/Berlin", "days": "mon"}, "2026-11-22T23:30", True),
        ({"zone": "Pacific/Auckland", "closed": ["2026-11-23"]}, "2026-11-22T12:00", False),
    ],
)
def test_open_or_closed(calendar: dict[str, Any] | None, moment: str, is_open: bool) -> None:
    assert (why_closed(calendar, at(moment)) == "") is is_open


@pytest.mark.parametrize(
    "calendar",
    [
        {"zone": "Mars/Olympus"}, {"zone": "Europe"}, {"zone": "../etc/passwd"}, {"zone": ""},
        {"hours": "nine to five"}, {"hours": "09:00"}, {"hours": "25:00-26:00"}, {"hours": ""},
        {"days": "funday"}, {"days": "mon-funday"}, {"days": ""},
        {"closed": ["soon"]}, {"closed": ["2026-13-01"]}, {"closed": "2026-11-22"}, {"closed": 7}, {"closed": None},
        {"holidays": "Mars"}, {"holidays": "DE-XX"}, {"freezes": "/not/there.ics"}, {"zone": 7}, {"hours": 9},
    ],
    ids=str,
)  # fmt: skip
def test_a_calendar_that_cannot_be_read_is_closed(calendar: dict[str, Any]) -> None:
    assert why_closed(calendar, at("2026-11-25T12:00")).startswith("closed: ")


BERLIN: dict[str, Any] = {"zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("calendar", "moment", "is_open"),
    [
        # A night shift belongs to the day on which it began: Friday's goes on into Saturday.
        ({"hours": "22:00-06:00", "days": "mon-fri"}, "2026-11-28T05:59", True),
        ({"hours": "22:00-06:00", "days": "mon-fri"}, "2026-11-28T06:00", False),
        ({"hours": "22:00-06:00", "days": "mon-fri"}, "2026-11-28T22:30", False),
        ({"hours": "22:00-06:00", "days": "mon-fri"}, "2026-11-23T05:00", False),
        ({"hours": "22:00-06:00", "closed": ["2026-11-28"]}, "2026-11-28T01:00", False),
        ({"hours": "18:00-24:00"}, "2026-11-28T23:59", True),
        # Corpus Christi is a holiday in Bavaria and none in Berlin.
        ({"holidays": "DE-BY"}, "2026-06-04T10:00", False),
        ({"holidays": "DE-BE"}, "2026-06-04T10:00", True),
        ({"holidays": ["US", "DE"]}, "2026-07-03T10:00", False),
        ({"holidays": ["US", "DE"]}, "2026-10-03T10:00", False),
        # 02:30 does not exist on 29 March 2026 and exists twice on 25 October.
        ({**BERLIN, "hours": "02:30-04:00"}, "2026-03-29T00:59", False),
        ({**BERLIN, "hours": "02:30-04:00"}, "2026-03-29T01:00", True),
        ({**BERLIN, "hours": "02:00-02:30"}, "2026-03-29T01:00", False),
        ({**BERLIN, "hours": "02:00-02:30"}, "2026-10-25T00:15", True),
        ({**BERLIN, "hours": "02:00-02:30"}, "2026-10-25T01:15", True),
        ({**BERLIN, "hours": "02:00-02:30"}, "2026-10-25T01:30", False),
    ],
)
def test_nights_holidays_and_clocks_that_are_put_forward_or_back(
    calendar: dict[str, Any], moment: str, is_open: bool
) -> None:
    assert (why_closed(calendar, at(moment)) == "") is is_open


FREEZES = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
SUMMARY:Black Friday
DTSTART;VALUE=DATE:20261127
DTEND;VALUE=DATE:20261201
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Weekly release
DTSTART:20261102T130000Z
DURATION:PT1H
RRULE:FREQ=WEEKLY
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Called off
STATUS:CANCELLED
DTSTART:20261124T080000Z
DTEND:20261124T180000Z
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2026-11-26T22:59", ""),
        ("2026-11-26T23:00", "Black Friday"),  # a day of the zone's: Berlin is an hour ahead
        ("2026-11-30T22:59", "Black Friday"),
        ("2026-11-30T23:00", ""),
        ("2026-11-23T12:59", ""),
        ("2026-11-23T13:30", "Weekly release"),
        ("2026-11-23T14:00", ""),
        ("2026-11-24T12:00", ""),
    ],
)
def test_freezes_of_an_icalendar_file_however_they_recur(tmp_path: Path, moment: str, name: str) -> None:
    file = tmp_path / "freezes.ics"
    file.write_text(FREEZES)
    said = why_closed({**BERLIN, "freezes": str(file)}, at(moment))
    assert name in said
    assert bool(said) is bool(name)


def test_a_file_that_is_no_calendar_closes_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "freezes.ics"
    file.write_text("not a calendar")
    assert "no iCalendar file" in why_closed({"freezes": str(file)}, at("2026-11-25T12:00"))


def test_freezes_are_read_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "freezes.ics"
    file.write_text(FREEZES)
    assert "Weekly" in why_closed({"freezes": str(file)}, at("2026-11-23T13:30"))
    file.write_text(FREEZES.replace("WEEKLY", "YEARLY"))
    assert why_closed({"freezes": str(file)}, at("2026-11-23T13:30")) == ""


def test_what_is_open_on_a_day_has_no_freeze_and_no_holiday_in_it(tmp_path: Path) -> None:
    file = tmp_path / "freezes.ics"
    file.write_text(FREEZES)
    words = {"hours": "09:00-12:00, 13:00-15:00, 22:00-02:00", "freezes": str(file), "closed": ["2026-11-25"]}
    calendar = Calendar.of(words)

    def spans(day: str) -> list[str]:
        found = calendar.open_spans(date.fromisoformat(day))
        return [f"{datetime.fromtimestamp(a, UTC):%H:%M}-{datetime.fromtimestamp(b, UTC):%d.%H:%M}" for a, b in found]

    assert spans("2026-11-23") == ["09:00-23.12:00", "14:00-23.15:00", "22:00-24.02:00"]
    assert spans("2026-11-24") == ["09:00-24.12:00", "13:00-24.15:00", "22:00-25.00:00"]
    assert spans("2026-11-25") == spans("2026-11-28") == []


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-11-23"])
def test_what_is_open_by_the_day_is_open_by_the_minute(day: str) -> None:
    calendar = Calendar.of({**BERLIN, "hours": "00:30-02:30, 03:00-05:00, 23:00-01:00"})
    start = at(f"{day}T00:00") - 7200
    spans = [
        span
        for n in (-1, 0, 1)
        for span in calendar.open_spans(date.fromordinal(date.fromisoformat(day).toordinal() + n))
    ]
    for minute in range(26 * 60):
        moment = start + 60 * minute
        assert (calendar.why_closed(moment) == "") is any(a <= moment < b for a, b in spans), moment
