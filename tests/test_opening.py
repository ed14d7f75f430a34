"""Opening hours as a table; a calendar that cannot be followed to the letter is closed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from simian.opening import why_closed


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
        {"holidays": "DE-BY"}, {"zone": 7}, {"hours": 9},
    ],
    ids=str,
)  # fmt: skip
def test_a_calendar_that_cannot_be_read_is_closed(calendar: dict[str, Any]) -> None:
    assert why_closed(calendar, at("2026-11-25T12:00")).startswith("closed: ")
