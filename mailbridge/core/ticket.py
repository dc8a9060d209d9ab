"""The state machine of a ticket: one pure function for every channel.

`apply(state, event, ...)` is total: each state and event gives exactly one answer. The channel is not an
argument, so it cannot change the outcome. The table is DESIGN's "One state machine for every channel".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never


class Status(StrEnum):
    """Who owns the next step."""

    OPEN = "open"
    """We do: new, or the requester has answered."""
    PENDING = "pending"
    """The requester does: we asked."""
    ON_HOLD = "on_hold"
    """An internal team does."""
    SOLVED = "solved"


class SolvedReason(StrEnum):
    """Why a ticket is solved. A solved ticket always says."""

    AGREED = "agreed"
    BUG_FILED = "bug_filed"
    MERGED = "merged"
    UNRESPONSIVE = "unresponsive"
    HANDED_OVER = "handed_over"


class Priority(StrEnum):
    """Severity of the current impact."""

    S1 = "S1"
    S2 = "S2"
    S3 = "S3"
    S4 = "S4"


PRIORITY_WORDS = {
    Priority.S1: "Urgent",
    Priority.S2: "High",
    Priority.S3: "Tolerable",
    Priority.S4: "Question",
}


@dataclass(frozen=True, slots=True)
class Solution:
    """How a ticket was solved, with the fields that its reason needs (`problem` checks them)."""

    reason: SolvedReason
    bug_reference: str = ""
    bug_priority: str = ""
    bug_timeline: str = ""
    merged_into: int | None = None

    def problem(self) -> str | None:
        """What is missing, in words for the agent; None when whole."""
        if self.reason is SolvedReason.BUG_FILED:
            fields = {
                "a bug reference": self.bug_reference,
                "an agreed priority": self.bug_priority,
                "an agreed timeline": self.bug_timeline,
            }
            missing = [name for name, value in fields.items() if not value.strip()]
            if missing:
                return f"bug_filed needs {' and '.join(missing)}"
        if (self.reason is SolvedReason.MERGED) != (self.merged_into is not None):
            return "merged needs the ticket it is merged into"
        return None


@dataclass(frozen=True, slots=True)
class TicketState:
    """All that the machine looks at and changes. Times are aware UTC."""

    status: Status
    priority: Priority
    solution: Solution | None = None
    solved_at: datetime | None = None
    hold_reason: str = ""
    pending_since: datetime | None = None
    """When we last asked; None while not pending, or while the timers are stopped by a bounce."""
    pending_epoch: int = 0
    """Counts the times that we asked: part of the unique key of each reminder."""
    reminders: int = 0
    """Reminders delivered in this epoch."""
    flag: str = ""
    """Why an agent must look; '' if nothing."""

    @property
    def merged_into(self) -> int | None:
        """The ticket that lives on in this one's place, or None."""
        return self.solution.merged_into if self.solution else None


# ---------------------------------------------------------------- commands of agents


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Move to a status; solved needs a solution, on_hold a reason."""

    status: Status
    solution: Solution | None = None
    hold_reason: str = ""


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Reclassify, and say why."""

    priority: Priority
    why: str


@dataclass(frozen=True, slots=True)
class ClearFlag:
    """The agent has looked; timers stopped by a bounce start again from now."""


Command = SetStatus | SetPriority | ClearFlag


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class CustomerSpoke:
    """A person, requester or collaborator, said something: by mail, portal or chat."""


@dataclass(frozen=True, slots=True)
class AutomaticMail:
    """An auto-reply, list mail, challenge or report."""


@dataclass(frozen=True, slots=True)
class MailBounced:
    """A mail of ours did not reach `address`. `question`: it was an agent's answer, awaiting a reply."""

    address: str
    question: bool
    permanent: bool = True


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """An agent's words go to the customer, with the commands that came along."""

    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentCommanded:
    """An agent changed something without words to the customer (a note may come along)."""

    commands: tuple[Command, ...] = ()


class Step(StrEnum):
    """What a policy's timer does."""

    REMIND = "remind"
    RESOLVE = "resolve"
    ESCALATE = "escalate"
    NUDGE = "nudge"


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A step of the policy is due."""

    step: Step


@dataclass(frozen=True, slots=True)
class Merged:
    """An agent merges this ticket into another one, which lives on."""

    into: int


Event = CustomerSpoke | AutomaticMail | MailBounced | AgentAnswered | AgentCommanded | TimerFired | Merged


# ---------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class Change:
    """One change to be written down: 'status', 'priority', 'flag'; before, after, why."""

    what: str
    before: str
    after: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The new state and the changes that led there (none: noted only)."""

    state: TicketState
    changes: tuple[Change, ...] = ()

    @property
    def newly_solved(self) -> bool:
        """Whether it became solved just now, or solved in another way than before."""
        return any(c.what == "status" and c.after == Status.SOLVED for c in self.changes)

    @property
    def reopened(self) -> bool:
        """Whether a solved ticket is open again."""
        return any(
            c.what == "status" and c.before == Status.SOLVED and c.after == Status.OPEN for c in self.changes
        )


@dataclass(frozen=True, slots=True)
class Redirected:
    """This ticket was merged: the same event belongs to that one."""

    to: int


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Solved for longer than `reopen_within`: a linked new ticket is opened instead."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not allowed, and why, in words for the person or the log."""

    why: str


Answer = Applied | Redirected | FollowUp | Refused


def apply(
    state: TicketState, event: Event, now: datetime, *, reopen_within: timedelta | None = None
) -> Answer:
    """What becomes of a ticket when `event` happens at `now` (aware UTC).

    `reopen_within` is how long after solving a customer's words reopen; None is for ever. Never raises.
    """
    if state.merged_into is not None:
        return Redirected(state.merged_into)
    match event:
        case CustomerSpoke():
            return _customer_spoke(state, now, reopen_within)
        case AutomaticMail():
            return Applied(state)
        case MailBounced():
            return _bounced(state, event)
        case AgentAnswered(commands):
            return _agent(state, commands, now, answered=True)
        case AgentCommanded(commands):
            return _agent(state, commands, now, answered=False)
        case TimerFired(step):
            return _timer(state, step, now)
        case Merged(into):
            solution = Solution(SolvedReason.MERGED, merged_into=into)
            return _to(state, SetStatus(Status.SOLVED, solution), now, "merged")
    assert_never(event)


def _customer_spoke(state: TicketState, now: datetime, reopen_within: timedelta | None) -> Answer:
    if state.status is Status.OPEN:
        return Applied(state)
    if (
        state.status is Status.SOLVED
        and reopen_within is not None
        and state.solved_at is not None
        and now - state.solved_at > reopen_within
    ):
        return FollowUp()
    why = "the customer wrote again" if state.status is Status.SOLVED else "the customer answered"
    return _to(state, SetStatus(Status.OPEN), now, why)


def _bounced(state: TicketState, event: MailBounced) -> Answer:
    # Only the loss of the question that we are waiting on stops the clock; all other bounces are noted.
    if state.status is not Status.PENDING or not event.question or not event.permanent:
        return Applied(state)
    flag = f"our answer did not reach {event.address}"
    changes = (Change("flag", state.flag, flag, "bounce"),) if flag != state.flag else ()
    return Applied(replace(state, flag=flag, pending_since=None), changes)


def _agent(state: TicketState, commands: tuple[Command, ...], now: datetime, *, answered: bool) -> Answer:
    """All commands in order, or none. An answer without a status of its own asks the customer: pending."""
    changes: tuple[Change, ...] = ()
    todo = list(commands)
    commanded = any(isinstance(c, SetStatus) for c in commands)
    if answered and not commanded and state.status in (Status.OPEN, Status.PENDING):
        todo.append(SetStatus(Status.PENDING))
    for command in todo:
        match command:
            case SetStatus():
                step = _to(state, command, now, "agent")
            case SetPriority(priority, why):
                step = _reclassify(state, priority, why)
            case ClearFlag():
                step = _clear_flag(state, now)
            case _:
                assert_never(command)
        if not isinstance(step, Applied):
            return step
        state, changes = step.state, changes + step.changes
    return Applied(state, changes)


def _reclassify(state: TicketState, priority: Priority, why: str) -> Answer:
    if not why.strip():
        return Refused("a change of priority needs a reason")
    if priority is state.priority:
        return Applied(state)
    return Applied(
        replace(state, priority=priority), (Change("priority", state.priority, priority, why.strip()),)
    )


def _clear_flag(state: TicketState, now: datetime) -> Answer:
    if not state.flag:
        return Applied(state)
    cleared = replace(state, flag="")
    if state.status is Status.PENDING and state.pending_since is None:
        cleared = replace(cleared, pending_since=now, pending_epoch=state.pending_epoch + 1, reminders=0)
    return Applied(cleared, (Change("flag", state.flag, "", "agent"),))


def _timer(state: TicketState, step: Step, now: datetime) -> Answer:
    match step:
        case Step.REMIND:
            if state.status is not Status.PENDING or state.pending_since is None:
                return Refused("only a pending ticket whose clock runs is reminded")
            return Applied(
                replace(state, reminders=state.reminders + 1),
                (Change("reminder", "", str(state.reminders + 1)),),
            )
        case Step.RESOLVE:
            if state.status is not Status.PENDING or state.pending_since is None:
                return Refused("only a pending ticket whose clock runs is resolved for silence")
            return _to(state, SetStatus(Status.SOLVED, Solution(SolvedReason.UNRESPONSIVE)), now, "no answer")
        case Step.ESCALATE:
            if state.status is not Status.OPEN:
                return Refused("only an open ticket is escalated: in pending and on_hold the clock stops")
            return Applied(state, (Change("escalation", "", state.priority),))
        case Step.NUDGE:
            if state.status is not Status.ON_HOLD:
                return Refused("only a ticket on hold has an internal reminder")
            return Applied(state, (Change("nudge", "", state.hold_reason),))
    assert_never(step)


def _to(state: TicketState, command: SetStatus, now: datetime, why: str) -> Answer:
    """The state after a change of status, with every field that the old status owned put back."""
    base = replace(
        state, solution=None, solved_at=None, hold_reason="", pending_since=None, reminders=0, flag=""
    )
    match command.status:
        case Status.OPEN:
            after = replace(base, status=Status.OPEN)
        case Status.PENDING:
            # Each time that we ask is a new epoch: the timers start again.
            after = replace(
                base, status=Status.PENDING, pending_since=now, pending_epoch=state.pending_epoch + 1
            )
        case Status.ON_HOLD:
            if not command.hold_reason.strip():
                return Refused("on_hold needs a reason: whom or what the ticket waits for")
            why = command.hold_reason.strip()
            after = replace(base, status=Status.ON_HOLD, hold_reason=why)
        case Status.SOLVED:
            solution = command.solution
            if solution is None:
                reasons = ", ".join(r for r in SolvedReason if r is not SolvedReason.MERGED)
                return Refused(f"solved needs a reason: {reasons}")
            if problem := solution.problem():
                return Refused(problem)
            if solution.reason is SolvedReason.UNRESPONSIVE and state.reminders < 1:
                return Refused("unresponsive needs at least one reminder that was really sent")
            why = _solution_words(solution)
            after = replace(base, status=Status.SOLVED, solution=solution, solved_at=now)
        case _:
            assert_never(command.status)
    if (
        after.status is state.status
        and after.solution == state.solution
        and after.hold_reason == state.hold_reason
    ):
        return Applied(after if after.status is Status.PENDING else state)
    return Applied(after, (Change("status", state.status, after.status, why),))


def _solution_words(solution: Solution) -> str:
    if solution.reason is SolvedReason.BUG_FILED:
        agreed = f"priority {solution.bug_priority}, timeline {solution.bug_timeline}"
        return f"bug_filed {solution.bug_reference}, {agreed}"
    return str(solution.reason)
