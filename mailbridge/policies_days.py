"""Weekdays, windows, dates and zones as a policies file writes them. Every function raises ValueError in words.

Weekdays have names only: the same number is another day to cron, to ISO 8601 and to Python.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable
from datetime import date, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mailbridge.core.business import DAY, WEEKDAYS, Window, Windows

_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = r"(\d{2}):([0-5]\d)"
_WINDOW = re.compile(rf"{_TIME}\s*-\s*{_TIME}", re.ASCII)
_YEARLY = re.compile(r"(\d{2})-(\d{2})", re.ASCII)
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})\s+to\s+(\d{4}-\d{2}-\d{2})", re.ASCII)
_LONGEST_RANGE = 366
_WEEKDAYS_ALLOWED = "allowed are names of weekdays such as 'mon', 'mon-fri' or 'sat,sun'"
_DATES_ALLOWED = "allowed is 'YYYY-MM-DD', 'YYYY-MM-DD to YYYY-MM-DD', or 'MM-DD' for each year"


def weekdays(text: str) -> tuple[int, ...]:
    """'mon', 'mon-fri', 'sat,sun', 'Friday - monday': the days from Monday = 0, each once, in the order given."""
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = (each.strip().casefold() for each in part.partition("-"))
        start = _weekday(first)
        end = _weekday(last) if dash else start
        days += [(start + i) % 7 for i in range((end - start) % 7 + 1)]
    if len(set(days)) != len(days):
        raise ValueError(f"the same weekday twice; {_WEEKDAYS_ALLOWED}")
    return tuple(days)


def _weekday(name: str) -> int:
    for names in (WEEKDAYS, _LONG):
        if name in names:
            return names.index(name)
    if re.search(r"\d", name):
        raise ValueError(
            f"no numbers for weekdays, since 1 is Monday to some programs and Tuesday to others; {_WEEKDAYS_ALLOWED}"
        )
    near = difflib.get_close_matches(name, (*WEEKDAYS, *_LONG), 1)
    raise ValueError(f"did you mean '{near[0]}'? {_WEEKDAYS_ALLOWED}" if near else _WEEKDAYS_ALLOWED)


def windows(texts: Iterable[str]) -> Windows:
    """['09:00-12:30', '13:30-17:00'] in order; those that touch become one."""
    found: list[Window] = []
    for window in sorted(_window(text) for text in texts):
        if found and window.start < found[-1].end:
            raise ValueError(f"{found[-1]} and {window} overlap")
        if found and window.start == found[-1].end:
            window = Window(found.pop().start, window.end)
        found.append(window)
    return tuple(found)


def quiet(text: str) -> Windows:
    """'20:00-08:00', of which one may end before it begins: the hours of each day that are not quiet."""
    start, end = _times(text)
    start, end = start % DAY, end % DAY
    if start == end:
        raise ValueError(
            "that leaves no minute for mail: allowed are hours such as '20:00-08:00', or '' for none"
        )
    if end < start:
        return (Window(end, start),)
    return tuple(Window(a, b) for a, b in ((0, start), (end, DAY)) if a < b)


def _window(text: str) -> Window:
    start, end = _times(text)
    if start == end:
        raise ValueError("a window that is never open")
    if start > end:
        raise ValueError(
            "a window is within one day: for a night give two, such as '22:00-24:00' and, on the next day,"
            " '00:00-06:00'"
        )
    return Window(start, end)


def _times(text: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(text.strip())
    times = [int(found[i]) * 60 + int(found[i + 1]) for i in (1, 3)] if found else []
    if not times or max(times) > DAY or times[0] == DAY:
        raise ValueError("allowed is 'HH:MM-HH:MM' from '00:00' to '24:00', such as '09:00-17:00'")
    return times[0], times[1]


def dates(text: str) -> tuple[date, ...] | tuple[int, int]:
    """The days of 'YYYY-MM-DD' or a range of them; (month, day) for 'MM-DD'."""
    text = text.strip()
    try:
        if found := _YEARLY.fullmatch(text):
            month, day = int(found[1]), int(found[2])
            date(2024, month, day)  # a leap year: 02-29 is a day
            return month, day
        if found := _RANGE.fullmatch(text):
            first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
            count = (last - first).days + 1
            if not 1 <= count <= _LONGEST_RANGE:
                raise ValueError(
                    f"a range from its first day to a later one, of at most {_LONGEST_RANGE} days"
                )
            return tuple(first + timedelta(days=i) for i in range(count))
        if len(text) == len("YYYY-MM-DD"):
            return (date.fromisoformat(text),)
    except ValueError as error:
        raise ValueError(f"no such day ({error}); {_DATES_ALLOWED}") from None
    raise ValueError(_DATES_ALLOWED)


def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name."""
    # right/... counts leap seconds, and these names are another zone on another machine.
    if not name.startswith(("right/", "posix/")) and name not in ("localtime", "posixrules", "Factory"):
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(name)
    known = {each.casefold(): each for each in available_timezones()}
    cities = {each.rpartition("/")[2]: each for each in known}
    wanted = name.casefold().replace(" ", "_")
    near = difflib.get_close_matches(wanted, known, 1) or [
        cities[city] for city in difflib.get_close_matches(wanted.rpartition("/")[2], cities, 1)
    ]
    hint = f"did you mean '{known[near[0]]}'? " if near else ""
    raise ValueError(f"no such time zone: {hint}allowed is a name such as 'Europe/Rome' or 'UTC'")


def repeated(days: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, str]:
    """Of keys with weekdays, those that name one a second time, and that weekday."""
    seen: set[int] = set()
    found: dict[str, str] = {}
    for key, each in days:
        if again := seen.intersection(each):
            found[key] = WEEKDAYS[min(again)]
        seen.update(each)
    return found
