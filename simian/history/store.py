"""The history of past runs: store, get, page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, delete, insert, select, tuple_

from simian.errors import UsageError
from simian.history.cursor import read_cursor, write_cursor
from simian.history.database import WRITES, address, connect, shown, told
from simian.history.migrate import upgrade
from simian.history.moment import from_us, to_us
from simian.history.rows import Shape
from simian.history.tables import PARTS, runs

Record = dict[str, Any]
ALLOWED = {
    "verdict": ("held", "broken", "unknown"),
    "outcome": ("refused", "aborted", "completed", "crashed"),
}
LAST = "last"
MOST_ROWS = 1000
_RUN = Shape(runs)
_SHAPES = {key: Shape(table, "number", "position") for key, table in PARTS.items()}
_PAGE = ("run", "monkey", "started", "outcome", "verdict", "recovery", "seed")


class Page(NamedTuple):
    """Runs, newest first, as ``history --json`` shows them, and the cursor of the next page (None: no more)."""

    rows: list[Record]
    next: str | None


class History:
    """Past runs in one database. All methods raise HistoryError when it cannot be read or written."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def store(self, record: Mapping[str, Any]) -> None:
        """Keep a record, whole or not at all. A run that is there already is replaced: the last told counts.

        So storing twice is storing once, and a run that was stuck when it was first stored can be told anew.
        ``record["run"]`` and ``record["started"]`` (ISO 8601) are required: KeyError, ValueError. Keys of dicts are
        texts, as in all JSON; a list that is left out comes back empty.
        """
        writing = self._engine.execution_options(**WRITES)
        with told(self.name, "written"), writing.begin() as connection:
            connection.execute(delete(runs).where(runs.c.run == record["run"]))
            number = self._insert_run(connection, record)
            for key, shape in _SHAPES.items():
                if _is_part(key, record.get(key)):
                    self._insert(connection, shape, number, record[key])

    def _insert_run(self, connection: Connection, record: Mapping[str, Any]) -> int:
        alone = {key: value for key, value in record.items() if not _is_part(key, value)}
        row = dict(zip(_RUN.columns, _RUN.row(alone), strict=True))
        row["started"] = to_us(record["started"])  # what pages are ordered by, however it was written
        connection.exec_driver_sql(_statement(connection, _RUN), tuple(row.values()))
        number: int = connection.execute(select(runs.c.number).where(runs.c.run == record["run"])).scalar_one()
        return number

    def _insert(self, connection: Connection, shape: Shape, number: int, items: list[Record]) -> None:
        statement = _statement(connection, shape)
        for batch in shape.batches(number, items):
            connection.exec_driver_sql(statement, batch)

    def has(self, run: str) -> bool:
        """Whether that run (its whole id) is here."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return connection.execute(select(runs.c.number).where(runs.c.run == run)).first() is not None

    def get(self, run: str) -> Record:
        """The record as it was stored. ``run``: an id, the beginning of one only, or ``last``. Raises UsageError."""
        with told(self.name, "read"), self._engine.connect() as connection, connection.begin():
            row = connection.execute(select(runs).where(runs.c.run == self._find(connection, run))).one()
            record = _RUN.item(row)
            for key, shape in _SHAPES.items():
                items = select(shape.table).where(shape.table.c.number == row.number).order_by(shape.table.c.position)
                found = [shape.item(each) for each in connection.execute(items)]
                if found or key not in record:
                    record[key] = found
            return record

    def _find(self, connection: Connection, run: str) -> str:
        if run == LAST:
            newest = select(runs.c.run).order_by(runs.c.started.desc(), runs.c.run.desc()).limit(1)
            found = list(connection.execute(newest).scalars())
            if not found:
                raise UsageError(f"there is no last run: history {self.name} is empty; run a monkey first")
            return str(found[0])
        beginning = (runs.c.run >= run) & (runs.c.run < run + "\U0010ffff")
        found = list(connection.execute(select(runs.c.run).where(beginning).order_by(runs.c.run).limit(4)).scalars())
        if len(found) == 1 or (found and found[0] == run):
            return str(found[0])
        if not found:
            raise UsageError(f"no run begins with {run!r} in history {self.name}; 'simian history' lists them")
        raise UsageError(f"run {run!r} may be {', '.join(found[:3])}{', …' if found[3:] else ''}; write more of it")

    def page(
        self,
        *,
        monkey: str | None = None,
        verdict: str | None = None,
        outcome: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        limit: int = 20,
        after: str | None = None,
    ) -> Page:
        """Runs by start, newest first. ``since`` is included, ``until`` is not; ``after`` is a page's ``next``.

        Times are datetimes or ISO 8601 texts, UTC where they name no zone. Raises UsageError with every problem.
        """
        wanted = {"verdict": verdict, "outcome": outcome}
        bounds = _checked(wanted, {"since": since, "until": until}, limit, after)
        query = select(*(runs.c[name] for name in _PAGE), runs.c.more)
        for name, value in {"monkey": monkey, **wanted}.items():
            query = query if value is None else query.where(runs.c[name] == value)
        query = _within(query, bounds).order_by(runs.c.started.desc(), runs.c.run.desc()).limit(limit + 1)
        with told(self.name, "read"), self._engine.connect() as connection:
            found = connection.execute(query).all()
        rows = [{name: None for name in _PAGE} | _only(_PAGE, _RUN.item(row)) for row in found[:limit]]
        more = len(found) > limit
        return Page(rows, write_cursor(found[limit - 1].started, found[limit - 1].run) if more else None)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_history(where: str | Path) -> History:
    """The history in a file (made when it is not there) or at an address, brought to the newest schema.

    Raises UsageError for an address that cannot be one, HistoryError for a database that is damaged, out of reach,
    of something else, or of a newer simian.
    """
    url = address(where)
    name = shown(url)
    with told(name, "opened"):
        engine = connect(url)
        try:
            upgrade(engine, name)
        except BaseException:
            engine.dispose()
            raise
    return History(engine, name)


def _is_part(key: str, value: Any) -> bool:
    """Lists of objects have tables of their own; anything else under such a key is kept as it is."""
    return key in _SHAPES and isinstance(value, list) and all(issubclass(kind, dict) for kind in set(map(type, value)))


def _statement(connection: Connection, shape: Shape) -> str:
    return str(insert(shape.table).compile(dialect=connection.dialect, column_keys=list(shape.columns)))


def _only(names: tuple[str, ...], item: Record) -> Record:
    return {name: item[name] for name in names if name in item}


Bounds = dict[str, Any]


def _checked(
    wanted: Mapping[str, str | None], times: Mapping[str, str | datetime | None], limit: int, after: str | None
) -> Bounds:
    problems: list[str] = []
    bounds: Bounds = {}
    for name, value in wanted.items():
        if value is not None and value not in ALLOWED[name]:
            problems.append(f"{name} cannot be {value!r}; it is one of {', '.join(ALLOWED[name])}")
    for name, time in times.items():
        try:
            bounds[name] = None if time is None else _moment(time)
        except (ValueError, OverflowError):
            problems.append(f"{name} cannot be {time!r}; write a date or time like 2026-11-22 or 2026-11-22T10:00:00Z")
    if not 1 <= limit <= MOST_ROWS:
        problems.append(f"limit cannot be {limit}; it is 1 to {MOST_ROWS}")
    try:
        bounds["after"] = None if after is None else read_cursor(after)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise UsageError(problems)
    return bounds


def _moment(time: str | datetime) -> str:
    """In the one form that the column takes."""
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
    return from_us(to_us(time))


def _within(query: Select[Any], bounds: Bounds) -> Select[Any]:
    if bounds["since"] is not None:
        query = query.where(runs.c.started >= bounds["since"])
    if bounds["until"] is not None:
        query = query.where(runs.c.started < bounds["until"])
    if bounds["after"] is not None:
        query = query.where(tuple_(runs.c.started, runs.c.run) < bounds["after"])
    return query
