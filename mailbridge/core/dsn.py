"""Who did not get our mail: reads a bounce, standard or not.

Order of trust: the fields of RFC 3464; Amazon's JSON notice; `X-Failed-Recipients`; the words of the notice.
Statuses are taken from the first of these that states one and else derived from the words.
Everything is bounded: 64 Ki characters of each part, 200 recipients, linear patterns.

Standards: RFC 3464 (delivery reports), RFC 3463 (status codes), RFC 6522 (multipart/report), RFC 5322.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from mailbridge.core.dsn_fields import Failure, Report, failures, original_message_id, read_reports
from mailbridge.core.dsn_notice import MAX_RECIPIENTS, Notice, clean, find_recipients, split_notice
from mailbridge.core.dsn_status import derived_code, first_code, stated_code
from mailbridge.core.mail import Bounce, BounceRecipient, Header, Part

MAX_CHARS = 65_536
"""How much of each part is looked at."""

_STATUS_TYPES = frozenset(
    {"message/delivery-status", "message/global-delivery-status", "message/xdelivery-status"}
)  # the last is MDaemon's
_RETURNED_TYPES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/global-headers",
        "message/rfc822-headers",
        "message/partial",
        "text/rfc822-headers",
        "text/rfc822",
    }
)
_ADDRESS = re.compile(r"[^\s<>\"'(),:;\[\]@]{1,128}@[^\s<>\"'(),:;\[\]@]{1,255}")
_MESSAGE_ID = re.compile(r"(?im)^[ \t>|]{0,8}Message-ID[ \t]*:\s{0,4}(<[^<>\s]{1,900}>)")
_HAS_FIELDS = re.compile(r"(?im)^[ \t>]{0,8}(?:Final|Original)-Recipient[ \t]*:")
_DELAY = re.compile(
    r"(?i)\((?:delay|delayed)\)|\bdelayed\b|\bdelay notification|still being retried|warning only"
    r"|warning: (?:message|could not send)|will be retried for|will continue trying|transient non-fatal"
    r"|have not yet received|not yet been delivered"
)
_GIVEN_UP = re.compile(
    r"(?i)permanent|giving up|given up|in the queue too long|failed permanently|was aborted"
)


def read_bounce(
    headers: Sequence[Header], *, subject: str, text: str, parts: Sequence[Part], content_type: str
) -> Bounce | None:
    """Who did not get our mail, or None when the mail names nobody and no returned mail.

    `text` is the body, `parts` the MIME leaves. A recipient's `address` is the final one (RFC 3464 2.3.2),
    `action` follows RFC 3464 2.3.3, `status` RFC 3463. Never raises on any input.
    """
    notice, tail = split_notice(text)
    action = "delayed" if _delayed(subject, notice) else "failed"
    reports = _reports(parts, text)
    about = Notice(notice)
    recipients = [_from_report(f, about, action) for f in failures(reports)]
    if not recipients:
        recipients = _amazon(text) or _failed_header(headers, about, action)
        recipients = recipients or _worded(headers, parts, text, notice, action)
        if len(recipients) == 1:  # all of the notice is about this one, wherever its reason stands
            recipients = [_with_reason(recipients[0], notice)]
        if len(recipients) == len(reports) == 1:  # Exim's report of a pipe or file: fields without an address
            recipients = [_with_fields(recipients[0], reports[0])]
    original = _original_id(headers, parts, text, tail)
    if not recipients and not original:
        return None
    return Bounce(recipients=tuple(recipients[:MAX_RECIPIENTS]), original_message_id=original)


def _delayed(subject: str, notice: str) -> bool:
    if _DELAY.search(subject[:300]):
        return True
    words = notice[:8000]
    return bool(_DELAY.search(words)) and not _GIVEN_UP.search(words)


# ------------------------------------------------------------------ the standard


def _reports(parts: Sequence[Part], text: str) -> tuple[Report, ...]:
    """RFC 3464 groups: of the status part, else pasted into a text, else of a returned bounce in this one."""
    stated = tuple(
        r for p in parts if p.content_type in _STATUS_TYPES for r in read_reports(p.text[:MAX_CHARS])
    )
    if failures(stated):
        return stated
    words = [
        text,
        *(
            p.text
            for p in parts
            if p.content_type.startswith("text/") and p.content_type not in _RETURNED_TYPES
        ),
    ]
    for candidate in (*words, *(p.text for p in parts if p.content_type in _RETURNED_TYPES)):
        if _HAS_FIELDS.search(candidate[:MAX_CHARS]):
            reports = read_reports(candidate[:MAX_CHARS])
            if failures(reports):
                return reports
    return stated


def _from_report(failure: Failure, notice: Notice, action: str) -> BounceRecipient:
    report = failure.report
    told = report.action or action
    status = report.status or stated_code(report.diagnostic)
    if status is None:
        words = f"{report.diagnostic}\n{notice.about(failure.address)}"
        status = stated_code(words) or derived_code(words, action=told)
    return BounceRecipient(failure.address, status, told, report.diagnostic)


def _with_reason(recipient: BounceRecipient, notice: str) -> BounceRecipient:
    """The recipient with the status that the whole notice states, or derives if its own lines say nothing."""
    if stated_code(recipient.diagnostic):
        return recipient
    action = recipient.action or "failed"
    status = stated_code(notice) or recipient.status or derived_code(notice, action=action)
    return BounceRecipient(recipient.address, status, recipient.action, recipient.diagnostic)


def _with_fields(recipient: BounceRecipient, report: Report) -> BounceRecipient:
    return BounceRecipient(
        recipient.address,
        report.status or recipient.status,
        report.action or recipient.action,
        report.diagnostic or recipient.diagnostic,
    )


# ------------------------------------------------------------------ Amazon SES by SNS


def _amazon(text: str) -> list[BounceRecipient]:
    """Recipients of the JSON notice of Amazon SES (developer guide, "Amazon SNS notification contents")."""
    body = text[:MAX_CHARS].strip()
    if not body.startswith("{") or ('"notificationType"' not in body and '"eventType"' not in body):
        return []
    try:
        notice, _ = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return []
    bounce = notice.get("bounce") if isinstance(notice, dict) else None
    items = bounce.get("bouncedRecipients") if isinstance(bounce, dict) else None
    found: list[BounceRecipient] = []
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict):
            continue
        address = _ADDRESS.search(str(item.get("emailAddress", ""))[:1000])
        if address:
            diagnostic = str(item.get("diagnosticCode", ""))[:500]
            status = first_code(str(item.get("status", ""))[:100]) or stated_code(diagnostic)
            found.append(BounceRecipient(address[0], status, "failed", diagnostic))
    return found


# ------------------------------------------------------------------ Exim, Gmail and others: one header


def _failed_header(headers: Sequence[Header], notice: Notice, action: str) -> list[BounceRecipient]:
    found: dict[str, BounceRecipient] = {}
    for header in headers:
        if header.name.lower() != "x-failed-recipients":
            continue
        for match in _ADDRESS.finditer(header.value[:MAX_CHARS]):
            if len(found) >= MAX_RECIPIENTS:
                break
            address = clean(match[0])
            if address and address.casefold() not in found:
                found.setdefault(
                    address.casefold(), _worded_recipient(address, notice.about(address), action)
                )
    return list(found.values())


# ------------------------------------------------------------------ words


def _worded(
    headers: Sequence[Header], parts: Sequence[Part], text: str, notice: str, action: str
) -> list[BounceRecipient]:
    # Not X-Original-To: DragonFly's agent puts the failed recipient there.
    ours = [*_addresses(headers, "to"), *_addresses(headers, "delivered-to")]
    writers = _addresses(headers, "from")
    domain = writers[0].rpartition("@")[2] if writers else ""
    texts = [notice]
    texts += [split_notice(p.text)[0] for p in parts if p.content_type == "text/plain" and p.text != text]
    texts += [p.text[:MAX_CHARS] for p in parts if p.content_type in _STATUS_TYPES]
    for words in texts:
        found = find_recipients(words, reporter_domain=domain, not_these=[*ours, *writers])
        if found:
            return [_worded_recipient(f.address, f.words, action) for f in found]
    return []


def _worded_recipient(address: str, words: str, action: str) -> BounceRecipient:
    status = stated_code(words) or derived_code(words, action=action)
    return BounceRecipient(address, status, action, re.sub(r"\s+", " ", words).strip()[:500])


def _addresses(headers: Iterable[Header], name: str) -> list[str]:
    return [m[0] for h in headers if h.name.lower() == name for m in _ADDRESS.finditer(h.value[:4000])]


# ------------------------------------------------------------------ which of our mails


def _original_id(headers: Sequence[Header], parts: Sequence[Part], text: str, tail: str) -> str:
    """The Message-ID of the returned mail: of what is enclosed, else from the report, else the thread."""
    for part in parts:
        if part.content_type in _RETURNED_TYPES and (found := _MESSAGE_ID.search(part.text[:MAX_CHARS])):
            return found[1]
    if found := _MESSAGE_ID.search(tail):
        return found[1]
    for part in parts:
        if part.content_type in _STATUS_TYPES:
            if stated := original_message_id(part.text[:MAX_CHARS]):
                return stated
            if found := _MESSAGE_ID.search(part.text[:MAX_CHARS]):  # a returned header run into the report
                return found[1]
    for part in parts:
        if part.content_type.startswith("text/") and (found := _MESSAGE_ID.search(part.text[:MAX_CHARS])):
            return found[1]
    for name in ("in-reply-to", "references"):  # Gmail and Exim 4.8x name the bounced mail there
        for header in headers:
            if header.name.lower() == name:
                ids = re.findall(r"<[^<>\s]{1,900}>", header.value[:8000])
                if ids:
                    return str(ids[-1])
    return ""
