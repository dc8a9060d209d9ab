"""What Alembic runs to migrate: on the connection it is given, against our tables.

Run by Alembic alone, through `mailbridge.store.migrate` (or `python -m mailbridge.store.migrations`, which
writes new revisions): it never connects by itself, so there is one recipe for connections and no event loop.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from mailbridge.store.tables import metadata
from mailbridge.store.types import UTCDateTime


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own column types by their short name."""
    if kind == "type" and isinstance(item, UTCDateTime):
        autogen.imports.add("from mailbridge.store.types import UTCDateTime")
        return "UTCDateTime()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,  # has no effect inside the one transaction of `migrate.upgrade`
    transactional_ddl=True,  # Alembic doubts it of SQLite; with our BEGIN IMMEDIATE it holds
    render_as_batch=True,  # SQLite cannot alter most things in place
    compare_type=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
