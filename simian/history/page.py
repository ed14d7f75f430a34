"""A page of past runs: which rows are asked for, in one text for every database, and what they say."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple, TypedDict

from simian.errors import UsageError
from simian.history.cursor import read_cursor, write_cursor
from simian.history.moment import from_us, to_us

Record = dict[str, Any]
Row = Sequence[Any]
COLUMNS = ("run", "monkey", "started", "outcome", "verdict", "recovery", "seed")
ALLOWED = {
    "verdict": ("held", "broken", "unknown"),
    "outcome": ("refused", "aborted", "completed", "crashed"),
}
MOST_ROWS = 1000


class Page(NamedTuple):
    """Runs, newest first, as ``history --json`` shows them, and the cursor of the next page (None: no more)."""

    rows: list[Record]
    next: str | None


class Wanted(TypedDict, total=False):
    """Which runs. ``since`` is included, ``until`` is not; ``after`` is a page's ``next``, ``limit`` 20 if not given.

    ``region``: one in which a run hurt something, or meant to.
    Times are datetimes or ISO 8601 texts, UTC where they name no zone.
    """

    monkey: str | None
    verdict: str | None
    outcome: str | None
    region: str | None
    since: str | datetime | None
    until: str | datetime | None
    limit: int
    after: str | None


class Query(NamedTuple):
    """SQL with ``?`` for each value, that asks for one row more than ``limit``: it tells whether there are more."""

    sql: str
    values: tuple[str | int, ...]
    limit: int

    def page(self, found: Sequence[Row]) -> Page:
        """What these rows say."""
        last = found[self.limit - 1] if len(found) > self.limit else None
        following = write_cursor(from_us(last[COLUMNS.index("started")]), last[COLUMNS.index("run")]) if last else None
        return Page([_record(row) for row in found[: self.limit]], following)


def _record(row: Row) -> Record:
    *known, more = row
    record = dict(zip(COLUMNS, known, strict=True))
    record["started"] = from_us(record["started"])
    record.update((key, value) for key, value in json.loads(more).items() if key in COLUMNS)  # what fits no column
    return record


def query(
    *,
    monkey: str | None = None,
    verdict: str | None = None,
    outcome: str | None = None,
    region: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Query:
    """The query for what is ``Wanted``. Raises UsageError with every problem."""
    problems: list[str] = []
    given = {
        "region = ?": region,
        "monkey = ?": monkey,
        "verdict = ?": _allowed("verdict", verdict, problems),
        "outcome = ?": _allowed("outcome", outcome, problems),
        "started >= ?": _moment("since", since, problems),
        "started < ?": _moment("until", until, problems),
    }
    asked: dict[str, tuple[Any, ...]] = {words: (value,) for words, value in given.items() if value is not None}
    if not 1 <= limit <= MOST_ROWS:
        problems.append(f"limit cannot be {limit}; it is 1 to {MOST_ROWS}")
    try:
        if after is not None:
            started, run = read_cursor(after)
            asked["(started, run) < (?, ?)"] = (to_us(started), run)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise UsageError(problems)
    where = f"WHERE {' AND '.join(asked)} " if asked else ""
    inner = f"{where}ORDER BY started DESC, run DESC LIMIT {limit + 1}"
    # Columns, order and marks are ours; all values are bound.
    sql = f"SELECT {', '.join(COLUMNS)}, more FROM runs {inner}"  # nosec B608
    if region is not None:  # the few of a page are found in the order of their index, and then looked up
        found = f"SELECT number FROM places {inner}"  # nosec B608
        sql = f"SELECT {', '.join(COLUMNS)}, more FROM runs WHERE number IN ({found}) ORDER BY started DESC, run DESC"  # nosec B608
    return Query(sql, tuple(chain.from_iterable(asked.values())), limit)


def _allowed(name: str, value: str | None, problems: list[str]) -> str | None:
    if value is not None and value not in ALLOWED[name]:
        problems.append(f"{name} cannot be {value!r}; it is one of {', '.join(ALLOWED[name])}")
    return value


def _moment(name: str, time: str | datetime | None, problems: list[str]) -> int | None:
    """In the form that the column has."""
    try:
        if isinstance(time, datetime):
            return to_us((time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat())
        return None if time is None else to_us(time)
    except (ValueError, OverflowError):
        problems.append(f"{name} cannot be {time!r}; write a date or time like 2026-11-22 or 2026-11-22T10:00:00Z")
        return None
