"""Tickets, participants, entries and attachments: the facts for a decision, and its writing. Queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from mailbridge.core.facts import Person, TicketFacts
from mailbridge.core.mail import Address, Attachment
from mailbridge.core.ticket import Change, Priority, Solution, SolvedReason, Status, TicketState
from mailbridge.store.rows import AnyRow, new_id
from mailbridge.store.tables import (
    attachment,
    blob,
    contact,
    entry,
    organisation,
    outbox,
    participant,
    ticket,
)


class ConflictError(Exception):
    """The ticket has changed since its facts were read: decide anew."""


def state_of(row: AnyRow) -> TicketState:
    """The machine's view of a row of `ticket`."""
    solution = None
    if row.solved_reason:
        solution = Solution(
            SolvedReason(row.solved_reason),
            row.bug_reference,
            row.bug_priority,
            row.bug_timeline,
            row.merged_into,
        )
    return TicketState(
        Status(row.status),
        Priority(row.priority),
        solution,
        row.solved_at,
        row.hold_reason,
        row.pending_since,
        row.pending_epoch,
        row.reminders,
        row.flag,
    )


def state_columns(state: TicketState) -> dict[str, object]:
    """The columns of `ticket` that hold a state."""
    solution = state.solution
    return {
        "status": state.status.value,
        "priority": state.priority.value,
        "solved_reason": solution.reason.value if solution else "",
        "bug_reference": solution.bug_reference if solution else "",
        "bug_priority": solution.bug_priority if solution else "",
        "bug_timeline": solution.bug_timeline if solution else "",
        "merged_into": solution.merged_into if solution else None,
        "solved_at": state.solved_at,
        "hold_reason": state.hold_reason,
        "pending_since": state.pending_since,
        "pending_epoch": state.pending_epoch,
        "reminders": state.reminders,
        "flag": state.flag,
    }


# ---------------------------------------------------------------- facts

_BY_KEY = select(ticket).where(ticket.c.key.in_(bindparam("keys", expanding=True)))
_BY_ID = select(ticket).where(ticket.c.id.in_(bindparam("ids", expanding=True)))
_PEOPLE = (
    select(
        participant.c.role,
        contact.c.id,
        contact.c.address,
        contact.c.name,
        func.coalesce(organisation.c.name, "").label("organisation"),
    )
    .select_from(participant.join(contact).outerjoin(organisation))
    .where(participant.c.ticket_id == bindparam("ticket"))
    .order_by(participant.c.added_at, contact.c.id)
)
_MESSAGE_IDS = (
    select(entry.c.message_id)
    .where(
        entry.c.ticket_id == bindparam("ticket"),
        entry.c.kind.in_(("mail", "reply")),
        entry.c.message_id != "",
    )
    .order_by(entry.c.id)
)
_LAST_WORDS = (
    select(entry.c.reply)
    .where(entry.c.ticket_id == bindparam("ticket"), entry.c.kind == "mail")
    .order_by(entry.c.id.desc())
    .limit(1)
)
_ENTRY_TICKETS = (
    select(entry.c.message_id, ticket.c.key)
    .select_from(entry.join(ticket, ticket.c.id == entry.c.ticket_id))
    .where(entry.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(entry.c.id)
)
_OUTBOX_TICKETS = (
    select(outbox.c.message_id, ticket.c.key)
    .select_from(outbox.join(ticket))
    .where(outbox.c.message_id.in_(bindparam("ids", expanding=True)))
)


def keys_by_message_id(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The tickets (by key) of those Message-IDs, theirs or ours, that are known. The oldest entry counts."""
    if not ids:
        return {}
    found: dict[str, str] = {}
    for query in (_OUTBOX_TICKETS, _ENTRY_TICKETS):
        for message_id, key in conn.execute(query, {"ids": list(ids)}):
            found.setdefault(message_id, key)
    return found


def load(conn: Connection, keys: Iterable[str]) -> tuple[dict[str, TicketFacts], dict[int, TicketFacts]]:
    """The tickets of these keys, and by id those together with the ones they were merged into."""
    wanted = list(keys)
    if not wanted:
        return {}, {}
    rows = list(conn.execute(_BY_KEY, {"keys": wanted}))
    by_id: dict[int, TicketFacts] = {}
    waiting = rows
    for _ in range(10):  # hops of a chain of merges; each merge points at the survivor, so one is the rule
        by_id.update({row.id: facts_of(conn, row) for row in waiting})
        missing = {row.merged_into for row in waiting if row.merged_into and row.merged_into not in by_id}
        if not missing:
            break
        waiting = list(conn.execute(_BY_ID, {"ids": sorted(missing)}))
    return {row.key: by_id[row.id] for row in rows}, by_id


def facts_of(conn: Connection, row: AnyRow) -> TicketFacts:
    """All facts of one row of `ticket`."""
    requester: Person | None = None
    collaborators: list[Person] = []
    for who in conn.execute(_PEOPLE, {"ticket": row.id}):
        someone = Person(who.id, Address(who.name, who.address), who.organisation)
        if who.role == "requester":
            requester = someone
        else:
            collaborators.append(someone)
    assert requester is not None  # every ticket has one: written with it in one transaction
    ids = list(conn.execute(_MESSAGE_IDS, {"ticket": row.id}).scalars())
    if len(ids) > 10:
        ids = ids[:4] + ids[-6:]
    return TicketFacts(
        row.id,
        row.key,
        row.mailbox,
        row.subject,
        state_of(row),
        requester,
        tuple(collaborators),
        row.version,
        tuple(ids),
        conn.execute(_LAST_WORDS, {"ticket": row.id}).scalar() or "",
    )


def by_key(conn: Connection, key: str) -> TicketFacts | None:
    """One ticket by its public key."""
    return load(conn, [key])[0].get(key)


def by_id(conn: Connection, number: int) -> TicketFacts:
    """One ticket by its running number, which must exist."""
    return facts_of(conn, conn.execute(_BY_ID, {"ids": [number]}).one())


# ---------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One entry to be written. `attachments` are stored by content, each once."""

    kind: str
    channel: str
    at: datetime
    subject: str = ""
    text: str = ""
    reply: str = ""
    html: str = ""
    message_id: str = ""
    contact_id: int | None = None
    agent_id: int | None = None
    inbound_id: int | None = None
    via_ticket_id: int | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


_INSERT_TICKET = insert(ticket)
_INSERT_ENTRY = insert(entry)
_INSERT_PARTICIPANT = insert(participant)
_INSERT_ATTACHMENT = insert(attachment)
_INSERT_BLOB = insert(blob)
_HAS_BLOB = select(blob.c.sha256).where(blob.c.sha256 == bindparam("sha"))
_UPDATE = (
    update(ticket)
    .where(ticket.c.id == bindparam("b_id"), ticket.c.version == bindparam("b_version"))
    .values(
        **{name: bindparam(f"b_{name}") for name in state_columns(TicketState(Status.OPEN, Priority.S3))},
        updated_at=bindparam("b_now"),
        version=ticket.c.version + 1,
    )
)


def insert_ticket(
    conn: Connection,
    *,
    key: str,
    mailbox: str,
    subject: str,
    state: TicketState,
    requester_id: int,
    collaborator_ids: Iterable[int],
    now: datetime,
    claims: int | None = None,
    follow_up_of: int | None = None,
) -> int:
    """A new ticket with its participants. Its running number."""
    made = conn.execute(
        _INSERT_TICKET,
        {
            "key": key,
            "mailbox": mailbox,
            "subject": subject,
            "requester_id": requester_id,
            **state_columns(state),
            "follow_up_of": follow_up_of,
            "claims_ticket": claims,
            "created_at": now,
            "updated_at": now,
            "version": 1,
        },
    )
    number = new_id(made)
    people = [
        {"ticket_id": number, "contact_id": requester_id, "role": "requester", "added_at": now},
        *(
            {"ticket_id": number, "contact_id": other, "role": "collaborator", "added_at": now}
            for other in dict.fromkeys(collaborator_ids)
            if other != requester_id
        ),
    ]
    conn.execute(_INSERT_PARTICIPANT, people)
    return number


def add_collaborators(conn: Connection, ticket_id: int, contact_ids: Iterable[int], now: datetime) -> None:
    """Add those who are no participants yet."""
    known = set(
        conn.execute(select(participant.c.contact_id).where(participant.c.ticket_id == ticket_id)).scalars()
    )
    for other in dict.fromkeys(contact_ids):
        if other not in known:
            conn.execute(
                _INSERT_PARTICIPANT,
                {"ticket_id": ticket_id, "contact_id": other, "role": "collaborator", "added_at": now},
            )


def update_ticket(conn: Connection, facts: TicketFacts, state: TicketState, now: datetime) -> None:
    """Write the new state. ConflictError when the ticket is no longer at the version that was decided on."""
    values = {f"b_{name}": value for name, value in state_columns(state).items()}
    done = conn.execute(_UPDATE, {**values, "b_id": facts.id, "b_version": facts.version, "b_now": now})
    if done.rowcount != 1:
        raise ConflictError(f"ticket {facts.id}")


def insert_entry(conn: Connection, ticket_id: int, new: NewEntry) -> int:
    """Write an entry and its attachments. Its id."""
    made = conn.execute(
        _INSERT_ENTRY,
        {
            "ticket_id": ticket_id,
            "via_ticket_id": new.via_ticket_id,
            "kind": new.kind,
            "channel": new.channel,
            "contact_id": new.contact_id,
            "agent_id": new.agent_id,
            "at": new.at,
            "subject": new.subject,
            "text": new.text,
            "reply": new.reply,
            "html": new.html,
            "message_id": new.message_id,
            "inbound_id": new.inbound_id,
            "event": "",
            "data": json.dumps(new.data) if new.data else "",
        },
    )
    number = new_id(made)
    for item in new.attachments:
        if conn.execute(_HAS_BLOB, {"sha": item.sha256}).first() is None:
            conn.execute(_INSERT_BLOB, {"sha256": item.sha256, "size": item.size, "data": item.content})
        conn.execute(
            _INSERT_ATTACHMENT,
            {
                "entry_id": number,
                "filename": item.filename[:120],
                "content_type": item.content_type[:200],
                "size": item.size,
                "inline": item.inline,
                "content_id": item.content_id,
                "sha256": item.sha256,
            },
        )
    return number


def insert_events(
    conn: Connection,
    ticket_id: int,
    changes: Iterable[Change],
    *,
    channel: str,
    now: datetime,
    contact_id: int | None = None,
    agent_id: int | None = None,
    by: str = "",
) -> None:
    """Write what changed: an event entry each, with before, after, why and who."""
    for change in changes:
        data = {"from": change.before, "to": change.after, "why": change.why}
        conn.execute(
            _INSERT_ENTRY,
            {
                "ticket_id": ticket_id,
                "kind": "event",
                "channel": channel,
                "contact_id": contact_id,
                "agent_id": agent_id,
                "at": now,
                "event": change.what[:20],
                "data": json.dumps({**data, "by": by} if by else data),
            },
        )
