"""Reads, in one go, what a decision about a mail needs to know."""

from __future__ import annotations

from mailbridge.core.facts import Facts
from mailbridge.core.mail import ParsedMail
from mailbridge.core.match import MatchKeys
from mailbridge.core.tokens import Forged, KeyRing, TokenKind
from mailbridge.store import outbox, people, tickets
from mailbridge.store.engine import Connection


def read_facts(conn: Connection, mail: ParsedMail, keys: MatchKeys, ring: KeyRing) -> Facts:
    """The candidate tickets, the sender, the agents, and the mails of ours that this one is about."""
    sender_key = mail.sender.key if mail.sender else ""
    sender = people.person(conn, sender_key) if sender_key else None
    organisation = sender.organisation if sender else ""
    if sender is None and sender_key:
        belongs = people.organisation_by_domain(conn, sender_key)
        organisation = belongs[1] if belongs else ""
    by_message_id = tickets.keys_by_message_id(conn, keys.message_ids)
    by_key, by_id = tickets.load(conn, keys.ticket_keys | set(by_message_id.values()))
    references = [token.subject for _, token in keys.tokens(TokenKind.BOUNCE)]
    own: set[str] = set()
    if mail.message_id:
        # Only an id in our shape can be ours: the look-up is spared for all others.
        shape = ring.read_message_id(mail.message_id)
        if shape is not None and not isinstance(shape, Forged) and outbox.is_ours(conn, mail.message_id):
            own.add(mail.message_id)
    return Facts(
        tickets=by_key,
        by_id=by_id,
        by_message_id=by_message_id,
        sender=sender,
        organisation=organisation,
        agents=people.agents(conn),
        sent=outbox.sent_by_reference(conn, references),
        own_message_ids=frozenset(own),
    )
