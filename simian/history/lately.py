"""How the runs of each monkey or experiment ended of late: for all of a page in one question, whatever else is kept.

Each name is a look into an index that is in the order of pages already, of so many rows; those of all names are put
together by the database.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, select, union_all

from simian.history.tables import runs

Of = Literal["monkey", "experiment"]
Record = dict[str, Any]
VERDICTS = ("held", "broken", "unknown")
AT_ONCE = 400  # looks in one question; SQLite takes 500
_COLUMNS = [runs.c[name] for name in ("run", "started", "outcome", "verdict")]
_NEWEST = (runs.c.started.desc(), runs.c.run.desc())


def lately(connection: Connection, of: Of, names: Iterable[str], number: int) -> dict[str, list[Record]]:
    """By name, the newest ``number`` runs, newest first: ``{"run", "started", "outcome", "verdict"}``."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, list[Record]] = {name: [] for name in wanted}
    looks = [_look(of, conditions, number) for conditions in _conditions(of, wanted)]
    for start in range(0, len(looks), AT_ONCE):
        for row in connection.execute(union_all(*looks[start : start + AT_ONCE])).mappings():
            found[row[of]].append({key: value for key, value in row.items() if key != of})
    return {name: _newest(rows, number) for name, rows in found.items()}


def _conditions(of: Of, names: Sequence[str]) -> Iterable[list[ColumnElement[bool]]]:
    """Of each look. The index of experiments has the verdict before the start, so that each verdict is one."""
    if of == "monkey":
        return ([runs.c.monkey == name] for name in names)
    return ([runs.c.experiment == name, runs.c.verdict == verdict] for name, verdict in product(names, VERDICTS))


def _look(of: Of, conditions: Iterable[ColumnElement[bool]], number: int) -> Select[Any]:
    newest = select(runs.c[of], *_COLUMNS).where(*conditions).order_by(*_NEWEST).limit(number)
    return select(newest.subquery())


def _newest(rows: Iterable[Record], number: int) -> list[Record]:
    return sorted(rows, key=lambda row: (row["started"], row["run"]), reverse=True)[:number]
