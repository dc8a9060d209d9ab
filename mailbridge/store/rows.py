"""Names for what queries give back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult, Row

AnyRow = Row[*tuple[Any, ...]]
"""A row whose columns are read by name."""


def new_id(result: CursorResult[*tuple[Any, ...]]) -> int:
    """The id that the database gave to the one row just inserted."""
    key = result.inserted_primary_key
    assert key is not None  # single-row inserts always have it
    return int(key[0])
