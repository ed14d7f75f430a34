"""A page without the library, which takes some fifty times longer to import than a page to read."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Unpack

from simian.history.page import Page, Query, Row, Wanted, query
from simian.history.schema import NEWEST, VERSION_TABLE, file_of


def read_page(where: str | Path, **wanted: Unpack[Wanted]) -> Page:
    """A page of the history there, as ``open_history(where).page(**wanted)`` gives it; raises what those raise."""
    asked = query(**wanted)
    found = _rows(where, asked)
    if found is not None:
        return asked.page(found)
    from simian.history.store import open_history

    with open_history(where) as history:
        return history.page(**wanted)


def _rows(where: str | Path, asked: Query) -> list[Row] | None:
    """The rows of a file that is up to date; ``None``: to read this, make it, or say what is wrong takes more."""
    file = file_of(where)
    if file is None:
        return None
    try:
        # Not made where it is missing; who opened it with mode=ro would leave its -wal and -shm behind.
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            # A name of ours.
            version = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # nosec B608
            return connection.execute(asked.sql, asked.values).fetchall() if version == (NEWEST,) else None
    except (sqlite3.Error, ValueError):  # the latter: a text that is none in UTF-8
        return None
