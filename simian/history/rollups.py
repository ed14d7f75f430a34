"""Sums that are kept as runs are stored, so that looking back over a million runs does not count them.

``daily``: how many runs of a day, a monkey and an experiment had which verdict; with an empty experiment: those of all
experiments and none. ``places``: the regions that a run's faults were in, in the order of pages. ``subjects``: the
experiments there ever were.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, ScalarSelect, case, delete, func, insert, select, update

from simian.errors import UsageError
from simian.history.moment import from_us, to_us
from simian.history.rows import as_text
from simian.history.tables import daily, places, runs, subjects

DAY_US = 86_400_000_000
_VERDICTS = ("held", "broken", "unknown")
Record = Mapping[str, Any]


class Rate(NamedTuple):
    """One day (``2026-11-22``) of a monkey or an experiment: how many runs ended with which verdict."""

    day: str
    name: str
    held: int
    broken: int
    unknown: int

    @property
    def share(self) -> float | None:
        """Of those that could be judged, those that held; None where none could."""
        judged = self.held + self.broken
        return self.held / judged if judged else None


class Worse(NamedTuple):
    """An experiment that held, and broke since: its last run that held, the first and last that broke after it."""

    experiment: str
    held: str
    held_at: str
    broke: str
    broke_at: str
    last: str
    last_at: str


def day_of(started_us: int) -> int:
    """Days since the epoch, UTC."""
    return started_us // DAY_US


def count_in(connection: Connection, row: Record, number: int, regions: Iterable[str]) -> None:
    """Add a run that has just been stored as ``number``. ``row``: its columns, as they were stored."""
    for experiment in {"", row["experiment"] or ""}:
        _count(connection, row["started"], row, experiment, 1)
    if row["experiment"]:
        known = select(subjects).where(subjects.c.experiment == row["experiment"])
        if connection.execute(known).first() is None:
            connection.execute(insert(subjects).values(experiment=row["experiment"]))
    there = {key: row[key] for key in ("run", "monkey", "outcome", "verdict")}
    there |= {"number": number, "started": from_us(row["started"])}
    rows = [{"region": region, **there} for region in regions]
    if rows:
        connection.execute(insert(places), rows)


def count_out(connection: Connection, run: str) -> None:
    """Take away a run that is going to be replaced; its places go with it."""
    columns = (runs.c.number, runs.c.started, runs.c.monkey, runs.c.verdict, runs.c.experiment)
    old = connection.execute(select(*columns).where(runs.c.run == run)).first()
    if old is None:
        return
    row, started = {"monkey": old.monkey, "verdict": old.verdict}, to_us(old.started)
    for experiment in {"", old.experiment or ""}:
        _count(connection, started, row, experiment, -1)
    connection.execute(delete(places).where(places.c.number == old.number))


def _count(connection: Connection, started_us: int, row: Record, experiment: str, by: int) -> None:
    key = {
        "experiment": experiment,
        "day": day_of(started_us),
        "monkey": row.get("monkey") or "",
        "verdict": row.get("verdict") or "",
    }
    here = [daily.c[name] == value for name, value in key.items()]
    found = connection.execute(update(daily).where(*here).values(runs=daily.c.runs + by))
    if not found.rowcount and by > 0:
        connection.execute(insert(daily).values(**key, runs=by))


def regions_of(record: Record) -> list[str]:
    """The regions in which this run hurt something, or meant to, in order."""
    figures = record.get("figures")
    figures = figures if isinstance(figures, Mapping) else {}
    homes = figures.get("regions")
    homes = homes if isinstance(homes, Mapping) else {}
    found: list[Any] = [figures.get("left"), _option(record, "region")]
    faults = record.get("faults")
    for fault in faults if isinstance(faults, list) else ():
        if isinstance(fault, Mapping):
            found += _of_target(str(fault.get("target") or ""), homes)
    return sorted({region for region in map(as_text, found) if region})


def _of_target(target: str, homes: Record) -> Iterable[str]:
    """Of a node, a link (both its ends; a source may be a service of a region, ``store-east``), or a region."""
    regions = {str(region) for region in homes.values()}
    for end in target.split("--"):
        if end in homes:
            yield str(homes[end])
        else:
            yield from (region for region in regions if end == region or end.endswith(f"-{region}"))


def _option(record: Record, key: str) -> Any:
    options = record.get("options")
    return options.get(key) if isinstance(options, Mapping) else None


def rates(connection: Connection, since: str, *, experiment: str = "") -> list[Rate]:
    """By day and monkey (of one experiment, if it is named), oldest first, from that day on. Raises UsageError."""
    try:
        first = day_of(to_us(since))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"since cannot be {since!r:.80}; write a date like 2026-11-22") from error
    sums = [func.sum(case((daily.c.verdict == word, daily.c.runs), else_=0)) for word in _VERDICTS]
    query = (
        select(daily.c.day, daily.c.monkey, *sums)
        .where(daily.c.experiment == experiment, daily.c.day >= first, daily.c.runs > 0)
        .group_by(daily.c.day, daily.c.monkey)
        .order_by(daily.c.day, daily.c.monkey)
    )
    name = cache(lambda day: from_us(day * DAY_US)[:10])
    return [Rate(name(day), monkey, *map(int, counts)) for day, monkey, *counts in connection.execute(query)]


def worse(connection: Connection) -> list[Worse]:
    """Every experiment that once held and has been broken since its last hold, the latest to break first."""
    held, first, last = (runs.alias(name) for name in ("held", "first", "last"))
    after = held.c.started
    query = (
        select(subjects.c.experiment, *(each.c[name] for each in (held, first, last) for name in ("run", "started")))
        .select_from(subjects)
        .join(held, held.c.number == _end("held", newest=True))
        .join(first, first.c.number == _end("broken", after, newest=False))
        .join(last, last.c.number == _end("broken", after, newest=True))
        .order_by(first.c.started.desc(), subjects.c.experiment)
    )
    return [Worse(*row) for row in connection.execute(query)]


def _end(verdict: str, after: ColumnElement[str] | None = None, *, newest: bool) -> ScalarSelect[int]:
    """The number of a subject's first or newest run with that verdict, by an index that is in this order."""
    order = (runs.c.started.desc(), runs.c.run.desc()) if newest else (runs.c.started, runs.c.run)
    since = () if after is None else (runs.c.started > after,)
    ended = select(runs.c.number).where(runs.c.experiment == subjects.c.experiment, runs.c.verdict == verdict, *since)
    return ended.order_by(*order).limit(1).correlate_except(runs).scalar_subquery()
