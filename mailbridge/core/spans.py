"""Lengths of time as a policy writes them: '90m', '3d', '8 business hours', '2 business days'.

A span says how long; what it comes to depends on where it begins and on a calendar: `business.Calendar.add`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

FORMS = "'90m', '8h', '3d', '8 business hours' or '2 business days'"
"""The forms a span has, for messages about one that has another."""
LONGEST_DAYS = 1830
"""Five years: no span is longer, so that every walk through a calendar ends."""

_PLAIN = re.compile(r"(\d{1,9})\s*(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BUSINESS = re.compile(r"(\d{1,9})\s*business\s+(minute|hour|day)s?", re.ASCII)


class Measure(StrEnum):
    """What a span counts."""

    ELAPSED = "elapsed"
    """Time as it passes, day and night. A day is 24 hours, also when clocks change."""
    OPEN_TIME = "open time"
    """Only time in which the calendar is open."""
    WORKING_DAYS = "working days"
    """Days on which the calendar is open at all, whatever their hours."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time of one measure. `length` is for the first two, `days` for WORKING_DAYS; the other is 0."""

    measure: Measure
    length: timedelta = timedelta(0)
    days: int = 0

    def __post_init__(self) -> None:
        by_days = self.measure is Measure.WORKING_DAYS
        if self.length < timedelta(0) or self.days < 0 or (self.length if by_days else self.days):
            raise ValueError(f"no span: {self.length}, {self.days} days, in {self.measure}")

    @property
    def is_zero(self) -> bool:
        """Whether it is no time at all."""
        return not self.length and not self.days

    def __str__(self) -> str:
        """The way a policy file writes it; `parse` reads it back."""
        seconds = round(self.length.total_seconds())
        match self.measure:
            case Measure.WORKING_DAYS:
                return _business(self.days, "day")
            case Measure.OPEN_TIME if seconds % 3600 == 0 and seconds:
                return _business(seconds // 3600, "hour")
            case Measure.OPEN_TIME:
                return _business(seconds // 60, "minute")
            case _:
                for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
                    if seconds and seconds % size == 0:
                        return f"{seconds // size}{unit}"
                return f"{seconds}s"


def elapsed(length: timedelta) -> Span:
    """A span of time as it passes."""
    return Span(Measure.ELAPSED, length)


def open_time(length: timedelta) -> Span:
    """A span of time in which the calendar is open."""
    return Span(Measure.OPEN_TIME, length)


def working_days(days: int) -> Span:
    """A span of working days."""
    return Span(Measure.WORKING_DAYS, days=days)


def parse(text: str) -> Span:
    """A span from its text; blanks around it and more than one within do not matter.

    Raises ValueError, in words for the person who wrote it, for anything else and for more than LONGEST_DAYS.
    """
    text = text.strip()
    span: Span | None = None
    if found := _PLAIN.fullmatch(text):
        span = elapsed(timedelta(seconds=int(found[1]) * _SECONDS[found[2]]))
    elif found := _BUSINESS.fullmatch(text):
        count, unit = int(found[1]), found[2]
        if unit == "day":
            span = working_days(count)
        else:
            span = open_time(timedelta(seconds=count * _SECONDS[unit[0]]))
    if span is None:
        raise ValueError(f"allowed is a length of time such as {FORMS}")
    if span.days > LONGEST_DAYS or span.length > timedelta(days=LONGEST_DAYS):
        raise ValueError(f"allowed is at most five years: '{LONGEST_DAYS}d'")
    return span


def _business(count: int, unit: str) -> str:
    return f"{count} business {unit}{'' if count == 1 else 's'}"
