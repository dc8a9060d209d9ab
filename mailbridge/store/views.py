"""Tickets as people read them: lists, one whole history, attachments. Queries."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select

from mailbridge.store.rows import AnyRow
from mailbridge.store.tables import agent, attachment, blob, contact, entry, ticket


def find(conn: Connection, reference: str) -> AnyRow | None:
    """A ticket by running number (digits) or public key (already canonical)."""
    condition = ticket.c.key == reference
    if reference.isascii() and reference.isdecimal() and len(reference) <= 9:
        condition = or_(condition, ticket.c.id == int(reference))
    return conn.execute(select(ticket).where(condition).order_by(ticket.c.id).limit(1)).first()


def listed(
    conn: Connection,
    *,
    statuses: Sequence[str] = (),
    requester: str | None = None,
    flagged: bool = False,
    limit: int = 100,
) -> Sequence[AnyRow]:
    """Tickets with their requester, last changed first."""
    query = (
        select(ticket, contact.c.address.label("requester"), contact.c.name.label("requester_name"))
        .select_from(ticket.join(contact, contact.c.id == ticket.c.requester_id))
        .order_by(ticket.c.updated_at.desc(), ticket.c.id.desc())
        .limit(limit)
    )
    if statuses:
        query = query.where(ticket.c.status.in_(statuses))
    if requester is not None:
        query = query.where(contact.c.key == requester.casefold())
    if flagged:
        query = query.where(ticket.c.flag != "")
    return conn.execute(query).all()


def entries(conn: Connection, ticket_id: int) -> Sequence[AnyRow]:
    """The whole history of a ticket in order, with the writers' addresses."""
    return conn.execute(
        select(
            entry,
            contact.c.address.label("contact_address"),
            contact.c.name.label("contact_name"),
            agent.c.address.label("agent_address"),
            agent.c.name.label("agent_name"),
        )
        .select_from(entry.outerjoin(contact).outerjoin(agent))
        .where(entry.c.ticket_id == ticket_id)
        .order_by(entry.c.id)
    ).all()


def entries_of_inbound(conn: Connection, inbound_ids: Sequence[int]) -> Sequence[AnyRow]:
    """The entries that these mails became."""
    return conn.execute(select(entry).where(entry.c.inbound_id.in_(inbound_ids))).all()


def attachments(conn: Connection, entry_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """The attachments of these entries, without their bytes, by entry."""
    found: dict[int, list[AnyRow]] = {}
    for row in conn.execute(
        select(attachment).where(attachment.c.entry_id.in_(entry_ids)).order_by(attachment.c.id)
    ):
        found.setdefault(row.entry_id, []).append(row)
    return found


def content(conn: Connection, sha256: str) -> bytes | None:
    """The bytes of an attachment."""
    return conn.execute(select(blob.c.data).where(blob.c.sha256 == sha256)).scalar()


def counts(conn: Connection) -> dict[str, int]:
    """Tickets by status."""
    rows = conn.execute(select(ticket.c.status, func.count()).group_by(ticket.c.status))
    return {str(status): int(count) for status, count in rows}


def keys_of(conn: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """The public keys of these tickets."""
    rows = conn.execute(select(ticket.c.id, ticket.c.key).where(ticket.c.id.in_(numbers)))
    return {row.id: row.key for row in rows}


def flagged(conn: Connection) -> int:
    """How many tickets want an agent's look."""
    return int(conn.execute(select(func.count()).select_from(ticket).where(ticket.c.flag != "")).scalar_one())


def all_numbers(conn: Connection) -> list[int]:
    """The running numbers of every ticket."""
    return list(conn.execute(select(ticket.c.id).order_by(ticket.c.id)).scalars())
