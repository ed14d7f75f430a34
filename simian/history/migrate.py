"""Bringing a database to the schema that this simian knows, once, however many processes start together."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, column, inspect, select, table, text

from simian.errors import HistoryError
from simian.history.database import BUSY_TIMEOUT_S, WRITES
from simian.history.schema import NEWEST, VERSION_TABLE

_CACHE_KIB = 256 * 1024
_LOCK = 7_346_942_601  # PostgreSQL: any number that nobody else uses for a lock of theirs
_version = table(VERSION_TABLE, column("version_num"))


def upgrade(engine: Engine, name: str) -> None:
    """Ensure the newest schema. Raises HistoryError for a database of something else or of a newer simian."""
    with engine.connect() as connection:
        if _schema(connection, name) == NEWEST:
            return  # the usual case, without importing Alembic
    if engine.dialect.name == "sqlite":
        _write_ahead(Path(str(engine.url.database)))
    with engine.connect().execution_options(**WRITES) as connection:
        _prepare(connection)
        with connection.begin():
            _lock(connection)
            if _schema(connection, name) != NEWEST:  # nobody was quicker
                _migrate(connection, name)
                _check_foreign_keys(connection, name)
        connection.detach()  # its pragmas must not come back from the pool


def _schema(connection: Connection, name: str) -> str | None:
    """The id of the last migration done; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return connection.execute(select(_version.c.version_num)).scalar()
    if tables:
        some = ", ".join(sorted(tables)[:3])
        raise HistoryError(
            f"history {name} is a database of something else (it has {some}); simian needs one of its own: "
            "name another in simian.yaml under 'history'"
        )
    return None


def _write_ahead(file: Path) -> None:
    """Switch to WAL, for good. SQLite does not wait for a lock here, so that we have to."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()


def _prepare(connection: Connection) -> None:
    """SQLite changes a table by making it anew; dropping the old one would take the rows that refer to it along.

    And it sorts what goes into an index in as much memory as it may have for pages, by as many threads as it may.
    """
    if connection.dialect.name == "sqlite":
        driver = connection.connection.dbapi_connection
        assert driver is not None
        cursor = driver.cursor()
        for pragma in ("foreign_keys=OFF", f"cache_size=-{_CACHE_KIB}", "threads=2"):  # no effect in a transaction
            cursor.execute(f"PRAGMA {pragma}")


def _check_foreign_keys(connection: Connection, name: str) -> None:
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise HistoryError(f"history {name}: rows would lose what they belong to by migrating; nothing was changed")


def _lock(connection: Connection) -> None:
    """On SQLite, BEGIN IMMEDIATE is the lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _migrate(connection: Connection, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "simian.history:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise HistoryError(
            f"history {name} was written by another simian (schema {_schema(connection, name)!r}; this one knows up to "
            f"{NEWEST!r}); upgrade simian, or name another history in simian.yaml"
        ) from error
