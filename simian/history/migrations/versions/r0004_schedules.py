"""Schedules, their due times and what became of them, who changed what, and the daemons that look after them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add them."""
    _make_schedules()
    _make_dues()
    op.create_table(
        "audit",
        sa.Column("number", _Number, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("who", "origin", "what")),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_table(
        "versions",
        sa.Column("name", _Name, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_versions"),
    )
    op.execute("INSERT INTO versions (name, value) VALUES ('schedules', 0)")
    op.create_table(
        "daemons",
        sa.Column("daemon", _Name, nullable=False),
        sa.Column("host", _Name, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("daemon", name="pk_daemons"),
    )


def _make_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", _Name, nullable=False),
        *(sa.Column(name, _Name) for name in ("monkey", "experiment")),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("for_s", sa.Float),
        sa.Column("when", sa.Text, nullable=False),
        sa.Column("zone", _Name, nullable=False),
        sa.Column("calendar", sa.Text),
        sa.Column("misfire", _Name, nullable=False),
        sa.Column("grace_s", sa.Float, nullable=False),
        sa.Column("jitter_s", sa.Float, nullable=False),
        sa.Column("overlap", _Name, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("expires", sa.BigInteger),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("owner", "note")),
        sa.Column("declared", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("seed", "made", "looked")),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )


def _make_dues() -> None:
    op.create_table(
        "dues",
        sa.Column("schedule", _Name, nullable=False),
        sa.Column("due", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("state", _Name, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run", _Name),
        sa.Column("daemon", _Name, nullable=False),
        sa.Column("claimed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("schedule", "due", name="pk_dues"),
        sqlite_with_rowid=False,
    )
    for indexed in (["due", "schedule"], ["state", "due"], ["run"]):
        op.create_index("_".join(["ix_dues", *indexed]), "dues", indexed)


def downgrade() -> None:
    """Drop them again."""
    for name in ("daemons", "versions", "audit", "dues", "schedules"):
        op.drop_table(name)
