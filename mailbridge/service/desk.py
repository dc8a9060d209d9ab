"""What people do to tickets from the command line: the same events as by mail, one commit each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from mailbridge.core import decision as d
from mailbridge.core.address import is_valid
from mailbridge.core.facts import AgentFacts, TicketFacts
from mailbridge.core.mail import Address
from mailbridge.core.ports import Clock, Ids
from mailbridge.core.ticket import (
    AgentAnswered,
    AgentCommanded,
    Applied,
    Change,
    Command,
    Event,
    Merged,
    Redirected,
    Refused,
    SetStatus,
    Status,
    TicketState,
    apply,
)
from mailbridge.core.tokens import display_key, new_ticket_key, parse_key
from mailbridge.service.keys import KeyFile
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.service.mailer import Mailer, Occasion, subject_of_ticket
from mailbridge.store import merges, outbox, people, tickets, views
from mailbridge.store.engine import Connection, Database
from mailbridge.store.outbox import CapLimits, NewOutgoing


class NotPossibleError(Exception):
    """What was asked cannot be done; the text says why, in words for the person who asked."""


@dataclass(frozen=True, slots=True)
class Done:
    """A ticket after an act: its key, its state, what changed."""

    key: str
    state: TicketState
    changes: tuple[Change, ...]
    outbox: tuple[str, ...] = ()
    """Message-IDs of the mails queued."""


class Desk:
    """The use-cases of people who answer. Synchronous. `by` names who acts, for the history."""

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
    ) -> None:
        self._database = database
        self._mailboxes = mailboxes
        self._keys = keys
        self._mailer = mailer
        self._caps = caps
        self._clock = clock
        self._ids = ids

    def find(self, reference: str) -> TicketFacts:
        """The ticket of a number or key as people type them. NotPossibleError when there is none."""
        return find_ticket(self._database, reference)

    def agent(self, address: str) -> AgentFacts:
        """The active agent with that address. NotPossibleError when there is none."""
        key = address.strip().casefold()
        found = self._database.read(people.agents)
        for agent in found:
            if agent.address.key == key:
                return agent
        known = ", ".join(a.address.address for a in found) or "none"
        raise NotPossibleError(f"{address!r} is not an active agent (known: {known})")

    def reply(
        self, reference: str, text: str, commands: Sequence[Command], agent: AgentFacts | None, by: str
    ) -> Done:
        """Send words to the requester and collaborators; without a status among the commands: pending."""
        if not text.strip():
            raise NotPossibleError("there are no words to send")
        return self._act(reference, AgentAnswered(tuple(commands)), agent, by, kind="reply", words=text)

    def note(self, reference: str, text: str, agent: AgentFacts | None, by: str) -> Done:
        """Write an internal note; the state stays."""
        if not text.strip():
            raise NotPossibleError("there are no words to note")
        return self._act(reference, AgentCommanded(), agent, by, kind="note", words=text)

    def set(
        self,
        reference: str,
        commands: Sequence[Command],
        agent: AgentFacts | None,
        by: str,
        *,
        tell: bool = True,
    ) -> Done:
        """Change status or priority. A ticket newly solved tells its requester, unless `tell` is false."""
        return self._act(reference, AgentCommanded(tuple(commands)), agent, by, tell=tell)

    def reopen(self, reference: str, agent: AgentFacts | None, by: str) -> Done:
        """Open it again, whatever it was."""
        return self.set(reference, (SetStatus(Status.OPEN),), agent, by)

    def merge(self, reference: str, into: str, by: str) -> Done:
        """Solve a ticket as merged into another, which lives on. Earlier merges follow: always one hop.

        Its requester keeps it, shown as solved; later replies to it land on the survivor.
        """
        source, target = self.find(reference), self.find(into)
        hops = 0
        while target.state.merged_into is not None and hops < 20:
            target = self.find(str(target.state.merged_into))
            hops += 1
        if source.id == target.id:
            raise NotPossibleError("a ticket cannot be merged into itself")
        answer = self._answer(source, Merged(target.id))
        now = self._clock.now()

        def write(conn: Connection) -> None:
            tickets.update_ticket(conn, source, answer.state, now)
            merges.repoint(conn, source.id, target.id)
            tickets.insert_events(conn, source.id, answer.changes, channel="cli", now=now, by=by)
            change = Change("merged_from", "", display_key(source.key))
            tickets.insert_events(conn, target.id, (change,), channel="cli", now=now, by=by)

        self._database.write(write)
        return Done(source.key, answer.state, answer.changes)

    def unmerge(self, reference: str, by: str) -> Done:
        """Undo a merge: the ticket is open again and stands on its own."""
        source = self.find(reference)
        if source.state.merged_into is None:
            raise NotPossibleError(f"ticket {display_key(source.key)} is not merged")
        state = TicketState(Status.OPEN, source.state.priority, pending_epoch=source.state.pending_epoch)
        changes = (Change("status", "solved", "open", "unmerged"),)
        now = self._clock.now()

        def write(conn: Connection) -> None:
            tickets.update_ticket(conn, source, state, now)
            tickets.insert_events(conn, source.id, changes, channel="cli", now=now, by=by)

        self._database.write(write)
        return Done(source.key, state, changes)

    def split(self, reference: str, entry_id: int, by: str) -> Done:
        """Move one customer mail out of a ticket into a new one of its writer. The new ticket."""
        ticket = self.find(reference)
        now = self._clock.now()
        key = new_ticket_key(self._ids.token(7))
        state = TicketState(Status.OPEN, ticket.state.priority)

        def write(conn: Connection) -> str | None:
            entry = merges.movable_entry(conn, ticket.id, entry_id)
            if entry is None:
                return f"ticket {display_key(ticket.key)} has no customer mail {entry_id}"
            number = tickets.insert_ticket(
                conn,
                key=key,
                mailbox=ticket.mailbox,
                subject=entry.subject or ticket.subject,
                state=state,
                requester_id=entry.contact_id,
                collaborator_ids=(),
                now=now,
            )
            merges.move_entry(conn, entry_id, number)
            there = Change("split_to", "", display_key(key))
            tickets.insert_events(conn, ticket.id, (there,), channel="cli", now=now, by=by)
            here = Change("split_from", "", display_key(ticket.key))
            tickets.insert_events(conn, number, (here,), channel="cli", now=now, by=by)
            return None

        problem = self._database.write(write)
        if problem:
            raise NotPossibleError(problem)
        return Done(key, state, ())

    # ------------------------------------------------------------ one act

    def _answer(self, ticket: TicketFacts, event: Event) -> Applied:
        answer = apply(ticket.state, event, self._clock.now())
        match answer:
            case Applied():
                return answer
            case Redirected(to):
                survivor = self.find(str(to))
                where = display_key(survivor.key)
                raise NotPossibleError(
                    f"ticket {display_key(ticket.key)} was merged into {where}: act on that one"
                )
            case Refused(why):
                raise NotPossibleError(why)
            case _:
                raise NotPossibleError("the ticket was solved too long ago")

    def _act(
        self,
        reference: str,
        event: AgentAnswered | AgentCommanded,
        agent: AgentFacts | None,
        by: str,
        *,
        kind: str = "",
        words: str = "",
        tell: bool = True,
    ) -> Done:
        for _ in range(5):
            ticket = self.find(reference)
            answer = self._answer(ticket, event)
            now = self._clock.now()
            cause = f"desk:{self._ids.token(8).hex()}"
            outgoing = self._compose(ticket, answer, agent, kind, words, cause, now, tell=tell)
            act = _Act(ticket, answer, agent, by, kind, words, outgoing)
            try:
                self._database.write(partial(self._write, act=act, now=now))
            except tickets.ConflictError:
                continue
            return Done(ticket.key, answer.state, answer.changes, tuple(o.message_id for o in outgoing))
        raise NotPossibleError("the ticket changes too fast; try again")

    def _compose(
        self,
        ticket: TicketFacts,
        answer: Applied,
        agent: AgentFacts | None,
        kind: str,
        words: str,
        cause: str,
        now: datetime,
        *,
        tell: bool,
    ) -> tuple[NewOutgoing, ...]:
        name = self._mailboxes.name(ticket.mailbox)
        about = subject_of_ticket(ticket, name, answer.state)
        occasion = Occasion(cause, now, words)
        ring = self._keys.load()
        speaker = agent or AgentFacts(0, Address("", ticket.mailbox))
        drafts: list[d.Draft] = []
        solution = answer.state.solution
        if kind == "reply":
            drafts.append(d.Answer(speaker, words))
        elif tell and solution is not None and answer.newly_solved and answer.state.status is Status.SOLVED:
            drafts.append(d.TellSolved(solution.reason))
        if kind:
            news = d.News.ANSWERED if kind == "reply" else d.News.NOTE
            by = speaker.address.name or speaker.address.address
            agents = self._database.read(people.agents)
            if "answer" in self._mailboxes.policy(ticket.mailbox).notify:
                drafts += [
                    d.Notify(other, news, by)
                    for other in agents
                    if other.serves(ticket.mailbox) and other.id != speaker.id
                ]
        made = []
        for draft in drafts:
            why = occasion
            if isinstance(draft, d.Answer):
                quoted = ticket.last_customer_text
                why = replace(occasion, words=quoted, author=str(ticket.requester.address))
            made.append(self._mailer.make(draft, about, why, ring))
        return tuple(made)

    def _write(self, conn: Connection, act: _Act, now: datetime) -> None:
        ticket, agent_id = act.ticket, act.agent.id if act.agent else None
        tickets.update_ticket(conn, ticket, act.answer.state, now)
        entry_id = None
        if act.kind:
            sent = next((o for o in act.outgoing if o.kind == "answer"), None)
            entry = tickets.NewEntry(
                kind=act.kind,
                channel="cli",
                at=now,
                subject=ticket.subject,
                text=act.words,
                reply=act.words,
                message_id=sent.message_id if sent else "",
                agent_id=agent_id,
                data={"by": act.by},
            )
            entry_id = tickets.insert_entry(conn, ticket.id, entry)
        tickets.insert_events(
            conn, ticket.id, act.answer.changes, channel="cli", now=now, agent_id=agent_id, by=act.by
        )
        for mail in act.outgoing:
            outbox.add(conn, mail, ticket_id=ticket.id, entry_id=entry_id, now=now, caps=self._caps)


@dataclass(frozen=True, slots=True)
class _Act:
    ticket: TicketFacts
    answer: Applied
    agent: AgentFacts | None
    by: str
    kind: str
    words: str
    outgoing: tuple[NewOutgoing, ...]


def find_ticket(database: Database, reference: str) -> TicketFacts:
    """The ticket of a number or key as people type them. NotPossibleError when there is none."""
    wanted = reference.strip().lstrip("#")
    key = parse_key(wanted)

    def read(conn: Connection) -> TicketFacts | None:
        row = views.find(conn, key or wanted)
        return tickets.by_id(conn, row.id) if row is not None else None

    found = database.read(read)
    if found is None:
        raise NotPossibleError(f"there is no ticket {reference!r}")
    return found


def check_address(text: str) -> Address:
    """An address as a person typed it: 'anne@example.org' or 'Anne <anne@example.org>'.

    NotPossibleError when it is not one plain address.
    """
    name, bracket, rest = text.strip().rpartition("<")
    address = rest.rstrip(">").strip() if bracket else text.strip()
    if not is_valid(address):
        raise NotPossibleError(f"{text!r} is not a mail address such as 'anne@example.org'")
    return Address(name.strip().strip('"') if bracket else "", address)
