"""Who did not get it, read from a notice written for people.

Three steps: cut off the returned mail, join what was wrapped, then ask the forms of `core.dsn_forms` from the
strongest (an address opening its own paragraph, as qmail and Postfix write) to the weakest (the only foreign
address in the notice). The first form that names anyone decides; forms are never mixed, since the weaker
ones would add the sender, the postmaster and the examples in the help text.

Standards: none; that is the point. RFC 5321 4.1.1.3 for `RCPT TO`, 4.2 for replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailbridge.core.dsn_forms import (
    ADDRESS,
    DECORATION,
    INTRODUCTION,
    LABELS,
    LISTED,
    LISTED_LOCAL_PART,
    NOT_FAILED_BEFORE,
    OFFICES,
    OPENERS,
    QUOTED_FIELD,
    RETURNED,
    RETURNED_HEADER,
    RETURNED_PART,
    SENTENCE,
    SENTENCES,
    SPEAKERS,
    TRANSCRIPTS,
)

MAX_CHARS = 65_536
"""How much of a notice is read."""
MAX_RECIPIENTS = 200
_MAX_LINE = 1000
_MAX_LINES = 5000
"""Enough for MAX_RECIPIENTS of them with a long reason each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failed recipient, the lines about it, and which form of the table named it."""

    address: str
    words: str
    form: str


def split_notice(text: str) -> tuple[str, str]:
    """The notice and the returned mail after it ('' if none), from at most MAX_CHARS characters."""
    text = text[:MAX_CHARS]
    start = 0
    seen = False
    for line in text.split("\n"):
        stripped = line.strip()
        if seen and stripped and _opens_returned_mail(line[:_MAX_LINE], stripped):
            return text[:start], text[start:]
        seen = seen or bool(stripped)
        start += len(line) + 1
    return text, ""


def _opens_returned_mail(line: str, stripped: str) -> bool:
    if RETURNED_HEADER.match(line) or RETURNED_PART.match(line):
        return True
    if len(stripped) > 160 or SENTENCE.search(stripped):
        return False
    return RETURNED.match(stripped.strip(DECORATION)) is not None


def find_recipients(notice: str, *, reporter_domain: str, not_these: Sequence[str]) -> tuple[Finding, ...]:
    """Who did not get it, with the words about each; at most MAX_RECIPIENTS.

    `reporter_domain` completes bare local parts (AOL names its users so). `not_these` are addresses that
    are known not to have failed: our own, which the notice came to, and the one that wrote it.
    """
    lines = _lines(notice)
    known = frozenset(address.casefold() for address in not_these)
    for forms in (OPENERS, LABELS):
        for name, pattern in forms:
            hits = [(i, m[1]) for i, line in enumerate(lines) if (m := pattern.search(line))]
            found = _findings(hits, lines, name)
            if found:
                return found
    listed = _listed(lines)
    if listed:
        return _findings(listed, lines, "list of recipients")
    joined = _joined(lines)
    # Offices at the second try only: a sentence may say that one failed, but rather tells to write to it.
    for forms, unlikely in (((*SENTENCES, *TRANSCRIPTS), OFFICES), (SENTENCES, frozenset[str]())):
        for name, pattern in forms:
            hits = [(i, m[1]) for i, line in enumerate(joined) for m in pattern.finditer(line)]
            found = tuple(
                f
                for f in _findings(hits, joined, name)
                if f.address.casefold() not in known and _local_part(f.address) not in unlikely
            )
            if found:
                return found
    local = _local_parts(lines, reporter_domain)
    if local:
        return _findings(local, lines, "bare local part")
    return _only_stranger(lines, known)


def _local_part(address: str) -> str:
    return address.rpartition("@")[0].casefold()


class Notice:
    """A notice prepared for being asked about many addresses."""

    __slots__ = ("_lines", "_lowered")

    def __init__(self, text: str) -> None:
        self._lines = _lines(text)
        self._lowered = text[:MAX_CHARS].casefold()

    def about(self, address: str) -> str:
        """The lines that speak of `address`, up to a paragraph opened by another; else the first lines."""
        key = address.casefold()
        if key in self._lowered:
            for at, line in enumerate(self._lines):
                if key in line.casefold():
                    return _block(self._lines, at, key)
        return "\n".join(self._lines[:40])[:4000]


def _lines(text: str) -> list[str]:
    return [line[:_MAX_LINE] for line in text[:MAX_CHARS].split("\n", _MAX_LINES)[:_MAX_LINES]]


def _findings(hits: Sequence[tuple[int, str]], lines: Sequence[str], form: str) -> tuple[Finding, ...]:
    """The hits as findings, once each. A postmaster counts only where nobody else is named."""
    found: dict[str, Finding] = {}
    for at, raw in hits:
        address = clean(raw)
        key = address.casefold()
        if address and key not in found:
            found[key] = Finding(address, _block(lines, at, key), form)
            if len(found) >= MAX_RECIPIENTS:
                break
    persons = tuple(f for key, f in found.items() if _local_part(key) not in SPEAKERS)
    return persons or tuple(found.values())


def _block(lines: Sequence[str], at: int, key: str) -> str:
    """From line `at` on, at most 24 lines, up to a line that opens with another address."""
    end = min(len(lines), at + 24)
    for i in range(at + 1, end):
        other = LISTED.match(lines[i])
        if other and clean(other[1]).casefold() != key:
            end = i
            break
    return "\n".join(lines[at:end])


def clean(address: str) -> str:
    """The address without the punctuation of the sentence round it; '' if what is left is none."""
    address = address.strip(".*'`‘’“”|!?=").rstrip("}>)")
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or domain.startswith("[") or "/" in domain:
        return ""
    return address


def _listed(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Addresses that stand on their own lines under an introduction."""
    hits: list[tuple[int, str]] = []
    open_for = 0
    for i, line in enumerate(lines):
        found = LISTED.match(line)
        if found and open_for and not QUOTED_FIELD.match(line):
            hits.append((i, found[1]))
            open_for = 10
            continue
        if INTRODUCTION.search(line):
            open_for = 6
        elif line.strip():
            open_for = max(0, open_for - 1)
    return hits


def _joined(lines: Sequence[str]) -> list[str]:
    """Lines with the next one added where a sentence was wrapped before an address."""
    out: list[str] = []
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        wrapped = following.strip().startswith("<") or line.rstrip().endswith((" to", "to:", " to the"))
        out.append(f"{line.rstrip()} {following.strip()}" if wrapped else line)
    return out


def _local_parts(lines: Sequence[str], domain: str) -> list[tuple[int, str]]:
    hits: list[tuple[int, str]] = []
    if not domain:
        return hits
    opened = False
    for i, line in enumerate(lines):
        if opened and (found := LISTED_LOCAL_PART.match(line)):
            hits.append((i, f"{found[1]}@{domain}"))
        elif line.strip():
            opened = bool(INTRODUCTION.search(line))
    return hits


def _only_stranger(lines: Sequence[str], known: frozenset[str]) -> tuple[Finding, ...]:
    """The one address that is neither ours, the writer's, an office's nor somebody to write to; else none."""
    hits: dict[str, tuple[int, str]] = {}
    for i, line in enumerate(lines):
        if QUOTED_FIELD.match(line):
            continue
        for found in ADDRESS.finditer(line):
            address = clean(found[0])
            key = address.casefold()
            if (
                address
                and key not in known
                and _local_part(key) not in OFFICES
                and not NOT_FAILED_BEFORE.search(line[max(0, found.start() - 40) : found.start()])
                and "://" not in line[max(0, found.start() - 200) : found.start()]
            ):
                hits.setdefault(key, (i, address))
    if len(hits) != 1:
        return ()
    return _findings(list(hits.values()), lines, "the only foreign address")
