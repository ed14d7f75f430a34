"""Past runs, in a database of their own: ``open_history(where)`` gives a ``History``.

The journal, not the history, is what undo relies on: a history that is out of reach never stops a run. SQLAlchemy and
Alembic are imported in this package only, and take half a second: import it inside the command that needs it.
"""

from simian.history.store import History, Page, Record, open_history

__all__ = ["History", "Page", "Record", "open_history"]
