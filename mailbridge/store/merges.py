"""Merging and splitting: the few writes that move tickets or entries. Queries."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from mailbridge.store.rows import AnyRow
from mailbridge.store.tables import entry, ticket


def repoint(conn: Connection, source: int, target: int) -> None:
    """Tickets that were merged into `source` now point at `target`: a chain of merges is always one hop."""
    conn.execute(
        update(ticket)
        .where(ticket.c.merged_into == source, ticket.c.id != target)
        .values(merged_into=target, version=ticket.c.version + 1)
    )


def movable_entry(conn: Connection, ticket_id: int, entry_id: int) -> AnyRow | None:
    """A customer's mail on that ticket, or None."""
    return conn.execute(
        select(entry).where(
            entry.c.id == entry_id,
            entry.c.ticket_id == ticket_id,
            entry.c.kind == "mail",
            entry.c.contact_id.is_not(None),
        )
    ).first()


def move_entry(conn: Connection, entry_id: int, ticket_id: int) -> None:
    """Put an entry on another ticket."""
    conn.execute(update(entry).where(entry.c.id == entry_id).values(ticket_id=ticket_id, via_ticket_id=None))
