"""Incoming mail: accept it durably, then work on it once.

    accept    one durable commit of bytes, envelope and source; a duplicate is counted, not stored
    claim     a batch of accepted mails, leased
    process   facts -> core.decide -> composed mails -> one commit of ticket, entries, outbox, decision record

Facts are read before the commit; the ticket's version guards them, and a conflict decides anew. An unexpected
failure is quarantined with its name, never bounced, and can be replayed.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from mailbridge.core import decision as d
from mailbridge.core.case import Case, IntakePolicy
from mailbridge.core.decision import QuarantineReason, Reason, Trust, Verdict
from mailbridge.core.facts import Facts, TicketFacts
from mailbridge.core.intake import decide
from mailbridge.core.mail import Classification, Kind, ParsedMail
from mailbridge.core.match import Match, match_keys
from mailbridge.core.ports import Clock, Ids
from mailbridge.core.ticket import Status, TicketState
from mailbridge.core.tokens import KeyRing, new_ticket_key
from mailbridge.service.commit import Receipt, Work, write
from mailbridge.service.facts import read_facts
from mailbridge.service.keys import KeyFile
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.service.mailer import Mailer, Occasion, Subject, loop_marks, subject_of_ticket
from mailbridge.store.engine import Database, StoreUnavailable
from mailbridge.store.inbound import LostClaimError, StoredMail
from mailbridge.store.outbox import CapLimits, NewOutgoing
from mailbridge.store.tickets import ConflictError

_CONFLICTS = 5  # times that a decision is made anew before the mail waits for another round


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The parser could not read this mail: why, from the closed list, and the particulars."""

    why: QuarantineReason
    detail: str


NOTHING_READ = ParsedMail(
    headers=(),
    message_id="",
    from_=(),
    from_fields=0,
    reply_to=(),
    to=(),
    cc=(),
    subject="",
    date=None,
    in_reply_to=(),
    references=(),
    text="",
    reply="",
    html="",
    attachments=(),
    parts=(),
    classification=Classification(Kind.HUMAN, "", "", "not read"),
    bounce=None,
    defects=("not-read",),
)
"""Stands for a mail that could not be parsed."""


class Intake:
    """The use-cases of incoming mail. Synchronous: called from worker threads, never from the event loop."""

    def __init__(
        self,
        database: Database,
        mailboxes: Mailboxes,
        keys: KeyFile,
        mailer: Mailer,
        caps: CapLimits,
        *,
        clock: Clock,
        ids: Ids,
        decide: Callable[[Case], d.Decision] = decide,
    ) -> None:
        self._database = database
        self._mailboxes = mailboxes
        self._keys = keys
        self._mailer = mailer
        self._caps = caps
        self._clock = clock
        self._ids = ids
        self._decide = decide

    def process(self, batch: Sequence[tuple[StoredMail, ParsedMail | Unreadable]]) -> Iterator[Receipt]:
        """Decide and commit each mail of a batch, in order; yields a receipt for each that ended.

        A mail whose decision depends on one before it in the batch waits for that one's commit. Raises
        StoreUnavailable when the database is away: what is not done is claimed again once its lease lapses.
        """
        pending: list[_Pending] = []
        trouble: StoreUnavailable | None = None
        for stored, parsed in batch:
            mail = parsed if isinstance(parsed, ParsedMail) else NOTHING_READ
            if pending and _depends(mail, pending):
                yield from self._settle(pending)
                pending = []
            try:
                pending.append(self._begin(stored, parsed, attempt=1))
            except StoreUnavailable as error:
                trouble = error
                break
        yield from self._settle(pending)
        if trouble is not None:
            raise trouble

    # ------------------------------------------------------------ one mail

    def _begin(self, stored: StoredMail, parsed: ParsedMail | Unreadable, attempt: int) -> _Pending:
        started = time.monotonic()
        try:
            work = self._work(stored, parsed, started)
        except StoreUnavailable:
            raise
        except Exception as error:  # our own fault: kept, named, replayable
            work = self._failed(stored, parsed, error, started)
        future = self._database.submit(partial(write, work=work), size_hint=len(stored.raw))
        return _Pending(stored, parsed, work, future, attempt)

    def _settle(self, pending: Sequence[_Pending]) -> Iterator[Receipt]:
        """Wait for the commits; decide anew where the ticket changed underneath. Trouble is raised last."""
        trouble: StoreUnavailable | None = None
        for item in pending:
            current = item
            while True:
                try:
                    yield current.future.result()
                except ConflictError:
                    if current.attempt < _CONFLICTS:
                        current = self._begin(current.stored, current.parsed, current.attempt + 1)
                        continue
                except LostClaimError:
                    pass
                except StoreUnavailable as error:
                    trouble = error
                except Exception as error:
                    if current.attempt <= _CONFLICTS:
                        work = self._failed(current.stored, current.parsed, error, time.monotonic())
                        future = self._database.submit(partial(write, work=work))
                        current = replace(current, work=work, future=future, attempt=_CONFLICTS + 1)
                        continue
                    raise
                break
        if trouble is not None:
            raise trouble

    def _work(self, stored: StoredMail, parsed: ParsedMail | Unreadable, started: float) -> Work:
        now = self._clock.now()
        if isinstance(parsed, Unreadable):
            return self._as_work(stored, NOTHING_READ, _apart(parsed.why, parsed.detail), (), "", started)
        ring = self._keys.load()
        policy = replace(self._mailboxes.policy(stored.mailbox), loop_marks=loop_marks(ring))
        keys = match_keys(parsed, stored.envelope.rcpt_to, policy.own, ring)
        facts = self._database.read(lambda conn: read_facts(conn, parsed, keys, ring))
        case = Case(stored.mailbox, stored.envelope, parsed, keys, facts, policy, now)
        decision = self._decide(case)
        key = new_ticket_key(self._ids.token(7)) if isinstance(decision, d.OpenTicket) else ""
        outgoing = self._compose(stored, parsed, decision, key, facts, policy, ring)
        return self._as_work(stored, parsed, decision, outgoing, key, started)

    def _compose(
        self,
        stored: StoredMail,
        mail: ParsedMail,
        decision: d.Decision,
        key: str,
        facts: Facts,
        policy: IntakePolicy,
        ring: KeyRing,
    ) -> tuple[NewOutgoing, ...]:
        if isinstance(decision, d.Quarantine) or not decision.drafts:
            return ()
        about = self._subject(stored, mail, decision, key)
        words = mail.reply
        if isinstance(decision, d.Append):
            words = decision.words
        occasion = Occasion(
            cause=f"inbound:{stored.id}",
            now=self._clock.now(),
            words=words,
            attachments=mail.attachments,
            verified=decision.verdict.trust is Trust.VERIFIED,
        )
        made = []
        for draft in decision.drafts:
            why = occasion
            if isinstance(draft, d.Answer) and isinstance(decision, d.Append):
                # Below the agent's words stand those that they answer.
                ticket = decision.ticket
                why = replace(occasion, words=ticket.last_customer_text, author=str(ticket.requester.address))
            made.append(self._mailer.make(draft, about, why, ring))
        return tuple(made)

    def _subject(
        self, stored: StoredMail, mail: ParsedMail, decision: d.OpenTicket | d.Append | d.Reject, key: str
    ) -> Subject:
        if isinstance(decision, d.OpenTicket):
            state = TicketState(Status.OPEN, decision.priority)
            return Subject(
                key,
                stored.mailbox,
                self._mailboxes.name(stored.mailbox),
                mail.subject,
                None,
                decision.requester,
                decision.collaborators,
                state,
                (mail.message_id,) if mail.message_id else (),
            )
        ticket: TicketFacts = decision.ticket
        ids = ticket.message_ids
        if isinstance(decision, d.Append) and decision.entry_kind == "mail" and mail.message_id:
            ids += (mail.message_id,)
        state = decision.state if isinstance(decision, d.Append) else ticket.state
        about = subject_of_ticket(ticket, self._mailboxes.name(ticket.mailbox), state)
        return replace(about, message_ids=ids)

    def _as_work(
        self,
        stored: StoredMail,
        mail: ParsedMail,
        decision: d.Decision,
        outgoing: tuple[NewOutgoing, ...],
        key: str,
        started: float,
    ) -> Work:
        state = TicketState(Status.OPEN, self._mailboxes.policy(stored.mailbox).default_priority)
        if isinstance(decision, d.OpenTicket):
            state = replace(state, priority=decision.priority)
        spent = round((time.monotonic() - started) * 1000)
        return Work(stored, mail, decision, outgoing, key, state, self._caps, self._clock.now(), spent)

    def _failed(
        self, stored: StoredMail, parsed: ParsedMail | Unreadable, error: Exception, started: float
    ) -> Work:
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
        detail = f"{type(error).__name__}: {str(error)[:300]}{where}"
        mail = parsed if isinstance(parsed, ParsedMail) else NOTHING_READ
        return self._as_work(stored, mail, _apart(QuarantineReason.INTERNAL, detail), (), "", started)


@dataclass(frozen=True, slots=True)
class _Pending:
    stored: StoredMail
    parsed: ParsedMail | Unreadable
    work: Work
    future: Future[Receipt]
    attempt: int


def _apart(why: QuarantineReason, detail: str) -> d.Quarantine:
    verdict = Verdict(Reason.QUARANTINED, Match(None, None, ()), Trust.UNVERIFIED)
    return d.Quarantine(verdict, why, detail)


def _depends(mail: ParsedMail, pending: Sequence[_Pending]) -> bool:
    """Whether the mail may concern a ticket that the pending ones are just about to make or change."""
    named = set(mail.in_reply_to) | set(mail.references)
    sender = mail.sender.key if mail.sender else ""
    for item in pending:
        before = item.work.mail
        if before.message_id and before.message_id in named:
            return True
        if isinstance(item.work.decision, d.Append | d.Reject) and (
            named or (before.sender is not None and before.sender.key == sender)
        ):
            return True
    return False
