"""Policies: which one a ticket has, and what no policy may be."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mailbridge.core.business import Calendar, Window, always
from mailbridge.core.policy import Match, Policy, PolicySet, PolicyStep, StepKind, faults, words
from mailbridge.core.spans import parse
from mailbridge.core.ticket import Priority

ROME = ZoneInfo("Europe/Rome")
OFFICE_DAY = (Window(540, 1020),)
OFFICE = Calendar(ROME, (OFFICE_DAY, OFFICE_DAY, OFFICE_DAY, OFFICE_DAY, OFFICE_DAY, (), ()), name="office")
SUPPORT = "support@desk.example"


def remind(after: str, gap: str | None = None) -> PolicyStep:
    return PolicyStep(StepKind.REMIND, parse(after), "reminder", parse(gap) if gap else None)


def resolve(after: str, gap: str | None) -> PolicyStep:
    return PolicyStep(StepKind.RESOLVE, parse(after), "unresponsive", parse(gap) if gap else None)


def policy(
    *steps: PolicyStep, calendar: Calendar = OFFICE, name: str = "p", match: Match | None = None
) -> Policy:
    return Policy(name, match or Match(), calendar, steps)


def told(*steps: PolicyStep, calendar: Calendar = OFFICE) -> list[tuple[int | None, str]]:
    return [(fault.step, fault.key) for fault in faults(policy(*steps, calendar=calendar))]


def test_the_first_policy_that_matches_counts_and_the_last_takes_the_rest() -> None:
    """The order of the file is the rule; each condition that is given must hold."""
    urgent = policy(name="urgent", match=Match(frozenset({Priority.S1})))
    customer = policy(
        name="customer", match=Match(frozenset({Priority.S1, Priority.S2}), organisations=frozenset({"acme"}))
    )
    sales = policy(name="sales", match=Match(mailboxes=frozenset({"sales@desk.example"})))
    policies = PolicySet((urgent, customer, sales, policy(name="rest")))
    chosen = [
        policies.choose(priority, mailbox, organisation).name
        for priority, mailbox, organisation in (
            (Priority.S1, "sales@desk.example", "Acme"),
            (Priority.S2, SUPPORT, "ACME"),
            (Priority.S3, SUPPORT, "Acme"),
            (Priority.S2, "Sales@desk.example", ""),
        )
    ]
    assert chosen == ["urgent", "customer", "rest", "sales"]


def test_policies_without_one_for_every_ticket_cannot_be_made() -> None:
    """A ticket without a policy would be forgotten in silence."""
    for policies in ((), (policy(match=Match(frozenset({Priority.S1}))),)):
        with pytest.raises(ValueError, match="every ticket"):
            PolicySet(policies)


def test_a_match_covers_another_when_it_takes_all_of_its_tickets() -> None:
    """So a policy that can never be chosen is found."""
    s1, s12 = Match(frozenset({Priority.S1})), Match(frozenset({Priority.S1, Priority.S2}))
    mailbox = Match(mailboxes=frozenset({SUPPORT}))
    assert s12.covers(s1)
    assert not s1.covers(s12)
    assert Match().covers(mailbox)
    assert not mailbox.covers(Match())
    assert not mailbox.covers(s1)
    assert s1.covers(s1)


GOOD = [
    (),
    (remind("3d"),),
    (remind("3d"), resolve("4d", "1d")),
    (
        remind("1 business day"),
        remind("2 business days", "0s"),
        resolve("3 business days", "8 business hours"),
    ),
    (remind("8 business hours"), remind("3 business days", "4h"), resolve("14d", "2 business days")),
    (remind("30m"), resolve("1h", "30m")),
]


@pytest.mark.parametrize("steps", GOOD)
def test_steps_in_order_with_gaps_that_fit_are_accepted(steps: tuple[PolicyStep, ...]) -> None:
    """Also of mixed measures, as long as their order holds whenever the waiting begins."""
    assert told(*steps) == []


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ((resolve("4d", None),), [(0, "kind")]),
        ((resolve("4d", "1d"),), [(0, "kind")]),
        ((remind("1d"), resolve("2d", "1h"), remind("3d", "1h")), [(1, "kind")]),
        ((remind("1d"), resolve("2d", "1h"), resolve("3d", "1h")), [(1, "kind")]),
        ((remind("1d", "1h"),), [(0, "gap")]),
        ((remind("1d"), remind("2d")), [(1, "gap")]),
        ((remind("1d"), resolve("2d", "0s")), [(1, "gap")]),
        ((remind("0s"),), [(0, "after")]),
        ((remind("3d"), remind("2d", "1h")), [(1, "after")]),
        ((remind("3d"), remind("72h", "1h")), [(1, "after")]),
        # From Friday, two business days are four days.
        ((remind("2 business days"), resolve("3d", "1h")), [(1, "after")]),
        ((remind("1 business day"), resolve("2d", "1h")), [(1, "after")]),
        # Longer than the time between the steps, wherever that falls.
        ((remind("3d"), resolve("5d", "3d")), [(1, "gap")]),
        ((remind("1 business day"), resolve("2 business days", "3 business days")), [(1, "gap")]),
    ],
)
def test_each_fault_of_the_steps_is_told_where_it_is(
    steps: tuple[PolicyStep, ...], where: list[tuple[int, str]]
) -> None:
    """The person who wrote it must find it."""
    assert told(*steps) == where


def test_a_gap_that_only_sometimes_delays_a_step_is_accepted() -> None:
    """A gap of 3 days between Friday and Tuesday is fine, though from Monday to Wednesday it delays."""
    assert told(remind("1 business day"), resolve("3 business days", "3d")) == []


def test_steps_out_of_order_are_shown_by_an_example() -> None:
    """'2 business days' before '3d' looks right; a date shows why it is not."""
    (fault,) = faults(policy(remind("2 business days"), resolve("3d", "1h")))
    assert fault.why == (
        "not later than the step before ('2 business days'): waiting from Thu 2026-01-01 00:00 that one comes on"
        " Mon 2026-01-05 09:00 and this one on Sun 2026-01-04 00:00"
    )


def test_times_beyond_five_years_by_the_calendar_are_refused() -> None:
    """Five hours of a desk that opens for a minute a week are as good as never."""
    rare = Calendar(ROME, ((Window(540, 541),), (), (), (), (), (), ()))
    assert told(remind("5 business hours"), calendar=rare) == [(0, "after")]
    targets = Policy("p", Match(), rare, first_response=parse("9 business hours"), nudge=parse("0s"))
    assert [(fault.step, fault.key) for fault in faults(targets)] == [
        (None, "first_response"),
        (None, "nudge"),
    ]


def test_a_moment_in_words_is_by_the_clocks_of_its_calendar() -> None:
    """Seconds only when there are some: policies speak of minutes."""
    at = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert words(at, OFFICE) == "Sun 2026-03-29 03:00"
    assert words(at.replace(second=5), always(ZoneInfo("UTC"))) == "Sun 2026-03-29 01:00:05"
