"""What to do after one attempt to send: a table in the shape of a function.

Standards: RFC 5321 4.2.1 (4yz and 5yz), 4.5.4.1 (retry strategy).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from mailbridge.core.outgoing import Deferred, Delivered, RecipientResult, Refused, Unknown

JITTER = 0.2
"""How far, as a part of the delay, the jitter may move a next attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The first delay, doubling up to the longest, and how long after `first_at` a mail is given up."""

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Sent:
    """Done."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again, with the same bytes, not before `when`."""

    when: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Will not be sent; `why` is for the ticket."""

    why: str


@dataclass(frozen=True, slots=True)
class StayUnknown:
    """May have been sent twice over or not at all; only a person can tell, so it is left and shown."""

    why: str


Step = Sent | RetryAt | GiveUp | StayUnknown


def delay(attempts: int, policy: RetryPolicy, jitter: float) -> timedelta:
    """How long to wait after `attempts` (1 or more) failures; `jitter` in [-1, 1] moves it by up to 20 %."""
    doubled = policy.first * 2 ** min(max(attempts, 1) - 1, 20)
    moved: timedelta = min(doubled, policy.longest) * (1 + JITTER * jitter)
    return moved


def _words(span: timedelta) -> str:
    """'3 days', '36 hours' or '90 seconds': the largest unit that divides it."""
    seconds = round(span.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}{'s' if seconds != size else ''}"
    return f"{seconds} seconds"


def next_step(
    result: RecipientResult,
    attempts: int,
    first_at: datetime,
    now: datetime,
    policy: RetryPolicy,
    jitter: float,
    *,
    unknown_before: bool | None = None,
) -> Step:
    """What to do with one recipient after an attempt.

    | result | step |
    |---|---|
    | Delivered | Sent |
    | Refused (5yz) | GiveUp at once |
    | Deferred | RetryAt: first delay, doubling to the longest; past `give_up_after` GiveUp |
    | Unknown | RetryAt once, after a delay of at least five first delays; then StayUnknown |

    `attempts` counts this one, so it is at least 1; `first_at` (the first attempt or the queueing) and `now`
    are aware UTC. The last retry falls on the moment of giving up, not past it. `unknown_before` says whether
    an earlier attempt ended as Unknown; None takes any earlier attempt for one, which never sends too often.
    """
    match result:
        case Delivered():
            return Sent()
        case Refused(code, _, text):
            return GiveUp(f"refused: {code} {text}".rstrip())
        case Deferred(code, text):
            deadline = first_at + policy.give_up_after
            if now >= deadline:
                last = text if code is None else f"{code} {text}"
                return GiveUp(f"not taken within {_words(policy.give_up_after)}; last: {last}".rstrip())
            return RetryAt(min(now + delay(attempts, policy, jitter), deadline))
        case Unknown(text):
            again = attempts > 1 if unknown_before is None else unknown_before
            if again:
                return StayUnknown(text)
            # A server that stalled after the dot may still be at work on it.
            patient = RetryPolicy(policy.first * 5, max(policy.longest, policy.first * 5))
            return RetryAt(now + delay(attempts, patient, jitter))
        case _:
            assert_never(result)
