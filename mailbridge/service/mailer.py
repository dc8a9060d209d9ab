"""Drafts to finished mails: who it goes to, which signed addresses and ids it carries, which template.

Pure apart from the random references that `Ids` gives. Made before the commit, so that nothing is rendered
inside a transaction.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from mailbridge.core import commands
from mailbridge.core import decision as d
from mailbridge.core.address import domain_of, with_tag
from mailbridge.core.compose import bound_references, compose, is_message_id
from mailbridge.core.facts import TicketFacts
from mailbridge.core.mail import Address, Attachment
from mailbridge.core.outgoing import AutoSubmitted, MailDraft, OutgoingAttachment
from mailbridge.core.ports import Ids
from mailbridge.core.render import Templates
from mailbridge.core.reply import REPLY_MARKER
from mailbridge.core.ticket import PRIORITY_WORDS, SolvedReason, TicketState
from mailbridge.core.tokens import (
    Key,
    KeyRing,
    Token,
    TokenKind,
    display_key,
    new_ticket_key,
    subject_of,
)
from mailbridge.store.outbox import NewOutgoing

_NOTIFY_ATTACHMENTS = 10 << 20  # bytes of attachments passed on to agents; above it they are only named
_SOLVED_WORDS = {
    SolvedReason.AGREED: "as we agreed",
    SolvedReason.BUG_FILED: "a bug report has been filed for it",
    SolvedReason.MERGED: "it goes on in another request of yours",
    SolvedReason.UNRESPONSIVE: "we have not heard from you",
    SolvedReason.HANDED_OVER: "it has been handed over",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The ticket that mails are about, as the mails see it."""

    key: str
    mailbox: str
    mailbox_name: str
    subject: str
    number: int | None
    requester: Address
    collaborators: tuple[Address, ...]
    state: TicketState
    message_ids: tuple[str, ...]
    """Of the public conversation, oldest first, the mail being answered last."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What gave rise to the mails: its words and files, and the name that makes their cause unique."""

    cause: str
    """E.g. 'inbound:17': with kind and recipient it is the outbox row's unique cause key."""
    now: datetime
    words: str = ""
    attachments: tuple[Attachment, ...] = ()
    verified: bool = False
    author: str = ""


class Mailer:
    """Makes the mails of a decision. The key ring comes with each call, since it may be rotated."""

    def __init__(self, templates: Templates, ids: Ids) -> None:
        self._templates = templates
        self._ids = ids

    def make(self, draft: d.Draft, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        """The finished mail of one draft."""
        match draft:
            case d.Acknowledge(to):
                return self._acknowledge(to, about, why, ring)
            case d.Notify():
                return self._notify(draft, about, why, ring)
            case d.Answer(agent, text):
                return self._answer(agent.address, text, about, why, ring)
            case d.TellSolved(reason):
                return self._solved(SolvedReason(reason), about, why, ring)
            case d.Receipt():
                return self._receipt(draft, about, why, ring)
        assert_never(draft)

    # ------------------------------------------------------------ each kind

    def _acknowledge(self, to: Address, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        token = Token(TokenKind.TICKET, about.key)
        rendered = self._templates.render(
            "acknowledgement",
            {
                **_common(about),
                "verified": why.verified,
                "subject": about.subject if why.verified else "",
                "body_marker": ring.body_marker(token),
            },
        )
        return self._finish(
            "acknowledgement",
            f"ack:{why.cause}",
            about,
            why,
            ring,
            token=token,
            # A name is free text: unverified, it would be a stranger's words in our mail to someone else.
            to=(to if why.verified else Address("", to.address),),
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            auto=AutoSubmitted.AUTO_REPLIED,
            capped=True,
        )

    def _answer(self, agent: Address, text: str, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        token = Token(TokenKind.TICKET, about.key)
        solution = about.state.solution
        rendered = self._templates.render(
            "answer",
            {
                **_common(about),
                "agent_name": agent.name or about.mailbox_name,
                "text": text,
                "subject": about.subject,
                "quoted": why.words,
                "quoted_author": why.author,
                "solved_reason": _SOLVED_WORDS[solution.reason] if solution else "",
                "body_marker": ring.body_marker(token),
            },
        )
        return self._finish(
            "answer",
            f"answer:{why.cause}",
            about,
            why,
            ring,
            token=token,
            to=(about.requester,),
            cc=about.collaborators,
            sender_name=agent.name,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            attachments=_files(why.attachments),
        )

    def _solved(self, reason: SolvedReason, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        token = Token(TokenKind.TICKET, about.key)
        solution = about.state.solution
        rendered = self._templates.render(
            "solved",
            {
                **_common(about),
                "subject": about.subject,
                "solved_reason": _SOLVED_WORDS[reason],
                "bug_reference": solution.bug_reference if solution else "",
                "bug_timeline": solution.bug_timeline if solution else "",
                "body_marker": ring.body_marker(token),
            },
        )
        return self._finish(
            "solved",
            f"solved:{why.cause}",
            about,
            why,
            ring,
            token=token,
            to=(about.requester,),
            cc=about.collaborators,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            auto=AutoSubmitted.AUTO_GENERATED,
            capped=True,
        )

    def _notify(self, draft: d.Notify, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        token = self._agent_token(draft.agent.id, about.key)
        total = sum(item.size for item in why.attachments)
        rendered = self._templates.render(
            "notification",
            {
                **_common(about),
                "what": draft.news.value,
                "by": draft.by,
                "requester": str(about.requester),
                "collaborators": [str(c) for c in about.collaborators],
                "subject": about.subject,
                "number": about.number,
                "priority": about.state.priority.value,
                "priority_word": PRIORITY_WORDS[about.state.priority],
                "status": about.state.status.value,
                "text": why.words,
                "attachments": [(i.filename or "unnamed", i.size) for i in why.attachments],
                "attachments_enclosed": total <= _NOTIFY_ATTACHMENTS,
                "warnings": list(draft.warnings),
                "commands_help": commands.HELP,
                "reply_marker": REPLY_MARKER,
                "body_marker": "",
            },
        )
        return self._finish(
            "notification",
            f"notify:{why.cause}:{draft.agent.id}",
            about,
            why,
            ring,
            token=token,
            to=(draft.agent.address,),
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            auto=AutoSubmitted.AUTO_GENERATED,
            attachments=_files(why.attachments) if total <= _NOTIFY_ATTACHMENTS else (),
        )

    def _receipt(self, draft: d.Receipt, about: Subject, why: Occasion, ring: KeyRing) -> NewOutgoing:
        token = self._agent_token(draft.agent.id, about.key)
        rendered = self._templates.render(
            "receipt",
            {
                **_common(about),
                "applied": list(draft.applied),
                "rejected": [(r.number, r.line, r.why) for r in draft.rejected],
                "text": draft.text,
                "subject": about.subject,
                "status": about.state.status.value,
                "priority": about.state.priority.value,
                "commands_help": commands.HELP,
                "reply_marker": REPLY_MARKER,
            },
        )
        return self._finish(
            "receipt",
            f"receipt:{why.cause}:{draft.agent.id}",
            about,
            why,
            ring,
            token=token,
            to=(draft.agent.address,),
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            auto=AutoSubmitted.AUTO_REPLIED,
        )

    # ------------------------------------------------------------ what all have in common

    def _agent_token(self, agent_id: int, key: str) -> Token:
        nonce = int.from_bytes(self._ids.token(3), "big")
        return Token(TokenKind.AGENT, key, subject_of(agent_id, nonce))

    def _finish(
        self,
        kind: str,
        cause: str,
        about: Subject,
        why: Occasion,
        ring: KeyRing,
        *,
        token: Token,
        to: tuple[Address, ...],
        subject: str,
        text: str,
        html: str,
        cc: tuple[Address, ...] = (),
        sender_name: str = "",
        auto: AutoSubmitted | None = None,
        capped: bool = False,
        attachments: tuple[OutgoingAttachment, ...] = (),
    ) -> NewOutgoing:
        reference = new_ticket_key(self._ids.token(7))
        message_id = ring.message_id(token, reference, _ascii_domain(about.mailbox))
        known = [i for i in about.message_ids if is_message_id(i)]
        parent = known[-1] if known else ""
        name = f"{sender_name} ({about.mailbox_name})" if sender_name else about.mailbox_name
        data = compose(
            MailDraft(
                from_=Address(name, about.mailbox),
                to=to,
                cc=cc,
                reply_to=Address(name, with_tag(about.mailbox, ring.sign(token))),
                subject=subject,
                message_id=message_id,
                in_reply_to=parent,
                references=bound_references(known[:-1], parent, message_id),
                date=why.now,
                auto=auto,
                text=text,
                html=html,
                loop_mark=loop_mark(ring.current),
                attachments=attachments,
            )
        )
        bounce_to = with_tag(about.mailbox, ring.sign(Token(TokenKind.BOUNCE, about.key, reference)))
        return NewOutgoing(
            cause_key=cause,
            kind=kind,
            automatic=auto is not None,
            capped=capped,
            mailbox=about.mailbox,
            reference=reference,
            envelope_from=bounce_to,
            message_id=message_id,
            subject=subject[:500],
            recipients=tuple(dict.fromkeys(a.address for a in to + cc)),
            data=data,
        )


def subject_of_ticket(facts: TicketFacts, mailbox_name: str, state: TicketState) -> Subject:
    """A ticket as mails see it, in the state that the mails tell of."""
    return Subject(
        facts.key,
        facts.mailbox,
        mailbox_name,
        facts.subject,
        facts.id,
        facts.requester.address,
        tuple(c.address for c in facts.collaborators),
        state,
        facts.message_ids,
    )


def _common(about: Subject) -> dict[str, object]:
    return {
        "ticket_key": display_key(about.key),
        "mailbox_name": about.mailbox_name,
        "mailbox_address": about.mailbox,
    }


def _files(attachments: tuple[Attachment, ...]) -> tuple[OutgoingAttachment, ...]:
    return tuple(
        OutgoingAttachment(a.filename or "attachment", a.content_type, a.content) for a in attachments
    )


def loop_mark(key: Key) -> str:
    """The value of X-Mailbridge-Loop under a key: nobody else can make their mail look like ours."""
    return hmac.digest(key.secret, b"mailbridge\0loop", "sha256")[:10].hex()


def loop_marks(ring: KeyRing) -> frozenset[str]:
    """The marks of all keys that still verify."""
    return frozenset(loop_mark(key) for key in (ring.current, *ring.retired))


def _ascii_domain(address: str) -> str:
    domain = domain_of(address)
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")
