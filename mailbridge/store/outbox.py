"""Mail to be sent: written with its cause, claimed with a lease, recorded per recipient. Queries.

A row is claimable while a recipient of it waits. The state of the row is that of its least finished
recipient. States: queued, sending, sent, retry, failed, unknown, held.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, insert, select, update

from mailbridge.core.address import domain_of
from mailbridge.core.facts import SentMail
from mailbridge.store import blobs
from mailbridge.store.caps import CapLimits as CapLimits  # its users know the outbox only
from mailbridge.store.caps import Counted, folded
from mailbridge.store.rows import AnyRow, new_ids
from mailbridge.store.tables import daemon_state, outbox, outbox_data, outbox_recipient, ticket

HOLD = "outbox_hold"
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


@dataclass(frozen=True, slots=True)
class Queued:
    """A mail to be sent, and what it belongs to."""

    new: NewOutgoing
    ticket_id: int | None
    entry_id: int | None
    now: datetime


_INSERT = insert(outbox).returning(outbox.c.id, sort_by_parameter_order=True)
_INSERT_DATA = insert(outbox_data)
_INSERT_ROOM = insert(outbox_data).values(outbox_id=bindparam("b_id"), data=blobs.room())
_INSERT_RECIPIENT = insert(outbox_recipient)


def add_many(conn: Connection, mails: Sequence[Queued], caps: CapLimits) -> list[str]:
    """Write mails to be sent. For each '' when queued, else why it was capped: 'held: ...' or 'withheld: ...'.

    Over a cap of its recipient or ticket an automatic mail is not made at all; over the total cap it is held,
    to be looked at and released. Each counts for those after it. Raises IntegrityError when a cause already
    made a mail.
    """
    if not mails:
        return []
    counted = Counted.of(
        conn,
        caps,
        [(each.new.recipients, each.ticket_id) for each in mails if each.new.capped],
        min(each.now for each in mails),
    )
    answers: list[str] = []
    made: list[tuple[Queued, str]] = []
    for each in mails:
        why = counted.over(each.new.recipients, each.ticket_id) if each.new.capped else ""
        answers.append(why)
        if not why.startswith("withheld"):
            made.append((each, why))
    numbers = new_ids(
        conn,
        _INSERT,
        [
            {
                "cause_key": each.new.cause_key,
                "kind": each.new.kind,
                "automatic": each.new.automatic,
                "mailbox": each.new.mailbox,
                "ticket_id": each.ticket_id,
                "entry_id": each.entry_id,
                "reference": each.new.reference,
                "envelope_from": each.new.envelope_from,
                "message_id": each.new.message_id,
                "subject": each.new.subject,
                "state": "held" if why else "queued",
                "created_at": each.now,
                "next_attempt_at": each.now,
            }
            for each, why in made
        ],
    )
    if not numbers:
        return answers
    small = []
    for number, (each, _) in zip(numbers, made, strict=True):
        data = each.new.data
        if blobs.in_pieces(conn, len(data)):
            conn.execute(_INSERT_ROOM, {"b_id": number, "b_size": len(data)})
            blobs.fill(conn, outbox_data, number, data)
        else:
            small.append({"outbox_id": number, "data": data})
    if small:
        conn.execute(_INSERT_DATA, small)
    conn.execute(
        _INSERT_RECIPIENT,
        [
            {
                "outbox_id": number,
                "address": address,
                "folded": folded(address),
                "domain": domain_of(address),
                "state": "held" if why else "queued",
                "last_reply": why,
                "capped": each.new.capped,
                "created_at": each.now,
                "updated_at": each.now,
            }
            for number, (each, why) in zip(numbers, made, strict=True)
            for address in dict.fromkeys(each.new.recipients)
        ],
    )
    return answers


def add(
    conn: Connection,
    new: NewOutgoing,
    *,
    ticket_id: int | None,
    entry_id: int | None,
    now: datetime,
    caps: CapLimits,
) -> str:
    """`add_many` for one."""
    return add_many(conn, (Queued(new, ticket_id, entry_id, now),), caps)[0]


_WAITING = ("queued", "retry", "unknown")
# One statement for each state: the index on state and time then gives the first few in order, however many
# wait behind them. With the states in one condition all that is due would be read and sorted.
_CANDIDATES = (
    select(outbox.c.id, func.length(outbox_data.c.data).label("size"))
    .select_from(outbox.join(outbox_data))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=outbox)
)
_DUE = (
    _CANDIDATES.add_columns(outbox.c.next_attempt_at.label("since"))
    .where(outbox.c.state == bindparam("state"), outbox.c.next_attempt_at <= bindparam("now"))
    .order_by(outbox.c.next_attempt_at, outbox.c.id)
)
_LAPSED = (
    _CANDIDATES.add_columns(outbox.c.next_attempt_at.label("since"))
    .where(outbox.c.state == "sending", outbox.c.lease_until < bindparam("now"))
    .order_by(outbox.c.next_attempt_at, outbox.c.id)
)
_CHOSEN = select(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True)))
_DATA = select(outbox_data.c.outbox_id, outbox_data.c.data).where(
    outbox_data.c.outbox_id.in_(bindparam("ids", expanding=True))
)
_TO_BE_SENT = (
    select(outbox_recipient.c.outbox_id, outbox_recipient.c.address, outbox_recipient.c.state)
    .where(
        outbox_recipient.c.outbox_id.in_(bindparam("ids", expanding=True)),
        outbox_recipient.c.state.in_((*_WAITING, "sending")),
    )
    .order_by(outbox_recipient.c.address)
)
_LEASE = (
    update(outbox)
    .where(outbox.c.id.in_(bindparam("ids", expanding=True)))
    .values(state="sending", lease_until=bindparam("b_until"), attempts=outbox.c.attempts + 1)
)
_LEASE_RECIPIENTS = (
    update(outbox_recipient)
    .where(
        outbox_recipient.c.outbox_id.in_(bindparam("ids", expanding=True)),
        outbox_recipient.c.state.in_((*_WAITING, "sending")),
    )
    .values(state="sending", updated_at=bindparam("b_now"))
)


def claim(
    conn: Connection, *, now: datetime, lease: timedelta, limit: int, max_bytes: int = 64 << 20
) -> list[Claimed]:
    """Mails whose time has come, oldest first, leased. A lapsed lease frees a mail whose sender died.

    About `max_bytes` at most, but one mail of any size. Nothing while the outbox is held.
    """
    if hold_reason(conn):
        return []
    found = list(conn.execute(_LAPSED, {"now": now, "most": limit}))
    for state in _WAITING:
        found += conn.execute(_DUE, {"state": state, "now": now, "most": limit})
    sizes: dict[int, int] = {}
    for row in sorted(found, key=lambda each: (each.since, each.id))[:limit]:
        if sizes and sum(sizes.values()) + row.size > max_bytes:
            break
        sizes[row.id] = row.size
    if not sizes:
        return []
    ids = list(sizes)
    small = [number for number, size in sizes.items() if not blobs.in_pieces(conn, size)]
    data = {row.outbox_id: row.data for row in conn.execute(_DATA, {"ids": small})} if small else {}
    data |= {number: blobs.read(conn, outbox_data, number) for number in ids if number not in data}
    rows = {row.id: row for row in conn.execute(_CHOSEN, {"ids": ids})}
    people: dict[int, list[AnyRow]] = {number: [] for number in ids}
    for who in conn.execute(_TO_BE_SENT, {"ids": ids}):
        people[who.outbox_id].append(who)
    conn.execute(_LEASE, {"ids": ids, "b_until": now + lease})
    conn.execute(_LEASE_RECIPIENTS, {"ids": ids, "b_now": now})
    return [
        Claimed(
            number,
            row.cause_key,
            row.envelope_from,
            row.message_id,
            tuple(who.address for who in people[number]),
            row.attempts + 1,
            row.created_at,
            row.ticket_id,
            row.kind,
            frozenset(who.address for who in people[number] if who.state == "unknown"),
            data[number],
        )
        for number, row in ((number, rows[number]) for number in ids)
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in this attempt."""

    address: str
    state: str
    reply: str


# The recipients of a mail that is still leased to the sender who claimed it with that attempt.
_STILL_OURS = (
    select(outbox_recipient.c.address, outbox_recipient.c.state)
    .select_from(outbox.join(outbox_recipient))
    .where(
        outbox.c.id == bindparam("id"),
        outbox.c.state == "sending",
        outbox.c.attempts == bindparam("attempts"),
    )
)
_RESULT = (
    update(outbox_recipient)
    .where(
        outbox_recipient.c.outbox_id == bindparam("b_id"),
        outbox_recipient.c.address == bindparam("b_address"),
    )
    .values(
        state=bindparam("b_state"),
        attempts=outbox_recipient.c.attempts + 1,
        last_reply=bindparam("b_reply"),
        updated_at=bindparam("b_now"),
    )
)


def record(
    conn: Connection,
    item: Claimed,
    outcomes: Sequence[Outcome],
    next_attempt_at: datetime | None,
    now: datetime,
) -> bool:
    """Write the results of one attempt; False (nothing written) when the lease was lost to another sender."""
    ours = conn.execute(_STILL_OURS, {"id": item.id, "attempts": item.attempts}).all()
    if not ours:
        return False
    if outcomes:
        conn.execute(
            _RESULT,
            [
                {
                    "b_id": item.id,
                    "b_address": outcome.address,
                    "b_state": outcome.state,
                    "b_reply": outcome.reply[:500],
                    "b_now": now,
                }
                for outcome in outcomes
            ],
        )
    results = {outcome.address: outcome.state for outcome in outcomes}
    states = {results.get(row.address, row.state) for row in ours}
    _settle_as(conn, item.id, states, next_attempt_at)
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


_RECIPIENT_STATES = select(outbox_recipient.c.state).where(outbox_recipient.c.outbox_id == bindparam("id"))
_SETTLE = (
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), lease_until=None)
)
_SETTLE_UNTIL = _SETTLE.values(next_attempt_at=bindparam("b_when"))


def settle(conn: Connection, number: int, next_attempt_at: datetime | None) -> None:
    """Bring the row's state in line with its recipients'."""
    states = set(conn.execute(_RECIPIENT_STATES, {"id": number}).scalars())
    _settle_as(conn, number, states, next_attempt_at)


def _settle_as(conn: Connection, number: int, states: set[str], next_attempt_at: datetime | None) -> None:
    values: dict[str, object] = {
        "b_id": number,
        "b_state": next(state for state in _ORDER if state in states),
    }
    if next_attempt_at is None and "unknown" in states:
        # No further try is wanted: far enough away that only `outbox retry` brings it back.
        next_attempt_at = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
    if next_attempt_at is None:
        conn.execute(_SETTLE, values)
    else:
        conn.execute(_SETTLE_UNTIL, {**values, "b_when": next_attempt_at})


_FIRST = select(func.min(outbox.c.next_attempt_at)).where(outbox.c.state == bindparam("state"))


def next_due(conn: Connection) -> datetime | None:
    """When the next mail wants to be tried; None when none waits or the outbox is held."""
    if hold_reason(conn):
        return None
    # One state at a time: each is then the first entry of the index, and not a walk over all that wait.
    times = [conn.execute(_FIRST, {"state": state}).scalar() for state in _WAITING]
    return min((when for when in times if when is not None), default=None)


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
        settle(conn, number, None)


# ---------------------------------------------------------------- facts


_SENT = (
    select(outbox.c.id, outbox.c.reference, outbox.c.kind, ticket.c.key)
    .select_from(outbox.outerjoin(ticket))
    .where(outbox.c.reference.in_(bindparam("references", expanding=True)))
)
_SENT_TO = select(outbox_recipient.c.outbox_id, outbox_recipient.c.address).where(
    outbox_recipient.c.outbox_id.in_(bindparam("ids", expanding=True))
)
_OWN = select(outbox.c.message_id).where(outbox.c.message_id.in_(bindparam("ids", expanding=True)))


def sent_by_reference(conn: Connection, references: Sequence[str]) -> dict[str, SentMail]:
    """Our mails by their reference."""
    if not references:
        return {}
    rows = conn.execute(_SENT, {"references": list(references)}).all()
    recipients: dict[int, list[str]] = {row.id: [] for row in rows}
    if rows:
        for number, address in conn.execute(_SENT_TO, {"ids": list(recipients)}):
            recipients[number].append(address)
    return {
        row.reference: SentMail(row.id, row.reference, row.kind, row.key or "", tuple(recipients[row.id]))
        for row in rows
    }


def ours_among(conn: Connection, message_ids: Sequence[str]) -> set[str]:
    """Those of these Message-IDs with which a mail of ours went out."""
    if not message_ids:
        return set()
    return set(conn.execute(_OWN, {"ids": list(message_ids)}).scalars())


_HELD = select(daemon_state.c.value).where(daemon_state.c.name == HOLD)


def hold_reason(conn: Connection) -> str:
    """Why nothing is sent; '' when sending goes on."""
    return conn.execute(_HELD).scalar() or ""


def release_leases(conn: Connection, now: datetime, but: Collection[int] = ()) -> int:
    """Queue mails again that were being sent, `but` those. Only for a daemon that knows it is alone.

    The same bytes go out again: the other side may have had them (the one open window of at-least-once).
    """
    leased = conn.execute(select(outbox.c.id).where(outbox.c.state == "sending")).scalars()
    ids = [number for number in leased if number not in but]
    for number in ids:
        conn.execute(
            update(outbox_recipient)
            .where(outbox_recipient.c.outbox_id == number, outbox_recipient.c.state == "sending")
            .values(state="retry", last_reply="the sender was stopped while sending", updated_at=now)
        )
        settle(conn, number, now)
    return len(ids)
