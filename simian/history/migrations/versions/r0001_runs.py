"""Runs with their phases, faults, checks, weaknesses, readings and traffic."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_PARTS: dict[str, dict[str, type[sa.types.TypeEngine[Any]]]] = {
    "phases": {"phase": sa.Text, "started": sa.BigInteger, "ended": sa.BigInteger},
    "faults": {
        "id": sa.BigInteger,
        "kind": sa.Text,
        "target": sa.Text,
        "stage": sa.Text,
        "injected": sa.BigInteger,
        "undone": sa.BigInteger,
        "state": sa.Text,
        "evidence": sa.Text,
        "exposure": sa.BigInteger,
        "error": sa.Text,
        "mend": sa.Text,
    },
    "checks": {
        "check": sa.Text,
        "verdict": sa.Text,
        "tolerance": sa.Text,
        "baseline": sa.Float,
        "during": sa.Float,
        "after": sa.Float,
        "readings": sa.BigInteger,
    },
    "weaknesses": {"check": sa.Text, "seen": sa.Text, "where": sa.Text, "hint": sa.Text},
    "readings": {
        "check": sa.Text,
        "at": sa.Float,
        "value": sa.Float,
        "silent": sa.Boolean,
        "detail": sa.Text,
    },
    "traffic": {
        "at": sa.Float,
        "seconds": sa.Float,
        "home": sa.Text,
        "served": sa.Text,
        "ended": sa.BigInteger,
        "ok": sa.BigInteger,
        "failed": sa.BigInteger,
        "first_failed": sa.BigInteger,
        "shed": sa.BigInteger,
        "latency": sa.Text,
    },
}
_FILTERS = ((), ("monkey",), ("verdict",), ("outcome",), ("monkey", "verdict"))


def upgrade() -> None:
    """Make all tables."""
    _make_runs()
    for filters in _FILTERS:
        indexed = [*filters, "started", "run"]
        op.create_index("_".join(["ix_runs", *indexed]), "runs", indexed)
    for name, columns in _PARTS.items():
        _make_part(name, [sa.Column(column, kind()) for column, kind in columns.items()])


def _make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("number", _Number, nullable=False),
        sa.Column("run", _Name, nullable=False),
        *(sa.Column(name, _Name) for name in ("monkey", "experiment", "system")),
        sa.Column("seed", sa.BigInteger),
        *(sa.Column(name, _Name) for name in ("outcome", "verdict", "recovery")),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("topology_hash", "plan_hash", "hypothesis", "note", "simian")),
        sa.Column("exposure_assumed", sa.Boolean),
        *(sa.Column(name, sa.Text) for name in ("reasons", "options", "plan", "notes")),
        sa.Column("more", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sa.UniqueConstraint("run", name="uq_runs_run"),
    )


def _make_part(name: str, columns: list[sa.Column[Any]]) -> None:
    op.create_table(
        name,
        sa.Column("number", _Number, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        *columns,
        sa.Column("more", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["number"], ["runs.number"], name=f"fk_{name}_number_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", "position", name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop all tables."""
    for name in (*reversed(_PARTS), "runs"):
        op.drop_table(name)
