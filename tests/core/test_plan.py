"""What comes next for a ticket and whether it may happen now, by example. The laws are in test_plan_laws."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.core.business import Window, daily
from mailbridge.core.plan import (
    RECHECK,
    Fire,
    Planned,
    Skip,
    Wait,
    fired_on,
    may_fire,
    next_action,
    timeline,
)
from mailbridge.core.policy import Match, Policy, PolicySet
from mailbridge.core.spans import parse
from mailbridge.core.ticket import Priority, Status
from mailbridge.core.ticket import Step as TimerStep
from mailbridge.core.ticket_clock import ActionKind, Fired, Hold, Pause, TicketClock
from tests.core.test_policy import OFFICE, ROME, remind, resolve

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def rome(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ROME).astimezone(UTC)


def at(moment: datetime) -> str:
    return f"{moment.astimezone(ROME):%a %d %H:%M}"


MONDAY = rome("2026-03-02 10:00")
STEPS = (
    remind("1 business day"),
    remind("3 business days", "1 business day"),
    resolve("5 business days", "2d"),
)
POLICY = Policy(
    "office",
    Match(),
    OFFICE,
    STEPS,
    waking=daily(ROME, (Window(480, 1200),)),
    first_response=parse("4 business hours"),
    next_response=parse("8 business hours"),
    nudge=parse("2 business days"),
)
POLICIES = PolicySet((POLICY,))
WAITING = TicketClock(
    Status.PENDING,
    Priority.S3,
    "support@desk.example",
    opened_at=MONDAY - DAY,
    pending_since=MONDAY,
    pending_epoch=2,
    first_response_at=MONDAY,
)


def planned(clock: TicketClock, now: datetime, policies: PolicySet = POLICIES) -> Planned:
    found = next_action(policies, clock, now)
    assert found is not None
    return found


def sent(
    clock: TicketClock, step: int, when: datetime, *, delivered: bool = True, failed: bool = False
) -> TicketClock:
    entry = Fired(
        f"remind:{clock.pending_epoch}:{step}",
        ActionKind.REMIND,
        step,
        clock.pending_epoch,
        when,
        when if delivered else None,
        failed,
    )
    return replace(clock, fired=(*clock.fired, entry))


def test_a_waiting_ticket_is_reminded_and_then_resolved_on_its_days() -> None:
    """The whole story, if nobody does anything."""
    story = timeline(POLICIES, WAITING, MONDAY)
    assert [(at(each.at), each.planned.kind, each.planned.key) for each in story] == [
        ("Tue 03 10:00", ActionKind.REMIND, "remind:2:0"),
        ("Thu 05 10:00", ActionKind.REMIND, "remind:2:1"),
        ("Mon 09 10:00", ActionKind.RESOLVE, "resolve:2"),
    ]
    assert [each.planned.template for each in story] == ["reminder", "reminder", "unresponsive"]


def test_each_action_says_why_in_words() -> None:
    """Ops read it in `policy show`, agents on the ticket."""
    first = planned(WAITING, MONDAY)
    assert first.policy == "office"
    assert first.why == "reminder 1 of 2: '1 business day' after we asked on Mon 2026-03-02 10:00"
    late = sent(sent(WAITING, 0, MONDAY + DAY), 1, rome("2026-03-08 21:00"))
    assert planned(late, MONDAY).why == (
        "resolve: '5 business days' after we asked on Mon 2026-03-02 10:00, but '2d' after the reminder of"
        " Sun 2026-03-08 21:00, then after quiet hours"
    )
    assert at(planned(late, MONDAY).due_at) == "Wed 11 08:00"


def test_reminders_that_were_missed_are_one_mail_and_the_resolve_waits_for_its_gap() -> None:
    """The desk was down for 30 days: one reminder for both, and two days to answer it."""
    now = rome("2026-04-01 12:00")
    missed = planned(WAITING, now)
    assert (missed.key, missed.merged) == ("remind:2:1", 2)
    assert may_fire(POLICIES, WAITING, missed, now) == Fire(missed)
    after = fired_on(WAITING, missed, now, delivered_at=now + HOUR)
    resolving = planned(after, now + HOUR)
    assert resolving.kind is ActionKind.RESOLVE
    assert resolving.due_at == now + HOUR + 2 * DAY
    assert may_fire(POLICIES, after, resolving, now + HOUR) == Wait(
        resolving.due_at, f"due later: {resolving.why}"
    )


def test_what_was_planned_before_the_downtime_fires_as_what_it_has_become() -> None:
    """The stored plan names the first reminder; one mail for all takes its place."""
    stored = planned(WAITING, MONDAY)
    now = rome("2026-04-01 12:00")
    verdict = may_fire(POLICIES, WAITING, stored, now)
    assert verdict == Fire(planned(WAITING, now))
    assert isinstance(verdict, Fire)
    assert verdict.planned.key != stored.key


def test_an_overdue_step_waits_for_the_end_of_quiet_hours() -> None:
    """Coming back at night is no reason to write at night."""
    night = rome("2026-03-10 23:00")
    overdue = planned(WAITING, night)
    assert overdue.due_at < night
    assert may_fire(POLICIES, WAITING, overdue, night) == Wait(rome("2026-03-11 08:00"), "quiet hours")


@pytest.mark.parametrize(
    ("clock", "why"),
    [
        (replace(WAITING, status=Status.OPEN), "nothing is planned: the ticket is open"),
        (replace(WAITING, status=Status.SOLVED), "nothing is planned: the ticket is solved"),
        (replace(WAITING, pending_since=None), "the timers are stopped"),
        (
            replace(WAITING, flag="our answer did not reach anne@customer.example"),
            "flagged for an agent: our",
        ),
        (sent(WAITING, 0, MONDAY + DAY), "next is remind now: reminder 2 of 2"),
        (replace(WAITING, pending_epoch=3), "next is remind now: reminder 1 of 2"),
    ],
)
def test_a_plan_that_the_ticket_has_left_behind_is_skipped(clock: TicketClock, why: str) -> None:
    """A word of the customer, a bounce, another node: what was read at planning is read again at firing."""
    stored = planned(WAITING, MONDAY)
    verdict = may_fire(POLICIES, clock, stored, MONDAY + DAY)
    assert isinstance(verdict, Skip)
    assert verdict.why.startswith(why)


def test_a_new_question_is_a_new_epoch_with_reminders_of_its_own() -> None:
    """What was sent about the last question does not count for this one."""
    again = replace(sent(WAITING, 1, MONDAY + DAY), pending_epoch=3, pending_since=MONDAY + 5 * DAY)
    assert planned(again, MONDAY + 5 * DAY).key == "remind:3:0"


@pytest.mark.parametrize("hold", list(Hold))
def test_a_doubt_about_our_mail_holds_reminders_back_and_flags_a_resolve(hold: Hold) -> None:
    """The silence may be ours. Agents are told when a ticket would have been resolved."""
    held = replace(WAITING, holds=frozenset({hold}))
    now = MONDAY + DAY
    assert may_fire(POLICIES, held, planned(held, now), now) == Wait(now + RECHECK, hold.value)
    both_sent = sent(sent(held, 0, MONDAY + DAY), 1, MONDAY + 3 * DAY)
    later = MONDAY + 14 * DAY
    verdict = may_fire(POLICIES, both_sent, planned(both_sent, later), later)
    assert verdict == Wait(later + RECHECK, hold.value, tell_agents=True)


@pytest.mark.parametrize(
    ("delivered", "failed", "tell", "why"),
    [
        (False, False, False, "the last reminder is not delivered yet"),
        (False, True, True, "the last reminder could not be delivered"),
    ],
)
def test_a_ticket_is_not_resolved_on_a_reminder_that_did_not_arrive(
    delivered: bool, failed: bool, tell: bool, why: str
) -> None:
    """Sent is not delivered: only what their mail server took can have been read."""
    clock = sent(sent(WAITING, 0, MONDAY + DAY), 1, MONDAY + 3 * DAY, delivered=delivered, failed=failed)
    now = rome("2026-03-16 10:00")
    stored = planned(clock, now)
    assert stored.kind is ActionKind.RESOLVE
    assert may_fire(POLICIES, clock, stored, now) == Wait(now + RECHECK, why, tell_agents=tell)


def test_even_a_policy_that_the_file_reader_would_refuse_resolves_nothing_unreminded() -> None:
    """The rule is kept where it is carried out, not only where files are read."""
    bare = PolicySet((Policy("bare", Match(), OFFICE, (resolve("1d", None),)),))
    now = MONDAY + 2 * DAY
    verdict = may_fire(bare, WAITING, planned(WAITING, now, bare), now)
    assert verdict == Wait(now + RECHECK, "no reminder has been delivered since we asked", tell_agents=True)


def test_a_failed_reminder_is_followed_by_the_next_one() -> None:
    """The first may have met a full mailbox; only resolving is too late for hope."""
    clock = sent(WAITING, 0, MONDAY + DAY, delivered=False, failed=True)
    now = MONDAY + 3 * DAY
    assert may_fire(POLICIES, clock, planned(clock, now), now) == Fire(planned(clock, now))


def test_an_edit_that_shortens_a_policy_waits_for_the_gap_and_one_that_lengthens_sends_one_reminder() -> None:
    """After an edit, at most one overdue step, and never a resolve without its gap."""
    clock = sent(WAITING, 0, MONDAY + DAY)
    now = rome("2026-03-10 10:00")
    shorter = PolicySet((replace(POLICY, steps=(remind("1d"), resolve("2d", "30d"))),))
    resolving = planned(clock, now, shorter)
    assert resolving.kind is ActionKind.RESOLVE
    assert resolving.due_at == MONDAY + DAY + 30 * DAY
    longer = PolicySet(
        (replace(POLICY, steps=(remind("1d"), remind("2d", "1h"), remind("3d", "1h"), resolve("4d", "1d"))),)
    )
    assert (planned(clock, now, longer).key, planned(clock, now, longer).merged) == ("remind:2:2", 2)


def test_a_policy_edited_to_one_step_less_resolves_with_the_reminders_that_were_sent() -> None:
    """The second of two reminders was sent; now the policy has one: what is left is the resolve."""
    clock = sent(sent(WAITING, 0, MONDAY + DAY), 1, MONDAY + 3 * DAY)
    one = PolicySet((replace(POLICY, steps=(remind("1d"), resolve("7d", "2d"))),))
    assert planned(clock, MONDAY + 3 * DAY, one).key == "resolve:2"
    none = PolicySet((replace(POLICY, steps=(remind("1d"),)),))
    assert next_action(none, clock, MONDAY + 30 * DAY) is None


def test_a_clock_that_was_set_back_fires_nothing_again() -> None:
    """What has fired is known by its key; what is due is due later."""
    clock = sent(WAITING, 0, MONDAY + DAY)
    back = MONDAY - 10 * DAY
    assert may_fire(POLICIES, clock, planned(clock, back), back) == Wait(
        planned(clock, back).due_at, f"due later: {planned(clock, back).why}"
    )


# ---------------------------------------------------------------- responses that we owe

OPEN = TicketClock(Status.OPEN, Priority.S3, "support@desk.example", opened_at=rome("2026-03-06 15:00"))


def test_agents_are_warned_and_told_when_a_first_response_is_late() -> None:
    """Four business hours from Friday 15:00: three are over on Monday at 10:00, four at 11:00."""
    story = timeline(POLICIES, OPEN, OPEN.opened_at)
    assert [(at(each.at), each.planned.key) for each in story] == [
        ("Mon 09 10:00", "sla_warn:first_response"),
        ("Mon 09 11:00", "sla_breach:first_response"),
    ]
    assert story[0].planned.why == (
        "first response: 75% of '4 business hours' since Fri 2026-03-06 15:00, waiting times not counted"
    )


def test_a_warning_that_comes_too_late_gives_way_to_the_breach() -> None:
    """One notice for one late response."""
    stored = planned(OPEN, OPEN.opened_at)
    late = rome("2026-03-09 12:00")
    verdict = may_fire(POLICIES, OPEN, stored, late)
    assert isinstance(verdict, Fire)
    assert verdict.planned.key == "sla_breach:first_response"
    assert next_action(POLICIES, fired_on(OPEN, verdict.planned, late), late) is None


def test_the_time_that_others_owe_the_next_step_is_not_counted() -> None:
    """On hold from Friday 16:00 to Tuesday 12:00: 11 open hours later than without."""
    paused = replace(OPEN, pauses=(Pause(rome("2026-03-06 16:00"), rome("2026-03-10 12:00")),))
    assert [at(each.at) for each in timeline(POLICIES, paused, OPEN.opened_at)] == [
        "Tue 10 14:00",
        "Tue 10 15:00",
    ]
    after_warning = replace(OPEN, pauses=(Pause(rome("2026-03-09 10:30"), rome("2026-03-09 12:30")),))
    assert [at(each.at) for each in timeline(POLICIES, after_warning, OPEN.opened_at)] == [
        "Mon 09 10:00",
        "Mon 09 13:00",
    ]


def test_the_next_response_is_due_from_the_first_unanswered_word() -> None:
    """Writing again does not put us at ease; each wait is warned about once, and the next wait anew."""
    answered = replace(OPEN, first_response_at=rome("2026-03-06 16:00"))
    assert next_action(POLICIES, answered, OPEN.opened_at) is None
    asked = replace(answered, unanswered_since=rome("2026-03-09 09:00"))
    story = timeline(POLICIES, asked, rome("2026-03-09 09:00"))
    assert [at(each.at) for each in story] == ["Mon 09 15:00", "Mon 09 17:00"]
    told = fired_on(fired_on(asked, story[0].planned, story[0].at), story[1].planned, story[1].at)
    assert next_action(POLICIES, told, story[1].at) is None
    again = replace(told, unanswered_since=rome("2026-03-11 09:00"))
    assert at(planned(again, rome("2026-03-11 09:00")).due_at) == "Wed 11 15:00"


def test_agents_are_told_in_quiet_hours_too() -> None:
    """Quiet hours spare customers; a response that is late at night is late."""
    urgent = PolicySet((replace(POLICY, first_response=parse("1h")),))
    night = replace(OPEN, opened_at=rome("2026-03-06 23:00"))
    assert [at(each.at) for each in timeline(urgent, night, night.opened_at)] == [
        "Fri 06 23:45",
        "Sat 07 00:00",
    ]


def test_no_warning_at_100_percent_and_no_target_without_a_span() -> None:
    """Both can be switched off."""
    silent = PolicySet((replace(POLICY, warn_percent=100),))
    assert [each.planned.kind for each in timeline(silent, OPEN, OPEN.opened_at)] == [ActionKind.SLA_BREACH]
    assert next_action(PolicySet((replace(POLICY, first_response=None),)), OPEN, OPEN.opened_at) is None


# ---------------------------------------------------------------- on hold


def test_a_ticket_on_hold_is_brought_to_mind_every_two_business_days() -> None:
    """And it is never resolved, however long an internal team takes."""
    held = replace(OPEN, status=Status.ON_HOLD, on_hold_since=rome("2026-03-05 10:00"))
    story = timeline(POLICIES, held, rome("2026-03-05 10:00"), limit=3)
    assert [at(each.at) for each in story] == ["Mon 09 10:00", "Wed 11 10:00", "Fri 13 10:00"]
    assert {each.planned.kind for each in story} == {ActionKind.NUDGE}
    assert len({each.planned.key for each in story}) == 3


def test_nudges_that_were_missed_are_not_made_up_for() -> None:
    """After thirty days of downtime one nudge, and the next two business days later."""
    held = replace(OPEN, status=Status.ON_HOLD, on_hold_since=rome("2026-03-05 10:00"))
    now = rome("2026-04-08 10:00")
    once = fired_on(held, planned(held, now), now)
    assert at(planned(once, now).due_at) == "Fri 10 10:00"
    assert next_action(PolicySet((replace(POLICY, nudge=None),)), held, now) is None


def test_a_timeline_ends_at_the_moment_asked_for() -> None:
    """`policy plan --for 7d` lists seven days."""
    story = timeline(POLICIES, WAITING, MONDAY, until=MONDAY + 4 * DAY)
    assert [each.planned.step_index for each in story] == [0, 1]
    assert timeline(POLICIES, replace(WAITING, holds=frozenset({Hold.QUESTION_UNSENT})), MONDAY) == ()


def test_every_action_is_a_timer_step_of_the_state_machine() -> None:
    """One vocabulary of effects: what fires is applied by `ticket.apply`."""
    assert [kind.timer for kind in ActionKind] == [
        TimerStep.REMIND,
        TimerStep.RESOLVE,
        TimerStep.ESCALATE,
        TimerStep.ESCALATE,
        TimerStep.NUDGE,
    ]
