"""Public holidays of countries and their regions, from the ``holidays`` package; imported when a calendar names one."""

from datetime import date
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holidays import HolidayBase


def check_holidays(code: str) -> None:
    """Raises ValueError for what is no country, or a country without that region: ``DE``, ``DE-BY``, ``US-CA``."""
    holidays_of(code)


def holiday_on(code: str, day: date) -> str:
    """The name of the holiday there on this day; empty when it is none. Raises ValueError for an unknown code."""
    return str(holidays_of(code).get(day) or "")


@cache
def holidays_of(code: str) -> "HolidayBase":
    """The calendar of one code, which works out each year when it is first asked for it."""
    from holidays import country_holidays, list_supported_countries

    country, _, region = code.partition("-")
    try:
        return country_holidays(country, subdiv=region or None)
    except NotImplementedError as error:
        regions = list_supported_countries().get(country)
        known = f"regions of {country} are {', '.join(regions)}" if regions else "right would be like DE, DE-BY or US"
        raise ValueError(f"holidays of {code!r} are not known; {known}") from error
