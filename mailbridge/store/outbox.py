"""Mail to be sent: written with its cause, claimed with a lease, recorded per recipient. Queries.

A row is claimable while a recipient of it waits. The state of the row is that of its least finished
recipient. States: queued, sending, sent, retry, failed, unknown, held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from mailbridge.core.address import domain_of, split_tag
from mailbridge.core.facts import SentMail
from mailbridge.store.rows import AnyRow, new_id
from mailbridge.store.tables import daemon_state, outbox, outbox_data, outbox_recipient, ticket

_HOLD = "outbox_hold"
# The row takes the first of these that any recipient is in.
_ORDER = ("sending", "queued", "retry", "held", "unknown", "failed", "sent")


@dataclass(frozen=True, slots=True)
class NewOutgoing:
    """One mail to be sent. `capped`: counts against (and obeys) the caps on automatic mail."""

    cause_key: str
    kind: str
    automatic: bool
    capped: bool
    mailbox: str
    reference: str
    envelope_from: str
    message_id: str
    subject: str
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CapLimits:
    """The most automatic mails in one hour."""

    per_recipient: int
    per_mailbox: int
    per_ticket: int
    per_domain: int
    total: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A mail to be sent now, to these recipients."""

    id: int
    cause_key: str
    envelope_from: str
    message_id: str
    recipients: tuple[str, ...]
    attempts: int
    created_at: datetime
    ticket_id: int | None
    kind: str
    unknown: frozenset[str]
    """Those of the recipients for whom an earlier attempt ended without a usable answer."""
    data: bytes = field(repr=False)


_INSERT = insert(outbox)
_INSERT_DATA = insert(outbox_data)
_INSERT_RECIPIENT = insert(outbox_recipient)


def folded(address: str) -> str:
    """The mailbox behind an address: case folded, without plus-tag."""
    tagged = split_tag(address)
    return tagged.mailbox if tagged else address.casefold()


def add(
    conn: Connection,
    new: NewOutgoing,
    *,
    ticket_id: int | None,
    entry_id: int | None,
    now: datetime,
    caps: CapLimits,
) -> str:
    """Write a mail to be sent. '' when queued, else why it was capped: 'held: ...' or 'withheld: ...'.

    Over a cap of its recipient or ticket an automatic mail is not made at all; over the total cap it is held,
    to be looked at and released. Raises IntegrityError when its cause already made a mail.
    """
    state, why = "queued", ""
    if new.capped:
        why = _over_cap(conn, new, ticket_id, now, caps)
        if why.startswith("withheld"):
            return why
        state = "held" if why else "queued"
    made = conn.execute(
        _INSERT,
        {
            "cause_key": new.cause_key,
            "kind": new.kind,
            "automatic": new.automatic,
            "mailbox": new.mailbox,
            "ticket_id": ticket_id,
            "entry_id": entry_id,
            "reference": new.reference,
            "envelope_from": new.envelope_from,
            "message_id": new.message_id,
            "subject": new.subject,
            "state": state,
            "created_at": now,
            "next_attempt_at": now,
        },
    )
    number = new_id(made)
    conn.execute(_INSERT_DATA, {"outbox_id": number, "data": new.data})
    conn.execute(
        _INSERT_RECIPIENT,
        [
            {
                "outbox_id": number,
                "address": address,
                "folded": folded(address),
                "domain": domain_of(address),
                "state": state,
                "last_reply": why,
                "capped": new.capped,
                "created_at": now,
                "updated_at": now,
            }
            for address in dict.fromkeys(new.recipients)
        ],
    )
    return why


def _over_cap(
    conn: Connection, new: NewOutgoing, ticket_id: int | None, now: datetime, caps: CapLimits
) -> str:
    since = now - timedelta(hours=1)
    recent = and_(outbox_recipient.c.capped, outbox_recipient.c.created_at > since)

    def sent(*conditions: Any) -> int:
        query = select(func.count()).select_from(outbox_recipient).where(recent, *conditions)
        return int(conn.execute(query).scalar_one())

    for address in new.recipients:
        if sent(outbox_recipient.c.address == address) >= caps.per_recipient:
            return f"withheld: {caps.per_recipient} automatic mails an hour to {address}"
        if sent(outbox_recipient.c.folded == folded(address)) >= caps.per_mailbox:
            return f"withheld: {caps.per_mailbox} automatic mails an hour to the mailbox {folded(address)}"
        if sent(outbox_recipient.c.domain == domain_of(address)) >= caps.per_domain:
            return f"withheld: {caps.per_domain} automatic mails an hour to {domain_of(address)}"
    if ticket_id is not None:
        on_ticket = (
            select(func.count())
            .select_from(outbox_recipient.join(outbox))
            .where(recent, outbox.c.ticket_id == ticket_id)
        )
        if conn.execute(on_ticket).scalar_one() >= caps.per_ticket:
            return f"withheld: {caps.per_ticket} automatic mails an hour on one ticket"
    if sent() >= caps.total:
        return f"held: {caps.total} automatic mails an hour in all"
    return ""


def claim(
    conn: Connection, *, now: datetime, lease: timedelta, limit: int, max_bytes: int = 64 << 20
) -> list[Claimed]:
    """Mails whose time has come, oldest first, leased. A lapsed lease frees a mail whose sender died.

    Nothing while the outbox is held.
    """
    if hold_reason(conn):
        return []
    due = or_(
        and_(outbox.c.state.in_(("queued", "retry", "unknown")), outbox.c.next_attempt_at <= now),
        and_(outbox.c.state == "sending", outbox.c.lease_until < now),
    )
    ids = list(
        conn.execute(
            select(outbox.c.id)
            .where(due)
            .order_by(outbox.c.next_attempt_at, outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    claimed: list[Claimed] = []
    total = 0
    for number in ids:
        row = conn.execute(
            select(outbox, outbox_data.c.data)
            .select_from(outbox.join(outbox_data))
            .where(outbox.c.id == number)
        ).one()
        total += len(row.data)
        if claimed and total > max_bytes:
            break
        waiting = ("queued", "retry", "unknown", "sending")
        people = conn.execute(
            select(outbox_recipient.c.address, outbox_recipient.c.state)
            .where(outbox_recipient.c.outbox_id == number, outbox_recipient.c.state.in_(waiting))
            .order_by(outbox_recipient.c.address)
        ).all()
        claimed.append(
            Claimed(
                number,
                row.cause_key,
                row.envelope_from,
                row.message_id,
                tuple(who.address for who in people),
                row.attempts + 1,
                row.created_at,
                row.ticket_id,
                row.kind,
                frozenset(who.address for who in people if who.state == "unknown"),
                row.data,
            )
        )
        conn.execute(
            update(outbox)
            .where(outbox.c.id == number)
            .values(state="sending", lease_until=now + lease, attempts=outbox.c.attempts + 1)
        )
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == number, outbox_recipient.c.state.in_(waiting))
            .values(state="sending", updated_at=now)
        )
    return claimed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in this attempt."""

    address: str
    state: str
    reply: str


def record(
    conn: Connection,
    item: Claimed,
    outcomes: Sequence[Outcome],
    next_attempt_at: datetime | None,
    now: datetime,
) -> bool:
    """Write the results of one attempt; False (nothing written) when the lease was lost to another sender."""
    ours = conn.execute(
        select(outbox.c.id).where(
            outbox.c.id == item.id, outbox.c.state == "sending", outbox.c.attempts == item.attempts
        )
    ).first()
    if ours is None:
        return False
    for outcome in outcomes:
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == item.id, outbox_recipient.c.address == outcome.address)
            .values(
                state=outcome.state,
                attempts=outbox_recipient.c.attempts + 1,
                last_reply=outcome.reply[:500],
                updated_at=now,
            )
        )
    _settle(conn, item.id, next_attempt_at)
    return True


def put_back(conn: Connection, items: Sequence[Claimed], why: str, when: datetime, now: datetime) -> None:
    """Unsend: the smarthost was not there. The attempt does not count against the mails."""
    for item in items:
        ours = conn.execute(
            update(outbox)
            .where(outbox.c.id == item.id, outbox.c.state == "sending", outbox.c.attempts == item.attempts)
            .values(state="retry", next_attempt_at=when, lease_until=None, attempts=item.attempts - 1)
        )
        if ours.rowcount:
            conn.execute(
                update(outbox_recipient)
                .where(outbox_recipient.c.outbox_id == item.id, outbox_recipient.c.state == "sending")
                .values(state="retry", last_reply=why[:500], updated_at=now)
            )


def _settle(conn: Connection, number: int, next_attempt_at: datetime | None) -> None:
    """Bring the row's state in line with its recipients'."""
    states = set(
        conn.execute(select(outbox_recipient.c.state).where(outbox_recipient.c.outbox_id == number)).scalars()
    )
    values: dict[str, object] = {
        "state": next(state for state in _ORDER if state in states),
        "lease_until": None,
    }
    if next_attempt_at is not None:
        values["next_attempt_at"] = next_attempt_at
    elif "unknown" in states:
        # No further try is wanted: far enough away that only `outbox retry` brings it back.
        values["next_attempt_at"] = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
    conn.execute(update(outbox).where(outbox.c.id == number).values(**values))


def next_due(conn: Connection) -> datetime | None:
    """When the next mail wants to be tried; None when none waits or the outbox is held."""
    if hold_reason(conn):
        return None
    return conn.execute(
        select(func.min(outbox.c.next_attempt_at)).where(outbox.c.state.in_(("queued", "retry", "unknown")))
    ).scalar()


def bounced(conn: Connection, number: int, address: str, reply: str, now: datetime) -> None:
    """Note a delivery report: the recipient that it names (or the only one) has failed after all."""
    rows = list(
        conn.execute(
            select(outbox_recipient.c.address).where(outbox_recipient.c.outbox_id == number)
        ).scalars()
    )
    hit = [a for a in rows if a.casefold() == address.casefold()] or (rows if len(rows) == 1 else [])
    for failed in hit:
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == number, outbox_recipient.c.address == failed)
            .values(state="failed", last_reply=reply[:500], updated_at=now)
        )
    if hit:
        _settle(conn, number, None)


# ---------------------------------------------------------------- facts


_SENT = (
    select(outbox.c.id, outbox.c.reference, outbox.c.kind, ticket.c.key)
    .select_from(outbox.outerjoin(ticket))
    .where(outbox.c.reference.in_(bindparam("references", expanding=True)))
)
_OWN = select(outbox.c.message_id).where(outbox.c.message_id == bindparam("message_id"))


def sent_by_reference(conn: Connection, references: Sequence[str]) -> dict[str, SentMail]:
    """Our mails by their reference."""
    if not references:
        return {}
    found = {}
    for row in conn.execute(_SENT, {"references": list(references)}):
        recipients = conn.execute(
            select(outbox_recipient.c.address).where(outbox_recipient.c.outbox_id == row.id)
        ).scalars()
        found[row.reference] = SentMail(row.id, row.reference, row.kind, row.key or "", tuple(recipients))
    return found


def is_ours(conn: Connection, message_id: str) -> bool:
    """Whether a mail of ours went out with this Message-ID."""
    return conn.execute(_OWN, {"message_id": message_id}).first() is not None


# ---------------------------------------------------------------- for operators


def hold(conn: Connection, why: str, now: datetime) -> None:
    """Stop all sending until `release`."""
    conn.execute(delete(daemon_state).where(daemon_state.c.name == _HOLD))
    conn.execute(insert(daemon_state).values(name=_HOLD, value=why, at=now))


def hold_reason(conn: Connection) -> str:
    """Why nothing is sent; '' when sending goes on."""
    return conn.execute(select(daemon_state.c.value).where(daemon_state.c.name == _HOLD)).scalar() or ""


def release(conn: Connection, number: int | None, now: datetime) -> int:
    """Lift the hold, and let held mails go (one, or all). How many mails were let go."""
    if number is None:
        conn.execute(delete(daemon_state).where(daemon_state.c.name == _HOLD))
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
        _settle(conn, each, now)
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


def release_leases(conn: Connection, now: datetime) -> int:
    """Queue mails again that were being sent. Only for a daemon that knows it is alone, at its start.

    The same bytes go out again: the other side may have had them (the one open window of at-least-once).
    """
    ids = list(conn.execute(select(outbox.c.id).where(outbox.c.state == "sending")).scalars())
    for number in ids:
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == number, outbox_recipient.c.state == "sending")
            .values(state="retry", last_reply="the sender was stopped while sending", updated_at=now)
        )
        _settle(conn, number, now)
    return len(ids)
