"""Schedules in the database: the rows, and one claim for each due time.

Each is the dict of docs/wire.md (``simian.schedule.row.Schedule.to_json``), and comes back as it was added. Due times
are microseconds since the epoch. All methods raise HistoryError when the database cannot be read or written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, and_, bindparam, delete, insert, select, text, update

from simian.errors import UsageError
from simian.history.database import WRITES, told
from simian.history.moment import from_us, to_us
from simian.history.schedule_tables import audit, daemons, dues, schedules, versions
from simian.history.store import opened

Record = dict[str, Any]
OPEN = ("claimed", "queued", "started")  # of a due time that somebody still has in hand
_COLUMNS = [column.name for column in schedules.c if column.name != "looked"]
_CLAIM = text(
    "INSERT INTO dues (schedule, due, state, reason, run, daemon, claimed) "
    "VALUES (:schedule, :due, :state, :reason, :run, :daemon, :claimed) ON CONFLICT (schedule, due) DO NOTHING"
)


class Due(NamedTuple):
    """One due time and what became of it. ``state``: claimed, queued, started, ended, missed, skipped, refused, failed.

    ``run`` is the name of the run that was, or was to be, started.
    """

    schedule: str
    due: int
    state: str
    reason: str
    run: str | None
    daemon: str
    claimed: int

    def to_json(self) -> Record:
        """As in docs/wire.md."""
        return {**self._asdict(), "due": from_us(self.due), "claimed": from_us(self.claimed)}


class Settled(NamedTuple):
    """Of one schedule: the due times that are ours now, and all that are in somebody's hand, as ``in_hand`` tells."""

    ours: list[Due]
    in_hand: list[Due]


class RowsChanged(Exception):
    """Schedules were added, changed or removed since they were read; nothing was written."""


@dataclass(frozen=True)
class Kept:
    """A schedule as it is kept; every due time up to ``looked`` (us) is accounted for."""

    schedule: Record
    looked: int


class Schedules:
    """The schedules in one database."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    # --- the rows

    def add(self, schedule: Mapping[str, Any]) -> None:
        """One more. Raises UsageError where there is one of that name."""
        self.add_all([schedule])

    def add_all(self, given: Iterable[Mapping[str, Any]]) -> None:
        """All or none."""
        rows = [_row(one) for one in given]
        names = [row["name"] for row in rows]
        with told(self.name, "written"), self._writing() as connection:
            for batch in _batches(names):
                there = connection.execute(select(schedules.c.name).where(schedules.c.name.in_(batch))).scalars().all()
                if there:
                    raise UsageError(f"a schedule {there[0]!r} is there already; remove it, or choose another name")
            if rows:
                connection.execute(insert(schedules), rows)
            _touch(connection)

    def change(self, name: str, facts: Mapping[str, Any]) -> None:
        """Other facts of one, its name excepted. Raises UsageError where there is none of that name."""
        values = {key: _encoded(key, value) for key, value in facts.items() if key in _COLUMNS and key != "name"}
        with told(self.name, "written"), self._writing() as connection:
            changed = connection.execute(update(schedules).where(schedules.c.name == name).values(values))
            if not changed.rowcount:
                raise UsageError(self._none(connection, name))
            _touch(connection)

    def remove(self, name: str) -> None:
        """Take one away; what became of its due times is kept. Raises UsageError where there is none of that name."""
        with told(self.name, "written"), self._writing() as connection:
            if not connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount:
                raise UsageError(self._none(connection, name))
            _touch(connection)

    def kept(self) -> list[Kept]:
        """All of them, by name."""
        with told(self.name, "read"), self._engine.connect() as connection:
            rows = connection.execute(select(schedules).order_by(schedules.c.name)).all()
            return [_kept(row) for row in rows]

    def all(self) -> list[Record]:
        """All of them, by name, as data."""
        return [one.schedule for one in self.kept()]

    def get(self, name: str) -> Record:
        """One. Raises UsageError where there is none of that name."""
        with told(self.name, "read"), self._engine.connect() as connection:
            row = connection.execute(select(schedules).where(schedules.c.name == name)).first()
            if row is None:
                raise UsageError(self._none(connection, name))
            return _kept(row).schedule

    def version(self) -> int:
        """A number that grows whenever a schedule is added, changed or removed."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return int(connection.execute(_VERSION).scalar_one())

    def _none(self, connection: Connection, name: str) -> str:
        some = connection.execute(select(schedules.c.name).order_by(schedules.c.name).limit(5)).scalars().all()
        return f"no schedule is called {name!r:.80}; there are: {', '.join(some) or 'none'}"

    # --- due times

    @contextmanager
    def settle(self, name: str, looked: int, claims: Sequence[Due], *, version: int | None = None) -> Iterator[Settled]:
        """Write what became of due times, each only where nobody has written before, and that all up to ``looked``
        are accounted for: one transaction, which holds once the block ends, or not at all when that raises.

        ``version``: that of the rows as they were read. Raises RowsChanged where they are others by now; who changes
        them until the end of the block waits (on PostgreSQL by the lock on the version's row).
        """
        with told(self.name, "written"), self._writing() as connection:
            if version is not None and connection.execute(_VERSION_HELD).scalar_one() != version:
                raise RowsChanged(name)
            ours = [due for due in claims if connection.execute(_CLAIM, due._asdict()).rowcount == 1]
            connection.execute(_LOOKED, {"schedule": name, "to": looked})
            yield Settled(ours, [Due(*row) for row in connection.execute(_IN_HAND_OF, {"of": name})])

    def tell(self, due: Due, state: str, reason: str = "", *, run: str | None = None, daemon: str = "") -> Due | None:
        """The next state of a due time; ``None``, and nothing is changed, where it is no longer as it was seen."""
        facts = due._replace(state=state, reason=reason, run=run or due.run, daemon=daemon or due.daemon)
        same = [dues.c[key] == getattr(due, key) for key in ("schedule", "due", "state", "daemon")]
        with told(self.name, "written"), self._writing() as connection:
            changed = connection.execute(update(dues).where(*same).values(facts._asdict()))
            return facts if changed.rowcount == 1 else None

    def in_hand(self, schedule: str | None = None) -> list[Due]:
        """Due times (of one schedule, if it is named) that somebody has claimed and not brought to an end, oldest
        first."""
        with told(self.name, "read"), self._engine.connect() as connection:
            found = (
                connection.execute(_IN_HAND) if schedule is None else connection.execute(_IN_HAND_OF, {"of": schedule})
            )
            return [Due(*row) for row in found]

    def dues(
        self, schedule: str | None = None, *, since: int | None = None, until: int | None = None, limit: int = 100
    ) -> list[Due]:
        """Due times and what became of them, newest first."""
        wanted = [] if schedule is None else [dues.c.schedule == schedule]
        wanted += [] if since is None else [dues.c.due >= since]
        wanted += [] if until is None else [dues.c.due < until]
        newest = select(dues).where(*wanted).order_by(dues.c.due.desc(), dues.c.schedule).limit(limit)
        with told(self.name, "read"), self._engine.connect() as connection:
            return [Due(*row) for row in connection.execute(newest)]

    def prune(self, before: int) -> int:
        """Take away what became of due times before that moment (us), and notes as old; how many due times."""
        ended = and_(dues.c.due < before, dues.c.state.not_in(OPEN))
        with told(self.name, "written"), self._writing() as connection:
            connection.execute(delete(audit).where(audit.c.at < before))
            return int(connection.execute(delete(dues).where(ended)).rowcount)

    # --- daemons, and who changed what

    def beat(self, daemon: str, host: str, now: int) -> None:
        """A daemon lives."""
        row = {"daemon": daemon, "host": host, "seen": now}
        with told(self.name, "written"), self._writing() as connection:
            there = connection.execute(update(daemons).where(daemons.c.daemon == daemon).values(row)).rowcount
            if not there:
                connection.execute(insert(daemons).values(row))

    def beats(self) -> dict[str, tuple[str, int]]:
        """Each daemon's host, and when it was last seen to live (us)."""
        with told(self.name, "read"), self._engine.connect() as connection:
            return {row.daemon: (row.host, row.seen) for row in connection.execute(select(daemons))}

    def forget(self, daemon: str) -> None:
        """A daemon is no more, and has nothing in hand."""
        with told(self.name, "written"), self._writing() as connection:
            connection.execute(delete(daemons).where(daemons.c.daemon == daemon))

    def note(self, at: int, who: str, origin: str, what: str, detail: Mapping[str, Any] | None = None) -> None:
        """A row of the audit: who changed what, and from where."""
        row = {"at": at, "who": who, "origin": origin, "what": what, "detail": None if detail is None else dict(detail)}
        with told(self.name, "written"), self._writing() as connection:
            connection.execute(insert(audit).values(row))

    def notes(self, *, before: int | None = None, limit: int = 100) -> list[Record]:
        """Rows of the audit, newest first; ``before``: the number of the last one that is known already."""
        wanted = [] if before is None else [audit.c.number < before]
        with told(self.name, "read"), self._engine.connect() as connection:
            rows = connection.execute(select(audit).where(*wanted).order_by(audit.c.number.desc()).limit(limit)).all()
            return [{**row._asdict(), "at": from_us(row.at)} for row in rows]

    def _writing(self) -> Any:
        return self._engine.execution_options(**WRITES).begin()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> "Schedules":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_schedules(where: str | Path) -> Schedules:
    """The schedules beside the history there; see ``open_history``."""
    return Schedules(*opened(where))


# Made once: building a statement takes as long as SQLite takes for it, and a start waits for these.
_VERSION = select(versions.c.value).where(versions.c.name == "schedules")
_VERSION_HELD = _VERSION.with_for_update(read=True)
_LOOKED = (
    update(schedules)
    .where(schedules.c.name == bindparam("schedule"), schedules.c.looked < bindparam("to"))
    .values(looked=bindparam("to"))
)
_IN_HAND = select(dues).where(dues.c.state.in_(OPEN)).order_by(dues.c.due, dues.c.schedule)
_IN_HAND_OF = _IN_HAND.where(dues.c.schedule == bindparam("of"))
_GROWS = update(versions).where(versions.c.name == "schedules").values(value=versions.c.value + bindparam("step"))


def _touch(connection: Connection) -> None:
    connection.execute(_GROWS, {"step": 1})


def _row(schedule: Mapping[str, Any]) -> Record:
    row = {name: schedule.get(name) for name in _COLUMNS}
    return {**row, "looked": to_us(schedule["made"])}


def _encoded(key: str, value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _kept(row: Row[Any]) -> Kept:
    record = row._asdict()
    looked = record.pop("looked")
    return Kept(record, looked)


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + 500] for start in range(0, len(names), 500))
