"""Tickets, participants, entries and attachments: the facts for a decision, and its writing. Queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, text, update

from mailbridge.core.facts import Person, TicketFacts
from mailbridge.core.mail import Address, Attachment
from mailbridge.core.ticket import Change, Priority, Solution, SolvedReason, Status, TicketState
from mailbridge.store import blobs
from mailbridge.store.rows import AnyRow, new_ids
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

_LATEST = entry.alias()
_LAST_WORDS = (
    select(_LATEST.c.reply)
    .where(
        _LATEST.c.ticket_id == ticket.c.id,
        _LATEST.c.kind == "mail",
        _LATEST.c.contact_id == ticket.c.requester_id,  # nobody else's: they are quoted under this name
    )
    .order_by(_LATEST.c.id.desc())
    .limit(1)
    .correlate(ticket)
    .scalar_subquery()
    .label("last_words")
)
_BY_KEY = select(ticket, _LAST_WORDS).where(ticket.c.key.in_(bindparam("keys", expanding=True)))
_BY_ID = select(ticket, _LAST_WORDS).where(ticket.c.id.in_(bindparam("ids", expanding=True)))
_PEOPLE = (
    select(
        participant.c.ticket_id,
        participant.c.role,
        contact.c.id,
        contact.c.address,
        contact.c.name,
        func.coalesce(organisation.c.name, "").label("organisation"),
    )
    .select_from(participant.join(contact).outerjoin(organisation))
    .where(participant.c.ticket_id.in_(bindparam("tickets", expanding=True)))
    .order_by(participant.c.added_at, contact.c.id)
)
_MESSAGE_IDS = (
    select(entry.c.ticket_id, entry.c.message_id)
    .where(
        entry.c.ticket_id.in_(bindparam("tickets", expanding=True)),
        entry.c.kind.in_(("mail", "reply")),
        entry.c.message_id != "",
        # those of another requester's ticket, merged into this one, stay unseen
        entry.c.via_ticket_id.is_(None),
    )
    .order_by(entry.c.id)
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
        by_id.update({facts.id: facts for facts in _facts_of(conn, waiting)})
        missing = {row.merged_into for row in waiting if row.merged_into and row.merged_into not in by_id}
        if not missing:
            break
        waiting = list(conn.execute(_BY_ID, {"ids": sorted(missing)}))
    return {row.key: by_id[row.id] for row in rows}, by_id


def _facts_of(conn: Connection, rows: Sequence[AnyRow]) -> list[TicketFacts]:
    """All facts of rows of `ticket`, in two statements for them all."""
    if not rows:
        return []
    numbers = sorted(row.id for row in rows)
    requesters: dict[int, Person] = {}
    collaborators: dict[int, list[Person]] = {}
    for who in conn.execute(_PEOPLE, {"tickets": numbers}):
        someone = Person(who.id, Address(who.name, who.address), who.organisation)
        if who.role == "requester":
            requesters[who.ticket_id] = someone
        else:
            collaborators.setdefault(who.ticket_id, []).append(someone)
    message_ids: dict[int, list[str]] = {}
    for number, message_id in conn.execute(_MESSAGE_IDS, {"tickets": numbers}):
        message_ids.setdefault(number, []).append(message_id)
    found = []
    for row in rows:
        ids = message_ids.get(row.id, [])
        found.append(
            TicketFacts(
                row.id,
                row.key,
                row.mailbox,
                row.subject,
                state_of(row),
                requesters[row.id],  # every ticket has one: written with it in one transaction
                tuple(collaborators.get(row.id, ())),
                row.version,
                tuple(ids if len(ids) <= 10 else ids[:4] + ids[-6:]),
                row.last_words or "",
            )
        )
    return found


def by_key(conn: Connection, key: str) -> TicketFacts | None:
    """One ticket by its public key."""
    return load(conn, [key])[0].get(key)


def by_id(conn: Connection, number: int) -> TicketFacts:
    """One ticket by its running number, which must exist."""
    return _facts_of(conn, [conn.execute(_BY_ID, {"ids": [number]}).one()])[0]


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
    cut: str = ""
    html: str = ""
    message_id: str = ""
    contact_id: int | None = None
    agent_id: int | None = None
    inbound_id: int | None = None
    via_ticket_id: int | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTicket:
    """One ticket to be opened, with its people."""

    key: str
    mailbox: str
    subject: str
    state: TicketState
    requester_id: int
    collaborator_ids: tuple[int, ...]
    now: datetime
    claims: int | None = None
    follow_up_of: int | None = None


_INSERT_TICKET = insert(ticket).returning(ticket.c.id, sort_by_parameter_order=True)
_INSERT_ENTRY = insert(entry).returning(entry.c.id, sort_by_parameter_order=True)
_INSERT_EVENT = insert(entry)
_INSERT_PARTICIPANT = insert(participant)
_INSERT_ATTACHMENT = insert(attachment)
_INSERT_BLOB = insert(blob)
_INSERT_ROOM = insert(blob).values(sha256=bindparam("b_sum"), size=bindparam("b_size"), data=blobs.room())
_ROW_OF_BLOB = select(text("rowid")).select_from(blob).where(blob.c.sha256 == bindparam("sum"))
_HAVE_BLOBS = select(blob.c.sha256).where(blob.c.sha256.in_(bindparam("sums", expanding=True)))
_PARTICIPANTS = select(participant.c.contact_id).where(participant.c.ticket_id == bindparam("ticket"))
_UPDATE = (
    update(ticket)
    .where(ticket.c.id == bindparam("b_id"), ticket.c.version == bindparam("b_version"))
    .values(
        **{name: bindparam(f"b_{name}") for name in state_columns(TicketState(Status.OPEN, Priority.S3))},
        updated_at=bindparam("b_now"),
        version=ticket.c.version + 1,
    )
)


def insert_tickets(conn: Connection, new: Sequence[NewTicket]) -> list[int]:
    """New tickets with their participants. Their running numbers, in the same order."""
    numbers = new_ids(
        conn,
        _INSERT_TICKET,
        [
            {
                "key": one.key,
                "mailbox": one.mailbox,
                "subject": one.subject,
                "requester_id": one.requester_id,
                **state_columns(one.state),
                "follow_up_of": one.follow_up_of,
                "claims_ticket": one.claims,
                "created_at": one.now,
                "updated_at": one.now,
                "version": 1,
            }
            for one in new
        ],
    )
    people = []
    for number, one in zip(numbers, new, strict=True):
        roles = dict.fromkeys(one.collaborator_ids, "collaborator") | {one.requester_id: "requester"}
        people += [
            {"ticket_id": number, "contact_id": who, "role": role, "added_at": one.now}
            for who, role in roles.items()
        ]
    if people:
        conn.execute(_INSERT_PARTICIPANT, people)
    return numbers


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
    """`insert_tickets` for one."""
    new = NewTicket(
        key, mailbox, subject, state, requester_id, tuple(collaborator_ids), now, claims, follow_up_of
    )
    return insert_tickets(conn, (new,))[0]


def add_collaborators(conn: Connection, ticket_id: int, contact_ids: Iterable[int], now: datetime) -> None:
    """Add those who are no participants yet."""
    known = set(conn.execute(_PARTICIPANTS, {"ticket": ticket_id}).scalars())
    people = [
        {"ticket_id": ticket_id, "contact_id": other, "role": "collaborator", "added_at": now}
        for other in dict.fromkeys(contact_ids)
        if other not in known
    ]
    if people:
        conn.execute(_INSERT_PARTICIPANT, people)


def update_tickets(conn: Connection, changed: Sequence[tuple[TicketFacts, TicketState, datetime]]) -> None:
    """Write new states. ConflictError when a ticket is no longer at the version that was decided on."""
    if not changed:
        return
    # In one order everywhere, so that two nodes that change the same tickets cannot wait for each other.
    rows = [
        {f"b_{name}": value for name, value in state_columns(state).items()}
        | {"b_id": facts.id, "b_version": facts.version, "b_now": now}
        for facts, state, now in sorted(changed, key=lambda each: each[0].id)
    ]
    if conn.execute(_UPDATE, rows).rowcount != len(rows):
        raise ConflictError(f"ticket {', '.join(str(row['b_id']) for row in rows)}")


def update_ticket(conn: Connection, facts: TicketFacts, state: TicketState, now: datetime) -> None:
    """`update_tickets` for one."""
    update_tickets(conn, ((facts, state, now),))


def insert_entries(conn: Connection, new: Sequence[tuple[int, NewEntry]]) -> list[int]:
    """Write entries, each on the ticket of that number, and their attachments. Their ids, in order."""
    numbers = new_ids(
        conn,
        _INSERT_ENTRY,
        [
            {
                "ticket_id": ticket_id,
                "via_ticket_id": one.via_ticket_id,
                "kind": one.kind,
                "channel": one.channel,
                "contact_id": one.contact_id,
                "agent_id": one.agent_id,
                "at": one.at,
                "subject": one.subject,
                "text": one.text,
                "reply": one.reply,
                "cut": one.cut,
                "html": one.html,
                "message_id": one.message_id,
                "inbound_id": one.inbound_id,
                "event": "",
                "data": json.dumps(one.data) if one.data else "",
            }
            for ticket_id, one in new
        ],
    )
    files = [
        (number, item) for number, (_, one) in zip(numbers, new, strict=True) for item in one.attachments
    ]
    if files:
        _insert_attachments(conn, files)
    return numbers


def _insert_attachments(conn: Connection, files: Sequence[tuple[int, Attachment]]) -> None:
    wanted = {item.sha256: item for _, item in files}
    have = set(conn.execute(_HAVE_BLOBS, {"sums": sorted(wanted)}).scalars())
    for digest, item in sorted(wanted.items()):
        if digest not in have:
            _insert_blob(conn, digest, item)
    conn.execute(
        _INSERT_ATTACHMENT,
        [
            {
                "entry_id": number,
                "filename": item.filename[:120],
                "content_type": item.content_type[:200],
                "size": item.size,
                "inline": item.inline,
                "content_id": item.content_id,
                "sha256": item.sha256,
            }
            for number, item in files
        ],
    )


def _insert_blob(conn: Connection, digest: str, item: Attachment) -> None:
    if not blobs.in_pieces(conn, item.size):
        conn.execute(_INSERT_BLOB, {"sha256": digest, "size": item.size, "data": item.content})
        return
    conn.execute(_INSERT_ROOM, {"b_sum": digest, "b_size": item.size})
    row = conn.execute(_ROW_OF_BLOB, {"sum": digest}).scalar_one()
    blobs.fill(conn, blob, row, item.content)


def insert_entry(conn: Connection, ticket_id: int, new: NewEntry) -> int:
    """`insert_entries` for one."""
    return insert_entries(conn, ((ticket_id, new),))[0]


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
    rows = []
    for change in changes:
        data = {"from": change.before, "to": change.after, "why": change.why}
        rows.append(
            {
                "ticket_id": ticket_id,
                "kind": "event",
                "channel": channel,
                "contact_id": contact_id,
                "agent_id": agent_id,
                "at": now,
                "event": change.what[:20],
                "data": json.dumps({**data, "by": by} if by else data),
            }
        )
    if rows:
        conn.execute(_INSERT_EVENT, rows)
