"""Names for what queries give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Row
from sqlalchemy.sql.dml import ReturningInsert

AnyRow = Row[*tuple[Any, ...]]
"""A row whose columns are read by name."""


def new_id(result: CursorResult[*tuple[Any, ...]]) -> int:
    """The id that the database gave to the one row just inserted."""
    key = result.inserted_primary_key
    assert key is not None  # single-row inserts always have it
    return int(key[0])


def new_ids(
    conn: Connection, statement: ReturningInsert[int], rows: Sequence[Mapping[str, object]]
) -> list[int]:
    """Insert rows and give their ids in the same order; the statement returns the id, sorted by parameters."""
    if not rows:
        return []
    return [int(row[0]) for row in conn.execute(statement, rows)]
