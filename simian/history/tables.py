"""The tables of past runs.

A record of a run (a dict, JSON) is spread over these tables by the names of its keys. What has no column of its own,
or a value its column cannot hold, goes into ``more`` as JSON, so that whatever is stored comes back whole.
"""

import json
from itertools import combinations
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from simian.history.moment import from_us, to_us


class Moment(TypeDecorator[str]):
    """A point in time, UTC: microseconds since the epoch as BIGINT here, ISO 8601 with microseconds and Z outside.

    ``DateTime(timezone=True)`` gives naive values back on SQLite; a number sorts the same everywhere.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> int | None:
        """To microseconds."""
        return None if value is None else to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else from_us(value)


class Document(TypeDecorator[Any]):
    """JSON as text in ASCII: no engine ever sees a NUL or half a surrogate pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        if value == "{}":  # most rows have nothing more to say
            return {}
        return None if value is None else json.loads(value)


# Byte order on every engine: paging and prefixes of run ids depend on it.
Name = String().with_variant(String(collation="C"), "postgresql")
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

runs = Table(
    "runs",
    metadata,
    Column("number", Number, primary_key=True),
    Column("run", Name, nullable=False, unique=True),
    Column("monkey", Name),
    Column("experiment", Name),
    Column("system", Name),
    Column("seed", BigInteger),
    Column("outcome", Name),
    Column("verdict", Name),
    Column("recovery", Name),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("topology_hash", Text),
    Column("plan_hash", Text),
    Column("hypothesis", Text),
    Column("note", Text),
    Column("simian", Text),
    Column("exposure_assumed", Boolean),
    Column("reasons", Document),
    Column("options", Document),
    Column("plan", Document),
    Column("notes", Document),
    Column("figures", Document),
    Column("more", Document, nullable=False),
)
# Each way to filter has an index that already is in the order of its pages (read backwards: newest first).
for _many in range(4):
    for _filter in combinations(("monkey", "outcome", "verdict"), _many):
        Index(None, *(runs.c[name] for name in (*_filter, "started", "run")))
Index(None, *(runs.c[name] for name in ("experiment", "verdict", "started", "run")))


def _part(name: str, *columns: Column[Any]) -> Table:
    """A list inside the record: one row an item, in the record's order."""
    return Table(
        name,
        metadata,
        Column("number", Number, ForeignKey(runs.c.number, ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
        *columns,
        Column("more", Document, nullable=False),
        sqlite_with_rowid=False,
    )


phases = _part("phases", Column("phase", Text), Column("started", Moment), Column("ended", Moment))
faults = _part(
    "faults",
    Column("id", BigInteger),
    Column("kind", Text),
    Column("target", Text),
    Column("stage", Text),
    Column("injected", Moment),
    Column("undone", Moment),
    Column("state", Text),
    Column("evidence", Document),
    Column("exposure", BigInteger),
    Column("error", Text),
    Column("mend", Text),
)
checks = _part(
    "checks",
    Column("check", Text),
    Column("verdict", Text),
    Column("tolerance", Text),
    Column("baseline", Float),
    Column("during", Float),
    Column("after", Float),
    Column("readings", BigInteger),
)
weaknesses = _part(
    "weaknesses", Column("check", Text), Column("seen", Text), Column("where", Text), Column("hint", Text)
)
# What was measured keeps its own seconds since the epoch: a double has them exactly, microseconds would round.
readings = _part(
    "readings",
    Column("check", Text),
    Column("at", Float),
    Column("value", Float),
    Column("silent", Boolean),
    Column("detail", Text),
)
traffic = _part(
    "traffic",
    Column("at", Float),
    Column("seconds", Float),
    Column("home", Text),
    Column("served", Document),
    Column("ended", BigInteger),
    Column("ok", BigInteger),
    Column("failed", BigInteger),
    Column("first_failed", BigInteger),
    Column("shed", BigInteger),
    Column("latency", Document),
    Column("ways", Document),
)


def _counts(*names: str) -> list[Column[Any]]:
    """Columns of what is counted by second and region."""
    counted = [Column(name, BigInteger) for name in names]
    return [Column("at", Float), Column("seconds", Float), Column("region", Text), *counted]


arrivals = _part("arrivals", *_counts("answered", "unanswered"))
caches = _part("caches", *_counts("hits", "misses"))
moments = _part("moments", Column("at", Float), Column("name", Text), Column("region", Text), Column("detail", Text))
backlog = _part("backlog", Column("at", Float), Column("waiting", Document))

# What is summed up as runs are stored (simian/history/rollups.py). An empty experiment: all of them, and none.
daily = Table(
    "daily",
    metadata,
    Column("experiment", Name, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("monkey", Name, primary_key=True),
    Column("verdict", Name, primary_key=True),
    Column("runs", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
subjects = Table("subjects", metadata, Column("experiment", Name, primary_key=True), sqlite_with_rowid=False)
places = Table(
    "places",
    metadata,
    Column("number", Number, ForeignKey(runs.c.number, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("region", Name, primary_key=True),
    Column("run", Name, nullable=False),
    Column("monkey", Name),
    Column("outcome", Name),
    Column("verdict", Name),
    Column("started", Moment, nullable=False),
    sqlite_with_rowid=False,
)
for _many in range(4):
    for _filter in combinations(("monkey", "outcome", "verdict"), _many):
        Index(None, *(places.c[name] for name in ("region", *_filter, "started", "run")))

# The outbox of notifications. ``channel`` names one of simian.yaml; whose secrets are there and never here.
notifications = Table(
    "notifications",
    metadata,
    Column("number", Number, primary_key=True),
    Column("key", Name, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("run", Name),
    Column("event", Name, nullable=False),
    Column("message", Document, nullable=False),
    Column("made", Moment, nullable=False),
    Column("state", Name, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due", Moment),
    Column("sent", Moment),
    Column("error", Text),
)
Index(None, notifications.c.state, notifications.c.due)

# Keys of requests (simian/history/keys.py): sums of who asked with which, and of what.
keys = Table(
    "keys",
    metadata,
    Column("key", Name, primary_key=True),
    Column("body", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("answer", Document),
)
Index(None, keys.c.at)

# The key of the record that each table holds.
PARTS = {
    "phases": phases,
    "faults": faults,
    "steady_state": checks,
    "weaknesses": weaknesses,
    "readings": readings,
    "traffic": traffic,
    "arrivals": arrivals,
    "caches": caches,
    "moments": moments,
    "backlog": backlog,
}
