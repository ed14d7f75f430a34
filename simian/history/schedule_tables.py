"""The tables of schedules: what is to run when, each due time and what became of it, who changed what."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Table, Text

from simian.history.tables import Document, Moment, Name, Number, metadata

schedules = Table(
    "schedules",
    metadata,
    Column("name", Name, primary_key=True),
    Column("monkey", Name),
    Column("experiment", Name),
    Column("options", Document, nullable=False),
    Column("for_s", Float),
    Column("when", Document, nullable=False),
    Column("zone", Name, nullable=False),
    Column("calendar", Document),
    Column("misfire", Name, nullable=False),
    Column("grace_s", Float, nullable=False),
    Column("jitter_s", Float, nullable=False),
    Column("overlap", Name, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("expires", Moment),
    Column("owner", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("declared", Boolean, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("made", Moment, nullable=False),
    Column("looked", BigInteger, nullable=False),  # every due time up to here (us) has a row, or was none
)
dues = Table(
    "dues",
    metadata,
    Column("schedule", Name, primary_key=True),
    Column("due", BigInteger, primary_key=True, autoincrement=False),  # us since the epoch: what is claimed, once
    Column("state", Name, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run", Name),
    Column("daemon", Name, nullable=False),
    Column("claimed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index(None, dues.c.due, dues.c.schedule)
Index(None, dues.c.state, dues.c.due)
Index(None, dues.c.run)
audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Document),
)
# One row for each thing that somebody may wait for to change: reading a number is quick.
versions = Table(
    "versions", metadata, Column("name", Name, primary_key=True), Column("value", BigInteger, nullable=False)
)
daemons = Table(
    "daemons",
    metadata,
    Column("daemon", Name, primary_key=True),
    Column("host", Name, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
