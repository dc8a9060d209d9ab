"""What planning looks at: a ticket's clock, and what has fired for it already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from mailbridge.core.ticket import Priority, Status
from mailbridge.core.ticket import Step as TimerStep


class ActionKind(StrEnum):
    """What a policy does to a ticket."""

    REMIND = "remind"
    """A mail to the requester."""
    RESOLVE = "resolve"
    """Solved as unresponsive, with a mail to the requester."""
    SLA_WARN = "sla_warn"
    """Agents are told that a response will soon be late."""
    SLA_BREACH = "sla_breach"
    """Agents are told that a response is late."""
    NUDGE = "nudge"
    """Agents are reminded of a ticket on hold."""

    @property
    def to_customer(self) -> bool:
        """Whether it mails the customer: then quiet hours and doubts about our mail hold it back."""
        return self in (ActionKind.REMIND, ActionKind.RESOLVE)

    @property
    def timer(self) -> TimerStep:
        """What the state machine of tickets calls it."""
        match self:
            case ActionKind.REMIND:
                return TimerStep.REMIND
            case ActionKind.RESOLVE:
                return TimerStep.RESOLVE
            case ActionKind.SLA_WARN | ActionKind.SLA_BREACH:
                return TimerStep.ESCALATE
            case ActionKind.NUDGE:
                return TimerStep.NUDGE
        assert_never(self)


class Hold(StrEnum):
    """Why silence may not be the requester's: no reminder and no resolve meanwhile."""

    QUESTION_BOUNCED = "our last question bounced"
    QUESTION_UNSENT = "our last question has not been sent yet"
    MAIL_IN_QUARANTINE = "a mail of this ticket is in quarantine"


@dataclass(frozen=True, slots=True)
class Fired:
    """One action that was carried out. (ticket, key) is unique."""

    key: str
    kind: ActionKind
    step_index: int
    epoch: int
    fired_at: datetime
    delivered_at: datetime | None = None
    """When the requester's mail server took the reminder; None: not yet, or never."""
    failed: bool = False
    """It was given up or refused: it will never be delivered."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which a ticket was pending or on hold: no response was owed."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class TicketClock:
    """All of a ticket that planning looks at. Times are aware UTC."""

    status: Status
    priority: Priority
    mailbox: str
    opened_at: datetime
    organisation: str = ""
    pending_since: datetime | None = None
    pending_epoch: int = 0
    on_hold_since: datetime | None = None
    first_response_at: datetime | None = None
    unanswered_since: datetime | None = None
    """The first words of the customer that no agent has answered; None when all are."""
    pauses: tuple[Pause, ...] = ()
    """In order, not overlapping; those since `opened_at` or `unanswered_since` matter."""
    fired: tuple[Fired, ...] = ()
    flag: str = ""
    holds: frozenset[Hold] = frozenset()

    @property
    def reminders(self) -> tuple[Fired, ...]:
        """The reminders of this epoch, in the order of their steps."""
        found = (f for f in self.fired if f.kind is ActionKind.REMIND and f.epoch == self.pending_epoch)
        return tuple(sorted(found, key=lambda f: f.step_index))

    def has_fired(self, key: str) -> bool:
        """Whether that action was carried out."""
        return any(f.key == key for f in self.fired)
