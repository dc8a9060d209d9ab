"""Which ticket does a mail belong to, and on what evidence.

The ladder, strongest first (DESIGN §3): our signed plus-address; our signed Message-ID in In-Reply-To, then
References from last to first; a signed marker in the body; a stored Message-ID and a participant; a subject
tag and a participant. Words of a subject alone are never looked at. A valid token in a stranger's hands opens
a ticket of their own, which says where it claims to belong.

Everything looked at and passed over is kept with the reason: `mailbridge explain` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailbridge.core.address import split_tag
from mailbridge.core.facts import Facts, TicketFacts
from mailbridge.core.mail import ParsedMail
from mailbridge.core.tokens import (
    Forged,
    KeyRing,
    Token,
    TokenKind,
    find_subject_tags,
)


class Rule(StrEnum):
    """A rung of the ladder."""

    PLUS_ADDRESS = "plus-address"
    SIGNED_MESSAGE_ID = "signed-message-id"
    BODY_MARKER = "body-marker"
    STORED_MESSAGE_ID = "stored-message-id"
    SUBJECT_TAG = "subject-tag"
    NONE = "none"


SIGNED = frozenset({Rule.PLUS_ADDRESS, Rule.SIGNED_MESSAGE_ID, Rule.BODY_MARKER})
_MAX_IDS = 30  # of References: the last ones; more helps nobody but an attacker


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something in the mail that points at a ticket. Exactly one of token, message_id, ticket_key is set."""

    rule: Rule
    header: str
    value: str
    token: Token | None = None
    message_id: str = ""
    ticket_key: str = ""


@dataclass(frozen=True, slots=True)
class Dismissed:
    """Evidence that did not decide, and why not."""

    rule: Rule
    header: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class MatchKeys:
    """All evidence of a mail in the ladder's order, and what was forged."""

    evidence: tuple[Evidence, ...]
    dismissed: tuple[Dismissed, ...] = ()
    forged: int = 0

    def tokens(self, kind: TokenKind) -> Iterator[tuple[Evidence, Token]]:
        """The valid tokens of one kind, strongest evidence first."""
        for item in self.evidence:
            if item.token is not None and item.token.kind is kind:
                yield item, item.token

    @property
    def ticket_keys(self) -> frozenset[str]:
        """The tickets that tokens and subject tags name."""
        named = {e.token.ticket for e in self.evidence if e.token is not None}
        return frozenset(named | {e.ticket_key for e in self.evidence if e.ticket_key})

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The Message-IDs to look up."""
        return tuple(dict.fromkeys(e.message_id for e in self.evidence if e.message_id))


def match_keys(mail: ParsedMail, rcpt_to: Iterable[str], own: frozenset[str], ring: KeyRing) -> MatchKeys:
    """The evidence in `mail`. `own` holds our mailboxes and aliases, case folded. Never raises."""
    found: list[Evidence] = []
    dismissed: list[Dismissed] = []
    forged = 0

    def take(rule: Rule, header: str, value: str, token: Token | Forged | None) -> bool:
        nonlocal forged
        match token:
            case Token():
                found.append(Evidence(rule, header, value, token))
                return True
            case Forged(why=why):
                forged += 1
                dismissed.append(Dismissed(rule, header, value[:200], f"forged: {why}"))
        return False

    for header, address in _tagged_addresses(mail, rcpt_to):
        parts = split_tag(address)
        if parts is not None and parts.tag and parts.mailbox in own:
            take(Rule.PLUS_ADDRESS, header, address, ring.read(parts.tag))
    ids = [("In-Reply-To", i) for i in mail.in_reply_to[-5:]]
    ids += [("References", i) for i in reversed(mail.references[-_MAX_IDS:])]
    unsigned: list[tuple[str, str]] = []
    for header, message_id in ids:
        if not take(Rule.SIGNED_MESSAGE_ID, header, message_id, ring.read_message_id(message_id)):
            unsigned.append((header, message_id))
    for marker in ring.find_body_markers(mail.text):
        value = marker.text if isinstance(marker, Forged) else f"ticket {marker.ticket}"
        take(Rule.BODY_MARKER, "body", value, marker)
    found += [Evidence(Rule.STORED_MESSAGE_ID, header, i, message_id=i) for header, i in unsigned]
    found += [Evidence(Rule.SUBJECT_TAG, "Subject", k, ticket_key=k) for k in find_subject_tags(mail.subject)]
    return MatchKeys(_once(found), tuple(dismissed), forged)


def _tagged_addresses(mail: ParsedMail, rcpt_to: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Where a plus-address may stand: what the mail was delivered to counts before what it was written to."""
    for address in rcpt_to:
        yield "envelope recipient", address
    for name in ("Delivered-To", "X-Original-To"):
        for value in mail.all_headers(name)[:5]:
            yield name, value.strip().strip("<>")
    for name, addresses in (("To", mail.to), ("Cc", mail.cc)):
        for item in addresses[:100]:
            yield name, item.address


def _once(found: list[Evidence]) -> tuple[Evidence, ...]:
    seen: set[tuple[Rule, object]] = set()
    kept = []
    for item in found:
        mark = (item.rule, item.token or item.message_id or item.ticket_key)
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Match:
    """The ticket that a mail belongs to (None: a new one), the evidence that decided, and the rest."""

    ticket: TicketFacts | None
    evidence: Evidence | None
    dismissed: tuple[Dismissed, ...]
    claims: TicketFacts | None = None
    """The ticket for which a stranger showed a valid token."""

    @property
    def rule(self) -> Rule:
        """The rung that decided."""
        return self.evidence.rule if self.evidence else Rule.NONE


def resolve(keys: MatchKeys, facts: Facts, sender_key: str | None) -> Match:
    """The first evidence whose ticket exists and whose sender may write there.

    `sender_key` is the case-folded author, None when the mail has no identity (then nothing is joined).
    """
    dismissed = list(keys.dismissed)
    claims: TicketFacts | None = None
    winner: tuple[TicketFacts, Evidence] | None = None
    for item in keys.evidence:
        ticket = _ticket_of(item, facts)
        if winner is not None:
            if ticket is not None and ticket.id != winner[0].id:
                dismissed.append(_dismiss(item, f"stronger evidence names {winner[0].key}"))
            continue
        if item.token is not None and item.token.kind is not TokenKind.TICKET:
            dismissed.append(_dismiss(item, f"a token for {_FOR[item.token.kind]} does not join a ticket"))
        elif ticket is None:
            dismissed.append(_dismiss(item, "no such ticket"))
        elif sender_key is None:
            dismissed.append(_dismiss(item, "the mail has no clean From"))
        elif ticket.has_participant(sender_key):
            winner = (ticket, item)
        else:
            if item.rule in SIGNED and claims is None:
                claims = ticket
            dismissed.append(_dismiss(item, "the sender is not a participant of that ticket"))
    if winner is None:
        return Match(None, None, tuple(dismissed), claims)
    return Match(winner[0], winner[1], tuple(dismissed))


_FOR = {TokenKind.AGENT: "an agent", TokenKind.BOUNCE: "bounces"}


def _ticket_of(item: Evidence, facts: Facts) -> TicketFacts | None:
    if item.token is not None:
        return facts.tickets.get(item.token.ticket)
    key = item.ticket_key or facts.by_message_id.get(item.message_id, "")
    return facts.tickets.get(key)


def _dismiss(item: Evidence, why: str) -> Dismissed:
    return Dismissed(item.rule, item.header, item.value[:200], why)
