"""Opening the database of past runs: SQLite in a file, or PostgreSQL somewhere."""

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from simian.errors import HistoryError, UsageError
from simian.history.schema import file_of

BUSY_TIMEOUT_S = 30.0  # another run may be storing a day of readings
CONNECT_TIMEOUT_S = 5
OPENS = "simian.database"  # the audit event of whoever is about to open one: its argument names it (``shown``)
_SECRET = re.compile("pass|secret|token", re.IGNORECASE)
# A server that vanished without a word (its machine, the way to it) is given up within a minute, not within hours.
SILENCE = {"keepalives_idle": 15, "keepalives_interval": 15, "keepalives_count": 3, "tcp_user_timeout": 60_000}
# A writer that sleeps or vanished amid a transaction keeps others waiting no longer than that (PostgreSQL ends it).
IDLE_TIMEOUT_S = 60.0
WRITES = {"simian_writes": True}  # execution option of a connection that is going to write


def address(where: str | Path) -> URL:
    """The URL of a file name, a ``sqlite:///`` or a ``postgresql+psycopg://`` address. Raises UsageError."""
    file = file_of(where)
    if file is not None:
        return URL.create("sqlite", database=str(file))
    try:
        url = make_url(str(where))
    except ArgumentError as error:
        raise UsageError("history is no valid address; write a file name or postgresql+psycopg://HOST/NAME") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        kind = url.get_backend_name()
        raise UsageError(f"history cannot be kept in {kind}; write a file name or postgresql+psycopg://HOST/NAME")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise UsageError("history in memory would be gone at the end of the command; write a file name")
    return url


def shown(url: URL) -> str:
    """The database as messages name it: the file, or the address without its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    told = url.difference_update_query([key for key in url.query if _SECRET.search(key)])
    return told.render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """An engine whose transactions are whole: BEGIN IMMEDIATE on SQLite for what writes.

    Raises what a hook on ``OPENS`` raises (PEP 578): libpq connects in C, where no hook sees it.
    """
    sys.audit(OPENS, shown(url))
    if url.get_backend_name() == "postgresql":
        # positional parameters, so that rows go in as tuples on both engines
        own = {"connect_timeout": CONNECT_TIMEOUT_S, **SILENCE}
        engine = create_engine(
            url, paramstyle="format", connect_args={key: own[key] for key in own if key not in url.query}
        )
        event.listen(engine, "begin", _on_begin_there)
        return engine
    Path(str(url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")  # the journal is what must survive a power cut


def _on_begin(connection: Connection) -> None:
    """A read that becomes a write after another's write fails at once, whatever the busy timeout: say it first."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _on_begin_there(connection: Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {round(1000 * IDLE_TIMEOUT_S)}")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("simian_writes", False))


@contextmanager
def told(name: str, doing: str) -> Iterator[None]:
    """Turns what the library raises into one line that names the database."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise HistoryError(f"history {name} cannot be {doing}: {_why(error)}; {_remedy(error)}") from error
    except ModuleNotFoundError as error:
        raise HistoryError(
            f"history {name} needs {error.name}; install it: pip install simian-army[postgres]"
        ) from error


def _root(error: Exception) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _why(error: Exception) -> str:
    lines = str(_root(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _remedy(error: Exception) -> str:
    why = _why(error)
    if "not a database" in why or "malformed" in why:
        return "the file is damaged or no database; move it away, and simian begins a new one"
    if "locked" in why:
        return "another program keeps it locked; end that one and try again"
    if "full" in why:
        return "make room on the disk and try again"
    return "check that it is there and that you may read and write it, or name another in simian.yaml under 'history'"
