"""The rows of a database that another process writes, or is only just making."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def rows_of(file: Path, query: str, *values: Any) -> list[dict[str, Any]]:
    """None while there is no such file, or no such table yet."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as db:
        db.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in db.execute(query, values)]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []
