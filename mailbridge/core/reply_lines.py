"""Labels the lines of a body: blank, quoted, attribution, header block, forward, text.

Knows what quotation looks like, not what to do about it: `reply` decides. Bounded: at most MAX_LINES lines
and MAX_CHARS characters are matched, each line cut at MAX_WIDTH; every pattern is linear.

Standards: RFC 3676 4.5 (quote marks); RFC 5322 2.2 (header names in quoted originals).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mailbridge.core import reply_words as words

MAX_LINES: Final = 1000
MAX_CHARS: Final = 64 * 1024
MAX_WIDTH: Final = 500
_ATTRIBUTION_LINES: Final = 4
_ATTRIBUTION_LENGTH: Final = 400


class Label(Enum):
    """What a line is."""

    BLANK = "blank"
    TEXT = "text"
    QUOTE = "quote"
    """Quoted by `>` or by the HTML's structure."""
    ATTRIBUTION = "attribution"
    """'On ... wrote:' and its like."""
    HEADERS = "headers"
    """The header block or the 'Original Message' rule above a quoted original, to the end of the text."""
    FORWARD = "forward"
    """The rule above a forwarded mail."""
    SIGNATURE = "signature"
    """Marked as a signature by the HTML's structure."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as written and what it is."""

    text: str
    label: Label


def _alternatives(entries: Iterable[str]) -> str:
    return "|".join(
        re.escape(entry) for entry in sorted({x.casefold() for x in entries}, key=len, reverse=True)
    )


_IGNORED: Final = dict.fromkeys(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0x00AD]
)
_QUOTE: Final = re.compile(r"\s{0,3}(?:[>＞]|&gt;)")
_QUOTE_MARKS: Final = re.compile(r"\s*(?:(?:[>＞]|&gt;)\s?)+")
_GROUPWISE: Final = re.compile(r"\s{0,3}>>> [^>].{0,150} >>>\s*$")
"""GroupWise frames author and date of what it quotes, and marks nothing below."""
_BAR_QUOTE: Final = re.compile(r"\s{0,3}(?:\||[A-Z]{1,2}>)(?:\s|$)")
_VERB: Final = re.compile(
    rf"(?<!\w)(?:{_alternatives(words.WROTE)})(?!\w)|{_alternatives(words.WROTE_JOINED)}"
)
_FIRST_PERSON: Final = _alternatives(words.FIRST_PERSON)
_I_WROTE: Final = re.compile(rf"(?<!\w)(?:{_FIRST_PERSON})\s+(?:have\s|had\s)?$")
_WROTE_I: Final = re.compile(rf"\s+(?:{_FIRST_PERSON})(?!\w)")
_DATE: Final = re.compile(
    r"\d[:.h]\d\d(?!\d)|(?<!\d)(?:19|20|١٩|٢٠)\d\d(?!\d)|\d[/.-]\d{1,2}[/.-]\d|\d\s?[年日월일時时点]"
)
_MAIL: Final = re.compile(r"[^\s<>()\[\]@]@[^\s<>()\[\]@]")
_MAIL_IN_BRACKETS: Final = re.compile(r"[<(\[]\s?[^\s<>()]{1,100}@[^\s<>()]{1,100}\s?[>)\]<]")
_BY_MAIL: Final = re.compile(
    r" (?:by|von|par|da|por|od|door|av|af|от) [^\s<>()]{1,64}@[^\s<>()]{1,100}\s?[:：]$"
)
"""'Nov 5, 2025, 09:07 by bart@desk.example:', as Tutanota writes."""
_END_MARK: Final = re.compile(r"[:：]\s*(?:[-_*]{2,}\s*)?$")
_DASHED: Final = re.compile(r"^\s*-{2,}\s*(.+?)\s*-{2,}\s*$")
_ISO_START: Final = re.compile(r"\d{4}\s?[-/.]\s?\d{1,2}\s?[-/.]\s?\d{1,2}")
_FIRST_WORD: Final = re.compile(r"[^\s,;:()]+")
_SHARED: Final = re.compile(
    r"^(.*?[^\s-])\s*(-{2,}\s*(?:on|am|le|el|il|op|em|den|dnia|w dniu)\s.*)$", re.IGNORECASE
)
_HEADER: Final = re.compile(r"[\s*_]{0,12}([^\W\d_][^:：<>@\"|]{0,24}?)[\s*_]{0,4}[:：][\s*_]{0,4}(.*)$")
_RULE: Final = re.compile(r"^[-_=*~#—–‐]{2,}.{0,80}$")
_ORIGINAL: Final = re.compile(_alternatives(words.ORIGINAL))
_FORWARDED: Final = re.compile(_alternatives(words.FORWARDED))
_QUOTING: Final = re.compile(rf"(?:{_alternatives(words.QUOTING)})\s.{{2,150}}(?:[:：)]|>)$")
_FORWARD_START: Final = re.compile(
    r"^(?:begin (?:of )?forwarded message|start of forwarded message"
    r"|anfang der weitergeleiteten (?:e-mail|nachricht)"
    r"|début du (?:message|courriel) (?:réexpédié|transféré)|début du message"
    r"|inizio (?:del )?messaggio inoltrato"
    r"|inicio del mensaje reenviado|início da mensagem (?:re)?encaminhada|begin doorgestuurd bericht"
    r"|vidarebefordrat brev|start på videresendt (?:besked|melding)|välitetty viesti alkaa"
    r"|początek przekazywanej"
    r"|начало переадресованного сообщения|başlangıç|转发的邮件|下面是被转发的邮件|転送されたメッセージ)"
)

_OPENERS: Final = frozenset(word.casefold() for word in words.OPENERS)
_DAYS: Final = tuple(sorted({word.casefold() for word in words.WEEKDAYS_MONTHS}))
_KINDS: Final[dict[str, str]] = {
    name.casefold(): kind
    for kind, names in (
        ("other", words.HEADER_OTHER),
        ("to", words.HEADER_TO),
        ("date", words.HEADER_DATE),
        ("subject", words.HEADER_SUBJECT),
        ("from", words.HEADER_FROM),
    )
    for name in names
}


def probe(line: str) -> str:
    """A line for matching: bounded, composed (NFC), case folded, without invisible marks, blanks plain."""
    cut = line[:MAX_WIDTH]
    if cut.isascii():
        return cut.lower()
    return (
        unicodedata.normalize("NFC", cut.translate(_IGNORED))
        .casefold()
        .replace("\u00a0", " ")
        .replace("\u202f", " ")
    )


def unquoted(line: str) -> str:
    """A line without its quote marks."""
    found = _QUOTE_MARKS.match(line)
    return line[found.end() :] if found else line


def is_quoted(line: str) -> bool:
    """Whether a line starts with a quote mark (RFC 3676 4.5)."""
    return _QUOTE.match(line) is not None


def label_lines(lines: Sequence[str], fixed: Sequence[Label | None] = ()) -> list[Line]:
    """Each line with its label. `fixed` holds what HTML structure says already, one for each line."""
    lines, known = _split_shared(lines, fixed)
    labels = [_plain_label(line, label) for line, label in zip(lines, known, strict=True)]
    probes = _probes(lines)
    _mark_attributions(probes, labels, known)
    _mark_headers(probes, labels)
    _mark_bars(lines, labels)
    return [Line(line, label) for line, label in zip(lines, labels, strict=True)]


def _split_shared(
    lines: Sequence[str], fixed: Sequence[Label | None]
) -> tuple[list[str], list[Label | None]]:
    """Gives an attribution its own line that shares one with the last words ('yes--- On ... wrote:')."""
    known: Sequence[Label | None] = fixed or [None] * len(lines)
    out: list[str] = []
    out_known: list[Label | None] = []
    for line, label in zip(lines, known, strict=True):
        found = _SHARED.match(line) if label is None and "--" in line and len(line) <= MAX_WIDTH else None
        if found and is_attribution(probe(found[2])):
            out += [found[1], found[2]]
            out_known += [label, label]
        else:
            out.append(line)
            out_known.append(label)
    return out, out_known


def _plain_label(line: str, known: Label | None) -> Label:
    if not line.strip():
        return Label.BLANK if known is None or known is Label.SIGNATURE else known
    if known is not None:
        return known
    if _GROUPWISE.match(line) and _DATE.search(line):
        return Label.ATTRIBUTION
    return Label.QUOTE if is_quoted(line) else Label.TEXT


def _probes(lines: Sequence[str]) -> list[str]:
    """The lines that are looked at, ready for matching and without quote marks."""
    out: list[str] = []
    left = MAX_CHARS
    for line in lines[:MAX_LINES]:
        left -= len(line)
        if left < 0:
            break
        out.append(probe(unquoted(line)).strip())
    return out


def is_attribution(joined: str) -> bool:
    """Whether a probed line, or several joined by blanks, introduces a quotation by date and author."""
    if len(joined) > _ATTRIBUTION_LENGTH or len(joined) < 8:
        return False
    dashed = _DASHED.match(joined)
    body = (dashed[1] if dashed else joined).lstrip("-*_ ").rstrip("-*_ ")
    verb = max(_VERB.finditer(body), key=lambda found: found.end(), default=None)
    if verb is not None and (_I_WROTE.search(body, 0, verb.start()) or _WROTE_I.match(body, verb.end())):
        return False
    if verb is not None and dashed:
        return True
    dated = _DATE.search(body) is not None
    mail = _MAIL.search(body) is not None
    ended = _END_MARK.search(body) is not None
    if not dated:
        # 'Sent from my phone Anne <anne@customer.example> wrote:'
        return verb is not None and mail and ended and len(body) - verb.end() <= 4
    if verb is not None:
        rest = len(body) - verb.end()
        closed = ended or rest <= 2 or body.endswith(">")
        if mail:
            return closed
        named = verb[0] in words.NAME_FOLLOWS or verb[0][0] > "\u0590"  # right-to-left and Asian scripts
        return closed and opens(body) and rest <= (60 if named else 2)
    if ended and opens(body) and _BY_MAIL.search(body) is not None:
        return True
    if not opens(body) or _MAIL_IN_BRACKETS.search(body) is None:
        return False
    return ended or (_ISO_START.match(body) is not None and body.endswith((">", ")")))


def opens(body: str) -> bool:
    """Whether a probed line starts as attributions do: a figure, a day, a month, or 'On' in some language."""
    if body[:1].isdigit() or body.startswith("在"):
        return True
    found = _FIRST_WORD.match(body)
    if found is None:
        return False
    word = found[0].rstrip(".")
    return word in _OPENERS or _is_day(word)


def _is_day(word: str) -> bool:
    return word.startswith(_DAYS) and len(word) <= 14


def _mark_attributions(probes: Sequence[str], labels: list[Label], known: Sequence[Label | None]) -> None:
    for last, line in enumerate(probes):
        if not line or labels[last] is Label.ATTRIBUTION:
            continue
        before_quote = _next_label(labels, last) is Label.QUOTE and labels[last] is not Label.QUOTE
        if not _may_end(line, before_quote):
            continue
        first = _attribution_start(probes, labels, last, before_quote)
        if first is None:
            continue
        if labels[first] is Label.QUOTE and known[first] is Label.QUOTE:
            continue
        for number in range(first, last + 1):
            # An attribution inside a quotation belongs to that quotation.
            if labels[number] is not Label.QUOTE or _starts_quote(labels, first):
                labels[number] = Label.ATTRIBUTION


def _may_end(line: str, before_quote: bool) -> bool:
    return (
        line.endswith((":", "：", ">", "-", ")", "*")) or before_quote or _VERB.search(line[-24:]) is not None
    )


def _starts_quote(labels: Sequence[Label], first: int) -> bool:
    return first == 0 or labels[first - 1] is not Label.QUOTE


def _next_label(labels: Sequence[Label], number: int) -> Label | None:
    for label in labels[number + 1 : number + 4]:
        if label is not Label.BLANK:
            return label
    return None


def _attribution_start(
    probes: Sequence[str], labels: Sequence[Label], last: int, before_quote: bool
) -> int | None:
    """The first line of the attribution that ends on `last`: the shortest that fits, grown to its opener."""
    joined, start = "", None
    for first in range(last, max(-1, last - _ATTRIBUTION_LINES), -1):
        line = probes[first]
        if not line or (first < last and (labels[first] is not labels[last] or _ends_sentence(line))):
            break
        joined = f"{line} {joined}" if joined else line
        if start is None:
            if is_attribution(joined) and (first == last or _VERB.search(joined) or opens(joined)):
                start = first
                if opens(joined) and _complete(joined):
                    break
        elif opens(line) and is_attribution(joined) and (_DATE.search(line) or _is_day(line.split()[0])):
            start = first
            break
    if start is not None:
        return start
    line = probes[last]
    # 'Anne wrote:' is one only when a quotation follows.
    if before_quote and _QUOTING.match(line):
        return last
    if before_quote and len(line) <= 120 and _END_MARK.search(line):
        verb = max(_VERB.finditer(line), key=lambda found: found.end(), default=None)
        said = (
            verb is not None
            and verb[0] != "sent"
            and (len(line) - verb.end() <= 4 or _DATE.search(line, verb.end()))
        )
        if said or (_DATE.search(line) and (_MAIL.search(line) or opens(line))):
            return last
    return None


def _complete(joined: str) -> bool:
    """Whether an attribution holds a date with its year or day, so that no line before can belong to it."""
    return re.search(r"(?:19|20)\d\d|\d[/.-]\d", joined) is not None and _MAIL.search(joined) is not None


def _ends_sentence(line: str) -> bool:
    return line.endswith((".", "!", "?", ":", "。", "！", "？")) and not re.search(
        r"\d\.$|(?:^|\s)\w{2,4}\.$", line
    )


def _mark_headers(probes: Sequence[str], labels: list[Label]) -> None:
    """Finds the first header block, original rule or forward rule outside a quotation."""
    for number, line in enumerate(probes):
        if not line:
            continue
        if _is_forward(line, labels, number):
            labels[number] = Label.FORWARD
            return
        if labels[number] is not Label.TEXT:
            continue
        if is_original_rule(line, _header_kind(_next_text(probes, number)) is not None):
            labels[number] = Label.HEADERS
            return
        if _header_kind(line) is not None and _is_block(probes, number):
            labels[number] = Label.HEADERS
            return


def _is_forward(line: str, labels: Sequence[Label], number: int) -> bool:
    if labels[number] is Label.QUOTE and not _starts_quote(labels, number):
        return False
    return is_forward_rule(line)


def is_forward_rule(line: str) -> bool:
    """Whether a probed line is the rule above a forwarded mail."""
    if _FORWARD_START.match(line):
        return True
    return _RULE.match(line) is not None and _FORWARDED.search(line) is not None


def is_original_rule(line: str, headers_follow: bool) -> bool:
    """Whether a probed line is the rule above a quoted original ('-----Original Message-----')."""
    if len(line) > 100 or _ORIGINAL.search(line) is None:
        return False
    if _RULE.match(line):
        return True
    return headers_follow and len(line) < 40


def _next_text(probes: Sequence[str], number: int) -> str:
    for line in probes[number + 1 : number + 4]:
        if line:
            return line
    return ""


def _header_kind(line: str) -> str | None:
    found = _HEADER.match(line)
    if found is None:
        return None
    return _KINDS.get(found[1].strip())


def _is_block(probes: Sequence[str], start: int) -> bool:
    """Whether the lines from `start` are the header block of a quoted mail, not a list someone wrote."""
    kinds: list[str] = []
    with_mail = timed = misses = 0
    for line in probes[start : start + 14]:
        kind = _header_kind(line) if line else None
        if kind is None:
            misses += 1
            if misses > 2 or (not line and len(kinds) >= 3):
                break
            continue
        misses = 0
        if kind == "from" and _MAIL.search(line):
            with_mail += 1
        if kind == "date" and _DATE.search(line):
            timed += 1
        kinds.append(kind)
    found = set(kinds)
    if "from" not in found:
        return False
    if with_mail and found & {"date", "to", "subject"}:
        return True
    ruled = start > 0 and any(_is_rule(line) for line in probes[max(0, start - 3) : start])
    return len(found) >= 3 and timed > 0 and ("subject" in found or ruled)


def _is_rule(line: str) -> bool:
    return len(line) >= 3 and not line.strip("-_=*~#—–‐ ")


def _mark_bars(lines: Sequence[str], labels: list[Label]) -> None:
    """Quotation by other marks ('"
    "|', 'AB>'): only where an attribution says that one starts, or a block of it."""
    for number, line in enumerate(lines):
        if labels[number] is not Label.TEXT or _BAR_QUOTE.match(line) is None:
            continue
        before = next(
            (x for x in reversed(labels[max(0, number - 3) : number]) if x is not Label.BLANK), None
        )
        letters = line.lstrip()[:1].isalpha()
        if before in (Label.ATTRIBUTION, Label.QUOTE) or letters:
            labels[number] = Label.QUOTE
