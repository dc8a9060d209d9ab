"""Policies: when a silent ticket is reminded and resolved, and by when we owe an answer. And which one counts.

`core.plan` turns a policy and a ticket into what comes next. `faults` says what no policy may be; the reader of
the file asks it, so that a policy in use has: at most one resolve, as its last step, after at least one reminder;
steps of which each comes later than the one before, whenever the waiting began.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from mailbridge.core.business import Calendar, moment
from mailbridge.core.spans import LONGEST_DAYS, Span
from mailbridge.core.ticket import Priority

_FIRST_SAMPLE = date(2026, 1, 1)
"""Fixed, so that a file that is good today is good tomorrow."""
_SAMPLE_DAYS = 400
_LONGEST = timedelta(days=LONGEST_DAYS)


class StepKind(StrEnum):
    """What a step does when it is due."""

    REMIND = "remind"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """One thing to do about a ticket that waits for its requester."""

    kind: StepKind
    after: Span
    """From `pending_since`."""
    template: str
    gap: Span | None = None
    """At least this long after the last reminder was delivered; None for the first step."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which tickets a policy is for. A condition that is empty does not count; mailboxes and organisations folded."""

    priorities: frozenset[Priority] = frozenset()
    mailboxes: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()

    def takes(self, priority: Priority, mailbox: str, organisation: str) -> bool:
        """Whether a ticket meets every condition. Case of letters does not matter."""
        return (
            (not self.priorities or priority in self.priorities)
            and (not self.mailboxes or mailbox.casefold() in self.mailboxes)
            and (not self.organisations or organisation.casefold() in self.organisations)
        )

    @property
    def takes_all(self) -> bool:
        """Whether there is no condition."""
        return not (self.priorities or self.mailboxes or self.organisations)

    def covers(self, other: Match) -> bool:
        """Whether every ticket that `other` takes is taken."""
        pairs: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
            (self.priorities, other.priorities),
            (self.mailboxes, other.mailboxes),
            (self.organisations, other.organisations),
        )
        return all(not mine or (bool(theirs) and theirs <= mine) for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. A span that is None is a thing that it does not do."""

    name: str
    match: Match
    calendar: Calendar
    steps: tuple[PolicyStep, ...] = ()
    waking: Calendar | None = None
    """Mail to customers leaves only while this is open: the hours that are not quiet. None: at any time."""
    first_response: Span | None = None
    next_response: Span | None = None
    warn_percent: int = 75
    """How much of a response time is over when agents are warned; 100 is no warning."""
    nudge: Span | None = None
    """How often agents are reminded of a ticket on hold."""

    @property
    def reminders(self) -> int:
        """How many steps remind; they are the first ones."""
        return sum(step.kind is StepKind.REMIND for step in self.steps)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies, in order: the first that takes a ticket is its policy. The last one takes all."""

    policies: tuple[Policy, ...]
    batch: int = 200
    """Tickets in one transaction of a sweep."""
    per_hour: int = 600
    """Mails to customers that policies may cause in an hour: what is more waits, the longest overdue first."""
    digest: str = ""
    """Changes when the planned times may: with policies, calendars, holidays or rules of time zones."""

    def __post_init__(self) -> None:
        if not self.policies or not self.policies[-1].match.takes_all:
            raise ValueError("the last policy must take every ticket")

    def choose(self, priority: Priority, mailbox: str, organisation: str = "") -> Policy:
        """The policy of a ticket."""
        return next(p for p in self.policies if p.match.takes(priority, mailbox, organisation))


# ---------------------------------------------------------------- what no policy may be


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a policy: at a step (from 0; None for the policy), at a key of the file, in words."""

    step: int | None
    key: str
    why: str


def faults(policy: Policy) -> tuple[Fault, ...]:
    """All that is wrong with the steps and times of a policy; () when it can be used."""
    found = [*_order_of_kinds(policy.steps), *_lengths(policy)]
    # Steps are compared by applying them: which of '3d' and '2 business days' is longer depends on the weekday.
    return tuple(found) if found else tuple(_order_of_times(policy))


def _order_of_kinds(steps: tuple[PolicyStep, ...]) -> Iterator[Fault]:
    for i, step in enumerate(steps):
        if step.kind is StepKind.RESOLVE and not any(s.kind is StepKind.REMIND for s in steps[:i]):
            yield Fault(i, "kind", "a resolve needs at least one remind step before it")
        elif step.kind is StepKind.RESOLVE and i + 1 < len(steps):
            yield Fault(i, "kind", "only the last step may resolve: nothing comes after it")
        if i == 0 and step.gap is not None and step.kind is StepKind.REMIND:
            yield Fault(i, "gap", "the first step has no reminder before it; leave gap out")
        if i > 0 and step.gap is None:
            yield Fault(i, "gap", "missing: every step but the first needs one, '0s' for none")
        if step.kind is StepKind.RESOLVE and step.gap is not None and step.gap.is_zero:
            yield Fault(i, "gap", "a reminder must have time to be answered: allowed is more than no time")


def _lengths(policy: Policy) -> Iterator[Fault]:
    named = {
        "first_response": policy.first_response,
        "next_response": policy.next_response,
        "nudge": policy.nudge,
    }
    spans: list[tuple[int | None, str, Span | None]] = [(None, key, span) for key, span in named.items()]
    for i, step in enumerate(policy.steps):
        spans += [(i, "after", step.after), (i, "gap", step.gap)]
    start = next(_starts(policy.calendar))
    for at, key, span in spans:
        if span is None:
            continue
        if span.is_zero and key != "gap":
            yield Fault(at, key, "allowed is more than no time")
        if policy.calendar.add(start, span) - start > _LONGEST:
            yield Fault(at, key, "by this calendar that takes more than five years")


def _order_of_times(policy: Policy) -> Iterator[Fault]:
    calendar = policy.calendar
    # Two spans of one measure are in the same order wherever they begin: one try tells.
    for i, (before, after) in enumerate(itertools.pairwise(policy.steps), 1):
        tries = 1 if before.after.measure is after.after.measure else None
        early = next(
            (
                start
                for start in itertools.islice(_starts(calendar), tries)
                if calendar.add(start, after.after) <= calendar.add(start, before.after)
            ),
            None,
        )
        if early is not None:
            first, second = (words(calendar.add(early, each.after), calendar) for each in (before, after))
            yield Fault(
                i,
                "after",
                f"not later than the step before ('{before.after}'): waiting from {words(early, calendar)} that"
                f" one comes on {first} and this one on {second}",
            )
        elif after.gap is not None and all(
            calendar.add(calendar.add(start, before.after), after.gap) > calendar.add(start, after.after)
            for start in _starts(calendar)
        ):
            yield Fault(
                i,
                "gap",
                f"larger than possible: the step before comes at '{before.after}' and this one at"
                f" '{after.after}', which never leaves so much time between them",
            )


def _starts(calendar: Calendar) -> Iterator[datetime]:
    """Moments at which waiting may begin: over more than a year, about each opening, break and close."""
    for ahead in range(_SAMPLE_DAYS):
        day = _FIRST_SAMPLE + timedelta(days=ahead)
        yield moment(calendar.zone, datetime(day.year, day.month, day.day))  # noqa: DTZ001 - the wall clock
        for start, end in calendar.intervals(day):
            yield from (start, start + (end - start) / 2, end - timedelta(seconds=1))


def words(at: datetime, calendar: Calendar) -> str:
    """A moment in words, by the clocks of a calendar: 'Mon 2026-03-02 09:00'."""
    local = at.astimezone(UTC).astimezone(calendar.zone)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    return f"{day} {local:%Y-%m-%d %H:%M}" + (f":{local:%S}" if local.second else "")
