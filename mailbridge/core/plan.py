"""What comes next for a ticket by its policy, and whether it may happen now. Pure: ask again, get the same.

`next_action` plans: due times follow from the ticket, its policy and what has fired, so a plan can be stored, shown,
and proved. `may_fire` plans anew at the moment of firing and holds back what must not happen yet. Three rules for a
desk that was down, or whose policy was edited: reminders that were missed are one mail; a step is never done before
the gap after the last reminder that was delivered; and a ticket is never resolved without one in this epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from mailbridge.core.policy import Policy, PolicySet, StepKind, words
from mailbridge.core.spans import Measure, Span
from mailbridge.core.ticket import Status
from mailbridge.core.ticket_clock import ActionKind, Fired, TicketClock

RECHECK = timedelta(hours=1)
"""When to look again at what no planned time will end: an unsent question, a mail in quarantine."""
_MOST_MOMENTS = 100


@dataclass(frozen=True, slots=True)
class Planned:
    """What comes next. While `due_at` (UTC) lies ahead the same ticket and policies always plan the same."""

    kind: ActionKind
    step_index: int
    due_at: datetime
    policy: str
    why: str
    key: str
    """Unique per ticket: `remind:EPOCH:STEP` and the like. What has fired under a key never fires again."""
    epoch: int
    template: str = ""
    """For mails to customers."""
    merged: int = 1
    """How many reminders that were missed this one stands for, itself included."""


@dataclass(frozen=True, slots=True)
class Fire:
    """Carry it out now: `planned` as it stands now, which may merge more than what was asked about."""

    planned: Planned


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again at `until`. `tell_agents`: it waits for something that only people can end."""

    until: datetime
    why: str
    tell_agents: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """It will not happen as planned: plan anew."""

    why: str


Verdict = Fire | Wait | Skip


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of a timeline: what will happen, and when it really will."""

    at: datetime
    planned: Planned


def next_action(policies: PolicySet, clock: TicketClock, now: datetime) -> Planned | None:
    """What the ticket's policy does next, or None when nothing is planned: solved, flagged, or all done.

    `now` matters only for what is overdue: of reminders that were missed, the last is planned, for all.
    """
    policy = policies.choose(clock.priority, clock.mailbox, clock.organisation)
    match clock.status:
        case Status.PENDING:
            return _outreach(policy, clock, now)
        case Status.OPEN:
            return _response(policy, clock, now)
        case Status.ON_HOLD:
            return _nudge(policy, clock)
        case Status.SOLVED:
            return None
    assert_never(clock.status)


def may_fire(policies: PolicySet, clock: TicketClock, planned: Planned, now: datetime) -> Verdict:
    """Whether `planned` may be carried out at `now`, by a clock and policies that were read just now."""
    fresh = next_action(policies, clock, now)
    if fresh is None:
        return Skip(_nothing(clock))
    if not _is_or_takes_over(fresh, planned):
        return Skip(f"next is {fresh.kind} now: {fresh.why}")
    return _guarded(policies, clock, fresh, now)


def due_now(policies: PolicySet, clock: TicketClock, now: datetime) -> Fire | Wait | None:
    """What to do at `now` about a ticket that may be due, without a plan from before; None: nothing is planned.

    The same as planning and `may_fire`, at half the cost: for sweeps.
    """
    fresh = next_action(policies, clock, now)
    return None if fresh is None else _guarded(policies, clock, fresh, now)


def _guarded(policies: PolicySet, clock: TicketClock, fresh: Planned, now: datetime) -> Fire | Wait:
    if now < fresh.due_at:
        return Wait(fresh.due_at, f"due later: {fresh.why}")
    if not fresh.kind.to_customer:
        return Fire(fresh)
    policy = policies.choose(clock.priority, clock.mailbox, clock.organisation)
    return _doubts(clock, fresh, now) or _too_soon(policy, clock, fresh, now) or Fire(fresh)


def timeline(
    policies: PolicySet, clock: TicketClock, now: datetime, *, until: datetime | None = None, limit: int = 20
) -> tuple[Moment, ...]:
    """What will happen from `now` on if nobody does anything and every reminder is delivered at once.

    Made by planning and firing step by step, so it is what the desk will do. Stops at `until`, at `limit`
    moments, or when nothing is left or what is left waits for something that is not a time.
    """
    on_their_way = (
        replace(f, delivered_at=f.fired_at) if f.delivered_at is None and not f.failed else f
        for f in clock.fired
    )
    clock = replace(clock, fired=tuple(on_their_way))
    found: list[Moment] = []
    at = now
    for _ in range(_MOST_MOMENTS):
        planned = next_action(policies, clock, at)
        if planned is None or len(found) >= limit:
            break
        at = max(at, planned.due_at)
        if until is not None and at > until:
            break
        match may_fire(policies, clock, planned, at):
            case Fire(fired):
                found.append(Moment(at, fired))
                clock = fired_on(clock, fired, at, delivered_at=at)
            case Wait(until=next_look) if not clock.holds:
                at = next_look
            case _:
                break
    return tuple(found)


def fired_on(
    clock: TicketClock, planned: Planned, at: datetime, *, delivered_at: datetime | None = None
) -> TicketClock:
    """The clock after `planned` was carried out at `at`; a resolve solves the ticket."""
    entry = Fired(planned.key, planned.kind, planned.step_index, planned.epoch, at, delivered_at)
    status = Status.SOLVED if planned.kind is ActionKind.RESOLVE else clock.status
    return replace(clock, fired=(*clock.fired, entry), status=status)


# ---------------------------------------------------------------- pending: remind, resolve


def _outreach(policy: Policy, clock: TicketClock, now: datetime) -> Planned | None:
    since, epoch = clock.pending_since, clock.pending_epoch
    # A flag waits for an agent: what a desk is unsure of it does not do by itself.
    if since is None or clock.flag:
        return None
    sent, reminders = clock.reminders, policy.reminders
    index = sent[-1].step_index + 1 if sent else 0
    if index >= reminders:
        # All were sent, by this policy or by a longer one before an edit: what is left is to resolve.
        index = reminders
        if index >= len(policy.steps) or clock.has_fired(f"{ActionKind.RESOLVE}:{epoch}"):
            return None
    first, due = index, _due(policy, clock, since, index)
    while index + 1 < reminders and due.at <= now:
        later = _due(policy, clock, since, index + 1)
        # Not before the one that it takes along, which its own gap may have held back for longer.
        if max(due.at, later.at) > now:
            break
        index, due = index + 1, replace(later, at=max(due.at, later.at))
    step = policy.steps[index]
    resolves = step.kind is StepKind.RESOLVE
    kind = ActionKind.RESOLVE if resolves else ActionKind.REMIND
    return Planned(
        kind=kind,
        step_index=index,
        due_at=due.at,
        policy=policy.name,
        why=_outreach_words(policy, since, index, due),
        key=f"{kind}:{epoch}" if resolves else f"{kind}:{epoch}:{index}",
        epoch=epoch,
        template=step.template,
        merged=index - first + 1,
    )


@dataclass(frozen=True, slots=True)
class _Due:
    """When a step is due and what made it so: its time, its gap after `last`, or quiet hours until `at`."""

    at: datetime
    by_time: datetime
    by_gap: datetime | None = None
    last: datetime | None = None


def _due(policy: Policy, clock: TicketClock, since: datetime, index: int) -> _Due:
    """When a step is due: after its time, after its gap, and not in quiet hours."""
    step, last, by_gap = policy.steps[index], _last_outreach(clock), None
    at = by_time = policy.calendar.add(since, step.after)
    if last is not None and step.gap is not None and not step.gap.is_zero:
        by_gap = policy.calendar.add(last, step.gap)
        at = max(at, by_gap)
    at = policy.waking.next_open(at) if policy.waking else at
    return _Due(at, by_time, by_gap, last)


def _last_outreach(clock: TicketClock) -> datetime | None:
    """When the last reminder of this epoch was delivered; one on its way counts from when it was sent."""
    return max((f.delivered_at or f.fired_at for f in clock.reminders), default=None)


def _outreach_words(policy: Policy, since: datetime, index: int, due: _Due) -> str:
    step, calendar, at = policy.steps[index], policy.calendar, due.by_time
    what = "resolve" if step.kind is StepKind.RESOLVE else f"reminder {index + 1} of {policy.reminders}"
    text = f"{what}: '{step.after}' after we asked on {words(since, calendar)}"
    if due.by_gap is not None and due.last is not None and due.by_gap > at:
        at = due.by_gap
        text += f", but '{step.gap}' after the reminder of {words(due.last, calendar)}"
    if due.at > at:
        text += ", then after quiet hours"
    return text


def _doubts(clock: TicketClock, fresh: Planned, now: datetime) -> Wait | None:
    """What could be the reason for the requester's silence, or makes it unknown."""
    resolves = fresh.kind is ActionKind.RESOLVE
    if clock.holds:
        return Wait(now + RECHECK, "; ".join(sorted(clock.holds)), tell_agents=resolves)
    sent = clock.reminders
    if sent and sent[-1].failed and resolves:
        return Wait(now + RECHECK, "the last reminder could not be delivered", tell_agents=True)
    if sent and sent[-1].delivered_at is None and not sent[-1].failed:
        return Wait(now + RECHECK, "the last reminder is not delivered yet")
    if resolves and not any(f.delivered_at for f in sent):
        return Wait(now + RECHECK, "no reminder has been delivered since we asked", tell_agents=True)
    return None


def _too_soon(policy: Policy, clock: TicketClock, fresh: Planned, now: datetime) -> Wait | None:
    """Quiet hours now, for a step that is late; and once more the gap, by what was delivered."""
    if policy.waking is not None and not policy.waking.open_at(now):
        return Wait(policy.waking.next_open(now), "quiet hours")
    gap, last = policy.steps[fresh.step_index].gap, _last_outreach(clock)
    if gap is not None and last is not None and not gap.is_zero and policy.calendar.add(last, gap) > now:
        return Wait(policy.calendar.add(last, gap), f"'{gap}' after the last reminder")
    return None


# ---------------------------------------------------------------- open: responses that we owe


def _response(policy: Policy, clock: TicketClock, now: datetime) -> Planned | None:
    if clock.first_response_at is None:
        name, start, span = "first_response", clock.opened_at, policy.first_response
        key, words_for = name, "first response"
    elif clock.unanswered_since is not None:
        name, start, span = "next_response", clock.unanswered_since, policy.next_response
        key, words_for = f"{name}:{start.astimezone(UTC):%Y%m%dT%H%M%S.%f}", "next response"
    else:
        return None
    warn_key, breach_key = f"{ActionKind.SLA_WARN}:{key}", f"{ActionKind.SLA_BREACH}:{key}"
    if span is None or clock.has_fired(breach_key):
        return None
    warn_at, late_at = _response_times(policy, clock, start, span)
    kind = ActionKind.SLA_BREACH
    # A warning that was missed and is no longer one is not given: the breach says more.
    if policy.warn_percent < 100 and not clock.has_fired(warn_key) and now < late_at:
        kind = ActionKind.SLA_WARN
    share = f"{policy.warn_percent}% of " if kind is ActionKind.SLA_WARN else ""
    return Planned(
        kind=kind,
        step_index=0 if name == "first_response" else 1,
        due_at=warn_at if kind is ActionKind.SLA_WARN else late_at,
        policy=policy.name,
        why=f"{words_for}: {share}'{span}' since {words(start, policy.calendar)}, waiting times not counted",
        key=warn_key if kind is ActionKind.SLA_WARN else breach_key,
        epoch=clock.pending_epoch,
    )


def _response_times(
    policy: Policy, clock: TicketClock, start: datetime, span: Span
) -> tuple[datetime, datetime]:
    """When to warn and when the response is late. Pauses put both off by their time, in the span's measure."""
    calendar = policy.calendar
    late = calendar.add(start, span)
    by_clock = span.measure is Measure.ELAPSED
    whole = late - start if by_clock else calendar.business_between(start, late)
    measure = Measure.ELAPSED if by_clock else Measure.OPEN_TIME
    warn = calendar.add(start, Span(measure, whole * policy.warn_percent / 100))
    times = [warn, late]
    for pause in clock.pauses:
        begin = max(pause.start, start)
        if pause.end <= begin:
            continue
        lost = pause.end - begin if by_clock else calendar.business_between(begin, pause.end)
        times = [calendar.add(at, Span(measure, lost)) if at > begin and lost else at for at in times]
    return times[0], times[1]


# ---------------------------------------------------------------- on hold: nudge


def _nudge(policy: Policy, clock: TicketClock) -> Planned | None:
    since = clock.on_hold_since
    if since is None or policy.nudge is None:
        return None
    done = [f for f in clock.fired if f.kind is ActionKind.NUDGE and f.key.startswith(_nudge_key(since))]
    # From the last one on, not from the plan: those missed in a downtime are not made up for.
    last = max((f.fired_at for f in done), default=since)
    return Planned(
        kind=ActionKind.NUDGE,
        step_index=len(done),
        due_at=policy.calendar.add(last, policy.nudge),
        policy=policy.name,
        why=f"nudge {len(done) + 1}: every '{policy.nudge}', on hold since {words(since, policy.calendar)}",
        key=f"{_nudge_key(since)}{len(done)}",
        epoch=clock.pending_epoch,
    )


def _nudge_key(since: datetime) -> str:
    return f"{ActionKind.NUDGE}:{since.astimezone(UTC):%Y%m%dT%H%M%S.%f}:"


# ---------------------------------------------------------------- words and comparisons


def _is_or_takes_over(fresh: Planned, planned: Planned) -> bool:
    """Whether it is the same action, or one that does the other's work too: both of the same cause."""
    if fresh.key == planned.key:
        return True
    if fresh.kind is ActionKind.REMIND and planned.kind is ActionKind.REMIND:
        merged = range(fresh.step_index - fresh.merged + 1, fresh.step_index + 1)
        return fresh.epoch == planned.epoch and planned.step_index in merged
    warned = (ActionKind.SLA_WARN, ActionKind.SLA_BREACH)
    return (planned.kind, fresh.kind) == warned and planned.key.partition(":")[2] == fresh.key.partition(":")[
        2
    ]


def _nothing(clock: TicketClock) -> str:
    if clock.status is Status.PENDING and clock.flag:
        return f"flagged for an agent: {clock.flag}"
    if clock.status is Status.PENDING and clock.pending_since is None:
        return "the timers are stopped"
    return f"nothing is planned: the ticket is {clock.status}"
