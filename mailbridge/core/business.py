"""Business calendars: when a desk is open, and how spans of time run through that.

A window of a day opens and closes by the wall clock of the calendar's zone and is half-open: 09:00-17:00 is open
at 09:00 and closed at 17:00. The rule for clock changes is one: a wall time stands for the first moment at which
the clocks show it or a later time. So a time that is skipped is the moment of the jump, and of a time that comes
twice the first counts. All moments that go in and come out are aware datetimes; those that come out are UTC.

Nothing raises and every loop is bounded: what would take longer than HORIZON is NEVER.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

from mailbridge.core.spans import Measure, Span

DAY = 24 * 60
"""Minutes of a day by the wall clock: the end '24:00' of a window is the next day's 00:00."""
HORIZON = timedelta(days=3660)
"""How far a walk looks ahead."""
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""Later than everything that is ever planned."""
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier moments count as this one."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MEMO = 4096
"""Days whose windows are remembered: over ten years, about a megabyte."""
_ZERO = timedelta(0)
_ONE_DAY = timedelta(days=1)


class Holidays(Protocol):
    """Where public holidays come from. The same year always gives the same days."""

    def in_year(self, year: int) -> frozenset[date]:
        """The days of that year on which the desk is closed."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Open from `start` until before `end`, in minutes since midnight by the wall clock."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= DAY:
            raise ValueError(f"no window within a day: {self.start} to {self.end}")

    def __str__(self) -> str:
        return "-".join(f"{m // 60:02}:{m % 60:02}" for m in (self.start, self.end))


Windows = tuple[Window, ...]
"""The windows of one day, in order, not overlapping. None: closed."""
Week = tuple[Windows, Windows, Windows, Windows, Windows, Windows, Windows]
Interval = tuple[datetime, datetime]
ALL_DAY: Windows = (Window(0, DAY),)


@dataclass(frozen=True)
class Calendar:
    """When a desk is open: windows by weekday (from Monday), holidays, and days with hours of their own.

    A day in `dates` or, less strongly, in `yearly` (month, day) has those windows, be it a holiday or not.
    Raises ValueError when it is never open, or windows are out of order or overlap.
    """

    zone: tzinfo
    week: Week
    holidays: Holidays | None = None
    dates: Mapping[date, Windows] = field(default_factory=dict)
    yearly: Mapping[tuple[int, int], Windows] = field(default_factory=dict)
    name: str = ""
    _memo: dict[date, tuple[Interval, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for windows in (*self.week, *self.dates.values(), *self.yearly.values()):
            if any(after.start < before.end for before, after in itertools.pairwise(windows)):
                raise ValueError("windows overlap or are out of order")
        # A day of one's own comes once or once a year: only the week keeps a desk open for good.
        if not any(self.week):
            raise ValueError("never open: no weekday has a window")

    def windows(self, day: date) -> Windows:
        """The windows of a day by the wall clock; () when it is closed."""
        if (own := self.dates.get(day)) is not None:
            return own
        if (own := self.yearly.get((day.month, day.day))) is not None:
            return own
        if self.holidays is not None and day in self.holidays.in_year(day.year):
            return ()
        return self.week[day.weekday()]

    def intervals(self, day: date) -> tuple[Interval, ...]:
        """The windows of a day as moments, without those that a change of clocks swallows whole."""
        known = self._memo.get(day)
        if known is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the wall clock, before its zone
            edges = (
                (
                    moment(self.zone, midnight + timedelta(minutes=window.start)),
                    moment(self.zone, midnight + timedelta(minutes=window.end)),
                )
                for window in self.windows(day)
            )
            known = tuple((start, end) for start, end in edges if start < end)
            self._memo[day] = known
        return known

    def open_at(self, at: datetime) -> bool:
        """Whether the desk is open at that moment."""
        return self.next_open(at) == _clamped(at)

    def next_open(self, at: datetime) -> datetime:
        """The first open moment, `at` itself or later."""
        at = _clamped(at)
        for start, _ in self._from(at):
            return max(start, at)
        return NEVER

    def add(self, at: datetime, span: Span) -> datetime:
        """The moment at which `span`, begun at `at`, is over. Later for a later `at` or a longer span.

        ELAPSED: just that much later, open or closed.
        OPEN_TIME: the first moment at which that much open time has passed since `at`. When that is the end of a
        window, it is this end, not the next opening. No time at all is the next open moment.
        WORKING_DAYS: from the next open moment, the same wall time on the n-th working day after that day. If
        that is in a break or before the opening, the next opening on that day; after its close, its close.
        """
        at = _clamped(at)
        match span.measure:
            case Measure.ELAPSED:
                return min(at + span.length, NEVER)
            case Measure.OPEN_TIME:
                return self._after_open_time(at, span.length)
            case Measure.WORKING_DAYS:
                return self._after_working_days(at, span.days)

    def business_between(self, a: datetime, b: datetime) -> timedelta:
        """The open time from `a` until `b`, within HORIZON of `a`; zero when `b` is not later."""
        a, b, total = _clamped(a), _clamped(b), _ZERO
        for start, end in self._from(a):
            if max(start, a) >= b:
                break
            total += min(end, b) - max(start, a)
        return total

    def _from(self, at: datetime) -> Iterator[Interval]:
        """The intervals in order, from the one that is open at `at` or comes next, as far as HORIZON."""
        # Days before this date are over: their last window ends at the first moment of this one at the latest.
        day = at.astimezone(self.zone).date()
        for _ in range(HORIZON.days):
            for interval in self.intervals(day):
                if interval[0] >= NEVER:
                    return
                if interval[1] > at:
                    yield interval
            day += _ONE_DAY

    def _after_open_time(self, at: datetime, length: timedelta) -> datetime:
        for start, end in self._from(at):
            begin = max(start, at)
            if length <= end - begin:
                return min(begin + length, NEVER)
            length -= end - begin
        return NEVER

    def _after_working_days(self, at: datetime, days: int) -> datetime:
        begin = self.next_open(at)
        if days == 0 or begin == NEVER:
            return begin
        wall = wall_reached(self.zone, begin)
        for ahead in range(1, HORIZON.days):
            day = wall.date() + ahead * _ONE_DAY
            intervals = self.intervals(day)
            days -= bool(intervals)
            if days == 0:
                wanted = moment(self.zone, datetime.combine(day, wall.time()))
                still = (max(start, wanted) for start, end in intervals if end > wanted)
                return min(next(still, intervals[-1][1]), NEVER)
        return NEVER


def always(zone: tzinfo, name: str = "") -> Calendar:
    """Open 24 hours on 7 days, without exception."""
    return Calendar(zone, (ALL_DAY,) * 7, name=name)


def daily(zone: tzinfo, windows: Windows, name: str = "") -> Calendar:
    """The same windows on every day. Raises ValueError when there are none."""
    return Calendar(zone, (windows,) * 7, name=name)


def moment(zone: tzinfo, wall: datetime) -> datetime:
    """The first moment (UTC) at which clocks in `zone` show the naive `wall` time, or a later one."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(zone, first) == wall:
        return first
    # Skipped. Reckoned with the offset after the jump it lies before it, and the other way about.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first_second(before, first, lambda at: _wall(zone, at) >= wall)


def wall_reached(zone: tzinfo, at: datetime) -> datetime:
    """The latest (naive) wall time that `at` is not before, in the sense of `moment`.

    What the clocks show; in an hour that comes a second time, how far they had come before they went back.
    """
    local = at.astimezone(zone)
    if local.fold == 0:
        return local.replace(tzinfo=None)
    offset = local.utcoffset()
    jump = _first_second(at - 2 * _ONE_DAY, at, lambda each: each.astimezone(zone).utcoffset() == offset)
    return _wall(zone, jump - timedelta(microseconds=1))


def _first_second(low: datetime, high: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second in (low, high] that `holds`; it does at `high`, and clocks jump at whole seconds."""
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    none, some = 0, int((high - low).total_seconds())
    while some - none > 1:
        middle = (none + some) // 2
        none, some = (none, middle) if holds(low + timedelta(seconds=middle)) else (middle, some)
    return low + timedelta(seconds=some)


def _wall(zone: tzinfo, at: datetime) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _clamped(at: datetime) -> datetime:
    at = FIRST if at < FIRST else min(at, NEVER)
    return at if at.tzinfo is UTC else at.astimezone(UTC)
