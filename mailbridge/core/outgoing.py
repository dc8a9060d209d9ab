"""The values that stand for mail on its way out: the draft, the final bytes, what the server said of them.

`core.compose` makes bytes of a `MailDraft`; the submitters in `edge` take an `Outgoing` and answer with a
`SubmissionResult` or, when the fault is not the mail's, with `SmarthostDown`.

Standards: RFC 5321 (replies, 4.2), RFC 3463 (enhanced status codes), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailbridge.core.mail import Address


class AutoSubmitted(StrEnum):
    """Why a mail is automatic (RFC 3834 5): an answer to a mail, or sent on our own account."""

    AUTO_REPLIED = "auto-replied"
    AUTO_GENERATED = "auto-generated"


@dataclass(frozen=True, slots=True)
class OutgoingAttachment:
    """A file to send along. Its name is cleaned; a content type we cannot keep becomes octet-stream."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailDraft:
    """Everything a mail of ours says. Texts may hold anything: `compose` cleans them."""

    from_: Address
    to: tuple[Address, ...]
    reply_to: Address
    subject: str
    message_id: str
    """With angle brackets; fixed before the first attempt and never changed."""
    date: datetime
    """Aware."""
    text: str
    cc: tuple[Address, ...] = ()
    in_reply_to: str = ""
    """With angle brackets; '' when this starts a conversation."""
    references: tuple[str, ...] = ()
    """As `compose.bound_references` gives them."""
    auto: AutoSubmitted | None = None
    """None for words of a person."""
    html: str = ""
    """'' sends text only."""
    loop_mark: str = ""
    """Value of X-Mailbridge-Loop, by which we know our own mail; '' leaves the field out."""
    attachments: tuple[OutgoingAttachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One mail as it goes on the wire: the same bytes and Message-ID on every attempt."""

    envelope_from: str
    """'' is the null reverse-path."""
    recipients: tuple[str, ...]
    message_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server (or the Maildir) has taken responsibility for this recipient."""

    reply: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Permanently refused for this recipient; trying again is pointless (RFC 5321 4.2.1)."""

    code: int
    enhanced: str
    """Enhanced status code such as '5.1.1'; '' when not given."""
    text: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not taken this time (4xx, dropped or silent before the mail was handed over). To be tried again."""

    code: int | None
    """The reply code; None when there was no reply."""
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The whole mail was handed over and then there was no usable answer: it may or may not be on its way."""

    text: str


RecipientResult = Delivered | Refused | Deferred | Unknown


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What became of each recipient: exactly one entry for every address of `Outgoing.recipients`."""

    recipients: Mapping[str, RecipientResult]


@dataclass(frozen=True, slots=True)
class SmarthostDown:
    """No mail can leave now (connect, TLS, AUTH, EHLO, our sender, disk): hold all, count it against none."""

    why: str
    permanent_fault: bool
    """True: it will not pass by itself, someone has to act (password, certificate, refused sender)."""
