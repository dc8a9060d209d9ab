"""A draft to the final bytes of one mail, once; what is said here is what is on the wire at every attempt.

Text as quoted-printable, base64 or plain 7-bit lines; multipart/alternative when there is HTML,
multipart/mixed only with attachments. Built directly rather than by `email.message`, which takes ten times
as long and has let line breaks through (CVE-2024-6923, CVE-2026-1299); the finished bytes are checked.

Standards: RFC 5322 (3.6 fields), RFC 2045-2047, RFC 2183, RFC 2231, RFC 3834 (Auto-Submitted), RFC 6532.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from email.utils import format_datetime
from hashlib import sha256

from mailbridge.core.encode import (
    LONGEST_LINE,
    address_header,
    base64_lines,
    clean_content_type,
    clean_filename,
    clean_line,
    clean_text,
    encode_body,
    fold,
    is_sendable,
    parameter,
    text_header,
    wire_address,
)
from mailbridge.core.mail import Address
from mailbridge.core.outgoing import AutoSubmitted, MailDraft, OutgoingAttachment

LONGEST_SUBJECT = 250
LONGEST_BODY = 1 << 20
MOST_REFERENCES_FIRST = 4
MOST_REFERENCES_LAST = 6

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,800}>")
_FIELD = re.compile(rb"([!-9;-~]+):")
_REPLY_PREFIX = re.compile(
    r"(?:re|aw|antw|sv|vs|odp|res|rif|r|ynt|回复|回覆|答复|답장|返信)\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?[:：]\s*",
    re.IGNORECASE,
)


class ComposeBug(Exception):
    """The draft or our own composing is wrong: nothing may be sent. Never caused by a stranger's text."""


def reply_subject(subject: str, key_tag: str) -> str:
    """'Re: [#KEY] subject': one Re: and one tag, however many answers went before.

    `key_tag` is the whole tag, brackets included; '' leaves it out.
    """
    rest = clean_line(subject, LONGEST_SUBJECT)
    while True:
        before = rest
        if key_tag:
            rest = re.sub(re.escape(key_tag), " ", rest, flags=re.IGNORECASE).strip()
        rest = rest[match.end() :] if (match := _REPLY_PREFIX.match(rest)) else rest
        if rest == before:
            break
    return clean_line(f"Re: {key_tag} {rest}", LONGEST_SUBJECT)


def bound_references(parent_refs: Sequence[str], parent_id: str, own_id: str) -> tuple[str, ...]:
    """The References of an answer: the parent's, the parent, our own id last; at most 11 (RFC 5322 3.6.4).

    Of more than ten ancestors the first four and last six stay. Our own id closes the list because Gmail and
    SES replace Message-ID: a reply to the replaced mail still carries ours. Unusable ids are left out.
    """
    chain: list[str] = []
    for reference in (*parent_refs, parent_id):
        if reference != own_id and is_message_id(reference):
            if reference in chain:
                chain.remove(reference)
            chain.append(reference)
    if len(chain) > MOST_REFERENCES_FIRST + MOST_REFERENCES_LAST:
        chain = chain[:MOST_REFERENCES_FIRST] + chain[-MOST_REFERENCES_LAST:]
    return (*chain, own_id)


def is_message_id(value: str) -> bool:
    """Whether this can be put into our headers: one `<...>` of printable ASCII that fits in a line."""
    return _MESSAGE_ID.fullmatch(value) is not None


def needs_smtputf8(data: bytes, addresses: Iterable[str]) -> bool:
    """Whether a mail can only go to a server with SMTPUTF8: 8-bit headers or envelope (RFC 6531 3.4)."""
    head = data[: data.find(b"\r\n\r\n") + 1]
    return not head.isascii() or any(not wire_address(a).isascii() for a in addresses)


def _attachment(part: OutgoingAttachment) -> list[bytes]:
    disposition = fold(
        "Content-Disposition", ["attachment;", *parameter("filename", clean_filename(part.filename))]
    )
    head = (
        f"Content-Type: {clean_content_type(part.content_type)}\r\n"
        f"Content-Transfer-Encoding: base64\r\n{disposition}\r\n"
    )
    return [head.encode("ascii"), base64_lines(part.content)]


def _leaf(subtype: str, text: str) -> list[bytes]:
    encoding, body = encode_body(clean_text(text, LONGEST_BODY))
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return [head.encode("ascii"), body]


def _multipart(subtype: str, boundary: str, parts: Sequence[list[bytes]]) -> list[bytes]:
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'
    pieces = [head.encode("ascii")]
    for part in parts:
        pieces += [f"--{boundary}\r\n".encode("ascii"), *part, b"\r\n"]
    return [*pieces, f"--{boundary}--\r\n".encode("ascii")]


def _body(draft: MailDraft) -> list[bytes]:
    """Content-Type and the rest. Boundaries hold '=_', which no encoded body can (see `encode_body`)."""
    seed = sha256(draft.message_id.encode("utf-8")).hexdigest()[:24]
    body = _leaf("plain", draft.text)
    if draft.html:
        body = _multipart("alternative", f"=_a_{seed}", [body, _leaf("html", draft.html)])
    if draft.attachments:
        body = _multipart("mixed", f"=_m_{seed}", [body, *map(_attachment, draft.attachments)])
    return body


def _require(draft: MailDraft) -> None:
    people: tuple[Address, ...] = (draft.from_, draft.reply_to, *draft.to, *draft.cc)
    bad = [a.address for a in people if not is_sendable(a.address)]
    if bad:
        raise ComposeBug(f"not an address we may write to or from: {bad[0]!a}")
    if not draft.to and not draft.cc:
        raise ComposeBug("a mail without recipients")
    if not is_message_id(draft.message_id):
        raise ComposeBug(f"not a Message-ID: {draft.message_id!a}")
    if draft.date.utcoffset() is None:
        raise ComposeBug("the date has no time zone")


def _headers(draft: MailDraft) -> list[tuple[str, str]]:
    # Offsets with seconds (old local mean times) have no form in RFC 5322.
    offset = draft.date.utcoffset() or timedelta()
    whole = not offset.seconds % 60 and not offset.microseconds
    date = draft.date if whole else draft.date.astimezone(UTC)
    fields = [
        ("Date", f"Date: {format_datetime(date.replace(microsecond=0))}\r\n"),
        ("From", address_header("From", [draft.from_])),
    ]
    if draft.to:
        fields.append(("To", address_header("To", draft.to)))
    if draft.cc:
        fields.append(("Cc", address_header("Cc", draft.cc)))
    fields += [
        ("Reply-To", address_header("Reply-To", [draft.reply_to])),
        ("Subject", text_header("Subject", clean_line(draft.subject, LONGEST_SUBJECT) or "(no subject)")),
        ("Message-ID", f"Message-ID: {draft.message_id}\r\n"),
    ]
    if is_message_id(draft.in_reply_to):
        fields.append(("In-Reply-To", f"In-Reply-To: {draft.in_reply_to}\r\n"))
    if references := [r for r in draft.references if is_message_id(r)]:
        fields.append(("References", fold("References", references)))
    if draft.auto:
        fields.append(("Auto-Submitted", f"Auto-Submitted: {draft.auto.value}\r\n"))
        fields.append(("X-Auto-Response-Suppress", "X-Auto-Response-Suppress: All\r\n"))
    if draft.auto is AutoSubmitted.AUTO_REPLIED:
        fields.append(("Precedence", "Precedence: auto_reply\r\n"))
    if loop_mark := clean_line(draft.loop_mark, 200):
        fields.append(("X-Mailbridge-Loop", text_header("X-Mailbridge-Loop", loop_mark)))
    fields.append(("MIME-Version", "MIME-Version: 1.0\r\n"))
    return fields


def verify(data: bytes, names: Sequence[str], utf8: bool) -> None:
    """Raise ComposeBug unless the header fields are exactly `names` and every line is a proper one.

    The last line of defence against header injection: it looks at the bytes, not at how they were made.
    """
    end = data.find(b"\r\n\r\n")
    head = data[:end] if end >= 0 else data  # not partition, which copies a body of 25 MB
    found: list[str] = []
    for line in head.split(b"\r\n"):
        if len(line) > LONGEST_LINE:
            raise ComposeBug("a header line of more than 998 octets")
        if line[:1] in (b" ", b"\t"):
            if not line.strip() or not found:
                raise ComposeBug("a folded header line without content")
        elif match := _FIELD.match(line):
            found.append(match[1].decode("ascii"))
        else:
            raise ComposeBug("a header line that is no field")
    if found != list(names):
        raise ComposeBug(f"header fields are {found}, not {list(names)}")
    if not utf8 and not data.isascii():
        raise ComposeBug("8-bit bytes in a 7-bit mail")
    returns = data.count(b"\r")
    if b"\0" in data or not data.endswith(b"\r\n") or not returns == data.count(b"\n") == data.count(b"\r\n"):
        raise ComposeBug("a bare CR, LF or NUL")


def compose(draft: MailDraft) -> bytes:
    """The final bytes of a mail: CRLF, 7-bit, lines of at most 998 octets, only header fields we set.

    Free text (subject, names, bodies, file names) may be anything and is cleaned. Addresses must pass
    `is_sendable`, the Message-ID `is_message_id`, the date must be aware: else ComposeBug, as when the
    finished bytes fail the last check. The header is UTF-8 only when an address needs it (`needs_smtputf8`).
    """
    _require(draft)
    fields = _headers(draft)
    names = [name for name, _ in fields] + ["Content-Type"]
    if not draft.html and not draft.attachments:  # a single part tells its encoding in the mail's own header
        names.append("Content-Transfer-Encoding")
    head = "".join(text for _, text in fields).encode("utf-8")
    data = b"".join([head, *_body(draft)])
    verify(data, names, utf8=not head.isascii())
    return data
