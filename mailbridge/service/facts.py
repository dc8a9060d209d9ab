"""Reads, in one go, what decisions about mails need to know: as many statements for fifty mails as for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailbridge.core.address import domain_of
from mailbridge.core.facts import Facts
from mailbridge.core.mail import ParsedMail
from mailbridge.core.match import MatchKeys
from mailbridge.core.tokens import Forged, KeyRing, TokenKind
from mailbridge.store import outbox, people, tickets
from mailbridge.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Asked:
    """A mail and the evidence found in it."""

    mail: ParsedMail
    keys: MatchKeys

    @property
    def sender(self) -> str:
        """The sender's address, case folded, or ''."""
        return self.mail.sender.key if self.mail.sender else ""

    @property
    def references(self) -> list[str]:
        """Those of our mails that it says it is a bounce of."""
        return [token.subject for _, token in self.keys.tokens(TokenKind.BOUNCE)]


def read_facts(conn: Connection, asked: Sequence[Asked], ring: KeyRing) -> list[Facts]:
    """For each mail: candidate tickets, the sender, the agents, and the mails of ours that it is about."""
    persons = people.persons(conn, (one.sender for one in asked if one.sender))
    strangers = (one.sender for one in asked if one.sender and one.sender not in persons)
    domains = people.organisations_by_domain(conn, map(domain_of, strangers))
    message_ids = {message_id for one in asked for message_id in one.keys.message_ids}
    by_message_id = tickets.keys_by_message_id(conn, sorted(message_ids))
    wanted = {key for one in asked for key in one.keys.ticket_keys} | set(by_message_id.values())
    by_key, by_id = tickets.load(conn, sorted(wanted))
    sent = outbox.sent_by_reference(conn, sorted({name for one in asked for name in one.references}))
    own = outbox.ours_among(conn, sorted({one.mail.message_id for one in asked if _in_our_shape(one, ring)}))
    agents = people.agents(conn)
    found = []
    for one in asked:
        sender = persons.get(one.sender)
        organisation = sender.organisation if sender else domains.get(domain_of(one.sender), (0, ""))[1]
        named = {name: by_message_id[name] for name in one.keys.message_ids if name in by_message_id}
        candidates = one.keys.ticket_keys | set(named.values())
        found.append(
            Facts(
                tickets={key: by_key[key] for key in candidates if key in by_key},
                by_id=by_id,
                by_message_id=named,
                sender=sender,
                organisation=organisation,
                agents=agents,
                sent={name: sent[name] for name in one.references if name in sent},
                own_message_ids=frozenset({one.mail.message_id} & own),
            )
        )
    return found


def _in_our_shape(one: Asked, ring: KeyRing) -> bool:
    """Only an id in our shape can be ours: the look-up is spared for all others."""
    shape = ring.read_message_id(one.mail.message_id) if one.mail.message_id else None
    return shape is not None and not isinstance(shape, Forged)
