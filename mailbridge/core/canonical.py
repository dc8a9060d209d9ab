"""When are two deliveries the same mail: a key over envelope sender, mailbox and canonical content.

Canonical content is the mail without the trace fields that each hop adds, with LF line ends: the same mail
keeps its key when a client tries again, or when it comes by SMTP and by IMAP. A Message-ID alone is never
proof (some mailers use one twice), and the envelope sender belongs in, since two people may send the same
words.
"""

from __future__ import annotations

import hashlib
import re

_TRACE = frozenset(
    (
        b"received",
        b"return-path",
        b"delivered-to",
        b"x-original-to",
        b"envelope-to",
        b"x-envelope-to",
        b"x-envelope-from",
        b"authentication-results",
        b"received-spf",
        b"dkim-signature",
        b"x-received",
        b"lines",
    )
)
_TRACE_PREFIXES = (b"arc-", b"x-spam-", b"x-google-", b"x-rspamd-")
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_EMPTY_LINE = re.compile(rb"(?:\A|(?<=\n))\r?\n")
_CHUNK = 1 << 20
_LONGEST_HEADER = 2 << 20


def dedupe_key(mailbox: str, envelope_from: str | None, raw: bytes) -> bytes:
    """32 bytes, equal for two deliveries of one mail to one mailbox. Linear in the size of `raw`."""
    digest = hashlib.sha256(b"mailbridge-1\0")
    digest.update(mailbox.casefold().encode("utf-8", "surrogatepass") + b"\0")
    digest.update((envelope_from or "").casefold().encode("utf-8", "surrogatepass") + b"\0")
    end = _end_of_header(raw)
    for field in _fields(raw[:end].replace(b"\r\n", b"\n")):
        digest.update(field)
    carry = b""
    for start in range(end, len(raw), _CHUNK):
        piece = carry + raw[start : start + _CHUNK]
        # A CR at the edge may be half of a CRLF: it waits for the next piece.
        carry = b"\r" if piece.endswith(b"\r") else b""
        digest.update(piece[: len(piece) - len(carry)].replace(b"\r\n", b"\n"))
    digest.update(carry)
    return digest.digest()


def _end_of_header(raw: bytes) -> int:
    """Where the first empty line begins, whatever mixture of line ends; 0 when there is no header at all.

    What lies beyond the longest header that anyone parses counts as body.
    """
    found = _EMPTY_LINE.search(raw, 0, _LONGEST_HEADER)
    return found.start() if found else min(len(raw), _LONGEST_HEADER)


def _fields(header: bytes) -> list[bytes]:
    """The header fields without those of the trace, folded lines with their field."""
    kept: list[bytes] = []
    keep = True
    for line in header.split(b"\n"):
        if line[:1] not in (b" ", b"\t"):
            found = _FIELD.match(line)
            name = found[1].lower() if found else b""
            keep = name not in _TRACE and not name.startswith(_TRACE_PREFIXES)
        # A lone CR is no line end: what hides behind it in a trace field may be the mail itself.
        if keep or b"\r" in line:
            kept.append(line + b"\n")
    return kept
