"""The structured fields of a mail: addresses, author, date, Message-IDs.

mail-parser reads addresses and dates (structurally, in linear time, with its evidence of defects); the
plainest and commonest forms are read directly, which gives the same and costs a tenth.

Standards: RFC 5322 3.3 (date), 3.4 (addresses, groups), 3.6.2 (one author), 3.6.4 (ids), RFC 2047 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import getaddresses, parsedate_tz
from typing import Any, Final

from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

from mailbridge.core.address import is_valid
from mailbridge.core.mail import Address
from mailbridge.core.text import decode_words, one_line

_MAX_FIELD: Final = 64 << 10
_MAX_NAME: Final = 300
_MAX_ID: Final = 998  # RFC 5322 2.1.1: no line, hence no id, is longer
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_SPEC: Final = rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_SIMPLE: Final = re.compile(
    rf"(?:([A-Za-z0-9 _.'-]{{0,100}}?|\"[A-Za-z0-9 _.,'@()-]{{0,100}}\") ?<({_SPEC})>|({_SPEC}))"
)
_BARE: Final = re.compile(_SPEC)
_BEFORE_AT: Final = 64  # RFC 5321 4.5.3.1.1
_AFTER_AT: Final = 255  # RFC 5321 4.5.3.1.2
_ID: Final = re.compile(r"<([^<>]{1,1100})>")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Author:
    """All mailboxes of all From fields, and whether they give no clean identity."""

    mailboxes: tuple[Address, ...]
    bad: bool


def _read(value: str) -> tuple[list[Address], list[dict[str, Any]]]:
    """The mailboxes of one field and mail-parser's evidence about what is wrong with it."""
    value = value.strip()
    simple = _SIMPLE.fullmatch(value) if len(value) < 400 else None
    if simple:
        name = (simple[1] or "").strip().strip('"').strip()
        return [Address(name, simple[2] or simple[3])], []
    evidence: list[dict[str, Any]] = []
    try:
        pairs = get_addresses(value[:_MAX_FIELD], defects=evidence, decode_names=True)
    except (
        Exception
    ) as problem:  # a library's bug must not cost the mail; the standard library is the fallback
        evidence = [{"reason": f"parser-{type(problem).__name__}", "recovered": False, "candidates": []}]
        pairs = getaddresses([value[:_MAX_FIELD]])
    found = [
        Address(one_line(decode_words(name), _MAX_NAME), one_line(address, _MAX_ID))
        for name, address in pairs
        if address
    ]
    return found, evidence


def addresses(values: Sequence[str], limit: int) -> tuple[Address, ...]:
    """The mailboxes of all fields of a name, groups opened, at most `limit`."""
    found: list[Address] = []
    for value in values:
        if value and len(found) < limit:
            found += _read(value)[0]
    return tuple(found[:limit])


def author(values: Sequence[str], limit: int) -> Author:
    """Who wrote the mail. Clean is only: one field, one mailbox, nothing else in it that could be meant."""
    mailboxes: list[Address] = []
    bad = len(values) != 1
    for value in values:
        found, evidence = _read(value)
        if evidence and len(found) == 1 and _is_only_address(value, found[0]):
            phrase = value.rpartition("<")[0].replace('"', "") or found[0].name
            found = [Address(one_line(decode_words(phrase), _MAX_NAME), found[0].address)]
        elif evidence:
            bad = True
            found = found or _only_candidate(value)
        mailboxes += found
        bad = bad or len(found) != 1 or not is_valid(found[0].address)
    return Author(tuple(mailboxes[:limit]), bad)


def _is_only_address(value: str, found: Address) -> bool:
    """Whether a field that is not quite right (`Doe, Anne <anne@x.example>`) still names one address only.

    Judged on what was written and on what it decodes to: no second at-sign, but for the same address repeated.
    """
    shown = decode_words(value)
    rest = shown.replace(found.address, "")
    return value.count("<") == value.count(">") == 1 and value.rstrip().endswith(">") and "@" not in rest


def _only_candidate(value: str) -> list[Address]:
    """The one thing in a broken field that looks like an address, to be shown; never an identity."""
    at = value.find("@")
    if at < 0 or value.count("@") != 1:
        return []
    start = max(at - _BEFORE_AT, 0)
    found = _BARE.search(value[start : at + 1 + _AFTER_AT])
    if not found:
        return []
    name = one_line(decode_words(value[: start + found.start()]), _MAX_NAME).strip("<>\"' ")
    return [Address(name, found[0])]


def date_of(value: str) -> datetime | None:
    """The Date field as aware UTC; None when there is none or it cannot be meant."""
    if not value:
        return None
    value = value[:200]
    try:
        found = parse_mail_date(value).value
        if isinstance(found, datetime):
            return found.astimezone(UTC)
        parts = parsedate_tz(value)
        if parts is None or not 1970 <= parts[0] <= 9998:
            return None
        zone = timezone(timedelta(seconds=parts[9] or 0))
        return datetime(*parts[:6], tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def message_ids(values: Sequence[str], limit: int) -> tuple[str, ...]:
    """The ids of all fields of a name, in angle brackets, without blanks, each once, the last `limit`."""
    found: dict[str, None] = {}
    for value in values:
        for match in _ID.finditer(value):
            inner = _SPACE.sub("", match[1])
            if inner and len(inner) <= _MAX_ID:
                found.pop(f"<{inner}>", None)
                found[f"<{inner}>"] = None
    return tuple(found)[-limit:]
