"""Writes one decision: ticket, entries, outbox, decision record. All of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from mailbridge.core import decision as d
from mailbridge.core.mail import BounceRecipient, ParsedMail
from mailbridge.core.match import Dismissed, Match, Rule
from mailbridge.core.ticket import TicketState
from mailbridge.store import inbound, outbox, people, tickets
from mailbridge.store.engine import Connection
from mailbridge.store.inbound import Finish, StoredMail
from mailbridge.store.outbox import CapLimits, NewOutgoing


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mail, for the log."""

    inbound_id: int
    action: str
    reason: str
    detail: str
    ticket_key: str
    rule: str
    kind: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Work:
    """A decision with all that its writing needs; made outside the transaction."""

    stored: StoredMail
    mail: ParsedMail
    decision: d.Decision
    outgoing: tuple[NewOutgoing, ...]
    new_key: str
    """The public key of the ticket, if a new one is opened."""
    new_state: TicketState
    caps: CapLimits
    now: datetime
    milliseconds: int

    @property
    def channel(self) -> str:
        """The door it came by."""
        return self.stored.source.partition(":")[0][:10]


def write(conn: Connection, work: Work) -> Receipt:
    """The one write. ConflictError or LostClaimError undo it: decide anew, or leave it to its new owner."""
    decision = work.decision
    match decision:
        case d.OpenTicket():
            ticket_id, key, withheld = _open(conn, work, decision)
            return _finish(conn, work, "open", "done", ticket_id, key, withheld)
        case d.Append():
            ticket_id, withheld = _append(conn, work, decision)
            return _finish(conn, work, "append", "done", ticket_id, decision.ticket.key, withheld)
        case d.Reject():
            withheld = _send(conn, work, decision.ticket.id, None)
            return _finish(conn, work, "reject", "done", decision.ticket.id, decision.ticket.key, withheld)
        case d.Quarantine():
            about = decision.ticket
            number, name = (about.id, about.key) if about else (None, "")
            return _finish(conn, work, "quarantine", "quarantined", number, name, ())
    assert_never(decision)


def _open(conn: Connection, work: Work, decision: d.OpenTicket) -> tuple[int, str, Sequence[Dismissed]]:
    now = work.now
    requester = people.ensure_contact(conn, decision.requester, now)
    ticket_id = tickets.insert_ticket(
        conn,
        key=work.new_key,
        mailbox=work.stored.mailbox,
        subject=work.mail.subject[:1000],
        state=work.new_state,
        requester_id=requester,
        collaborator_ids=[people.ensure_contact(conn, who, now) for who in decision.collaborators],
        now=now,
        claims=decision.claims.id if decision.claims else None,
        follow_up_of=decision.follow_up_of.id if decision.follow_up_of else None,
    )
    entry_id = tickets.insert_entry(
        conn, ticket_id, _entry(work, "mail", work.mail.reply, contact_id=requester)
    )
    withheld = list(_send(conn, work, ticket_id, entry_id))
    if decision.withheld:
        withheld.append(_withheld(decision.withheld))
    return ticket_id, work.new_key, withheld


def _append(conn: Connection, work: Work, decision: d.Append) -> tuple[int, Sequence[Dismissed]]:
    now, ticket = work.now, decision.ticket
    contact_id = agent_id = None
    sender = work.mail.sender
    if decision.agent is not None:
        agent_id = decision.agent.id
    elif sender is not None and decision.entry_kind in ("mail", "automatic"):
        contact_id = people.ensure_contact(conn, sender, now)
    tickets.update_ticket(conn, ticket, decision.state, now)
    answer = next((o for o in work.outgoing if o.kind == "answer"), None)
    entry_id = tickets.insert_entry(
        conn,
        ticket.id,
        _entry(
            work,
            decision.entry_kind,
            decision.words,
            contact_id=contact_id,
            agent_id=agent_id,
            via=decision.via.id if decision.via else None,
            # The customer answers the mail that we send on, so that one's id stands for the agent's words.
            message_id=answer.message_id if answer else work.mail.message_id,
        ),
    )
    if decision.collaborators:
        added = [people.ensure_contact(conn, who, now) for who in decision.collaborators]
        tickets.add_collaborators(conn, ticket.id, added, now)
    tickets.insert_events(
        conn,
        ticket.id,
        decision.changes,
        channel=work.channel,
        now=now,
        contact_id=contact_id,
        agent_id=agent_id,
    )
    if decision.sent is not None and decision.bounce is not None:
        for failed in decision.bounce.recipients or (BounceRecipient("", None, "failed"),):
            if (failed.action or "failed") == "failed":
                reply = f"bounced: {failed.status or ''} {failed.diagnostic}".strip()
                outbox.bounced(conn, decision.sent.id, failed.address, reply, now)
    return ticket.id, _send(conn, work, ticket.id, entry_id)


def _entry(
    work: Work,
    kind: str,
    words: str,
    *,
    contact_id: int | None = None,
    agent_id: int | None = None,
    via: int | None = None,
    message_id: str | None = None,
) -> tickets.NewEntry:
    mail = work.mail
    return tickets.NewEntry(
        kind=kind,
        channel=work.channel,
        at=work.stored.received_at,
        subject=mail.subject[:1000],
        text=mail.text,
        reply=words,
        html=mail.html,
        message_id=mail.message_id if message_id is None else message_id,
        contact_id=contact_id,
        agent_id=agent_id,
        inbound_id=work.stored.id,
        via_ticket_id=via,
        data={
            "from": [str(a) for a in mail.from_[:10]],
            "to": [a.address for a in mail.to[:50]],
            "cc": [a.address for a in mail.cc[:50]],
        },
        attachments=mail.attachments,
    )


def _send(conn: Connection, work: Work, ticket_id: int, entry_id: int | None) -> tuple[Dismissed, ...]:
    withheld = []
    for each in work.outgoing:
        why = outbox.add(conn, each, ticket_id=ticket_id, entry_id=entry_id, now=work.now, caps=work.caps)
        if why:
            withheld.append(_withheld(f"{each.kind}: {why}"))
    return tuple(withheld)


def _withheld(why: str) -> Dismissed:
    return Dismissed(Rule.NONE, "", "outgoing", why)


def _finish(
    conn: Connection,
    work: Work,
    action: str,
    state: str,
    ticket_id: int | None,
    ticket_key: str,
    withheld: Sequence[Dismissed],
) -> Receipt:
    verdict = work.decision.verdict
    reason, detail = "", ""
    if isinstance(work.decision, d.Quarantine):
        reason, detail = work.decision.why.value, work.decision.detail
    inbound.finish(
        conn,
        Finish(
            work.stored.id,
            work.stored.attempt,
            state,
            work.mail.message_id,
            ticket_id,
            reason,
            detail,
            _record(verdict, work.mail, action, reason, withheld, work.milliseconds),
        ),
        work.now,
    )
    return Receipt(
        work.stored.id,
        action,
        reason or verdict.reason.value,
        detail,
        ticket_key,
        verdict.match.rule.value,
        work.mail.classification.kind.value,
        work.milliseconds,
    )


def _record(
    verdict: d.Verdict,
    mail: ParsedMail,
    action: str,
    quarantine: str,
    withheld: Sequence[Dismissed],
    milliseconds: int,
) -> dict[str, object]:
    match: Match = verdict.match
    evidence, kind = match.evidence, mail.classification
    passed_over = [
        {"rule": i.rule.value, "header": i.header, "value": i.value, "why": i.why}
        for i in (*match.dismissed, *withheld)
    ]
    return {
        "action": action,
        "reason": quarantine or verdict.reason.value,
        "rule": match.rule.value,
        "header": evidence.header if evidence else "",
        "value": evidence.value[:500] if evidence else "",
        "kind": kind.kind.value,
        "kind_header": kind.header[:100],
        "kind_value": kind.value[:200],
        "trust": verdict.trust.value,
        "rejected": json.dumps(passed_over[:50]),
        "milliseconds": milliseconds,
    }
