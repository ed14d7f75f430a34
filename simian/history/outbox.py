"""The outbox of notifications, in the history: what is to be told through which channel, and what became of it.

A row is *waiting* until it is *sent*, or *failed* after its last try. Whoever takes it up puts its next try off for a
while first, so that nobody else sends it meanwhile; who dies before it says what came of it has it taken up again then.
So each is sent at least once, and every time with the same ``key``. Moments are seconds since the epoch here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from simian.history.database import WRITES, told
from simian.history.moment import from_us, to_us
from simian.history.tables import notifications

WAITING, SENT, FAILED = "waiting", "sent", "failed"
LONGEST_ERROR = 500
_row = notifications.c


@dataclass(frozen=True, slots=True)
class Notification:
    """One message for one channel. ``key`` is its own for ever; ``tries``: how often it was taken up, this time too."""

    key: str
    channel: str
    event: str
    message: Mapping[str, Any]
    run: str | None = None
    state: str = WAITING
    tries: int = 0
    made_s: float = 0.0
    due_s: float | None = None
    error: str | None = None


class Outbox:
    """All notifications of one history. Every method raises HistoryError when it cannot be read or written."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def add(self, notes: Sequence[Notification], now_s: float) -> int:
        """Have these sent, from now on; one whose key is there already stays as it is. How many were new."""
        if not notes:
            return 0
        at = _moment(now_s)
        fresh = {"made": at, "state": WAITING, "tries": 0, "due": at}
        rows = [
            {"key": n.key, "channel": n.channel, "run": n.run, "event": n.event, "message": dict(n.message), **fresh}
            for n in notes
        ]
        here = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        insert = here.insert(notifications).values(rows).on_conflict_do_nothing(index_elements=["key"])
        with told(self._name, "written"), self._engine.execution_options(**WRITES).begin() as connection:
            return len(connection.execute(insert.returning(_row.key)).all())  # not every engine counts rows

    def take(self, now_s: float, lease_s: float, most: int = 20) -> list[Notification]:
        """Those that are due, oldest first; for ``lease_s`` from now on they are the caller's alone."""
        due = select(_row.number).where(_row.state == WAITING, _row.due <= _moment(now_s))
        with told(self._name, "written"), self._engine.execution_options(**WRITES).begin() as connection:
            numbers = connection.execute(
                due.order_by(_row.due, _row.number).limit(most).with_for_update(skip_locked=True)
            ).scalars()
            mine = _row.number.in_(list(numbers))
            connection.execute(
                update(notifications).where(mine).values(due=_moment(now_s + lease_s), tries=_row.tries + 1)
            )
            return [_read(row) for row in connection.execute(select(notifications).where(mine).order_by(_row.number))]

    def sent(self, key: str, now_s: float) -> None:
        """It has arrived."""
        self._mark(key, state=SENT, sent=_moment(now_s), due=None, error=None)

    def again(self, key: str, error: str, due_s: float) -> None:
        """It did not arrive; it is tried again then."""
        self._mark(key, state=WAITING, due=_moment(due_s), error=error[:LONGEST_ERROR])

    def failed(self, key: str, error: str) -> None:
        """It did not arrive and will not be tried any more."""
        self._mark(key, state=FAILED, due=None, error=error[:LONGEST_ERROR])

    def _mark(self, key: str, **values: Any) -> None:
        mine = update(notifications).where(_row.key == key, _row.state != SENT)
        with told(self._name, "written"), self._engine.execution_options(**WRITES).begin() as connection:
            connection.execute(mine.values(**values))

    def next_due_s(self) -> float | None:
        """When the next one is due; ``None``: nothing waits."""
        with told(self._name, "read"), self._engine.connect() as connection:
            due = connection.execute(select(func.min(_row.due)).where(_row.state == WAITING)).scalar()
            return None if due is None else _seconds(due)

    def page(self, *, state: str | None = None, run: str | None = None, limit: int = 100) -> list[Notification]:
        """The newest first, of one state or run where asked."""
        asked = select(notifications).order_by(_row.number.desc()).limit(limit)
        asked = asked if state is None else asked.where(_row.state == state)
        asked = asked if run is None else asked.where(_row.run == run)
        with told(self._name, "read"), self._engine.connect() as connection:
            return [_read(row) for row in connection.execute(asked)]


def _read(row: Row[Any]) -> Notification:
    return Notification(
        key=row.key,
        channel=row.channel,
        event=row.event,
        message=row.message,
        run=row.run,
        state=row.state,
        tries=row.tries,
        made_s=_seconds(row.made),
        due_s=None if row.due is None else _seconds(row.due),
        error=row.error,
    )


def _moment(at_s: float) -> str:
    return from_us(round(at_s * 1_000_000))


def _seconds(moment: str) -> float:
    return to_us(moment) / 1_000_000
