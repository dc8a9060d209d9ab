"""Incoming mail: accepted, claimed, finished or kept apart. Queries.

States: received -> done | quarantined -> (replay) received ... | dropped. A claim is a lease: it lapses when
its owner dies, and every lapse has counted as an attempt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from mailbridge.core.mail import Envelope
from mailbridge.store import blobs
from mailbridge.store.rows import AnyRow, new_ids
from mailbridge.store.tables import decision, inbound, inbound_raw, inbound_seen


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail that is on disk, claimed for work. `attempt` counts from 1."""

    id: int
    mailbox: str
    envelope: Envelope
    source: str
    received_at: datetime
    attempt: int
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail for one mailbox of ours, as it came."""

    mailbox: str
    envelope: Envelope
    source: str
    dedupe_key: bytes
    now: datetime
    raw: bytes = field(repr=False)


_SEEN = select(inbound_seen.c.dedupe_key, inbound_seen.c.inbound_id, inbound_seen.c.seen_at).where(
    inbound_seen.c.dedupe_key.in_(bindparam("keys", expanding=True))
)
_INSERT = insert(inbound).returning(inbound.c.id, sort_by_parameter_order=True)
_INSERT_RAW = insert(inbound_raw)
_INSERT_ROOM = insert(inbound_raw).values(inbound_id=bindparam("b_id"), data=blobs.room())
_INSERT_SEEN = insert(inbound_seen)
_SEEN_AGAIN = (
    update(inbound_seen)
    .where(inbound_seen.c.dedupe_key == bindparam("b_key"))
    .values(inbound_id=bindparam("b_id"), seen_at=bindparam("b_now"))
)
_COUNT_DUPLICATE = (
    update(inbound).where(inbound.c.id == bindparam("b_id")).values(duplicates=inbound.c.duplicates + 1)
)


def accept(conn: Connection, mails: Sequence[NewMail], window: timedelta) -> list[tuple[int, bool]]:
    """Store mails, or count them as duplicates of ones that came within `window`. (id, duplicate?) for each."""
    if not mails:
        return []
    rows = conn.execute(_SEEN, {"keys": list({mail.dedupe_key for mail in mails})})
    seen = {bytes(row.dedupe_key): row for row in rows}
    fresh: dict[bytes, NewMail] = {}
    for mail in mails:
        before = seen.get(mail.dedupe_key)
        if before is None or mail.now - before.seen_at >= window:
            fresh.setdefault(mail.dedupe_key, mail)
    numbers = dict(zip(fresh, new_ids(conn, _INSERT, [_row(mail) for mail in fresh.values()]), strict=True))
    small = [
        {"inbound_id": numbers[key], "data": mail.raw}
        for key, mail in fresh.items()
        if not blobs.in_pieces(conn, len(mail.raw))
    ]
    if small:
        conn.execute(_INSERT_RAW, small)
    for key, mail in fresh.items():
        if blobs.in_pieces(conn, len(mail.raw)):
            conn.execute(_INSERT_ROOM, {"b_id": numbers[key], "b_size": len(mail.raw)})
            blobs.fill(conn, inbound_raw, numbers[key], mail.raw)
    firsts = [
        {"dedupe_key": key, "inbound_id": numbers[key], "seen_at": mail.now}
        for key, mail in fresh.items()
        if key not in seen
    ]
    if firsts:
        conn.execute(_INSERT_SEEN, firsts)
    again = [
        {"b_key": key, "b_id": numbers[key], "b_now": mail.now} for key, mail in fresh.items() if key in seen
    ]
    if again:
        conn.execute(_SEEN_AGAIN, again)
    answers = [
        (numbers[mail.dedupe_key], fresh[mail.dedupe_key] is not mail)
        if mail.dedupe_key in fresh
        else (int(seen[mail.dedupe_key].inbound_id), True)
        for mail in mails
    ]
    repeated = [{"b_id": number} for number, duplicate in answers if duplicate]
    if repeated:
        conn.execute(_COUNT_DUPLICATE, repeated)
    return answers


def _row(mail: NewMail) -> dict[str, object]:
    return {
        "mailbox": mail.mailbox,
        "envelope_from": mail.envelope.mail_from or "",
        "rcpt_to": " ".join(mail.envelope.rcpt_to),
        "source": mail.source[:100],
        "received_at": mail.now,
        "size": len(mail.raw),
        "state": "received",
    }


_WAITING = (
    select(
        inbound.c.id,
        inbound.c.mailbox,
        inbound.c.envelope_from,
        inbound.c.rcpt_to,
        inbound.c.source,
        inbound.c.received_at,
        inbound.c.size,
        inbound.c.attempts,
    )
    .where(
        inbound.c.state == "received",
        or_(inbound.c.lease_until.is_(None), inbound.c.lease_until < bindparam("now")),
    )
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIMABLE = _WAITING.where(inbound.c.attempts < 2).order_by(inbound.c.id)
_SUSPECT = _WAITING.where(inbound.c.attempts >= 2).order_by(inbound.c.attempts, inbound.c.id)
_LEASE = (
    update(inbound)
    .where(inbound.c.id.in_(bindparam("ids", expanding=True)))
    .values(lease_until=bindparam("b_until"), attempts=inbound.c.attempts + 1)
)
_RAW = select(inbound_raw.c.inbound_id, inbound_raw.c.data).where(
    inbound_raw.c.inbound_id.in_(bindparam("ids", expanding=True))
)


def claim(
    conn: Connection, *, now: datetime, lease: timedelta, limit: int, max_bytes: int
) -> list[StoredMail]:
    """Up to `limit` mails to work on, oldest first, leased until now + lease, about `max_bytes` at most.

    A mail whose lease lapsed is claimed again, and alone: it may be what killed its worker, and the others
    must not be counted guilty with it. When that happens to it alone as well, it goes to the end: it holds
    nobody up, and a daemon that dies of something else, soon after each start, does not hit the same mail
    every time.
    """
    waiting = conn.execute(_CLAIMABLE, {"now": now, "most": limit}).all()
    if not waiting:
        waiting = conn.execute(_SUSPECT, {"now": now, "most": 1}).all()
    chosen: list[AnyRow] = []
    total = 0
    for row in waiting:
        if chosen and (total + row.size > max_bytes or row.attempts):
            break
        chosen.append(row)
        total += row.size
        if row.attempts:
            break
    if not chosen:
        return []
    ids = [row.id for row in chosen]
    conn.execute(_LEASE, {"ids": ids, "b_until": now + lease})
    small = [row.id for row in chosen if not blobs.in_pieces(conn, row.size)]
    data = {row.inbound_id: row.data for row in conn.execute(_RAW, {"ids": small})} if small else {}
    data |= {row.id: blobs.read(conn, inbound_raw, row.id) for row in chosen if row.id not in data}
    return [
        StoredMail(
            row.id,
            row.mailbox,
            Envelope(row.envelope_from or None, tuple(row.rcpt_to.split())),
            row.source,
            row.received_at,
            row.attempts + 1,
            data[row.id],
        )
        for row in chosen
    ]


@dataclass(frozen=True, slots=True)
class Finish:
    """How a mail ended: its row and its decision record."""

    inbound_id: int
    attempt: int
    state: str
    message_id: str
    ticket_id: int | None
    reason: str = ""
    detail: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    """Columns of `decision`, but for the ids and time."""


_FINISH = (
    update(inbound)
    .where(
        inbound.c.id == bindparam("b_id"),
        inbound.c.state == "received",
        inbound.c.attempts == bindparam("b_attempt"),
    )
    .values(
        state=bindparam("b_state"),
        message_id=bindparam("b_message_id"),
        ticket_id=bindparam("b_ticket_id"),
        reason=bindparam("b_reason"),
        detail=bindparam("b_detail"),
        processed_at=bindparam("b_now"),
        lease_until=None,
    )
)
_INSERT_DECISION = insert(decision)


class LostClaimError(Exception):
    """Another worker has taken this mail over (our lease lapsed): nothing of ours may be written."""


def finish(conn: Connection, done: Sequence[tuple[Finish, datetime]]) -> None:
    """Write the ends of mails and their decision records. LostClaimError when a claim is no longer ours."""
    if not done:
        return
    changed = conn.execute(
        _FINISH,
        [
            {
                "b_id": one.inbound_id,
                "b_attempt": one.attempt,
                "b_state": one.state,
                "b_message_id": one.message_id,
                "b_ticket_id": one.ticket_id,
                "b_reason": one.reason,
                "b_detail": one.detail,
                "b_now": now,
            }
            for one, now in done
        ],
    )
    if changed.rowcount != len(done):
        raise LostClaimError(f"inbound {', '.join(str(one.inbound_id) for one, _ in done)}")
    conn.execute(
        _INSERT_DECISION,
        [
            {**one.record, "inbound_id": one.inbound_id, "ticket_id": one.ticket_id, "decided_at": now}
            for one, now in done
        ],
    )


def unprocessed(conn: Connection) -> int:
    """How many mails wait for work."""
    return int(
        conn.execute(
            select(func.count()).select_from(inbound).where(inbound.c.state == "received")
        ).scalar_one()
    )


def counts(conn: Connection) -> dict[str, int]:
    """Mails by state, and those in quarantine by reason as 'quarantined:REASON'."""
    rows = conn.execute(select(inbound.c.state, func.count()).group_by(inbound.c.state)).all()
    found = {str(state): int(count) for state, count in rows}
    reasons = conn.execute(
        select(inbound.c.reason, func.count())
        .where(inbound.c.state == "quarantined")
        .group_by(inbound.c.reason)
    ).all()
    found.update({f"quarantined:{reason}": int(count) for reason, count in reasons})
    return found


def listed(
    conn: Connection, *, state: str | None = None, limit: int = 100, before: int | None = None
) -> Sequence[AnyRow]:
    """Mails without their bytes, newest first."""
    query = select(inbound).order_by(inbound.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(inbound.c.state == state)
    if before is not None:
        query = query.where(inbound.c.id < before)
    return conn.execute(query).all()


def row(conn: Connection, number: int) -> AnyRow | None:
    """One mail without its bytes."""
    return conn.execute(select(inbound).where(inbound.c.id == number)).first()


def ids_by_message_id(conn: Connection, message_id: str) -> list[int]:
    """All mails that came with this Message-ID: some mailers use one twice."""
    return list(
        conn.execute(
            select(inbound.c.id).where(inbound.c.message_id == message_id).order_by(inbound.c.id)
        ).scalars()
    )


def raw(conn: Connection, number: int) -> bytes | None:
    """The bytes as they came."""
    return conn.execute(select(inbound_raw.c.data).where(inbound_raw.c.inbound_id == number)).scalar()


def decision_of(conn: Connection, number: int) -> AnyRow | None:
    """The decision record of one mail."""
    return conn.execute(select(decision).where(decision.c.inbound_id == number)).first()


def replay(conn: Connection, number: int, who: str, now: datetime) -> bool:
    """Put a quarantined mail back to be worked on as if it had just come; False when it is not in quarantine.

    Its decision record moves to the mail's history, with who asked.
    """
    found = conn.execute(
        select(inbound.c.history).where(inbound.c.id == number, inbound.c.state == "quarantined")
    )
    history = found.scalar()
    if history is None:
        return False
    past = json.loads(history)
    old = conn.execute(select(decision).where(decision.c.inbound_id == number)).mappings().first()
    if old is not None:
        past.append(
            {**{k: str(v) for k, v in old.items()}, "replayed_by": who, "replayed_at": now.isoformat()}
        )
    conn.execute(delete(decision).where(decision.c.inbound_id == number))
    conn.execute(
        update(inbound)
        .where(inbound.c.id == number)
        .values(
            state="received",
            reason="",
            detail="",
            attempts=0,
            lease_until=None,
            processed_at=None,
            history=json.dumps(past[-20:]),
        )
    )
    return True


def drop(conn: Connection, number: int) -> bool:
    """Mark a quarantined mail as not wanted; its bytes stay until the quarantine's age limit."""
    done = conn.execute(
        update(inbound)
        .where(inbound.c.id == number, inbound.c.state == "quarantined")
        .values(state="dropped")
    )
    return bool(done.rowcount)


def unclaim(conn: Connection, ids: Sequence[int]) -> None:
    """Give claimed mails back: we could not work on them, through no fault of theirs (no attempt counts)."""
    conn.execute(
        update(inbound)
        .where(inbound.c.id.in_(ids), inbound.c.state == "received", inbound.c.lease_until.is_not(None))
        .values(lease_until=None, attempts=inbound.c.attempts - 1)
    )


def release_leases(conn: Connection) -> int:
    """Free every claimed mail. Only for a daemon that knows it is alone, at its start."""
    done = conn.execute(
        update(inbound)
        .where(inbound.c.state == "received", inbound.c.lease_until.is_not(None))
        .values(lease_until=None)
    )
    return done.rowcount


def expire_quarantine(conn: Connection, before: datetime, limit: int = 100) -> list[int]:
    """Forget mails quarantined or dropped before that time: their bytes go, the row stays as `dropped`."""
    old = list(
        conn.execute(
            select(inbound.c.id)
            .select_from(inbound.join(inbound_raw))
            .where(inbound.c.state.in_(("quarantined", "dropped")), inbound.c.processed_at < before)
            .order_by(inbound.c.id)
            .limit(limit)
        ).scalars()
    )
    if old:
        conn.execute(delete(inbound_raw).where(inbound_raw.c.inbound_id.in_(old)))
        conn.execute(update(inbound).where(inbound.c.id.in_(old)).values(state="dropped"))
    return old
