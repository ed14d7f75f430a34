"""Run by Alembic, with a connection that has the lock and a transaction already."""

from alembic import context

from simian.history.schema import VERSION_TABLE
from simian.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
