"""The vocabulary of decisions about incoming mail: what is to be written, and which mails are to be made.

A Decision is data. The service composes its drafts and commits everything in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailbridge.core.commands import Rejected
from mailbridge.core.facts import AgentFacts, SentMail, TicketFacts
from mailbridge.core.mail import Address, Bounce
from mailbridge.core.match import Match
from mailbridge.core.ticket import Change, Priority, TicketState


class Trust(StrEnum):
    """How sure we are of the author (DESIGN §3)."""

    VERIFIED = "verified"
    """Our token in the hands of the person that it was given to."""
    PLAUSIBLE = "plausible"
    """A known participant who answers a mail of the conversation."""
    UNVERIFIED = "unverified"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a mail was decided as it was: closed list, shown by `explain` and in the log."""

    NEW_REQUEST = "new-request"
    CLAIMS_TO_BELONG = "claims-to-belong"
    FOLLOW_UP = "follow-up"
    CUSTOMER_REPLY = "customer-reply"
    REOPENED = "reopened"
    AUTOMATIC_NOTED = "automatic-noted"
    BOUNCE_NOTED = "bounce-noted"
    QUESTION_BOUNCED = "question-bounced"
    AGENT_ANSWER = "agent-answer"
    AGENT_NOTE = "agent-note"
    AGENT_COMMANDS = "agent-commands"
    COMMANDS_REJECTED = "commands-rejected"
    QUARANTINED = "quarantined"


class QuarantineReason(StrEnum):
    """Why a mail is kept apart: closed list."""

    TOO_COMPLEX = "too-complex"
    CRASHES_PARSER = "crashes-parser"
    PARSER_TIMEOUT = "parser-timeout"
    PARSER_MEMORY = "parser-memory"
    NO_IDENTITY = "no-identity"
    AGENT_UNVERIFIED = "agent-unverified"
    LOOP = "loop"
    AUTOMATIC = "automatic"
    """Automatic mail that belongs to no ticket."""
    BLANK = "blank"
    INTERNAL = "internal"
    """Our own fault: the detail names it; replay it once it is mended."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What every decision says of its mail."""

    reason: Reason
    match: Match
    trust: Trust


# ---------------------------------------------------------------- drafts: mails to be made


class News(StrEnum):
    """What an agent is told about."""

    NEW = "new request"
    REPLY = "reply"
    REOPENED = "reopened"
    ANSWERED = "answered"
    AUTOMATIC = "automatic mail"
    BOUNCE = "bounce"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the requester that we have it."""

    to: Address


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell one agent."""

    agent: AgentFacts
    news: News
    by: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's words to the requester and collaborators."""

    agent: AgentFacts
    text: str


@dataclass(frozen=True, slots=True)
class TellSolved:
    """Tell the requester that it is solved, when the agent sent no words along."""

    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Tell the agent which lines were applied, or why none was."""

    agent: AgentFacts
    applied: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    text: str = ""
    """The words that were not sent, so that they can be sent again."""


Draft = Acknowledge | Notify | Answer | TellSolved | Receipt


# ---------------------------------------------------------------- decisions


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A new ticket."""

    verdict: Verdict
    requester: Address
    collaborators: tuple[Address, ...]
    priority: Priority
    by_rule: str
    """The rule that set the priority; '' when it is the mailbox's default."""
    claims: TicketFacts | None
    follow_up_of: TicketFacts | None
    drafts: tuple[Draft, ...]
    withheld: str = ""
    """Why no acknowledgement goes out; '' if one does or none is configured."""


@dataclass(frozen=True, slots=True)
class Append:
    """An entry on a ticket, and the state it leads to."""

    verdict: Verdict
    ticket: TicketFacts
    """Where it is stored: the survivor, if the mail was written to a merged ticket."""
    via: TicketFacts | None
    """The merged ticket that it was written to."""
    entry_kind: str
    """mail, reply, note, automatic or bounce."""
    agent: AgentFacts | None
    words: str
    """What is shown and sent on."""
    state: TicketState
    changes: tuple[Change, ...]
    collaborators: tuple[Address, ...]
    """New ones."""
    drafts: tuple[Draft, ...]
    sent: SentMail | None = None
    """The mail that bounced."""
    bounce: Bounce | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """An agent's commands that cannot be done: nothing changes, a receipt goes back."""

    verdict: Verdict
    ticket: TicketFacts
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Keep it apart, named and replayable."""

    verdict: Verdict
    why: QuarantineReason
    detail: str
    ticket: TicketFacts | None = None


Decision = OpenTicket | Append | Reject | Quarantine
