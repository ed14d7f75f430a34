"""Where users arrived, what caches had, moments of an evacuation, backlogs of data, and figures of the run."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SECOND: dict[str, type[sa.types.TypeEngine[Any]]] = {"at": sa.Float, "seconds": sa.Float, "region": sa.Text}
_PARTS: dict[str, dict[str, type[sa.types.TypeEngine[Any]]]] = {
    "arrivals": {**_SECOND, "answered": sa.BigInteger, "unanswered": sa.BigInteger},
    "caches": {**_SECOND, "hits": sa.BigInteger, "misses": sa.BigInteger},
    "moments": {"at": sa.Float, "name": sa.Text, "region": sa.Text, "detail": sa.Text},
    "backlog": {"at": sa.Float, "waiting": sa.Text},
}


def upgrade() -> None:
    """Add them; runs that are there have none of it."""
    op.add_column("runs", sa.Column("figures", sa.Text))
    op.add_column("traffic", sa.Column("ways", sa.Text))
    for name, columns in _PARTS.items():
        op.create_table(
            name,
            sa.Column("number", _Number, autoincrement=False, nullable=False),
            sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
            *(sa.Column(column, kind()) for column, kind in columns.items()),
            sa.Column("more", sa.Text, nullable=False),
            sa.ForeignKeyConstraint(["number"], ["runs.number"], name=f"fk_{name}_number_runs", ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("number", "position", name=f"pk_{name}"),
            sqlite_with_rowid=False,
        )


def downgrade() -> None:
    """Drop them again."""
    for name in reversed(_PARTS):
        op.drop_table(name)
    op.drop_column("traffic", "ways")
    op.drop_column("runs", "figures")
