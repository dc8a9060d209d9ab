"""Business calendars: hours, holidays and clock changes, by example and by law."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailbridge.core.business import (
    ALL_DAY,
    FIRST,
    HORIZON,
    NEVER,
    Calendar,
    Holidays,
    Week,
    Window,
    Windows,
    always,
    daily,
    moment,
    wall_reached,
)
from mailbridge.core.spans import LONGEST_DAYS, Span, elapsed, open_time, parse, working_days

ROME = ZoneInfo("Europe/Rome")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
KOLKATA = ZoneInfo("Asia/Kolkata")
APIA = ZoneInfo("Pacific/Apia")
# Of one more zone clocks go back over midnight: at 00:01 it is 23:01 of the day before again.
ST_JOHNS = ZoneInfo("America/St_Johns")
ZONES = (ROME, NEW_YORK, LORD_HOWE, KOLKATA, APIA, ST_JOHNS)

NINE_TO_FIVE: Windows = (Window(9 * 60, 17 * 60),)
WITH_BREAK: Windows = (Window(9 * 60, 12 * 60 + 30), Window(13 * 60 + 30, 17 * 60))
SECOND = timedelta(seconds=1)


def office(
    zone: ZoneInfo = ROME,
    windows: Windows = NINE_TO_FIVE,
    holidays: Holidays | None = None,
    dates: Mapping[date, Windows] = MappingProxyType({}),
    yearly: Mapping[tuple[int, int], Windows] = MappingProxyType({}),
) -> Calendar:
    return Calendar(zone, (windows, windows, windows, windows, windows, (), ()), holidays, dates, yearly)


def rome(text: str) -> datetime:
    """A wall time in Rome, as UTC: '2026-03-02 09:00'."""
    return datetime.fromisoformat(text).replace(tzinfo=ROME).astimezone(UTC)


@dataclass(frozen=True)
class Listed:
    """Holidays that a test lists."""

    days: frozenset[date]

    def in_year(self, year: int) -> frozenset[date]:
        return frozenset(day for day in self.days if day.year == year)


# ---------------------------------------------------------------- spans


@pytest.mark.parametrize(
    ("text", "span", "printed"),
    [
        ("90s", elapsed(timedelta(seconds=90)), "90s"),
        ("90m", elapsed(timedelta(minutes=90)), "90m"),
        ("60m", elapsed(timedelta(hours=1)), "1h"),
        (" 3 d ", elapsed(timedelta(days=3)), "3d"),
        ("0s", elapsed(timedelta(0)), "0s"),
        ("8 business hours", open_time(timedelta(hours=8)), "8 business hours"),
        ("1 business hour", open_time(timedelta(hours=1)), "1 business hour"),
        ("90  business  minutes", open_time(timedelta(minutes=90)), "90 business minutes"),
        ("2 business days", working_days(2), "2 business days"),
    ],
)
def test_a_span_is_read_and_printed_as_the_file_writes_it(text: str, span: Span, printed: str) -> None:
    """Messages and previews speak the language of the file."""
    assert parse(text) == span
    assert str(span) == printed
    assert parse(str(span)) == span


@pytest.mark.parametrize(
    "text", ["", "3", "3 days", "d", "-1d", "1.5h", "3 business", "٣d", "1d 2h", "2 business weeks"]
)
def test_any_other_text_is_no_span_and_the_forms_are_named(text: str) -> None:
    """Never guessed at: '3' could be minutes or days."""
    with pytest.raises(ValueError, match="allowed is a length of time such as '90m'"):
        parse(text)


def test_a_span_of_more_than_five_years_is_refused() -> None:
    """Beyond that it is a slip, and every walk must end."""
    assert parse(f"{LONGEST_DAYS}d") == elapsed(timedelta(days=LONGEST_DAYS))
    for text in (f"{LONGEST_DAYS + 1}d", "999999999 business hours", f"{LONGEST_DAYS + 1} business days"):
        with pytest.raises(ValueError, match="at most five years"):
            parse(text)


# ---------------------------------------------------------------- hours by example


@pytest.mark.parametrize(
    ("start", "span", "end"),
    [
        # Monday 2 March 2026; the office is open 09:00-12:30 and 13:30-17:00.
        ("2026-03-02 10:00", "90m", "2026-03-02 11:30"),
        ("2026-03-02 16:00", "3d", "2026-03-05 16:00"),
        ("2026-03-02 09:00", "3 business hours", "2026-03-02 12:00"),
        ("2026-03-02 09:00", "4 business hours", "2026-03-02 14:00"),
        ("2026-03-02 09:00", "7 business hours", "2026-03-02 17:00"),  # the close, not the next opening
        ("2026-03-02 09:01", "7 business hours", "2026-03-03 09:01"),
        ("2026-03-02 12:45", "1 business hour", "2026-03-02 14:30"),  # begun in the break
        ("2026-03-02 12:30", "0s", "2026-03-02 12:30"),
        ("2026-03-02 12:30", "0 business hours", "2026-03-02 13:30"),
        ("2026-03-06 16:30", "1 business hour", "2026-03-09 09:30"),  # over the weekend
        ("2026-03-02 10:00", "1 business day", "2026-03-03 10:00"),
        ("2026-03-06 16:00", "1 business day", "2026-03-09 16:00"),
        ("2026-03-07 11:00", "1 business day", "2026-03-10 09:00"),  # Saturday: counted from Monday's opening
        ("2026-03-02 08:00", "2 business days", "2026-03-04 09:00"),
        ("2026-03-02 18:00", "1 business day", "2026-03-04 09:00"),  # Monday evening is Tuesday's opening
        ("2026-03-07 11:00", "0 business days", "2026-03-09 09:00"),
    ],
)
def test_spans_run_through_breaks_nights_and_weekends(start: str, span: str, end: str) -> None:
    """The rules of docs/policies.md, to the minute."""
    assert office(windows=WITH_BREAK).add(rome(start), parse(span)) == rome(end)


@pytest.mark.parametrize(
    ("friday", "thursday_at", "due"),
    [
        ((Window(600, 660),), "2026-03-05 09:30", "2026-03-06 10:00"),  # before the opening: the opening
        ((Window(600, 660),), "2026-03-05 10:30", "2026-03-06 10:30"),
        ((Window(600, 660),), "2026-03-05 16:00", "2026-03-06 11:00"),  # after the close: the close
        (WITH_BREAK, "2026-03-05 12:45", "2026-03-06 13:30"),  # in the break: the next opening
        (WITH_BREAK, "2026-03-05 12:30", "2026-03-06 13:30"),  # of the break, also its first minute
        ((), "2026-03-05 12:45", "2026-03-09 12:45"),  # not a working day
    ],
)
def test_a_business_day_ends_within_the_hours_of_its_day(friday: Windows, thursday_at: str, due: str) -> None:
    """A short Friday must not push a step into the weekend."""
    week = (NINE_TO_FIVE,) * 4 + (friday, (), ())
    assert Calendar(ROME, week).add(rome(thursday_at), working_days(1)) == rome(due)


def test_holidays_and_own_dates_close_or_open_a_day() -> None:
    """A date of one's own wins over the yearly one, that over the holiday, that over the weekday."""
    calendar = office(
        holidays=Listed(frozenset({date(2026, 12, 25), date(2026, 12, 8), date(2027, 1, 1)})),
        dates={
            date(2026, 12, 24): (Window(540, 780),),
            date(2026, 12, 8): NINE_TO_FIVE,
            date(2027, 12, 31): ALL_DAY,
        },
        yearly={(12, 31): ()},
    )
    hours = {
        day: calendar.windows(date.fromisoformat(day))
        for day in ("2026-12-08", "2026-12-23", "2026-12-24", "2026-12-25", "2026-12-31", "2027-12-31")
    }
    assert hours == {
        "2026-12-08": NINE_TO_FIVE,
        "2026-12-23": NINE_TO_FIVE,
        "2026-12-24": (Window(540, 780),),
        "2026-12-25": (),
        "2026-12-31": (),
        "2027-12-31": ALL_DAY,
    }
    # Thursday 24th until 13:00; 25th, weekend; 28th to 30th open; 31st, 1st and the weekend closed.
    assert calendar.add(rome("2026-12-24 12:00"), parse("26 business hours")) == rome("2027-01-04 10:00")


def test_the_29th_of_february_is_a_day_like_any_other() -> None:
    """In 2028 it is a Tuesday; in 2027 the month ends before."""
    assert office().add(rome("2028-02-28 10:00"), working_days(1)) == rome("2028-02-29 10:00")
    assert office().add(rome("2028-02-29 10:00"), working_days(1)) == rome("2028-03-01 10:00")
    assert office().add(rome("2027-02-26 10:00"), working_days(1)) == rome("2027-03-01 10:00")
    closed = office(yearly={(2, 29): ()})
    assert closed.add(rome("2028-02-28 10:00"), working_days(1)) == rome("2028-03-01 10:00")


@pytest.mark.parametrize("zone", ZONES)
def test_a_desk_that_never_closes_loses_no_minute_in_ten_years(zone: ZoneInfo) -> None:
    """24/7 is the passing of time itself, over each midnight and each change of clocks."""
    calendar = always(zone)
    start = datetime(2010, 1, 1, tzinfo=UTC)
    years = timedelta(days=3650)
    assert calendar.business_between(start, start + years) == years
    for days in range(0, 3650, 7):
        at = start + timedelta(days=days, minutes=days)
        assert calendar.open_at(at)
        assert calendar.add(at, open_time(timedelta(hours=31))) == at + timedelta(hours=31)


def test_a_window_is_open_from_its_first_minute_until_before_its_last() -> None:
    """Half-open, so that adjoining windows leave no gap and count no minute twice."""
    calendar = office()
    opens, closes = rome("2026-03-02 09:00"), rome("2026-03-02 17:00")
    moments = [opens - SECOND, opens, closes - SECOND, closes]
    assert [calendar.open_at(at) for at in moments] == [False, True, True, False]
    assert calendar.next_open(closes) == rome("2026-03-03 09:00")


@pytest.mark.parametrize(
    ("week", "problem"),
    [
        (((),) * 7, "never open"),
        (((Window(0, 60), Window(30, 90)),) * 7, "overlap"),
        (((Window(60, 90), Window(0, 30)),) * 7, "out of order"),
    ],
)
def test_a_calendar_that_is_never_open_or_overlaps_cannot_be_made(week: Week, problem: str) -> None:
    """The first would have every loop run for ever; the second would count minutes twice."""
    with pytest.raises(ValueError, match=problem):
        Calendar(ROME, week)
    for start, end in ((60, 60), (90, 60), (-1, 60), (0, 1441)):
        with pytest.raises(ValueError, match="no window"):
            Window(start, end)


# ---------------------------------------------------------------- clock changes by example


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        (ROME, "2026-03-29T02:30", "2026-03-29T01:00"),  # skipped: the jump
        (ROME, "2026-03-29T03:00", "2026-03-29T01:00"),
        (ROME, "2026-10-25T02:30", "2026-10-25T00:30"),  # twice: the first
        (ROME, "2026-10-25T03:00", "2026-10-25T02:00"),
        (NEW_YORK, "2026-03-08T02:15", "2026-03-08T07:00"),
        (NEW_YORK, "2026-11-01T01:15", "2026-11-01T05:15"),
        (LORD_HOWE, "2026-10-04T02:10", "2026-10-03T15:30"),  # only half an hour
        (LORD_HOWE, "2026-04-05T01:45", "2026-04-04T14:45"),
        (APIA, "2011-12-30T12:00", "2011-12-30T10:00"),  # a whole day that never was
        (APIA, "2011-12-31T00:00", "2011-12-30T10:00"),
        (KOLKATA, "2026-03-29T02:30", "2026-03-28T21:00"),
    ],
)
def test_a_wall_time_is_the_first_moment_at_which_clocks_show_it_or_later(
    zone: ZoneInfo, wall: str, utc: str
) -> None:
    """One rule for both changes: skipped is the jump, twice is the first."""
    assert moment(zone, datetime.fromisoformat(wall)) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_hours_that_a_change_of_clocks_cuts_or_stretches_count_as_they_pass() -> None:
    """A night shift in Rome has seven hours in March and nine in October."""
    nights = daily(ROME, (Window(0, 8 * 60),))
    for day, hours in (("2026-03-28", 8), ("2026-03-29", 7), ("2026-10-25", 9)):
        start = rome(f"{day} 00:00")
        assert nights.business_between(start, start + timedelta(hours=12)) == timedelta(hours=hours)
    skipped = daily(ROME, (Window(120, 180),))
    assert skipped.intervals(date(2026, 3, 29)) == ()
    assert skipped.next_open(rome("2026-03-29 00:00")) == rome("2026-03-30 02:00")


def test_a_business_day_keeps_the_wall_time_over_a_change_of_clocks_and_3d_does_not() -> None:
    """'The same time tomorrow' is what people mean by a day; '24h' is what they mean by hours."""
    friday = rome("2026-03-27 10:00")
    assert office().add(friday, working_days(1)) == rome("2026-03-30 10:00")
    assert office().add(friday, parse("3d")) == rome("2026-03-30 11:00")


def test_a_day_that_has_begun_is_not_taken_back_with_the_clocks() -> None:
    """In St John's Sunday begins, and a minute later it is Saturday 23:01 again: Sunday's window stays open."""
    sundays = Calendar(ST_JOHNS, ((), (), (), (), (), (), ALL_DAY))
    begins = datetime(2010, 11, 7, 2, 30, tzinfo=UTC)
    assert sundays.next_open(begins - timedelta(days=1)) == begins
    assert sundays.open_at(begins + timedelta(minutes=30))
    assert sundays.business_between(begins, begins + timedelta(days=2)) == timedelta(hours=25)
    saturdays = Calendar(ST_JOHNS, ((), (), (), (), (), ALL_DAY, ()))
    assert not saturdays.open_at(begins + timedelta(minutes=30))


def test_a_day_that_a_zone_skipped_is_no_working_day() -> None:
    """Samoa had no 30 December 2011: from Thursday on the next working day is Saturday's Monday."""
    thursday = datetime(2011, 12, 29, 10, 0, tzinfo=APIA).astimezone(UTC)
    assert office(APIA).add(thursday, working_days(1)) == datetime(2012, 1, 2, 10, 0, tzinfo=APIA).astimezone(
        UTC
    )


def test_the_clocks_of_the_calendar_decide_and_not_those_of_the_moment() -> None:
    """A desk that moves from Rome to New York opens six hours later from then on."""
    at = datetime(2026, 6, 1, 9, 30, tzinfo=timezone(timedelta(hours=9, minutes=30)))
    assert office(ROME).next_open(at) == datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
    assert office(NEW_YORK).next_open(at) == datetime(2026, 6, 1, 13, 0, tzinfo=UTC)
    assert office(NEW_YORK).next_open(at).tzinfo is UTC


# ---------------------------------------------------------------- laws

_ANCHORS = [
    datetime.fromisoformat(text).replace(tzinfo=UTC)
    for text in (
        "2026-03-29T01:00",  # Rome, both directions
        "2026-10-25T01:00",
        "2026-03-08T07:00",  # New York
        "2026-11-01T06:00",
        "2026-10-03T15:30",  # Lord Howe
        "2026-04-04T15:00",
        "2011-12-30T10:00",  # Apia
        "2010-11-07T02:31",  # St John's, over midnight
        "2028-02-29T12:00",
        "2026-12-31T23:00",
    )
]
_NEAR = st.builds(
    lambda anchor, seconds: anchor + timedelta(seconds=seconds),
    st.sampled_from(_ANCHORS),
    st.integers(-4 * 86400, 4 * 86400),
)
_ANY = st.datetimes(datetime(2009, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
MOMENTS = _NEAR | _ANY
_EDGES = st.lists(st.integers(0, 48), min_size=0, max_size=6, unique=True).map(sorted)


def _windows(edges: list[int]) -> Windows:
    return tuple(Window(a * 30, b * 30) for a, b in zip(edges[::2], edges[1::2], strict=False))


_DAYS = _EDGES.map(_windows)
CALENDARS = st.builds(
    lambda zone, week, extra, closed: Calendar(
        zone, tuple(week) if any(week) else (extra,) * 7, Listed(frozenset(closed))
    ),
    st.sampled_from(ZONES),
    st.lists(_DAYS, min_size=7, max_size=7),
    st.sampled_from([NINE_TO_FIVE, ALL_DAY, WITH_BREAK]),
    st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=5),
)
_LENGTHS = st.integers(0, 60 * 60).map(lambda minutes: timedelta(minutes=minutes))
SPANS = st.one_of(
    _LENGTHS.map(elapsed),
    _LENGTHS.map(open_time),
    st.integers(0, 30).map(working_days),
)
OPEN_SPANS = _LENGTHS.map(open_time)


def _is_window_end(calendar: Calendar, at: datetime) -> bool:
    day = at.astimezone(calendar.zone).date()
    near = (day + timedelta(days=i) for i in (-2, -1, 0, 1))
    return any(at == end for each in near for _, end in calendar.intervals(each))


@given(CALENDARS, MOMENTS, st.integers(0, 3 * 86400), SPANS)
@settings(max_examples=100, deadline=None)
def test_a_later_start_never_ends_earlier(calendar: Calendar, at: datetime, later: int, span: Span) -> None:
    """Two tickets keep their order; a clock change cannot make the younger one overtake."""
    assert calendar.add(at, span) <= calendar.add(at + timedelta(seconds=later), span)


@given(CALENDARS, MOMENTS, _LENGTHS, _LENGTHS, st.integers(0, 20), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_a_longer_span_never_ends_earlier(
    calendar: Calendar, at: datetime, one: timedelta, more: timedelta, days: int, more_days: int
) -> None:
    """And more working days always end later."""
    for make in (elapsed, open_time):
        assert calendar.add(at, make(one)) <= calendar.add(at, make(one + more))
    assert calendar.add(at, working_days(days)) < calendar.add(at, working_days(days + more_days))


@given(CALENDARS, MOMENTS, OPEN_SPANS | st.integers(0, 30).map(working_days))
@settings(max_examples=100, deadline=None)
def test_business_spans_end_in_open_time_or_exactly_at_a_close(
    calendar: Calendar, at: datetime, span: Span
) -> None:
    """Nothing that counts business time happens in closed time."""
    end = calendar.add(at, span)
    assert end >= at
    assert calendar.open_at(end) or (not span.is_zero and _is_window_end(calendar, end))


@given(CALENDARS, MOMENTS, OPEN_SPANS)
@settings(max_examples=100, deadline=None)
def test_the_open_time_until_the_end_of_a_span_is_that_span(
    calendar: Calendar, at: datetime, span: Span
) -> None:
    """`add` and `business_between` are one and the same clock."""
    assert calendar.business_between(at, calendar.add(at, span)) == span.length


@given(CALENDARS, MOMENTS, st.integers(0, 20 * 86400), st.integers(0, 20 * 86400))
@settings(max_examples=100, deadline=None)
def test_open_time_adds_up_and_never_passes_elapsed_time(
    calendar: Calendar, at: datetime, first: int, second: int
) -> None:
    """No moment counts twice, wherever one cuts."""
    middle, end = at + timedelta(seconds=first), at + timedelta(seconds=first + second)
    between = calendar.business_between
    assert between(at, middle) + between(middle, end) == between(at, end) <= end - at
    assert between(end, at) == timedelta(0)


@given(CALENDARS, MOMENTS)
@settings(max_examples=100, deadline=None)
def test_open_is_what_the_clocks_of_the_zone_say(calendar: Calendar, at: datetime) -> None:
    """Away from a change of clocks, against the plain reading of the wall clock."""
    local = at.astimezone(calendar.zone)
    offsets = {(at + timedelta(hours=h)).astimezone(calendar.zone).utcoffset() for h in range(-26, 27)}
    if len(offsets) > 1:
        return
    minute = local.hour * 60 + local.minute
    plain = any(w.start <= minute < w.end for w in calendar.windows(local.date()))
    assert calendar.open_at(at) == plain
    assert calendar.open_at(calendar.next_open(at))


@given(st.sampled_from(ZONES), MOMENTS, st.integers(0, 999_999))
@settings(max_examples=100, deadline=None)
@example(ST_JOHNS, datetime(2010, 11, 7, 2, 45, tzinfo=UTC), 7)
def test_the_wall_time_reached_is_the_latest_that_has_come(zone: ZoneInfo, at: datetime, micro: int) -> None:
    """The two readings of a zone's clocks are each other's inverse, also in an hour that comes twice."""
    at = at + timedelta(microseconds=micro)
    wall = wall_reached(zone, at)
    assert moment(zone, wall) <= at < moment(zone, wall + timedelta(microseconds=1))


def _all_functions(calendar: Calendar) -> list[Callable[[datetime], datetime]]:
    spans = [parse("1830d"), parse("40000 business hours"), working_days(LONGEST_DAYS), parse("0s")]
    return [calendar.next_open, *(partial(calendar.add, span=span) for span in spans)]


def test_every_function_answers_at_the_ends_of_time_and_for_a_desk_that_hardly_opens() -> None:
    """Total and bounded: no exception, no endless loop, at worst NEVER."""
    rare = Calendar(ROME, ((Window(120, 121),), (), (), (), (), (), ()))
    for at in (
        datetime.min.replace(tzinfo=UTC),
        FIRST,
        NEVER - SECOND,
        NEVER,
        datetime.max.replace(tzinfo=UTC),
    ):
        for function in (*_all_functions(rare), *_all_functions(always(ROME))):
            assert FIRST <= function(at) <= NEVER
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert rare.add(start, parse("1000 business hours")) == NEVER
    assert rare.business_between(start, NEVER) <= HORIZON
