"""Signed names for our mail: which ticket, agent notice or outgoing mail a reply or a bounce speaks of.

A token is a short text that only a holder of the key ring can make. It rides in the plus-tag of an address,
in a Message-ID and in a marker in the body. All three survive what mail systems do to them: they are plain
ASCII, and reading ignores case because some systems fold addresses.

The signature is HMAC-SHA256 cut to 96 bits, written in base32: more would leave a mailbox's name too little of
the 64 octets of a local part, and no one gets to try 2^95 mails. It covers the purpose (address, Message-ID
or body), the kind, the key's id and every field, so that no signature is good anywhere but where it was made.

Standards: RFC 2104 and FIPS 180-4 (HMAC, SHA-256; cut to less than the half that RFC 2104 section 5
recommends, and more than its least of 80 bits), RFC 4648 section 6
(base32), RFC 5321 4.5.3.1.1 (64 octets of local part), RFC 5322 3.6.4 (Message-ID), RFC 5233 (plus-tags).
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
TICKET_KEY_LENGTH = 10
MAX_SUBJECT = 10
"""The longest `Token.subject`, in characters."""
_SIGNATURE_BYTES = 12
_SIGNATURE_LENGTH = 20
MAX_TAG = 1 + 1 + 1 + TICKET_KEY_LENGTH + MAX_SUBJECT + _SIGNATURE_LENGTH
"""The longest tag, in octets, under a key whose id is one character (as all ids of `service.keys` are)."""
MAX_MAILBOX_LOCAL = 64 - len("+") - MAX_TAG
"""The longest local part of a mailbox that leaves room for every tag (RFC 5321 4.5.3.1.1)."""
_MARKERS_READ = 20
_SUBJECT_TAGS_READ = 20

_KEY_ID = re.compile(r"[a-z0-9]{1,4}")
_TICKET = r"[0-9a-hjkmnp-tv-z]{10}"
_SUBJECT = r"[a-z0-9]+(?:\.[a-z0-9]+)*"
_HEAD = r"(?P<kind>[tab])(?P<key>[a-z0-9]{1,4})"
_SIGNATURE = r"(?P<signature>[a-z2-7]{20})"
LOOKS_SIGNED = rf"[tab][a-z0-9]{{1,4}}-{_TICKET}[a-z0-9.]{{0,{MAX_SUBJECT}}}[a-z2-7]{{{_SIGNATURE_LENGTH}}}"
"""Pattern of anything that may be a token's text, for taking them out of what goes to others. Ignore case."""
_TEXT = re.compile(rf"{_HEAD}-(?P<ticket>{_TICKET})(?P<subject>(?:{_SUBJECT})?){_SIGNATURE}")
_MESSAGE_ID = re.compile(
    rf"<mb\.{_HEAD}-(?P<ticket>{_TICKET})-(?P<subject>(?:{_SUBJECT})?)-(?P<nonce>[a-z0-9]{{1,32}})-{_SIGNATURE}"
    r"@(?P<domain>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)>"
)
_LONGEST_TEXT = 64
_LONGEST_MESSAGE_ID = 400
_MARKER = re.compile(r"\[ref:([A-Za-z0-9.-]{24,64})\]", re.IGNORECASE | re.ASCII)
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212"
_KEY_TEXT = re.compile(rf"([0-9A-Za-z]{{5}})[{_DASHES} ]?([0-9A-Za-z]{{5}})")
_SUBJECT_TAG = re.compile(rf"\[#([0-9A-Za-z]{{5}}[{_DASHES} ]?[0-9A-Za-z]{{5}})\]")
_MISREAD = str.maketrans("oil", "011")


class TokenKind(StrEnum):
    """What a token stands for. The value is its one letter on the wire."""

    TICKET = "t"
    """A ticket: the Reply-To of what we send to a requester or a collaborator."""
    AGENT = "a"
    """One notice to one agent: the Reply-To that lets this agent act on this ticket."""
    BOUNCE = "b"
    """One outgoing mail: its envelope sender, so that a bounce names what bounced."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a signed text says.

    `ticket` is a public ticket key as `new_ticket_key` makes it. `subject` is '' for a TICKET, agent
    number and nonce by `subject_of` for AGENT, the outgoing mail's reference for BOUNCE: at most MAX_SUBJECT
    characters of [a-z0-9.], with no dot at either end. Raises ValueError otherwise: a bug of the caller.
    """

    kind: TokenKind
    ticket: str
    subject: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(_TICKET, self.ticket):
            raise ValueError(f"not a ticket key: {self.ticket!r}")
        if self.subject and not (len(self.subject) <= MAX_SUBJECT and re.fullmatch(_SUBJECT, self.subject)):
            raise ValueError(f"not a token subject of at most {MAX_SUBJECT} characters: {self.subject!r}")
        if bool(self.subject) == (self.kind is TokenKind.TICKET):
            raise ValueError(f"a {self.kind.name} token cannot have the subject {self.subject!r}")


@dataclass(frozen=True, slots=True)
class Forged:
    """A text in our shape that we did not sign, or under a key since dropped. `why` is for `explain`."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Key:
    """One signing key: `id` is [a-z0-9]{1,4}, `secret` at least 16 bytes (32 are usual) and never printed."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise ValueError(f"not a key id of one to four characters a-z and 0-9: {self.id!r}")
        if len(self.secret) < 16:
            raise ValueError(f"the secret of key {self.id!r} is shorter than 16 bytes")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The current key, which signs, and the retired ones, which only still verify. Ids are unique."""

    current: Key
    retired: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        ids = [self.current.id, *(key.id for key in self.retired)]
        if len(set(ids)) != len(ids):
            raise ValueError(f"two keys of one id: {ids}")

    def sign(self, token: Token) -> str:
        """The text of a token for the plus-tag of an address: at most MAX_TAG octets of [a-z0-9.-]."""
        return self._text("address", token)

    def read(self, text: str) -> Token | Forged | None:
        """The token in the plus-tag of an address, in any case of letters.

        None when the text is not in our shape at all; Forged when it is and we did not sign it as an address.
        """
        return self._read_text("address", text)

    def message_id(self, token: Token, nonce: str, domain: str) -> str:
        """A Message-ID `<mb.…@domain>` that carries a token.

        `nonce`, [a-z0-9]{1,32}, tells it from others of the same token. `domain` is ASCII (IDNA for
        others). Raises ValueError when nonce or domain is unfit: a caller's bug.
        """
        fields = (token.ticket, token.subject, nonce)
        domain = domain.lower()
        signature = _signature(self.current, "message-id", token.kind, *fields, domain)
        text = f"<mb.{token.kind}{self.current.id}-{'-'.join(fields)}-{signature}@{domain}>"
        if len(text) > _LONGEST_MESSAGE_ID or not _MESSAGE_ID.fullmatch(text):
            raise ValueError(f"unfit for a Message-ID: nonce {nonce!r}, domain {domain!r}")
        return text

    def read_message_id(self, message_id: str) -> Token | Forged | None:
        """The token in a Message-ID of ours (angle brackets included), as `read` does for an address."""
        if len(message_id) > _LONGEST_MESSAGE_ID or not message_id.isascii():
            return None
        found = _MESSAGE_ID.fullmatch(message_id.lower())
        return found and self._verify(message_id, "message-id", found, found["nonce"], found["domain"])

    def body_marker(self, token: Token) -> str:
        """A marker `[ref:…]` for the text of a mail, so that a quoted body alone still names its ticket."""
        return f"[ref:{self._text('body', token)}]"

    def find_body_markers(self, text: str) -> list[Token | Forged]:
        """The markers in a text, in order; only the first 20 that look like ours are tried."""
        found = (self._read_text("body", m[1]) for m in islice(_MARKER.finditer(text), _MARKERS_READ))
        return [each for each in found if each is not None]

    def _text(self, purpose: str, token: Token) -> str:
        signature = _signature(self.current, purpose, token.kind, token.ticket, token.subject)
        return f"{token.kind}{self.current.id}-{token.ticket}{token.subject}{signature}"

    def _read_text(self, purpose: str, text: str) -> Token | Forged | None:
        # ASCII first: lower() makes a plain k of the Kelvin sign, and a token must have one spelling only.
        if len(text) > _LONGEST_TEXT or not text.isascii():
            return None
        found = _TEXT.fullmatch(text.lower())
        return found and self._verify(text, purpose, found)

    def _verify(self, text: str, purpose: str, found: re.Match[str], *more: str) -> Token | Forged:
        key = next((key for key in (self.current, *self.retired) if key.id == found["key"]), None)
        if key is None:
            return Forged(text, f"no key {found['key']!r} in the ring")
        kind = TokenKind(found["kind"])
        expected = _signature(key, purpose, kind, found["ticket"], found["subject"], *more)
        # Compared as text: the last of the 20 letters has four idle bits, so bytes would allow sixteen spellings.
        if not hmac.compare_digest(expected, found["signature"]):
            return Forged(text, "the signature is wrong")
        try:
            return Token(kind, found["ticket"], found["subject"])
        except ValueError as unfit:  # signed by us, so by another version with other rules
            return Forged(text, str(unfit))


def _signature(key: Key, purpose: str, kind: TokenKind, *fields: str) -> str:
    """96 bits over all that gives the token its meaning; NUL separates, and no field can contain it."""
    message = "\0".join(("mailbridge", purpose, kind, key.id, *fields)).encode("ascii")
    digest = hmac.digest(key.secret, message, "sha256")[:_SIGNATURE_BYTES]
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def subject_of(*numbers: int) -> str:
    """A token subject of row numbers: base 36 joined by dots, `subject_of(12, 4711)` -> 'c.3mv'.

    Raises ValueError when a number is negative, or when the whole passes MAX_SUBJECT characters.
    """
    subject = ".".join(_base36(number) for number in numbers)
    if len(subject) > MAX_SUBJECT:
        raise ValueError(f"{numbers} do not fit in {MAX_SUBJECT} characters")
    return subject


def subject_numbers(subject: str) -> tuple[int, ...]:
    """The numbers that `subject_of` wrote. Raises ValueError for a text that is not of its making."""
    return tuple(int(part, 36) for part in subject.split(".")) if subject else ()


def _base36(number: int) -> str:
    if number < 0:
        raise ValueError(f"negative: {number}")
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
        if not number:
            return digits


def new_ticket_key(random_bytes: bytes) -> str:
    """A public ticket key: 50 bits of the (at least 7) random bytes, as ten letters of Crockford's base32.

    The alphabet has no I, L, O or U, so that a key can be read out on the telephone.
    """
    if len(random_bytes) < 7:
        raise ValueError("a ticket key needs at least 7 random bytes")
    bits = int.from_bytes(random_bytes[:7], "big")
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(0, 50, 5))


def display_key(key: str) -> str:
    """A ticket key as people see it: '7k3m9qx2vd' -> '7K3M9-QX2VD'."""
    return f"{key[:5]}-{key[5:]}".upper()


def parse_key(text: str) -> str | None:
    """The ticket key that a person typed, or None.

    Case, the dash (of any kind, or a blank) and a leading '#' do not matter; O is read as 0, I and L as 1.
    """
    found = _KEY_TEXT.fullmatch(text.strip().removeprefix("#"))
    if not found:
        return None
    key = (found[1] + found[2]).lower().translate(_MISREAD)
    return key if re.fullmatch(_TICKET, key) else None


def subject_tag(key: str) -> str:
    """The tag of a ticket for the subject line of a mail: '[#7K3M9-QX2VD]'."""
    return f"[#{display_key(key)}]"


def find_subject_tags(subject: str) -> tuple[str, ...]:
    """The ticket keys tagged in a subject line, each once, in order; only the first 20 tags are read."""
    tags = islice(_SUBJECT_TAG.finditer(subject), _SUBJECT_TAGS_READ)
    return tuple(dict.fromkeys(key for tag in tags if (key := parse_key(tag[1]))))
