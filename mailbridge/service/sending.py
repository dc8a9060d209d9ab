"""Outgoing mail: claim what is due, write down what became of it, tell the ticket when it failed.

    claim -> (edge submits) -> record | put_back

The same bytes and Message-ID go out on every attempt. When an agent's answer finally fails, the ticket is
flagged and its clock stops, as a bounce would do it, and the agents are told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from mailbridge.core import decision as d
from mailbridge.core.facts import AgentFacts, TicketFacts
from mailbridge.core.outgoing import Deferred, Delivered, RecipientResult, Refused, Unknown
from mailbridge.core.ports import Clock
from mailbridge.core.retry import GiveUp, RetryAt, RetryPolicy, Sent, StayUnknown, next_step
from mailbridge.core.ticket import Applied, Change, MailBounced, TicketState, apply
from mailbridge.service.keys import KeyFile
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.service.mailer import Mailer, Occasion, subject_of_ticket
from mailbridge.store import outbox, people, tickets
from mailbridge.store.engine import Connection, Database
from mailbridge.store.outbox import CapLimits, Claimed, NewOutgoing, Outcome

_NEVER_CAPPED = CapLimits(0, 0, 0, 0, 0)  # notices to agents are not counted


@dataclass(frozen=True, slots=True)
class SendingReceipt:
    """What became of one mail in one attempt, for the log."""

    outbox_id: int
    kind: str
    states: Mapping[str, str]
    replies: Mapping[str, str]
    retry_at: datetime | None


class Sending:
    """The use-cases of outgoing mail. Synchronous: called from worker threads."""

    def __init__(
        self,
        database: Database,
        mailboxes: Mailboxes,
        keys: KeyFile,
        mailer: Mailer,
        policy: RetryPolicy,
        *,
        clock: Clock,
        lease: timedelta,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),
    ) -> None:
        self._database = database
        self._mailboxes = mailboxes
        self._keys = keys
        self._mailer = mailer
        self._policy = policy
        self._clock = clock
        self._lease = lease
        self._jitter = jitter

    def claim(self, limit: int) -> list[Claimed]:
        """Mails to send now, leased."""
        now = self._clock.now()
        return self._database.write(lambda conn: outbox.claim(conn, now=now, lease=self._lease, limit=limit))

    def recover(self, but: Collection[int]) -> int:
        """Queue again what is claimed and not in our hands (those are `but`): how many mails.

        A claim whose COMMIT was answered with an error may stand all the same, and nobody knows of it. Does
        nothing where other nodes may hold claims: there they lapse by time.
        """
        if self._database.dialect != "sqlite":
            return 0
        now = self._clock.now()
        return self._database.write(lambda conn: outbox.release_leases(conn, now, but))

    def next_due(self) -> datetime | None:
        """When the next mail wants to be tried."""
        return self._database.read(outbox.next_due)

    def put_back(self, items: Sequence[Claimed], why: str, delay: timedelta) -> None:
        """The smarthost was not there: it counts against none of them."""
        now = self._clock.now()
        self._database.write(lambda conn: outbox.put_back(conn, items, why, now + delay, now))

    def record(self, item: Claimed, results: Mapping[str, RecipientResult]) -> SendingReceipt:
        """Write down the result of each recipient, and what follows from it."""
        now = self._clock.now()
        outcomes: list[Outcome] = []
        retries: list[datetime] = []
        for address, result in results.items():
            step = next_step(
                result,
                item.attempts,
                item.created_at,
                now,
                self._policy,
                self._jitter(),
                unknown_before=address in item.unknown,
            )
            said = _words(result)
            match step:
                case Sent():
                    outcomes.append(Outcome(address, "sent", said))
                case RetryAt(when):
                    retries.append(when)
                    state = "unknown" if isinstance(result, Unknown) else "retry"
                    outcomes.append(Outcome(address, state, said))
                case StayUnknown(why):
                    outcomes.append(Outcome(address, "unknown", why))
                case GiveUp(why):
                    outcomes.append(Outcome(address, "failed", why))
                case _:
                    assert_never(step)
        retry_at = min(retries, default=None)
        failed = [o for o in outcomes if o.state == "failed"]
        if failed and item.ticket_id is not None:
            self._record_failure(item, item.ticket_id, outcomes, failed, retry_at, now)
        else:
            self._database.write(lambda conn: outbox.record(conn, item, outcomes, retry_at, now))
        return SendingReceipt(
            item.id,
            item.kind,
            {o.address: o.state for o in outcomes},
            {o.address: o.reply for o in outcomes},
            retry_at,
        )

    def _record_failure(
        self,
        item: Claimed,
        ticket_id: int,
        outcomes: Sequence[Outcome],
        failed: Sequence[Outcome],
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """A mail of a ticket will not arrive: an entry says so; an answer's loss also stops the clock."""
        ring = self._keys.load()
        words = "\n".join(f"{o.address}: {o.reply}" for o in failed)
        text = f"Our mail ({item.kind}) could not be delivered.\n{words}"
        for _ in range(5):
            facts, agents = self._database.read(lambda conn: _ticket_and_agents(conn, ticket_id))
            state = facts.state
            changes: tuple[Change, ...] = ()
            answer = apply(state, MailBounced(failed[0].address, question=item.kind == "answer"), now)
            if isinstance(answer, Applied):
                state, changes = answer.state, answer.changes
            about = subject_of_ticket(facts, self._mailboxes.name(facts.mailbox), state)
            occasion = Occasion(f"failed:{item.id}:{item.attempts}", now, text)
            notices: list[NewOutgoing] = []
            if item.kind != "notification":  # a lost notice makes no further notices
                notices = [
                    self._mailer.make(
                        d.Notify(agent, d.News.BOUNCE, "the mail system", (f"not delivered: {words}",)),
                        about,
                        occasion,
                        ring,
                    )
                    for agent in agents
                    if agent.serves(facts.mailbox)
                ]
            loss = _Loss(item, tuple(outcomes), retry_at, facts, state, changes, text, tuple(notices))
            try:
                self._database.write(partial(_write_loss, loss=loss, now=now))
            except tickets.ConflictError:
                continue
            return
        self._database.write(lambda conn: outbox.record(conn, item, outcomes, retry_at, now))


@dataclass(frozen=True, slots=True)
class _Loss:
    """All that is written when a mail of a ticket is lost."""

    item: Claimed
    outcomes: tuple[Outcome, ...]
    retry_at: datetime | None
    facts: TicketFacts
    state: TicketState
    changes: tuple[Change, ...]
    text: str
    notices: tuple[NewOutgoing, ...]


def _write_loss(conn: Connection, loss: _Loss, now: datetime) -> None:
    if not outbox.record(conn, loss.item, loss.outcomes, loss.retry_at, now):
        return
    number = loss.facts.id
    tickets.update_ticket(conn, loss.facts, loss.state, now)
    entry = tickets.NewEntry(kind="bounce", channel="smtp", at=now, reply=loss.text)
    entry_id = tickets.insert_entry(conn, number, entry)
    tickets.insert_events(conn, number, loss.changes, channel="smtp", now=now)
    for notice in loss.notices:
        outbox.add(conn, notice, ticket_id=number, entry_id=entry_id, now=now, caps=_NEVER_CAPPED)


def _ticket_and_agents(conn: Connection, ticket_id: int) -> tuple[TicketFacts, tuple[AgentFacts, ...]]:
    return tickets.by_id(conn, ticket_id), people.agents(conn)


def _words(result: RecipientResult) -> str:
    """What the other side said, for the list of outgoing mail."""
    match result:
        case Delivered(reply):
            return reply
        case Refused(code, _, text):
            return f"{code} {text}".strip()
        case Deferred(code, text):
            return text if code is None else f"{code} {text}".strip()
        case Unknown(text):
            return f"outcome unknown: {text}"
    assert_never(result)
