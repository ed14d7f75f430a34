"""The history of past runs: store, get, page."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from sqlalchemy import Connection, Engine, delete, insert, select

from simian.errors import UsageError
from simian.history.database import WRITES, address, connect, shown, told
from simian.history.keys import Keys
from simian.history.lately import Of, lately
from simian.history.migrate import upgrade
from simian.history.moment import to_us
from simian.history.outbox import Outbox
from simian.history.page import Page, Record, Wanted, query
from simian.history.rollups import Rate, Worse, count_in, count_out, rates, regions_of, worse
from simian.history.rows import Shape
from simian.history.tables import PARTS, runs
from simian.history.weeks import traffic_a_week_before, week

LAST = "last"
PRUNED_AT_ONCE = 50
_RUN = Shape(runs)
_SHAPES = {key: Shape(table, "number", "position") for key, table in PARTS.items()}


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
            count_out(connection, record["run"])
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
        count_in(connection, row, number, regions_of(record))
        return number

    def _insert(self, connection: Connection, shape: Shape, number: int, items: list[Record]) -> None:
        statement = _statement(connection, shape)
        for batch in shape.batches(number, items):
            connection.exec_driver_sql(statement, batch)

    def prune(self, before: str) -> int:
        """Take away runs that started before that moment (ISO 8601), with all that belongs to them; how many.

        In small transactions, so that nobody who stores a run waits long. Sums by day stay.
        """
        writing, gone = self._engine.execution_options(**WRITES), 0
        oldest = select(runs.c.number).where(runs.c.started < before).order_by(runs.c.started).limit(PRUNED_AT_ONCE)
        with told(self.name, "written"):
            while True:
                with writing.begin() as connection:
                    numbers = list(connection.execute(oldest).scalars())
                    connection.execute(delete(runs).where(runs.c.number.in_(numbers)))
                gone += len(numbers)
                if len(numbers) < PRUNED_AT_ONCE:
                    return gone

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

    def page(self, **wanted: Unpack[Wanted]) -> Page:
        """Runs by start, newest first. Raises UsageError with every problem."""
        asked = query(**wanted)
        with told(self.name, "read"), self._engine.connect() as connection:
            sql = asked.sql if connection.dialect.paramstyle == "qmark" else asked.sql.replace("?", "%s")
            return asked.page(connection.exec_driver_sql(sql, asked.values).all())

    def rates(self, since: str, *, experiment: str = "") -> list[Rate]:
        """How runs ended, by day and monkey (of one experiment, if it is named), from that day (ISO 8601) on."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return rates(connection, since, experiment=experiment)

    def worse(self) -> list[Worse]:
        """Experiments that held once and broke since, the latest to break first."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return worse(connection)

    def lately(self, of: Of, names: Iterable[str], number: int) -> dict[str, list[Record]]:
        """How the last runs of each of these monkeys or experiments ended, newest first."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return lately(connection, of, names, number)

    @property
    def outbox(self) -> Outbox:
        """What is to be told to somebody, and what became of it."""
        return Outbox(self._engine, self.name)

    @property
    def keys(self) -> Keys:
        """Keys that requests came with."""
        return Keys(self._engine, self.name)

    def week_before(self, record: Mapping[str, Any]) -> Record | None:
        """The traffic of a run of its system a week before (``simian.history.weeks``); None where there is none."""
        with told(self.name, "read"), self._engine.connect() as connection, connection.begin():
            return traffic_a_week_before(connection, record.get("system"), record["started"])

    def week(self, since: str, until: str) -> Record:
        """What a digest is made of, of the runs that began in [since, until): see ``simian.history.weeks.week``."""
        with told(self.name, "read"), self._engine.connect() as connection, connection.begin():
            return week(connection, since, until)

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
    return History(*opened(where))


def opened(where: str | Path) -> tuple[Engine, str]:
    """Its engine, and the name that messages give it. Raises as ``open_history`` does."""
    url = address(where)
    name = shown(url)
    with told(name, "opened"):
        engine = connect(url)
        try:
            upgrade(engine, name)
        except BaseException:
            engine.dispose()
            raise
    return engine, name


def _is_part(key: str, value: Any) -> bool:
    """Lists of objects have tables of their own; anything else under such a key is kept as it is."""
    return key in _SHAPES and isinstance(value, list) and all(issubclass(kind, dict) for kind in set(map(type, value)))


def _statement(connection: Connection, shape: Shape) -> str:
    return str(insert(shape.table).compile(dialect=connection.dialect, column_keys=list(shape.columns)))
