"""Past runs, in a database of their own: ``open_history(where)`` gives a ``History``, ``read_page`` a page of one.

The journal, not the history, is what undo relies on: a history that is out of reach never stops a run. SQLAlchemy and
Alembic are imported in this package only, and take half a second: when ``open_history`` is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from simian.history.page import Page, Record
from simian.history.reader import read_page

if TYPE_CHECKING:
    from simian.history.store import History, open_history

__all__ = ["History", "Page", "Record", "open_history", "read_page"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("simian.history.store"), name)
    raise AttributeError(f"module 'simian.history' has no attribute {name!r}")
