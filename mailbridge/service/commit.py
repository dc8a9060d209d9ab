"""Writes one decision: ticket, entries, outbox, decision record. All of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from mailbridge.core import decision as d
from mailbridge.core.mail import Address, BounceRecipient, ParsedMail
from mailbridge.core.match import Dismissed, Match, Rule
from mailbridge.core.ticket import Change, TicketState
from mailbridge.store import inbound, outbox, people, tickets
from mailbridge.store.engine import Connection
from mailbridge.store.inbound import Finish, StoredMail
from mailbridge.store.outbox import CapLimits, NewOutgoing, Queued


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


def write(conn: Connection, works: Sequence[Work]) -> list[Receipt]:
    """The one write, of all these decisions or of none; no two of them may change the same ticket.

    ConflictError or LostClaimError undo it: decide anew, or leave the mail to its new owner. They do not say
    which mail they are about when there are several: then each is to be written by itself.
    """
    if not works:
        return []
    contacts = people.ensure_contacts(conn, _people(works), works[0].now)
    opened = iter(tickets.insert_tickets(conn, _new_tickets(works, contacts)))
    appends = [w.decision for w in works if isinstance(w.decision, d.Append)]
    times = {w.decision.ticket.id: w.now for w in works if isinstance(w.decision, d.Append)}
    tickets.update_tickets(conn, [(a.ticket, a.state, times[a.ticket.id]) for a in appends])
    places = [_place(work, contacts, opened) for work in works]
    written = [(p.ticket_id, p.entry) for p in places if p.ticket_id is not None and p.entry is not None]
    entries = iter(tickets.insert_entries(conn, written))
    entry_ids = [next(entries) if place.entry else None for place in places]
    for work, place in zip(works, places, strict=True):
        match work.decision:
            case d.Append() as decision:
                _append(conn, work, decision, place, contacts)
            case d.OpenTicket(priority=priority, by_rule=rule) if rule and place.ticket_id is not None:
                change = Change("priority", "", priority, rule)
                tickets.insert_events(conn, place.ticket_id, (change,), channel=work.channel, now=work.now)
    mails = [
        Queued(mail, place.ticket_id, entry_id, work.now)
        for work, place, entry_id in zip(works, places, entry_ids, strict=True)
        for mail in work.outgoing
    ]
    # The caps are of one configuration, whichever mail asks.
    answers = iter(outbox.add_many(conn, mails, works[0].caps))
    ends = []
    for work, place in zip(works, places, strict=True):
        capped = [(mail.kind, next(answers)) for mail in work.outgoing]
        withheld = [_withheld(f"{kind}: {why}") for kind, why in capped if why]
        if isinstance(work.decision, d.OpenTicket) and work.decision.withheld:
            withheld.append(_withheld(work.decision.withheld))
        ends.append(_end(work, place, withheld))
    inbound.finish(conn, [(finish, work.now) for (finish, _), work in zip(ends, works, strict=True)])
    return [receipt for _, receipt in ends]


def _people(works: Sequence[Work]) -> Iterator[Address]:
    """Everyone who becomes, or is, a contact by these decisions."""
    for work in works:
        match work.decision:
            case d.OpenTicket(requester=requester, collaborators=collaborators):
                yield requester
                yield from collaborators
            case d.Append() as decision:
                if (writer := _writer(work, decision)) is not None:
                    yield writer
                yield from decision.collaborators


def _writer(work: Work, decision: d.Append) -> Address | None:
    """Who wrote the entry, if it was a contact."""
    if decision.agent is not None or decision.entry_kind not in ("mail", "automatic"):
        return None
    return work.mail.sender


def _new_tickets(works: Sequence[Work], contacts: Mapping[str, int]) -> list[tickets.NewTicket]:
    return [
        tickets.NewTicket(
            key=work.new_key,
            mailbox=work.stored.mailbox,
            subject=work.mail.subject[:1000],
            state=work.new_state,
            requester_id=contacts[decision.requester.key],
            collaborator_ids=tuple(contacts[who.key] for who in decision.collaborators),
            now=work.now,
            claims=decision.claims.id if decision.claims else None,
            follow_up_of=decision.follow_up_of.id if decision.follow_up_of else None,
        )
        for work in works
        if isinstance(decision := work.decision, d.OpenTicket)
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a mail ends up, and by whom it is."""

    action: str
    state: str
    ticket_id: int | None
    ticket_key: str
    entry: tickets.NewEntry | None = None
    contact_id: int | None = None
    agent_id: int | None = None


def _place(work: Work, contacts: Mapping[str, int], opened: Iterator[int]) -> _Place:
    decision = work.decision
    match decision:
        case d.OpenTicket():
            contact = contacts[decision.requester.key]
            entry = _entry(work, "mail", work.mail.reply, contact_id=contact)
            return _Place("open", "done", next(opened), work.new_key, entry, contact)
        case d.Append():
            writer = _writer(work, decision)
            by = contacts[writer.key] if writer is not None else None
            agent = decision.agent.id if decision.agent is not None else None
            answer = next((o for o in work.outgoing if o.kind == "answer"), None)
            entry = _entry(
                work,
                decision.entry_kind,
                decision.words,
                contact_id=by,
                agent_id=agent,
                via=decision.via.id if decision.via else None,
                # The customer answers the mail that we send on, so that one's id stands for the agent's words.
                message_id=answer.message_id if answer else work.mail.message_id,
            )
            return _Place("append", "done", decision.ticket.id, decision.ticket.key, entry, by, agent)
        case d.Reject(ticket=ticket):
            return _Place("reject", "done", ticket.id, ticket.key)
        case d.Quarantine(ticket=about):
            number, name = (about.id, about.key) if about else (None, "")
            return _Place("quarantine", "quarantined", number, name)
    assert_never(decision)


def _append(
    conn: Connection, work: Work, decision: d.Append, place: _Place, contacts: Mapping[str, int]
) -> None:
    """What goes with an entry on a ticket that was there before."""
    ticket = decision.ticket
    if decision.collaborators:
        added = [contacts[who.key] for who in decision.collaborators]
        tickets.add_collaborators(conn, ticket.id, added, work.now)
    tickets.insert_events(
        conn,
        ticket.id,
        decision.changes,
        channel=work.channel,
        now=work.now,
        contact_id=place.contact_id,
        agent_id=place.agent_id,
    )
    if decision.sent is not None and decision.bounce is not None:
        for failed in decision.bounce.recipients or (BounceRecipient("", None, "failed"),):
            if (failed.action or "failed") == "failed":
                reply = f"bounced: {failed.status or ''} {failed.diagnostic}".strip()
                outbox.bounced(conn, decision.sent.id, failed.address, reply, work.now)


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
        # An agent's cut is our own notification, with its token: that is in the raw mail, and nowhere else.
        cut=mail.cut if agent_id is None else "",
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


def _withheld(why: str) -> Dismissed:
    return Dismissed(Rule.NONE, "", "outgoing", why)


def _end(work: Work, place: _Place, withheld: Sequence[Dismissed]) -> tuple[Finish, Receipt]:
    verdict = work.decision.verdict
    reason, detail = "", ""
    if isinstance(work.decision, d.Quarantine):
        reason, detail = work.decision.why.value, work.decision.detail
    finish = Finish(
        work.stored.id,
        work.stored.attempt,
        place.state,
        work.mail.message_id,
        place.ticket_id,
        reason,
        detail,
        _record(verdict, work.mail, place.action, reason, withheld, work.milliseconds),
    )
    receipt = Receipt(
        work.stored.id,
        place.action,
        reason or verdict.reason.value,
        detail,
        place.ticket_key,
        verdict.match.rule.value,
        work.mail.classification.kind.value,
        work.milliseconds,
    )
    return finish, receipt


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
