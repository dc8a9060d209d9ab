"""Outgoing mail in the hands of operators: hold, release, try again, list, count. Queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from mailbridge.store import outbox as outbox_queue
from mailbridge.store.rows import AnyRow
from mailbridge.store.tables import daemon_state, outbox, outbox_recipient, ticket


def hold(conn: Connection, why: str, now: datetime) -> None:
    """Stop all sending until `release`."""
    conn.execute(delete(daemon_state).where(daemon_state.c.name == outbox_queue.HOLD))
    conn.execute(insert(daemon_state).values(name=outbox_queue.HOLD, value=why, at=now))


def release(conn: Connection, number: int | None, now: datetime) -> int:
    """Lift the hold, and let held mails go (one, or all). How many mails were let go."""
    if number is None:
        conn.execute(delete(daemon_state).where(daemon_state.c.name == outbox_queue.HOLD))
    return _requeue(conn, ("held",), number, now)


def retry(conn: Connection, number: int | None, now: datetime) -> int:
    """Try failed, unknown and waiting mails again at once (one, or all). How many."""
    return _requeue(conn, ("failed", "unknown", "retry"), number, now)


def _requeue(conn: Connection, states: tuple[str, ...], number: int | None, now: datetime) -> int:
    query = select(outbox_recipient.c.outbox_id).where(outbox_recipient.c.state.in_(states)).distinct()
    if number is not None:
        query = query.where(outbox_recipient.c.outbox_id == number)
    ids = list(conn.execute(query).scalars())
    for each in ids:
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == each, outbox_recipient.c.state.in_(states))
            .values(state="queued", updated_at=now)
        )
        conn.execute(update(outbox).where(outbox.c.id == each).values(attempts=0))
        outbox_queue.settle(conn, each, now)
    return len(ids)


def listed(conn: Connection, *, everything: bool, limit: int = 200) -> Sequence[AnyRow]:
    """One line per recipient, newest mail first; without `everything` only what is not sent."""
    query = (
        select(
            outbox.c.id,
            outbox.c.kind,
            outbox.c.mailbox,
            outbox.c.subject,
            outbox.c.message_id,
            outbox.c.created_at,
            outbox.c.next_attempt_at,
            ticket.c.key.label("ticket"),
            outbox_recipient.c.address.label("recipient"),
            outbox_recipient.c.state,
            outbox_recipient.c.attempts,
            outbox_recipient.c.last_reply,
        )
        .select_from(outbox.join(outbox_recipient).outerjoin(ticket, ticket.c.id == outbox.c.ticket_id))
        .order_by(outbox.c.id.desc(), outbox_recipient.c.address)
        .limit(limit)
    )
    if not everything:
        query = query.where(outbox_recipient.c.state != "sent")
    return conn.execute(query).all()


def counts(conn: Connection) -> dict[str, int]:
    """Recipients by state."""
    rows = conn.execute(select(outbox_recipient.c.state, func.count()).group_by(outbox_recipient.c.state))
    return {str(state): int(count) for state, count in rows}
