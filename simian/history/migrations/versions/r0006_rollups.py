"""Sums by day, the regions of runs, the experiments there ever were; and what is there already is counted."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_FILTERS = ((), ("monkey",), ("outcome",), ("verdict",), ("monkey", "outcome"), ("monkey", "verdict"),
            ("outcome", "verdict"), ("monkey", "outcome", "verdict"))  # fmt: skip
_BATCH = 10_000
_PLACE = ("number", "region", "run", "started", "monkey", "outcome", "verdict")
_DAY_US = 86_400_000_000


def upgrade() -> None:
    """Add them, and count."""
    op.create_table(
        "daily",
        sa.Column("experiment", _Name, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("monkey", _Name, nullable=False),
        sa.Column("verdict", _Name, nullable=False),
        sa.Column("runs", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("experiment", "day", "monkey", "verdict", name="pk_daily"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "subjects",
        sa.Column("experiment", _Name, nullable=False),
        sa.PrimaryKeyConstraint("experiment", name="pk_subjects"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "places",
        sa.Column("number", _Number, autoincrement=False, nullable=False),
        sa.Column("region", _Name, nullable=False),
        *(sa.Column(name, _Name, nullable=name != "run") for name in ("run", "monkey", "outcome", "verdict")),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["number"], ["runs.number"], name="fk_places_number_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", "region", name="pk_places"),
        sqlite_with_rowid=False,
    )
    _count()
    for filters in _FILTERS:
        columns = ["region", *filters, "started", "run"]
        op.create_index("_".join(["ix_places", *columns]), "places", columns)
    columns = ["experiment", "verdict", "started", "run"]
    op.create_index("_".join(["ix_runs", *columns]), "runs", columns)


def _count() -> None:
    day = f"started / {_DAY_US}"
    key = f"{day}, coalesce(monkey, ''), coalesce(verdict, '')"
    into = "INSERT INTO daily (experiment, day, monkey, verdict, runs)"
    # Names of columns, all of this file.
    op.execute(f"{into} SELECT '', {key}, count(*) FROM runs GROUP BY {key}")  # nosec B608
    named = "experiment IS NOT NULL AND experiment != ''"
    op.execute(f"{into} SELECT experiment, {key}, count(*) FROM runs WHERE {named} GROUP BY experiment, {key}")  # nosec B608
    op.execute(f"INSERT INTO subjects SELECT DISTINCT experiment FROM runs WHERE {named}")  # nosec B608
    _place()


def _place() -> None:
    """From figures and options of each run, and the targets of its faults. Rows go in as tuples, as there are many."""
    connection = op.get_bind()
    columns = ("number", "run", "started", "monkey", "outcome", "verdict", "options", "figures")
    runs = sa.table("runs", *map(sa.column, columns))
    faults = sa.table("faults", sa.column("number"), sa.column("target"))
    places = sa.table("places", *map(sa.column, _PLACE))
    into = str(sa.insert(places).compile(dialect=connection.dialect, column_keys=list(_PLACE)))
    last = -1
    while True:
        wanted = sa.select(*runs.c).where(runs.c.number > last).order_by(runs.c.number).limit(_BATCH)
        page = connection.execute(wanted).all()
        if not page:
            return
        first, last = page[0].number, page[-1].number
        targets: dict[int, list[str]] = {}
        for number, target in connection.execute(sa.select(*faults.c).where(faults.c.number.between(first, last))):
            targets.setdefault(number, []).append(target or "")
        rows = [
            (number, region, *told)
            for number, *told, options, figures in page
            for region in _regions(options, figures, targets.get(number, []))
        ]
        if rows:
            connection.exec_driver_sql(into, rows)


def _regions(options: str | None, figures: str | None, targets: list[str]) -> list[str]:
    from simian.history.rollups import regions_of

    told = {"options": json.loads(options or "null"), "figures": json.loads(figures or "null")}
    return regions_of({**told, "faults": [{"target": target} for target in targets]})


def downgrade() -> None:
    """Drop them again."""
    op.drop_index("ix_runs_experiment_verdict_started_run", "runs")
    for name in ("places", "subjects", "daily"):
        op.drop_table(name)
