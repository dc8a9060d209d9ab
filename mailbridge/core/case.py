"""One mail and all that is known about it, and the small answers that several rules need. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbridge.core import decision as d
from mailbridge.core.address import is_valid
from mailbridge.core.decision import News, QuarantineReason, Reason, Trust, Verdict
from mailbridge.core.facts import Facts, TicketFacts
from mailbridge.core.mail import Address, Envelope, Kind, ParsedMail
from mailbridge.core.match import SIGNED, Match, MatchKeys, resolve
from mailbridge.core.ticket import (
    Answer,
    Applied,
    AutomaticMail,
    Change,
    Event,
    MailBounced,
    Priority,
    Redirected,
    Status,
    TicketState,
    apply,
)

AUTOMATIC = frozenset({Kind.AUTO_REPLY, Kind.MAILING_LIST, Kind.CHALLENGE, Kind.FEEDBACK_REPORT, Kind.BOUNCE})


@dataclass(frozen=True, slots=True)
class PriorityRule:
    """A rule of the rules file: all conditions that are given must hold; the first rule that does wins."""

    priority: Priority
    subject_tags: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    """Addresses, or @domain; case folded."""
    organisations: tuple[str, ...] = ()
    mailboxes: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """The settings that decisions about incoming mail depend on."""

    own: frozenset[str]
    """Every address of ours, case folded."""
    default_priority: Priority
    acknowledge: bool
    notify: frozenset[str]
    """Of 'new', 'reply', 'answer'."""
    rules: tuple[PriorityRule, ...] = ()
    reopen_within: timedelta | None = None
    loop_marks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """One mail and all that is known about it."""

    mailbox: str
    envelope: Envelope
    mail: ParsedMail
    keys: MatchKeys
    facts: Facts
    policy: IntakePolicy
    now: datetime

    @property
    def sender(self) -> Address | None:
        """The author, when there is exactly one clean and valid From."""
        author = self.mail.sender
        return author if author is not None and is_valid(author.address) else None

    @property
    def kind(self) -> Kind:
        """The kind of the mail; what comes through a list that is our own mailbox is a person's word."""
        kind = self.mail.classification.kind
        if kind is Kind.MAILING_LIST and self._through_our_own_list():
            return Kind.HUMAN
        return kind

    def _through_our_own_list(self) -> bool:
        # RFC 2369 List-Post: <mailto:support@desk.example>; RFC 2919 List-Id: <support.desk.example>
        named = f"{self.mail.header('List-Post')} {self.mail.header('List-Id')}".casefold()
        return any(
            f"mailto:{address}>" in named or f"<{address.replace('@', '.')}>" in named
            for address in self.policy.own
        )

    @property
    def match(self) -> Match:
        """What the ladder says."""
        return resolve(self.keys, self.facts, self.sender.key if self.sender else None)


def apply_event(case: Case, ticket: TicketFacts, event: Event) -> tuple[TicketFacts, Answer]:
    """Apply to the ticket, or to the one that lives on in its place (each hop once: no endless chain)."""
    seen = set[int]()
    answer: Answer = apply(ticket.state, event, case.now, reopen_within=case.policy.reopen_within)
    while isinstance(answer, Redirected):
        seen.add(ticket.id)
        survivor = case.facts.by_id.get(answer.to)
        if survivor is None or survivor.id in seen:
            return ticket, _on_broken_chain(ticket.state, event, case.now)
        ticket = survivor
        answer = apply(ticket.state, event, case.now, reopen_within=case.policy.reopen_within)
    return ticket, answer


def _on_broken_chain(state: TicketState, event: Event, now: datetime) -> Answer:
    """Merged into nothing that can be found: people's words are kept where they were written, as open work."""
    if isinstance(event, AutomaticMail | MailBounced):
        return Applied(state)
    opened = replace(
        TicketState(Status.OPEN, state.priority),
        pending_epoch=state.pending_epoch,
        flag="its merge leads nowhere",
    )
    answer = apply(opened, event, now)
    if not isinstance(answer, Applied):
        return answer
    first = Change("status", state.status, opened.status, opened.flag)
    return Applied(answer.state, (first, *answer.changes))


def trust_in(match: Match) -> Trust:
    if match.ticket is None:
        return Trust.UNVERIFIED
    return Trust.VERIFIED if match.rule in SIGNED else Trust.PLAUSIBLE


def quarantine(
    case: Case, why: QuarantineReason, detail: str, ticket: TicketFacts | None = None
) -> d.Quarantine:
    match = case.match
    return d.Quarantine(
        Verdict(Reason.QUARANTINED, match, Trust.UNVERIFIED), why, detail, ticket or match.ticket
    )


def notify(
    case: Case,
    ticket: TicketFacts | None,
    news: News,
    by: str,
    *,
    but: int | None = None,
    warnings: tuple[str, ...] = (),
) -> tuple[d.Draft, ...]:
    wanted = {
        News.NEW: "new",
        News.REPLY: "reply",
        News.REOPENED: "reply",
        News.ANSWERED: "answer",
        News.NOTE: "answer",
    }.get(news)
    if wanted is not None and wanted not in case.policy.notify:
        return ()
    mailbox = ticket.mailbox if ticket else case.mailbox
    return tuple(
        d.Notify(agent, news, by, warnings)
        for agent in case.facts.agents
        if agent.serves(mailbox) and agent.id != but
    )
