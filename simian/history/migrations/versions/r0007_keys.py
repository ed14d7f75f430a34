"""Keys that requests came with, and what was answered: the same key again starts nothing, whoever is asked."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "keys",
        sa.Column("key", _Name, nullable=False),
        sa.Column("body", _Name, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("key", name="pk_keys"),
    )
    op.create_index("ix_keys_at", "keys", ["at"])


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("keys")
