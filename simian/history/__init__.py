"""Past runs, in a database of their own: ``open_history(where)`` gives a ``History``, ``read_page`` a page of one.

The journal, not the history, is what undo relies on: a history that is out of reach never stops a run. SQLAlchemy and
Alembic are imported in this package only, and take half a second: when ``open_history`` is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from simian.history.page import Page, Record
from simian.history.reader import read_page

if TYPE_CHECKING:
    from simian.history.schedules import Schedules, open_schedules
    from simian.history.store import History, open_history

__all__ = ["History", "Page", "Record", "Schedules", "open_history", "open_schedules", "read_page"]
_HOMES = {
    "History": "store", "open_history": "store", "Schedules": "schedules", "open_schedules": "schedules"
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f"simian.history.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'simian.history' has no attribute {name!r}")
