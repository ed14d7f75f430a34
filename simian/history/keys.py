"""Keys that requests came with (``Idempotency-Key``): whoever brings one that is here already starts nothing.

A key is claimed before anything is done, and has its answer afterwards. One without an answer belongs to somebody who
is at it, or who died over it: nobody knows what came of that, so it is not done again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from simian.history.database import WRITES, told
from simian.history.tables import keys

KEPT_US = 30 * 86_400_000_000  # what comes again after a month is new


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key: a sum of the body it came with; ``answer`` is None until there is one."""

    body: str
    answer: Mapping[str, Any] | None


class Keys:
    """All of one history. ``key`` is a sum of who asked and with which. Methods raise HistoryError."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def claim(self, key: str, body: str, now_us: int) -> Kept | None:
        """None: it is the caller's now, who does what was asked. Else somebody came with it before."""
        here = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        mine = here.insert(keys).values(key=key, body=body, at=now_us).on_conflict_do_nothing(index_elements=["key"])
        with told(self._name, "written"), self._engine.execution_options(**WRITES).begin() as connection:
            connection.execute(delete(keys).where(keys.c.at < now_us - KEPT_US))
            if connection.execute(mine.returning(keys.c.key)).first() is not None:
                return None
            row = connection.execute(select(keys).where(keys.c.key == key)).one()
            return Kept(row.body, row.answer)

    def answered(self, key: str, answer: Mapping[str, Any]) -> None:
        """What came of it, for whoever brings it again."""
        self._write(update(keys).where(keys.c.key == key).values(answer=dict(answer)))

    def release(self, key: str) -> None:
        """Nothing came of it, for sure: it may be brought again."""
        self._write(delete(keys).where(keys.c.key == key))

    def _write(self, statement: Any) -> None:
        with told(self._name, "written"), self._engine.execution_options(**WRITES).begin() as connection:
            connection.execute(statement)
