"""The values that stand for one mail: envelope, parsed message, attachment, classification.

Made by `core.parse` (bytes to `ParsedMail`) and read everywhere else. Plain frozen data that can be sent
between processes.

Standards: RFC 5321 (envelope), RFC 5322 (headers), RFC 2045-2049 (MIME), RFC 3464 (delivery reports).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope (RFC 5321 2.3.1). `mail_from` is None for the null reverse-path `<>`."""

    mail_from: str | None
    rcpt_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox (RFC 5322 3.4): decoded display name ('' when absent) and addr-spec as written."""

    name: str
    address: str

    @property
    def key(self) -> str:
        """The address for comparing: case folded."""
        return self.address.casefold()

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


@dataclass(frozen=True, slots=True)
class Header:
    """One header field as it came: name as written, value unfolded, undecoded (RFC 2047 words stay)."""

    name: str
    value: str


class Role(StrEnum):
    """What an attachment is to the reader. Everything is kept; what is `hidden` need not be offered."""

    FILE = "file"
    INLINE = "inline"
    """A picture that stands among the new words."""
    LOGO = "logo"
    """A picture that only the cut part shows: of a signature or of quoted history."""
    PIXEL = "pixel"
    """A picture of one by one: a counter or a spacer."""
    SIGNATURE = "signature"
    """Made by the mail program: a detached S/MIME or PGP signature, a key, a PGP version part."""
    CONTAINER = "container"
    """A wrapping (winmail.dat, an opaque smime.p7m) whose content is given beside it."""
    ENCRYPTED = "encrypted"
    """A wrapping that we cannot open."""

    @property
    def hidden(self) -> bool:
        """Whether people need not see it."""
        return self not in (Role.FILE, Role.INLINE, Role.ENCRYPTED)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the body. `filename` is a safe label (never a path), '' if the part has no name."""

    filename: str
    content_type: str
    size: int
    """Bytes after decoding."""
    inline: bool
    content_id: str
    """Without angle brackets; '' if none."""
    sha256: str
    """Hex digest of the decoded content."""
    content: bytes = field(repr=False)
    role: Role = Role.FILE


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME leaf, or an attached message (which is not descended into), for reports and bounces."""

    content_type: str
    text: str
    """Decoded text for text/* and message/*; '' for others. At most 64 Ki characters."""
    filename: str = ""


class Kind(StrEnum):
    """What kind of sender speaks. Values are the contract of `mailbridge inspect`."""

    HUMAN = "human"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    MAILING_LIST = "mailing_list"
    CHALLENGE = "challenge"
    FEEDBACK_REPORT = "feedback_report"


@dataclass(frozen=True, slots=True)
class Classification:
    """The kind of a mail and the evidence that decided it."""

    kind: Kind
    header: str
    """The header or part that decided, e.g. 'Auto-Submitted'; '' when nothing spoke against a person."""
    value: str
    """Its value, at most 200 characters."""
    why: str
    """One short sentence for `mailbridge explain`."""


@dataclass(frozen=True, slots=True)
class BounceRecipient:
    """One failed recipient of a delivery report (RFC 3464 2.3)."""

    address: str
    status: str | None
    """Enhanced status code (RFC 3463), e.g. '5.1.1'; None when not stated and not derivable."""
    action: str | None
    """failed, delayed, delivered, relayed or expanded (RFC 3464 2.3.3)."""
    diagnostic: str = ""


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a bounce says: who did not get it, and the Message-ID of the mail that bounced ('' if unknown)."""

    recipients: tuple[BounceRecipient, ...]
    original_message_id: str = ""


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """One mail, read within limits. Every text is clean: NFC, no NUL, no lone surrogates, bounded length."""

    headers: tuple[Header, ...]
    message_id: str
    """With angle brackets, as written; '' when absent or unusable."""
    from_: tuple[Address, ...]
    """All mailboxes of all From fields; an identity exists only if there is exactly one (and one field)."""
    from_fields: int
    """How many From header fields there are (RFC 5322 3.6 allows one)."""
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    date: datetime | None
    """Aware UTC; None when absent or unusable. For display only, never for rules."""
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    """Message-IDs with angle brackets in the order written; at most 100, the last ones kept."""
    text: str
    """The body as text (from text/plain, else from HTML), LF line ends."""
    reply: str
    """The new words: `text` without quoted history and signature. Never empty when `text` is not."""
    html: str
    """The HTML body as it came (unsafe: sanitise before showing), '' if none. At most 1 Mi characters."""
    attachments: tuple[Attachment, ...]
    parts: tuple[Part, ...]
    classification: Classification
    bounce: Bounce | None
    defects: tuple[str, ...]
    """Short names of what was wrong with the mail, e.g. 'bad-date', 'charset-lie', 'two-from'."""
    cut: str = ""
    """What of the body is not in `reply`: history, signature, footers. `cut_why` says by which signs."""
    cut_why: str = ""
    body_from: str = ""
    """Which form of the body `text` was made from and why, e.g. 'html: the plain part is empty'."""
    seals: tuple[str, ...] = ()
    """How the mail is signed or encrypted, e.g. 'smime-signed', 'pgp-encrypted'. Recognised, never verified."""

    def header(self, name: str) -> str:
        """The first field of that name (case-insensitive), unfolded and undecoded; '' when absent."""
        wanted = name.lower()
        return next((h.value for h in self.headers if h.name.lower() == wanted), "")

    def all_headers(self, name: str) -> tuple[str, ...]:
        """Every field of that name, in order."""
        wanted = name.lower()
        return tuple(h.value for h in self.headers if h.name.lower() == wanted)

    @property
    def sender(self) -> Address | None:
        """The author, or None when the mail has no clean identity (no From, two, or a defective one)."""
        if self.from_fields != 1 or len(self.from_) != 1 or "bad-from" in self.defects:
            return None
        return self.from_[0]
