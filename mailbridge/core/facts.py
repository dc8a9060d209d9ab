"""What the store knows that one decision may use. Read in one go, before deciding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailbridge.core.mail import Address
from mailbridge.core.ticket import TicketState


@dataclass(frozen=True, slots=True)
class Person:
    """A contact: id, address as first written, and its organisation's name ('' if none)."""

    id: int
    address: Address
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """An active agent. `mailboxes` empty means all."""

    id: int
    address: Address
    mailboxes: frozenset[str] = frozenset()

    def serves(self, mailbox: str) -> bool:
        """Whether this agent is told about tickets of that mailbox."""
        return not self.mailboxes or mailbox in self.mailboxes


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """A ticket as it stands. `version` guards the commit: another change in between makes us decide anew."""

    id: int
    key: str
    mailbox: str
    subject: str
    state: TicketState
    requester: Person
    collaborators: tuple[Person, ...]
    version: int
    message_ids: tuple[str, ...] = ()
    """Of its public entries, oldest first; at most the first 4 and the last 6."""
    last_customer_text: str = ""
    """The requester's latest words, to be quoted below an answer."""

    def has_participant(self, address_key: str) -> bool:
        """Whether the (case folded) address is the requester's or a collaborator's."""
        return self.requester.address.key == address_key or any(
            c.address.key == address_key for c in self.collaborators
        )


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail of ours in the outbox, found by its reference or Message-ID."""

    id: int
    reference: str
    kind: str
    ticket_key: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Candidate tickets by public key (with the survivors of merged ones), and who the sender is."""

    tickets: Mapping[str, TicketFacts] = field(default_factory=dict)
    by_id: Mapping[int, TicketFacts] = field(default_factory=dict)
    by_message_id: Mapping[str, str] = field(default_factory=dict)
    """A stored Message-ID (theirs or ours) to the key of its ticket."""
    sender: Person | None = None
    organisation: str = ""
    """The sender's organisation, by contact or by domain; '' if none."""
    agents: tuple[AgentFacts, ...] = ()
    sent: Mapping[str, SentMail] = field(default_factory=dict)
    """Our mails by reference, for bounces."""
    own_message_ids: frozenset[str] = frozenset()
    """Those of the asked Message-IDs that are ours (our own mail came back)."""

    def agent_by_address(self, address_key: str) -> AgentFacts | None:
        """The active agent with that (case folded) address."""
        return next((a for a in self.agents if a.address.key == address_key), None)

    def agent_by_id(self, agent_id: int) -> AgentFacts | None:
        """The active agent with that id."""
        return next((a for a in self.agents if a.id == agent_id), None)
