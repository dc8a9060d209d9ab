"""The retry table of outgoing mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.outgoing import Deferred, Delivered, RecipientResult, Refused, Unknown
from mailbridge.core.retry import GiveUp, RetryAt, RetryPolicy, Sent, StayUnknown, Step, next_step

FIRST = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy(timedelta(minutes=1), timedelta(hours=1), timedelta(days=3))
BUSY = Deferred(451, "busy")


def minutes(count: float) -> RetryAt:
    return RetryAt(FIRST + timedelta(minutes=count))


@pytest.mark.parametrize(
    ("result", "attempts", "step"),
    [
        (Delivered("250 ok"), 1, Sent()),
        (Delivered("250 ok"), 9, Sent()),
        (Refused(550, "5.1.1", "no such user"), 1, GiveUp("refused: 550 no such user")),
        (BUSY, 1, minutes(1)),
        (BUSY, 2, minutes(2)),
        (BUSY, 3, minutes(4)),
        (BUSY, 6, minutes(32)),
        (BUSY, 7, minutes(60)),
        (BUSY, 10_000, minutes(60)),
        (Deferred(None, "dropped"), 1, minutes(1)),
        (Unknown("no answer after the dot"), 1, minutes(5)),
        (Unknown("no answer after the dot"), 2, StayUnknown("no answer after the dot")),
    ],
)
def test_each_result_has_its_step(result: RecipientResult, attempts: int, step: Step) -> None:
    """The table of RFC 5321 4.5.4.1 as we promise it: 1 min doubling to 1 h, 5xx final at once."""
    assert next_step(result, attempts, FIRST, FIRST, POLICY, 0.0) == step


@pytest.mark.parametrize(("jitter", "seconds"), [(-1.0, 48), (0.0, 60), (1.0, 72)])
def test_jitter_moves_a_retry_by_a_fifth(jitter: float, seconds: int) -> None:
    """A hundred mails that failed together must not come back together."""
    assert next_step(BUSY, 1, FIRST, FIRST, POLICY, jitter) == RetryAt(FIRST + timedelta(seconds=seconds))


def test_a_mail_is_given_up_after_three_days_with_the_last_reply() -> None:
    """The agent reads on the ticket why the customer never got it."""
    step = next_step(BUSY, 80, FIRST, FIRST + timedelta(days=3), POLICY, 0.0)
    assert step == GiveUp("not taken within 3 days; last: 451 busy")


def test_the_last_retry_is_on_the_moment_of_giving_up() -> None:
    """Neither later than promised nor dropped while there is time left."""
    now = FIRST + timedelta(days=3) - timedelta(minutes=10)
    assert next_step(BUSY, 80, FIRST, now, POLICY, 1.0) == RetryAt(FIRST + timedelta(days=3))


def test_a_first_unknown_outcome_is_retried_though_it_was_deferred_before() -> None:
    """Greylisting followed by a lost answer is still the first doubt, so one retry is due."""
    step = next_step(Unknown("lost"), 2, FIRST, FIRST, POLICY, 0.0, unknown_before=False)
    assert step == minutes(10)


def test_a_second_unknown_outcome_is_left_to_a_person() -> None:
    """Each more try could be one more copy for the customer."""
    step = next_step(Unknown("lost"), 5, FIRST, FIRST, POLICY, 0.0, unknown_before=True)
    assert step == StayUnknown("lost")


def test_a_clock_set_back_only_makes_a_mail_wait_its_normal_delay() -> None:
    """Negative age must not give a mail up or send it at once."""
    now = FIRST - timedelta(days=400)
    assert next_step(BUSY, 1, FIRST, now, POLICY, 0.0) == RetryAt(now + timedelta(minutes=1))


@given(
    attempts=st.integers(1, 10**6),
    age=st.timedeltas(timedelta(), timedelta(days=5)),
    jitter=st.floats(-1, 1),
    first=st.timedeltas(timedelta(seconds=1), timedelta(days=2)),
)
def test_a_retry_is_always_later_and_never_past_the_end(
    attempts: int, age: timedelta, jitter: float, first: timedelta
) -> None:
    """No storm and no immortal mail, whatever an operator sets."""
    policy = RetryPolicy(first, timedelta(hours=6), timedelta(days=3))
    step = next_step(BUSY, attempts, FIRST, FIRST + age, policy, jitter)
    if age >= timedelta(days=3):
        assert isinstance(step, GiveUp)
    else:
        assert isinstance(step, RetryAt)
        assert FIRST + age < step.when <= FIRST + timedelta(days=3)
