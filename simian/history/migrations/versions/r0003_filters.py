"""An index for every way to filter pages: one that found next to nothing had looked at every run for it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FILTERS = (("outcome", "verdict"), ("monkey", "outcome"), ("monkey", "outcome", "verdict"))


def _name(filters: tuple[str, ...]) -> str:
    return "_".join(["ix_runs", *filters, "started", "run"])


def upgrade() -> None:
    """Add them."""
    for filters in _FILTERS:
        op.create_index(_name(filters), "runs", [*filters, "started", "run"])


def downgrade() -> None:
    """Drop them again."""
    for filters in _FILTERS:
        op.drop_index(_name(filters), "runs")
