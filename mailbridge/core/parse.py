"""A raw mail to a `ParsedMail`, within limits and whatever it holds.

The structure comes from `core.scan`, bodies and attachments from `core.mime`, addresses and dates from
mail-parser with the standard library behind it. `email.policy.default` is never used on a raw mail.

Standards: RFC 5322 3.4-3.6 (addresses, dates, identification fields), RFC 2047, RFC 6532.
"""

from __future__ import annotations

import re
from typing import Final

from mailbridge.core.classify import classify
from mailbridge.core.dsn import read_bounce
from mailbridge.core.html_text import html_to_text
from mailbridge.core.mail import Header, Kind, ParsedMail
from mailbridge.core.mime import read_content
from mailbridge.core.parse_fields import addresses, author, date_of, message_ids
from mailbridge.core.reply import split_reply
from mailbridge.core.roles import with_roles
from mailbridge.core.scan import Excess, ParseLimits, read_structure
from mailbridge.core.text import clean_text, decode_words, header_text, one_line

_DEFAULT_LIMITS: Final = ParseLimits()
_MAX_SUBJECT: Final = 1000
_FOLD: Final = re.compile(r"[\r\n]+")


class TooComplex(Exception):
    """A mail is over a limit of `ParseLimits`; the text says which, what it has and what is allowed."""


def parse_mail(raw: bytes, *, null_sender: bool = False, limits: ParseLimits = _DEFAULT_LIMITS) -> ParsedMail:
    """Everything we use of a mail, clean and bounded; `null_sender` tells of an envelope from `<>`.

    Raises TooComplex before any decoding when the mail is over a limit. What is wrong with a mail is told in
    `defects`, never by an exception.
    """
    structure = read_structure(raw, limits)
    if isinstance(structure, Excess):
        raise TooComplex(structure.reason)
    root = structure.root
    charset = root.content_type.get("charset")
    defects = dict.fromkeys(structure.defects)
    headers = tuple(
        Header(h.name.decode("ascii"), clean_text(header_text(h.value, charset), limits.max_header))
        for h in root.headers
    )
    if any(not h.value.isascii() for h in root.headers):
        defects["raw-8bit-header"] = None
    fields: dict[str, list[str]] = {}
    for header in headers:
        fields.setdefault(header.name.lower(), []).append(header.value)

    def first(name: str) -> str:
        return fields[name][0] if name in fields else ""

    for name in ("subject", "message-id", "date", "to", "cc", "in-reply-to", "content-type"):
        if len(fields.get(name, ())) > 1:
            defects[f"two-{name}"] = None
    from_fields = len(fields.get("from", ()))
    if from_fields != 1:
        defects["two-from" if from_fields else "no-from"] = None
    sender = author(fields.get("from", ()), limits.max_addresses)
    if sender.bad:
        defects["bad-from"] = None
    date = date_of(first("date"))
    if "date" not in fields or date is None:
        defects["bad-date" if "date" in fields else "no-date"] = None
    ids = message_ids(fields.get("message-id", ())[:1], 1)
    if not ids:
        defects["bad-message-id" if "message-id" in fields else "no-message-id"] = None
    references = message_ids(fields.get("references", ()), limits.max_references)
    subject = one_line(decode_words(first("subject")[: _MAX_SUBJECT * 16]), _MAX_SUBJECT)
    content = read_content(structure, limits, html_to_text)
    defects |= dict.fromkeys(content.defects)
    content_type = first("content-type")
    classification = classify(
        headers,
        subject=subject,
        from_=sender.mailboxes,
        content_type=content_type,
        parts=content.parts,
        text=content.text,
        null_sender=null_sender,
    )
    bounce = None
    if classification.kind is Kind.BOUNCE:
        bounce = read_bounce(
            headers, subject=subject, text=content.text, parts=content.parts, content_type=content_type
        )
    split = split_reply(content.text, content.html)
    return ParsedMail(
        headers=headers,
        message_id=ids[0] if ids else "",
        from_=sender.mailboxes,
        from_fields=from_fields,
        reply_to=addresses(fields.get("reply-to", ()), limits.max_addresses),
        to=addresses(fields.get("to", ()), limits.max_addresses),
        cc=addresses(fields.get("cc", ()), limits.max_addresses),
        subject=subject,
        date=date,
        in_reply_to=message_ids(fields.get("in-reply-to", ()), limits.max_references),
        references=references,
        text=_with(content.text, content.invitation),
        reply=_with(split.reply, content.invitation),
        html=content.html,
        attachments=with_roles(content.attachments, html=content.html, split=split),
        parts=content.parts,
        classification=classification,
        bounce=bounce,
        defects=tuple(defects),
        cut=split.cut,
        cut_why=split.why,
        body_from=content.body_from,
        seals=content.seals,
    )


def _with(body: str, invitation: str) -> str:
    """The body with an invitation below it, which is part of what is said now."""
    if not invitation:
        return body
    return f"{body.rstrip()}\n\n{invitation}" if body.strip() else invitation
