"""${message}.

Revision ${up_revision}, after ${down_revision or "nothing"}.
"""

# ruff: noqa: E501 - written by `python -m mailbridge.store.migrations`, constraints as one string each
from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take it back. For development: an operator restores a backup instead."""
    ${downgrades if downgrades else "pass"}
