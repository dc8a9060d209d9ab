"""The tables of policies.toml as frozen values, and what each key allows by itself.

`mailbridge.policies_load` reads the file; what keys ask of each other is there, and in `core.policy.faults`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, Strict

from mailbridge.config import Addresses, Line, Priority, Section
from mailbridge.core import spans
from mailbridge.core.spans import Span

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
NAMES = "allowed is a name of at most 40 letters, digits, '.', '_' and '-'"


def is_name(text: str) -> bool:
    """Whether a calendar or policy may be called that."""
    return _NAME.fullmatch(text) is not None


def _check_name(value: str) -> str:
    if not is_name(value):
        raise ValueError(NAMES)
    return value


def _parse_span(value: object) -> object:
    if isinstance(value, Span):
        return value
    if not isinstance(value, str):
        raise ValueError(f"allowed is a length of time such as {spans.FORMS}")
    return spans.parse(value)


def _parse_optional_span(value: object) -> object:
    if value is None or value == "":
        return None
    try:
        return _parse_span(value)
    except ValueError as error:
        raise ValueError(f"{error}, or '' for none") from None


def _parse_hours(value: object) -> object:
    if value == "24/7":
        return {"mon-sun": ("00:00-24:00",)}
    if not isinstance(value, dict):
        raise ValueError("allowed is '24/7', or a table such as {'mon-fri' = ['09:00-17:00']}")
    return _parse_days(value)


def _parse_days(value: object) -> object:
    """A single window need not stand in a list."""
    if not isinstance(value, dict):
        raise ValueError("allowed is a table such as {'2026-12-24' = ['09:00-13:00']}")
    return {day: (windows,) if isinstance(windows, str) else windows for day, windows in value.items()}


Name = Annotated[str, AfterValidator(_check_name)]
SpanValue = Annotated[InstanceOf[Span], BeforeValidator(_parse_span)]
OptionalSpan = Annotated[InstanceOf[Span] | None, BeforeValidator(_parse_optional_span)]
"""'' in the file is None: not done."""
DayTable = dict[str, Annotated[tuple[str, ...], Strict(False)]]
"""Windows by day, as text."""
Priorities = Annotated[tuple[Priority, ...], Strict(False)]
Organisations = Annotated[tuple[Line, ...], Strict(False)]


class CalendarSection(Section):
    """[calendar.NAME]: when the desk is open."""

    zone: Line
    hours: Annotated[DayTable, BeforeValidator(_parse_hours)]
    """By weekdays, such as 'mon-fri'."""
    country: Line = ""
    subdivision: Line = ""
    dates: Annotated[DayTable, BeforeValidator(_parse_days)] = Field(default_factory=dict)
    """By date: 'YYYY-MM-DD', 'YYYY-MM-DD to YYYY-MM-DD', or 'MM-DD' for each year. No window: closed."""


class StepSection(Section):
    """[[policy.step]]: what happens to a ticket that waits for its requester."""

    kind: Literal["remind", "resolve"]
    after: SpanValue
    template: Line
    gap: OptionalSpan = None
    """Needed by every step but the first, which must not have one."""


class PolicySection(Section):
    """[[policy]]: which tickets, and what happens to them when."""

    name: Name
    priorities: Priorities = ()
    mailboxes: Addresses = ()
    organisations: Organisations = ()
    calendar: Line
    quiet_hours: Line = ""
    first_response: OptionalSpan = None
    next_response: OptionalSpan = None
    warn_percent: int = Field(default=75, ge=1, le=100)
    nudge: OptionalSpan = None
    step: Annotated[tuple[StepSection, ...], Strict(False)] = ()


class SweepSection(Section):
    """[sweep]: how much at one time."""

    batch: int = Field(default=200, ge=1, le=5000)
    per_hour: int = Field(default=600, ge=1)


class PoliciesFile(Section):
    """The whole of policies.toml."""

    sweep: SweepSection = SweepSection()
    calendar: dict[str, CalendarSection] = Field(default_factory=dict)
    policy: Annotated[tuple[PolicySection, ...], Strict(False)] = ()
