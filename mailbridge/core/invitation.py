"""A calendar part as a few readable lines: what, when, where, who, and what is asked.

Not a calendar library: nothing is computed, times are shown as the sender wrote them, with their zone.

Standards: RFC 5545 3.1 (folding), 3.3.11 (escapes), 3.6.1 (events), RFC 5546 1.4 (methods).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mailbridge.core.text import clean_text, one_line

_MAX_LINES: Final = 2000
_MAX_EVENTS: Final = 5
_MAX_VALUE: Final = 500
_MAX_DESCRIPTION: Final = 4000
_LINE: Final = re.compile(
    r"([A-Za-z-]{1,60})((?:;[A-Za-z-]{1,60}=(?:\"[^\"]{0,400}\"|[^;:\"]{0,400}))*):(.*)", re.S
)
_PARAM: Final = re.compile(r";([A-Za-z-]{1,60})=(\"[^\"]*\"|[^;:\"]*)")
_ESCAPE: Final = re.compile(r"\\(.)", re.S)
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d{0,2}(Z)?)?$")
_METHODS: Final = {
    "REQUEST": "Invitation",
    "CANCEL": "Cancelled",
    "REPLY": "Answer to an invitation",
    "COUNTER": "Another time proposed",
    "DECLINECOUNTER": "Proposed time declined",
    "REFRESH": "Invitation asked for again",
    "ADD": "Invitation to more dates",
}
_ANSWERS: Final = {"ACCEPTED": "Accepted", "DECLINED": "Declined", "TENTATIVE": "Tentatively accepted"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """`lines` say what, when, where and who; `description` is the organiser's text, '' if none."""

    lines: tuple[str, ...]
    description: str


@dataclass(slots=True)
class _Event:
    values: dict[str, tuple[dict[str, str], str]] = field(default_factory=dict)
    attendees: list[tuple[dict[str, str], str]] = field(default_factory=list)


def read_invitation(ics: str) -> Invitation | None:
    """The events of a calendar text, at most five; None when it holds none."""
    method, events = _events(ics)
    if not events:
        return None
    lines: list[str] = []
    for event in events:
        lines += _shown(method, event)
    described = next((e.values["DESCRIPTION"][1] for e in events if "DESCRIPTION" in e.values), "")
    return Invitation(tuple(lines), clean_text(_plain(described), _MAX_DESCRIPTION).strip())


def _events(ics: str) -> tuple[str, list[_Event]]:
    method = ""
    events: list[_Event] = []
    current: _Event | None = None
    inner = 0  # alarms inside an event are not the event
    text = ics.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    for line in text.split("\n")[:_MAX_LINES]:
        found = _LINE.match(line)
        if found is None:
            continue
        name, value = found[1].upper(), found[3].strip()
        if name == "BEGIN":
            if current is None and value.upper() in ("VEVENT", "VTODO"):
                current = _Event()
            elif current is not None:
                inner += 1
        elif name == "END":
            if current is not None and inner == 0:
                events.append(current)
                current = None
                if len(events) == _MAX_EVENTS:
                    break
            inner = max(0, inner - 1)
        elif name == "METHOD" and current is None:
            method = value.upper()
        elif current is not None and inner == 0:
            params = {p[1].upper(): p[2].strip('"') for p in _PARAM.finditer(found[2])}
            if name == "ATTENDEE":
                current.attendees.append((params, value))
            else:
                current.values.setdefault(name, (params, value))
    return method, events


def _shown(method: str, event: _Event) -> list[str]:
    what = one_line(_plain(_value(event, "SUMMARY")), _MAX_VALUE) or "(no title)"
    lead = _METHODS.get(method, "Event")
    if method == "REPLY" and len(event.attendees) == 1:
        lead = _ANSWERS.get(event.attendees[0][0].get("PARTSTAT", "").upper(), lead)
    lines = [f"{lead}: {what}"]
    when = _when(event)
    if when:
        lines.append(f"When: {when}")
    if "RRULE" in event.values:
        lines.append(f"Repeats: {one_line(_value(event, 'RRULE'), 200)}")
    where = one_line(_plain(_value(event, "LOCATION")), _MAX_VALUE)
    if where:
        lines.append(f"Where: {where}")
    if "ORGANIZER" in event.values:
        lines.append(f"Organiser: {_person(*event.values['ORGANIZER'])}")
    if event.attendees:
        shown = ", ".join(_person(*attendee) for attendee in event.attendees[:10])
        more = f" and {len(event.attendees) - 10} more" if len(event.attendees) > 10 else ""
        lines.append(f"With: {shown}{more}")
    return lines


def _value(event: _Event, name: str) -> str:
    return event.values.get(name, ({}, ""))[1]


def _when(event: _Event) -> str:
    start, end = _time(event, "DTSTART"), _time(event, "DTEND") or _time(event, "DUE")
    if not start:
        return end
    day, _, rest = start.partition(" ")
    if not end:
        return start
    if end.startswith(f"{day} ") and rest:  # the same day: its end needs only the hour, the zone once
        clock, _, zone = rest.partition(" ")
        ends, _, end_zone = end.removeprefix(f"{day} ").partition(" ")
        if zone == end_zone:
            return f"{day} {clock}-{ends} {zone}".strip()
    return f"{start} to {end}"


def _time(event: _Event, name: str) -> str:
    params, value = event.values.get(name, ({}, ""))
    found = _TIME.match(value)
    if found is None:
        return one_line(value, 60)
    day = f"{found[1]}-{found[2]}-{found[3]}"
    if found[4] is None:
        return day
    zone = "UTC" if found[6] else one_line(params.get("TZID", ""), 60)
    return f"{day} {found[4]}:{found[5]} {zone}".strip()


def _person(params: dict[str, str], value: str) -> str:
    address = one_line(re.sub(r"^mailto:", "", value, flags=re.IGNORECASE), 200)
    name = one_line(params.get("CN", ""), 200)
    return f"{name} <{address}>" if name and name != address else address


def _plain(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value[: _MAX_DESCRIPTION * 2])
