"""What of an agent's mail may leave the house: never our notification, our signed names, agents' addresses. Pure.

An agent who answers between the quoted lines sends our notification back with the answer. It holds what no
customer may see: internal notes, other tickets' keys, the people of a merged ticket. And whoever has an
agent's token and writes from their address can act as that agent, so no token ever goes out in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mailbridge.core.mail import Attachment
from mailbridge.core.reply import REPLY_MARKER
from mailbridge.core.tokens import LOOKS_SIGNED

_TAGGED = re.compile(rf"(?:\+|%2b){LOOKS_SIGNED}(?=@|%40)", re.IGNORECASE | re.ASCII)
_MARKED = re.compile(rf"\[ref:{LOOKS_SIGNED}\]", re.IGNORECASE | re.ASCII)
_OWN_ID = re.compile(
    r"<?mb\.[tab][a-z0-9]{1,4}-[a-z0-9.-]{33,120}@[a-z0-9._-]{1,255}>?", re.IGNORECASE | re.ASCII
)
_BARE = re.compile(rf"(?<![a-z0-9]){LOOKS_SIGNED}(?![a-z0-9])", re.IGNORECASE | re.ASCII)
_AGENT_TOKEN = re.compile(rf"(?=a){LOOKS_SIGNED}".encode("ascii"), re.IGNORECASE)
_QUOTE = re.compile(r"[ \t]{0,3}(?:>[ \t]?)+")
_WRAPPED = 55
_MARKER_WORDS = " ".join(REPLY_MARKER.strip("#- ").lower().split())


def for_the_customer(words: str, customer_words: str, private: Iterable[str], mailbox: str) -> str:
    """The part of an agent's `words` that may be sent; '' when nothing is left.

    Where they quote our notification, of the quoted lines only those stay that `customer_words` (the
    requester's own latest mail) has too. Signed names are taken out; the addresses of `private` are written
    as `mailbox`, to which any answer is to come anyway.
    """
    if _is_marker(words):
        words = _without_notification(words, customer_words)
    for pattern in (_TAGGED, _MARKED, _OWN_ID, _BARE):
        words = pattern.sub("", words)
    for address in private:
        whole = rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)"
        words = re.sub(whole, lambda _: mailbox, words, flags=re.IGNORECASE)
    return words.strip()


def sendable(attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """The attachments without those that hold an agent's token, such as our notification sent back whole."""
    return tuple(
        a
        for a in attachments
        if not (a.content_type.startswith(("message/", "text/")) and _AGENT_TOKEN.search(a.content))
    )


def left_below(cut: str) -> bool:
    """Whether what was cut off below our first line holds answers between quoted lines: they would be lost."""
    lines = cut.split("\n")
    marker = next((n for n, line in enumerate(lines) if _is_marker(line)), None)
    if marker is None or not _QUOTE.match(lines[marker]):
        return False
    below = lines[marker:]
    last = max(n for n, line in enumerate(below) if _QUOTE.match(line))  # then come signatures and the like
    before = ""
    for line in below[:last]:
        # An unquoted line right below a long quoted one is that one's end: some programs wrap what they quote.
        if line.strip() and not _QUOTE.match(line) and len(before) < _WRAPPED:
            return True
        before = line if _QUOTE.match(line) or not line.strip() else before
    return False


def _is_marker(text: str) -> bool:
    return _MARKER_WORDS in " ".join(_QUOTE.sub("", text).lower().split())


def _without_notification(words: str, customer_words: str) -> str:
    """The agent's own lines, and the quoted ones that are the customer's."""
    theirs = " ".join(customer_words.split())
    kept: list[str] = []
    for line in words.split("\n"):
        quote = _QUOTE.match(line)
        if quote is None:
            if _is_marker(line):
                break  # unquoted: from here on it is our notification, whole
            kept.append(line)
            continue
        said = " ".join(line[quote.end() :].split())
        if said and said in theirs:
            kept.append(line)
    return "\n".join(kept)
