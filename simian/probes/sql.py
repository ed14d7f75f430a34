"""One number from a database, read in a transaction that changes nothing and is always rolled back."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from simian.probe import Reading, probe
from simian.secrets import Secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

TIMEOUT_S = 10.0  # the check's deadline is shorter; this ends what nobody waits for any more
READS = ("SELECT", "WITH", "VALUES", "TABLE")
READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON",),
    "postgresql": ("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {TIMEOUT_S * 1000:.0f}"),
    "mysql": ("SET TRANSACTION READ ONLY",),
    "mariadb": ("SET TRANSACTION READ ONLY",),
    "oracle": ("SET TRANSACTION READ ONLY",),
}
_BACKGROUND = re.compile(r"\(Background on this error at: \S*\)")  # a page about SQLAlchemy, not about the statement
_PASSWORD = re.compile("pass|secret|token", re.IGNORECASE)


def _wrong(statement: str, url: str = "", **_: object) -> Iterator[str]:
    words = statement.split()
    first = words[0].upper() if words else "nothing"
    if first not in READS:
        yield f"the statement begins with {first:.20}; right would be one that only reads: {', '.join(READS)}"
    if ";" in statement.rstrip().removesuffix(";"):
        yield "a ';' inside the statement: only one is allowed; a text with it goes into parameters:"
    if "://" not in url:
        yield "url: no address of a database; right would be postgresql+psycopg://user@host/name or sqlite:///file.db"
    elif urlsplit(url).password or any(_PASSWORD.search(key) for key, _ in parse_qsl(urlsplit(url).query)):
        yield "url: a password in it would be written down; leave it out, and give password: {env: NAME}"
    elif url.startswith("sqlite") and urlsplit(url).path in ("", "/", "/:memory:"):
        yield "url: names no file; right would be sqlite:///file.db"


def _warm(url: str, password: Secret | None = None, **_: object) -> Iterator[str]:
    """SQLAlchemy takes longer to import than most checks' deadlines are."""
    try:
        _engine(url, password)
    except ValueError as error:
        yield str(error)


@probe("sql", wrong=_wrong, warm=_warm)
def first_number(
    statement: str, url: str, parameters: dict[str, Any] | None = None, password: Secret | None = None
) -> Reading:
    """The number in the first row's only column. NULL, no row and several columns are no number.

    ``:name`` in the statement is bound from ``parameters``. ``url``: as SQLAlchemy writes it, without a password.
    The connection is kept from one look to the next, and made anew when it is broken.
    """
    from sqlalchemy.exc import DBAPIError, StatementError

    try:
        with _engine(url, password).connect() as connection:
            for words in READ_ONLY.get(connection.dialect.name, ()):
                connection.exec_driver_sql(words)
            return Reading(_number(connection, statement.rstrip().removesuffix(";"), parameters or {}))
    except DBAPIError as error:
        raise ValueError(f"{type(error.orig).__name__}: {_line(error.orig)}") from None
    except StatementError as error:
        raise ValueError(f"the statement cannot be asked: {_line(error.orig or error)}") from None


def _line(error: object) -> str:
    return " ".join(_BACKGROUND.sub("", str(error)).split())


def _number(connection: "Connection", statement: str, parameters: dict[str, Any]) -> float:
    from sqlalchemy import text

    # A cursor at the server: a statement that gives a million rows brings one of them here.
    found = connection.execution_options(stream_results=True, max_row_buffer=1).execute(text(statement), parameters)
    columns = list(found.keys())
    row = found.fetchone() if len(columns) == 1 else None
    found.close()
    if len(columns) != 1:
        raise ValueError(f"the statement gives {len(columns)} columns ({', '.join(columns):.80}); right would be one")
    if row is None:
        raise ValueError("the statement gives no row; right would be one with a number: count(*), say")
    if not isinstance(row[0], int | float | Decimal):
        raise ValueError(f"the statement gives {_told(row[0])}; right would be a number: count(*), coalesce(…, 0)")
    return float(row[0])


def _told(value: object) -> str:
    return "NULL" if value is None else f"a {type(value).__name__}"


@cache
def _engine(url: str, password: Secret | None) -> "Engine":
    from sqlalchemy import NullPool, create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":  # opened for each look: a file may be put in the place of another
            return create_engine(_only_to_read(address), poolclass=NullPool, hide_parameters=True)
        address = address if password is None else address.set(password=str(password))
        return create_engine(address, pool_size=1, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError):
        raise ValueError(
            f"url: {url!r:.80} is no address that SQLAlchemy knows; is the database's name right?"
        ) from None
    except ImportError as error:
        remedy = "pip install 'simian-army[postgres]'" if error.name == "psycopg" else "install it beside simian"
        raise ValueError(f"the database's driver {error.name} is not there; {remedy}") from None


def _only_to_read(address: "URL") -> "URL":
    """A file that is not there must not be made by asking."""
    file = address.database or ""
    name = file if file.startswith("file:") else f"file:{quote(file)}"
    return address.set(database=name).update_query_dict({"mode": "ro", "uri": "true"})
