"""What a report asks of earlier runs: the traffic of a week before, and all that was found out in a week."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, or_, select

from simian.history.moment import from_us, to_us
from simian.history.rows import Shape
from simian.history.tables import checks, faults, runs, traffic, weaknesses

Record = dict[str, Any]
DAY_US = 86_400 * 1_000_000
NEAR_US = 3_600 * 1_000_000  # a run may begin so much earlier or later in its day
_JUDGED = ("held", "broken")
_TRAFFIC = Shape(traffic, "number", "position")
_SHOWN = ("run", "monkey", "experiment", "system", "started", "ended", "outcome", "verdict", "recovery", "note")


def traffic_a_week_before(connection: Connection, system: str | None, started: str) -> Record | None:
    """``{"run", "started", "traffic"}`` of the last run of the system that began a week before, give or take an hour.

    Only one in which users were counted; None where there is none.
    """
    then = to_us(started) - 7 * DAY_US
    near = (runs.c.started >= from_us(then - NEAR_US)) & (runs.c.started <= from_us(then + NEAR_US))
    counted = select(traffic.c.number).where(traffic.c.number == runs.c.number).exists()
    wanted = select(runs.c.number, runs.c.run, runs.c.started).where(runs.c.system == system, near, counted)
    found = connection.execute(wanted.order_by(runs.c.started.desc(), runs.c.run.desc()).limit(1)).first()
    if found is None:
        return None
    rows = connection.execute(select(traffic).where(traffic.c.number == found.number).order_by(traffic.c.position))
    return {"run": found.run, "started": found.started, "traffic": [_TRAFFIC.item(row) for row in rows]}


def week(connection: Connection, since: str, until: str) -> Record:
    """All runs that began in [since, until), oldest first, and how each kind of run was judged last before.

    ``{"since", "until", "runs": [{…, "spent": [{"home", "requests", "failed", "seconds"}], "broken", "weaknesses",
    "unmeasured"}], "before": [{"monkey", "experiment", "verdict", "run", "started"}]}``. ``spent``: by users' home,
    what failed since the first blow, of what was asked in the whole run; empty where nobody counted.
    """
    inside = (runs.c.started >= since) & (runs.c.started < until)
    spent, found = _spent(connection, inside), _findings(connection, inside)
    rows = connection.execute(select(runs).where(inside).order_by(runs.c.started, runs.c.run)).all()
    told = [
        {name: getattr(row, name) for name in _SHOWN} | {"spent": spent.get(row.number, []), **found[row.number]}
        for row in rows
    ]
    kinds = {(row.monkey, row.experiment) for row in rows}
    return {"since": since, "until": until, "runs": told, "before": list(_before(connection, kinds, since))}


def _spent(connection: Connection, inside: Any) -> Mapping[int, list[Record]]:
    """By run's number. A first blow is in microseconds, traffic in seconds."""
    blow = select(func.min(faults.c.injected)).where(faults.c.number == runs.c.number)
    first = select(runs.c.number, blow.scalar_subquery().label("us")).where(inside).subquery()
    struck = (traffic.c.at + traffic.c.seconds) * 1e6 > first.c.us
    wanted: Select[Any] = (
        select(
            traffic.c.number,
            traffic.c.home,
            func.sum(traffic.c.ended).label("requests"),
            func.sum(case((struck, traffic.c.failed), else_=0)).label("failed"),
            func.sum(traffic.c.seconds).label("seconds"),
        )
        .join(first, first.c.number == traffic.c.number)
        .where(first.c.us.is_not(None))
        .group_by(traffic.c.number, traffic.c.home)
        .order_by(traffic.c.number, traffic.c.home)
    )
    spent: dict[int, list[Record]] = defaultdict(list)
    for row in connection.execute(wanted):
        seconds = float(row.seconds or 0.0)
        sums = {"requests": int(row.requests or 0), "failed": int(row.failed or 0), "seconds": seconds}
        spent[row.number].append({"home": row.home, **sums})
    return spent


def _findings(connection: Connection, inside: Any) -> Mapping[int, Record]:
    """By run's number: checks that broke, weaknesses in short, checks that nobody could judge, whether faults hit."""
    found: dict[int, Record] = defaultdict(
        lambda: {"broken": [], "unmeasured": [], "weaknesses": [], "injected": False}
    )
    judged = select(checks.c.number, checks.c.check, checks.c.verdict).join(runs, runs.c.number == checks.c.number)
    for row in connection.execute(judged.where(inside, checks.c.verdict.in_(("broken", "unknown")))):
        found[row.number]["broken" if row.verdict == "broken" else "unmeasured"].append(row.check)
    weak = select(weaknesses).join(runs, runs.c.number == weaknesses.c.number).where(inside)
    for row in connection.execute(weak.order_by(weaknesses.c.number, weaknesses.c.position)):
        found[row.number]["weaknesses"].append({"check": row.check, "seen": row.seen, "hint": row.hint})
    hit = select(faults.c.number).join(runs, runs.c.number == faults.c.number).where(inside)
    for number in connection.execute(hit.where(faults.c.injected.is_not(None)).distinct()).scalars():
        found[number]["injected"] = True
    return found


def _before(connection: Connection, kinds: Iterable[tuple[str | None, str | None]], since: str) -> Iterable[Record]:
    """Of each monkey alone and of each experiment: how its last run before was judged."""
    for monkey, experiment in sorted(kinds, key=str):
        same = (
            runs.c.experiment == experiment
            if experiment
            else and_(runs.c.monkey == monkey, or_(runs.c.experiment.is_(None), runs.c.experiment == ""))
        )
        judged = select(runs).where(same, runs.c.started < since, runs.c.verdict.in_(_JUDGED))
        row = connection.execute(judged.order_by(runs.c.started.desc(), runs.c.run.desc()).limit(1)).first()
        if row is not None:
            yield {name: getattr(row, name) for name in ("monkey", "experiment", "verdict", "run", "started")}
