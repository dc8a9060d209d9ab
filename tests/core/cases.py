"""Builders for decisions: a mail of Anne's, her ticket, the facts about it, and the whole case.

Everything has a default that makes a plain case, so that a test names only what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mailbridge.core.address import with_tag
from mailbridge.core.case import Case, IntakePolicy
from mailbridge.core.facts import AgentFacts, Facts, Person, SentMail, TicketFacts
from mailbridge.core.mail import (
    Address,
    Attachment,
    Bounce,
    BounceRecipient,
    Classification,
    Envelope,
    Header,
    Kind,
    ParsedMail,
)
from mailbridge.core.match import match_keys
from mailbridge.core.ticket import Priority, Solution, SolvedReason, Status, TicketState
from mailbridge.core.tokens import Key, KeyRing, Token, TokenKind, subject_of

NOW = datetime(2026, 6, 2, 9, 0, tzinfo=UTC)
DESK = "support@desk.example"
SALES = "sales@desk.example"
ANNE = Address("Anne", "anne@customer.example")
BART = Address("Bart", "bart@desk.example")
CRIS = Address("Cris", "cris@customer.example")
DORA = Address("Dora", "dora@other.example")
EVE = Address("Eve", "eve@evil.example")
ZOE = Address("Zoe", "zoe@desk.example")

RING = KeyRing(Key("2", b"n" * 32), (Key("1", b"o" * 32),))
OTHER_RING = KeyRing(Key("2", b"x" * 32))
"""Whose signatures look like ours and are not."""
KEY, KEY_2, KEY_3 = "7k3m9qx2vd", "2222222222", "3333333333"
REFERENCE = "abcdefgh23"
LOOP_MARK = "0123456789abcdef0123"

BART_FACTS = AgentFacts(1, BART)
ZOE_FACTS = AgentFacts(2, ZOE)

POLICY = IntakePolicy(
    own=frozenset((DESK, SALES)),
    default_priority=Priority.S3,
    acknowledge=True,
    notify=frozenset(("new", "reply", "answer")),
    loop_marks=frozenset((LOOP_MARK,)),
)

OPEN = TicketState(Status.OPEN, Priority.S3)
PENDING = TicketState(Status.PENDING, Priority.S3, pending_since=NOW - timedelta(days=2), pending_epoch=1)
ON_HOLD = TicketState(Status.ON_HOLD, Priority.S3, hold_reason="engineering", pending_epoch=1)


def solved(reason: SolvedReason = SolvedReason.AGREED, *, ago: timedelta = timedelta(days=3)) -> TicketState:
    """A ticket that was solved some time ago, for a reason without fields."""
    return TicketState(
        Status.SOLVED, Priority.S3, solution=Solution(reason), solved_at=NOW - ago, pending_epoch=1
    )


def merged(into: int) -> TicketState:
    """A ticket that lives on in another one."""
    solution = Solution(SolvedReason.MERGED, merged_into=into)
    return TicketState(Status.SOLVED, Priority.S3, solution=solution, solved_at=NOW, pending_epoch=4)


# ---------------------------------------------------------------- signed names


def ticket_address(key: str = KEY, ring: KeyRing = RING, mailbox: str = DESK) -> str:
    """The Reply-To of what a requester gets."""
    return with_tag(mailbox, ring.sign(Token(TokenKind.TICKET, key)))


def agent_address(agent: int = 1, key: str = KEY, ring: KeyRing = RING, mailbox: str = DESK) -> str:
    """The Reply-To of what an agent gets."""
    return with_tag(mailbox, ring.sign(Token(TokenKind.AGENT, key, subject_of(agent, 4711))))


def bounce_address(reference: str = REFERENCE, key: str = KEY, ring: KeyRing = RING) -> str:
    """The envelope sender of a mail of ours."""
    return with_tag(DESK, ring.sign(Token(TokenKind.BOUNCE, key, reference)))


def our_id(key: str = KEY, nonce: str = REFERENCE, ring: KeyRing = RING) -> str:
    """A Message-ID of ours on a ticket."""
    return ring.message_id(Token(TokenKind.TICKET, key), nonce, "desk.example")


# ---------------------------------------------------------------- mails


def mail(
    *,
    from_: Address | None = ANNE,
    to: Iterable[str | Address] = (DESK,),
    cc: Iterable[str | Address] = (),
    subject: str = "The printer burns",
    text: str = "Smoke everywhere.",
    reply: str | None = None,
    kind: Kind = Kind.HUMAN,
    headers: Iterable[tuple[str, str]] = (),
    **more: Any,
) -> ParsedMail:
    """A mail as the parser gives it: Anne's words to the desk, unless said otherwise. `more`: other fields."""
    author = () if from_ is None else (from_,)
    fields: dict[str, Any] = {
        "headers": tuple(Header(name, value) for name, value in headers),
        "message_id": "<m1@customer.example>",
        "from_": author,
        "from_fields": len(author),
        "reply_to": (),
        "to": tuple(_address(a) for a in to),
        "cc": tuple(_address(a) for a in cc),
        "subject": subject,
        "date": NOW,
        "in_reply_to": (),
        "references": (),
        "text": text,
        "reply": text if reply is None else reply,
        "html": "",
        "attachments": (),
        "parts": (),
        "classification": Classification(kind, "", "", "given"),
        "bounce": None,
        "defects": (),
    }
    return ParsedMail(**(fields | more))


def _address(given: str | Address) -> Address:
    return given if isinstance(given, Address) else Address("", given)


def attachment(
    content: bytes = b"%PDF", content_type: str = "application/pdf", filename: str = "a.pdf"
) -> Attachment:
    """A file that came along."""
    return Attachment(filename, content_type, len(content), False, "", "0" * 64, content)


MAILER_DAEMON = Address("", "mailer-daemon@customer.example")


def bounce_mail(
    *recipients: BounceRecipient,
    from_: Address | None = MAILER_DAEMON,
    **more: Any,
) -> ParsedMail:
    """A delivery report; by default that Anne's mailbox does not exist."""
    told = recipients or (BounceRecipient(ANNE.address, "5.1.1", "failed", "no such user"),)
    return mail(
        from_=from_, kind=Kind.BOUNCE, bounce=Bounce(told), subject="Undelivered", text="Sorry.", **more
    )


# ---------------------------------------------------------------- facts


def ticket(state: TicketState = OPEN, *, number: int = 1, key: str = KEY, **more: Any) -> TicketFacts:
    """Anne's ticket with Cris on Cc."""
    fields: dict[str, Any] = {
        "mailbox": DESK,
        "subject": "The printer burns",
        "requester": Person(1, ANNE),
        "collaborators": (Person(2, CRIS),),
        "version": 1,
        "last_customer_text": "Smoke everywhere.",
    }
    return TicketFacts(number, key, state=state, **(fields | more))


def facts(*tickets: TicketFacts, **more: Any) -> Facts:
    """The tickets, by key and number, with Bart as the one agent."""
    fields: dict[str, Any] = {
        "tickets": {t.key: t for t in tickets},
        "by_id": {t.id: t for t in tickets},
        "agents": (BART_FACTS,),
    }
    return Facts(**(fields | more))


def sent(kind: str = "answer", reference: str = REFERENCE) -> Mapping[str, SentMail]:
    """A mail of ours that went to Anne, by its reference."""
    return {reference: SentMail(9, reference, kind, KEY, (ANNE.address,))}


def case(
    message: ParsedMail | None = None,
    known: Facts | None = None,
    *,
    rcpt: Iterable[str] = (DESK,),
    mail_from: str | None = "same as From",
    mailbox: str = DESK,
    ring: KeyRing = RING,
    now: datetime = NOW,
    **policy: Any,
) -> Case:
    """The whole case. `mail_from` is the author's address unless given; `policy`: fields to change."""
    message = message if message is not None else mail()
    if mail_from == "same as From":
        mail_from = message.from_[0].address if message.from_ else "someone@customer.example"
    rules = replace(POLICY, **policy)
    return Case(
        mailbox,
        Envelope(mail_from, tuple(rcpt)),
        message,
        match_keys(message, tuple(rcpt), rules.own, ring),
        known if known is not None else facts(),
        rules,
        now,
    )
