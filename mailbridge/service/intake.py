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
from mailbridge.core.agent_words import sendable
from mailbridge.core.case import Case
from mailbridge.core.decision import QuarantineReason, Reason, Trust, Verdict
from mailbridge.core.facts import Facts, TicketFacts
from mailbridge.core.intake import decide
from mailbridge.core.mail import Classification, Kind, ParsedMail
from mailbridge.core.match import Match, match_keys
from mailbridge.core.ports import Clock, Ids
from mailbridge.core.text import one_line
from mailbridge.core.ticket import Status, TicketState
from mailbridge.core.tokens import KeyRing, new_ticket_key
from mailbridge.service.commit import Receipt, Work, write
from mailbridge.service.facts import Asked, read_facts
from mailbridge.service.keys import KeyFile, KeyFileError
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.service.mailer import Mailer, Occasion, Subject, loop_marks, subject_of_ticket
from mailbridge.store.engine import Connection, Database, StoreUnavailable
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

        As many as do not depend on each other are committed together; if that fails they are done one by one.
        Raises StoreUnavailable when the database is away: what is not done is claimed again once its lease
        lapses.
        """
        items = [self._item(stored, parsed) for stored, parsed in batch]
        facts = self._facts(items)
        together: list[_Decided] = []
        trail = _Trail()
        for item, known in zip(items, facts, strict=True):
            if trail.names(item.mail):
                # It answers a mail of this batch, so what was read before that one's commit is too old.
                yield from self._settle(together)
                together, known = [], None
            decided = self._decided(item, known)
            if decided.ticket_id in trail.tickets:
                yield from self._settle(together)
                together = []
                decided = self._decided(item)
            trail.add(decided)
            together.append(decided)
        yield from self._settle(together)

    def _facts(self, items: Sequence[_Item]) -> list[Facts | None]:
        """What the decisions need to know, read at once. None where that is to be tried again, alone."""
        readable = [item for item in items if item.asked is not None]
        try:
            ring = self._keys.load()
            asked = [item.asked for item in readable if item.asked is not None]
            found = iter(self._database.read(lambda conn: read_facts(conn, asked, ring)))
        except StoreUnavailable:
            raise
        except Exception:  # told for the mail it is about, when that is done alone
            return [None] * len(items)
        return [next(found) if item.asked is not None else None for item in items]

    # ------------------------------------------------------------ one mail

    def _item(self, stored: StoredMail, parsed: ParsedMail | Unreadable) -> _Item:
        if isinstance(parsed, Unreadable):
            return _Item(stored, parsed, NOTHING_READ, None)
        try:
            own = self._mailboxes.policy(stored.mailbox).own
            keys = match_keys(parsed, stored.envelope.rcpt_to, own, self._keys.load())
        except Exception:  # decided alone it fails again, and is kept apart under the failure's name
            return _Item(stored, parsed, parsed, None)
        return _Item(stored, parsed, parsed, Asked(parsed, keys))

    def _decided(self, item: _Item, facts: Facts | None = None) -> _Decided:
        """The decision of one mail, by these facts or by fresh ones."""
        started = time.monotonic()
        try:
            return _Decided(item, self._work(item, facts, started))
        except StoreUnavailable:
            raise
        except KeyFileError as error:  # the data folder is away: it is not this mail's fault
            raise StoreUnavailable(str(error)) from error
        except Exception as error:  # our own fault: kept, named, replayable
            return _Decided(item, self._failed(item, error, started))

    def _submit(self, decided: Sequence[_Decided]) -> Future[list[Receipt]]:
        works = [each.work for each in decided]
        return self._database.submit(
            partial(write, works=works), size_hint=sum(len(work.stored.raw) for work in works)
        )

    def _settle(self, together: Sequence[_Decided]) -> Iterator[Receipt]:
        """Commit these as one; whatever goes wrong with that, each by itself. Trouble is raised last."""
        if not together:
            return
        trouble: StoreUnavailable | None = None
        if len(together) > 1:
            try:
                yield from self._submit(together).result()
            except StoreUnavailable:
                raise
            except Exception:  # noqa: S110  (one of them is at fault: done alone, it will say so itself)
                pass
            else:
                return
        for each in together:
            try:
                yield from self._settle_alone(each)
            except StoreUnavailable as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def _settle_alone(self, decided: _Decided) -> Iterator[Receipt]:
        """Commit one; decide anew where the ticket changed underneath."""
        for attempt in range(1, _CONFLICTS + 2):
            try:
                yield from self._submit((decided,)).result()
            except ConflictError:
                if attempt >= _CONFLICTS:
                    return  # it is claimed again once its lease lapses
                decided = self._decided(decided.item)
            except LostClaimError:
                return
            except StoreUnavailable:
                raise
            except Exception as error:
                if decided.failed:
                    raise
                decided = _Decided(decided.item, self._failed(decided.item, error, time.monotonic()), True)
            else:
                return

    def _work(self, item: _Item, facts: Facts | None, started: float) -> Work:
        stored, parsed = item.stored, item.parsed
        if isinstance(parsed, Unreadable):
            return self._as_work(stored, NOTHING_READ, _apart(parsed.why, parsed.detail), (), "", started)
        now = self._clock.now()
        ring = self._keys.load()
        policy = replace(self._mailboxes.policy(stored.mailbox), loop_marks=loop_marks(ring))
        asked = item.asked
        if asked is None or facts is None:
            asked = Asked(parsed, match_keys(parsed, stored.envelope.rcpt_to, policy.own, ring))
            facts = self._database.read(partial(_facts_of_one, asked=asked, ring=ring))
        case = Case(stored.mailbox, stored.envelope, parsed, asked.keys, facts, policy, now)
        decision = self._decide(case)
        key = new_ticket_key(self._ids.token(7)) if isinstance(decision, d.OpenTicket) else ""
        outgoing = self._compose(stored, parsed, decision, key, ring)
        return self._as_work(stored, parsed, decision, outgoing, key, started)

    def _compose(
        self,
        stored: StoredMail,
        mail: ParsedMail,
        decision: d.Decision,
        key: str,
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
                why = replace(
                    occasion,
                    words=ticket.last_customer_text,
                    author=str(ticket.requester.address),
                    attachments=sendable(mail.attachments),
                )
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

    def _failed(self, item: _Item, error: Exception, started: float) -> Work:
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
        # Cleaned, since what the bug choked on may be what the database will not take either.
        detail = f"{type(error).__name__}: {one_line(str(error), 300)}{where}"
        return self._as_work(
            item.stored, item.mail, _apart(QuarantineReason.INTERNAL, detail), (), "", started
        )


@dataclass(frozen=True, slots=True)
class _Item:
    """A mail to be decided on. `asked` is None when its evidence could not be gathered, or nothing was read."""

    stored: StoredMail
    parsed: ParsedMail | Unreadable
    mail: ParsedMail
    asked: Asked | None


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision ready to be written. `failed`: it only keeps apart what could not be written otherwise."""

    item: _Item
    work: Work
    failed: bool = False

    @property
    def ticket_id(self) -> int | None:
        """The ticket that was there before and that this changes or tells about."""
        decision = self.work.decision
        return decision.ticket.id if isinstance(decision, d.Append | d.Reject) else None


class _Trail:
    """What the mails of a batch so far have made or changed: facts read before them do not know of it."""

    def __init__(self) -> None:
        self.tickets: set[int] = set()
        self._message_ids: set[str] = set()

    def add(self, decided: _Decided) -> None:
        """Note one more."""
        if decided.ticket_id is not None:
            self.tickets.add(decided.ticket_id)
        if decided.item.mail.message_id:
            self._message_ids.add(decided.item.mail.message_id)

    def names(self, mail: ParsedMail) -> bool:
        """Whether a mail names one of them."""
        return not self._message_ids.isdisjoint((*mail.in_reply_to, *mail.references))


def _facts_of_one(conn: Connection, asked: Asked, ring: KeyRing) -> Facts:
    return read_facts(conn, (asked,), ring)[0]


def _apart(why: QuarantineReason, detail: str) -> d.Quarantine:
    verdict = Verdict(Reason.QUARANTINED, Match(None, None, ()), Trust.UNVERIFIED)
    return d.Quarantine(verdict, why, detail)
