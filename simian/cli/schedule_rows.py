"""What the commands on schedules have in common: the rows, when one is due next, who changed them."""

import contextlib
import getpass
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from simian.cli.context import System

if TYPE_CHECKING:
    from simian.history import Schedules

MOST_LOOKED_AT = 1_000
SOON_DAYS = 400.0
ANSWER_LIMIT_S = 1.0
MOMENTS = ("expires", "made", "next")


def rows(system: System) -> "Schedules":
    """The system's schedules. Raises SimianError where they cannot be opened."""
    from simian.history import open_schedules

    return open_schedules(system.history_place)


def local_time(moment: str | None, zone: str) -> str | None:
    """A moment by the clocks of a zone."""
    if moment is None:
        return None
    return datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z")


def in_words(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is known of a schedule, as people write it; what it has not is left out."""
    from simian.schedule.words import told_span, told_when

    for key, value in row.items():
        if value in (None, "", {}, False):
            continue
        if key == "when":
            yield key, told_when(value)
        elif key in MOMENTS:
            yield key, local_time(value, row["zone"]) or ""
        elif key.endswith("_s"):
            yield key.removesuffix("_s"), told_span(value)
        elif isinstance(value, Mapping):
            yield key, "; ".join(f"{name} {_listed(one)}" for name, one in value.items())
        else:
            yield key, str(value)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def with_next(system: System, row: dict[str, Any]) -> dict[str, Any]:
    """The row, with the start of the next run that nothing is known to stand against."""
    from itertools import islice

    from simian.schedule.preview import coming
    from simian.schedule.row import Schedule
    from simian.schedule.when import text_of

    now, calendar = system.clock.now(), system.config.opening_hours()
    soon = coming([Schedule.from_json(row)], now, now + SOON_DAYS * 86_400.0, calendar=calendar)
    following = next((one for one in islice(soon, MOST_LOOKED_AT) if not one.closed), None)
    return {**row, "next": text_of(following.starts) if following else None}


def note_change(system: System, store: "Schedules", what: str, name: str) -> None:
    """A row of the audit."""
    store.note(round(system.clock.now() * 1e6), user(), "command line", f"schedule {what}", {"name": name})


def wake_daemon(system: System) -> None:
    """Tell the daemon of this system, if there is one, that the rows have changed.

    Whatever comes of it is well: a daemon that does not hear it sees the change within seconds.
    """
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(ANSWER_LIMIT_S)
        daemon.connect(str(system.state.socket))
        daemon.sendall(json.dumps({"do": "schedules-changed", "by": user()}).encode() + b"\n")
        daemon.recv(1)


def user() -> str:
    """Who is at the command line."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
