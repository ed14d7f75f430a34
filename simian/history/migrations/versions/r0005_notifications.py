"""The outbox: what is to be told to somebody, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add it."""
    op.create_table(
        "notifications",
        sa.Column("number", _Number, nullable=False),
        sa.Column("key", _Name, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("run", _Name),
        sa.Column("event", _Name, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("state", _Name, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due", sa.BigInteger),
        sa.Column("sent", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_notifications"),
        sa.UniqueConstraint("key", name="uq_notifications_key"),
    )
    op.create_index("ix_notifications_state_due", "notifications", ["state", "due"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("notifications")
