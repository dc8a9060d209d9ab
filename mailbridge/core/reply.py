"""The new words of a mail: what its author wrote, without history, signature and footers.

Order: our own reply marker; what the HTML's structure says; attribution lines, header blocks and `>` quotes
in the text; signatures and disclaimers below the words. Words of the author are worth more than a clean cut:
answers between quotes keep everything, a forwarded mail stays, and when nothing would be left the whole text
stays.

Standards: RFC 3676 4.3-4.5 (signature separator, quote marks).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailbridge.core.html_text import html_to_text
from mailbridge.core.reply_html import html_lines
from mailbridge.core.reply_lines import Label, Line, is_attribution, label_lines, probe, unquoted
from mailbridge.core.reply_tail import Tail, strip_tail

REPLY_MARKER: Final = "##- Please write your reply above this line -##"
"""Stands at the top of every mail that we send: what is below it in an answer is ours."""

_MARKER: Final = re.compile(r"#{2}-\s?please write your reply above this line\s?-#{2}", re.IGNORECASE)
_BLANK_RUN: Final = re.compile(r"\n{4,}")
_STRICT_SIGNATURE: Final = re.compile(r"--[ \t]?$")
_MAX_WRAP: Final = 3
_MAX_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class ReplySplit:
    """What the author newly wrote (`reply`), what was taken away (`cut`), and by which sign (`why`)."""

    reply: str
    cut: str
    why: str


def new_words(text: str, html: str) -> str:
    """The new words of a mail. See `split_reply`."""
    return split_reply(text, html).reply


def split_reply(text: str, html: str) -> ReplySplit:
    """Splits a body into the new words and the rest.

    `text` is the body as text (from text/plain, or made from the HTML), `html` the HTML body or ''. `reply`
    has LF line ends and no blank lines at its ends, and is never empty when the body holds words. `cut` holds
    the lines that are not in `reply`, in their order; `why` is '' when nothing was cut. Bounded by MAX_LINES
    and MAX_CHARS of `reply_lines`; never raises.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines, fixed = html_lines(html) if html else ([], [])
    if not text.strip() and not lines:
        text = html_to_text(html)
    if lines and (not text.strip() or _same(text, lines)):
        return _split(lines, fixed)
    split = _split(text.split("\n"), ())
    if split.why or not any(fixed):
        return split
    return _by_html(text, split, _split(lines, fixed))


def _same(text: str, lines: Sequence[str]) -> bool:
    """Whether a text was made from the HTML whose lines these are."""
    made = [" ".join(line.split()) for line in lines]
    own = [" ".join(line.split()) for line in text.split("\n")]
    return [line for line in own if line] == [line for line in made if line]


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def _by_html(text: str, whole: ReplySplit, found: ReplySplit) -> ReplySplit:
    """Carries a cut that only the HTML shows over to the text's own lines, where the words agree."""
    wanted = _letters(found.reply)
    if not found.why or not wanted:
        return whole
    lines = text.split("\n")
    seen = ""
    for number, line in enumerate(lines):
        seen += _letters(line)
        if len(seen) >= len(wanted):
            if seen == wanted:
                reply = "\n".join(lines[: number + 1]).strip("\n")
                return ReplySplit(reply, "\n".join(lines[number + 1 :]).strip("\n"), found.why)
            break
    return found


def _split(lines: Sequence[str], fixed: Sequence[Label | None]) -> ReplySplit:
    marker = next((n for n, line in enumerate(lines) if "##-" in line and _MARKER.search(line)), None)
    if marker is not None:
        end = _above_marker(lines, marker)
        if any(line.strip() for line in lines[:end]):
            above = _cut(lines[:end], fixed[:end])
            return ReplySplit(
                above.reply, _joined([above.cut, *lines[end:]]), _and("reply marker", above.why)
            )
    return _cut(lines, fixed)


def _and(first: str, second: str) -> str:
    return f"{first}, {second}" if second else first


def _joined(lines: Sequence[str]) -> str:
    return _BLANK_RUN.sub("\n\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n")


def _above_marker(lines: Sequence[str], marker: int) -> int:
    """The first line that belongs to the quotation which holds our marker: with the attribution above it."""
    end = marker
    while end and (not lines[end - 1].strip() or not unquoted(lines[end - 1]).strip("-_=* ")):
        end -= 1
    for back in range(1, 5):
        if end - back < 0 or not lines[end - back].strip():
            break
        joined = " ".join(probe(unquoted(line)).strip() for line in lines[end - back : end])
        if is_attribution(joined):
            return end - back
    return end


def _cut(lines: Sequence[str], fixed: Sequence[Label | None]) -> ReplySplit:
    labelled = _mend(label_lines(lines, fixed))
    forward = next((n for n, line in enumerate(labelled) if line.label is Label.FORWARD), None)
    headers = next((n for n, line in enumerate(labelled) if line.label is Label.HEADERS), None)
    if headers == _first_words(labelled):
        headers = None  # a header block at the top is what this mail is about
    kept: list[int]
    if forward is not None:
        kept, why = _before_forward(labelled, forward)
    else:
        end = len(labelled) if headers is None else headers
        kept, why = _outside_quotes(labelled[:end])
        if headers is not None:
            why = _and("header block", why)
    own = [labelled[n].text for n in kept]
    if not any(line.strip() for line in own):
        return ReplySplit(_joined([line.text for line in labelled]), "", "")
    if forward is None:
        tail = _end_of_words(labelled, kept)
        kept = kept[: tail.keep]
        if tail.why:
            why = _and(why, tail.why) if why else tail.why
    stays = set(kept)
    reply = _joined([labelled[n].text for n in kept])
    cut = _joined([line.text for n, line in enumerate(labelled) if n not in stays])
    return ReplySplit(reply, cut, why if cut else "")


def _end_of_words(lines: Sequence[Line], kept: Sequence[int]) -> Tail:
    """Strips what is below the words, then quotes that came to the end by that, until nothing changes."""
    signed = any(_STRICT_SIGNATURE.match(line.text) for line in lines[kept[-1] + 1 :])
    keep, reasons = len(kept), list[str]()
    for _ in range(_MAX_ROUNDS):
        tail = strip_tail([lines[n].text for n in kept[:keep]], signed=signed)
        end = tail.keep
        while end and lines[kept[end - 1]].label is not Label.TEXT:
            end -= 1
        if tail.why:
            reasons.append(tail.why)
        if end == 0 or end == keep:
            return Tail(end or keep, ", ".join(reasons))
        if end < tail.keep and any(lines[n].label is Label.QUOTE for n in kept[end : tail.keep]):
            reasons.append("quoted text below")
        keep, signed = end, signed or "signature" in tail.why or "closing" in tail.why
    return Tail(keep, ", ".join(reasons))


def _first_words(lines: Sequence[Line]) -> int | None:
    return next((n for n, line in enumerate(lines) if line.label is not Label.BLANK), None)


def _mend(lines: list[Line]) -> list[Line]:
    """Takes lines that wrapped out of a quotation back into it: up to three, with quoted lines around."""
    out = list(lines)
    for number, line in enumerate(lines):
        if line.label is not Label.TEXT or number == 0 or out[number - 1].label is not Label.QUOTE:
            continue
        for size in range(1, _MAX_WRAP + 1):
            after = number + size
            if after >= len(lines) or lines[after].label is Label.BLANK:
                break
            if lines[after].label is Label.QUOTE:
                if not _answers(lines[number - 1].text, [x.text for x in lines[number:after]]):
                    for wrapped in range(number, after):
                        out[wrapped] = Line(lines[wrapped].text, Label.QUOTE)
                break
    return out


def _answers(above: str, lines: Sequence[str]) -> bool:
    """Whether lines between quoted lines are an answer, not the end of a quoted line that was too long."""
    quoted = unquoted(above).rstrip()
    first = lines[0].strip()
    if len(quoted) >= 60 and first[:1].islower() and not quoted.endswith("?"):
        return len(lines) > 1
    if not quoted or quoted.endswith((".", "!", "?", ":")):
        return True
    return len(lines) > 1 or (len(quoted) < 50 and first[:1].isupper())


def _before_forward(lines: Sequence[Line], forward: int) -> tuple[list[int], str]:
    """All of a forwarded mail, and of what is above it the words without a signature."""
    above, why = _outside_quotes(lines[:forward])
    tail = strip_tail([lines[n].text for n in above])
    kept = above[: tail.keep] if any(lines[n].text.strip() for n in above) else []
    gap = [forward - 1] if kept and lines[forward - 1].label is Label.BLANK else []
    return [*kept, *gap, *range(forward, len(lines))], _and(why, tail.why) if why else tail.why


def _outside_quotes(lines: Sequence[Line]) -> tuple[list[int], str]:
    """The numbers of the lines to keep, when everything quoted is judged; and why something goes."""
    lines = _without_lone_attribution(lines)
    own = [n for n, line in enumerate(lines) if line.label in (Label.TEXT, Label.BLANK)]
    words = [n for n in own if lines[n].label is Label.TEXT]
    quoted = [n for n, line in enumerate(lines) if line.label in (Label.QUOTE, Label.ATTRIBUTION)]
    signed = any(line.label is Label.SIGNATURE for line in lines)
    if not words:
        return [n for n, line in enumerate(lines)], ""
    if not quoted:
        return own, "signature mark" if signed else ""
    first = quoted[0]
    below = [n for n in words if n > first]
    if below:
        stays = strip_tail([lines[n].text for n in range(below[0], below[-1] + 1)])
        if _only_tail([lines[n].text for n in below]) or not stays.keep:
            below = []
    above = [n for n in words if n < first]
    if not below:
        if not above:
            return [n for n, line in enumerate(lines)], ""
        return [n for n in own if n < first], "quoted text"
    attributed = any(line.label is Label.ATTRIBUTION for line in lines)
    if not above and attributed and not any(lines[n].label is Label.QUOTE for n in quoted if n > below[0]):
        return [n for n in own if n >= below[0]], "quoted text above"
    # Answers between quotes: all stays, but for attribution lines and what is quoted below the last.
    last = below[-1]
    kept = [n for n in range(last + 1) if lines[n].label not in (Label.ATTRIBUTION, Label.SIGNATURE)]
    return kept, "quoted text below" if any(n > last for n in quoted) else ""


def _without_lone_attribution(lines: Sequence[Line]) -> list[Line]:
    """Makes all below an attribution quoted where nothing marks it (Outlook and phones mark nothing)."""
    out = list(lines)
    for number, line in enumerate(lines):
        if line.label is not Label.ATTRIBUTION:
            continue
        if number + 1 < len(lines) and lines[number + 1].label is Label.ATTRIBUTION:
            continue
        after = next((x for x in lines[number + 1 :] if x.label is not Label.BLANK), None)
        above = any(x.label is Label.TEXT for x in lines[:number])
        if after is not None and after.label is Label.TEXT and above:
            for below in range(number + 1, len(lines)):
                if out[below].label is Label.TEXT:
                    out[below] = Line(out[below].text, Label.QUOTE)
            break
    return out


def _only_tail(lines: Sequence[str]) -> bool:
    """Whether lines below a quotation are no answer: a signature, a footer, a disclaimer."""
    padded = ["words", "", *lines]
    return strip_tail(padded).keep <= 1
