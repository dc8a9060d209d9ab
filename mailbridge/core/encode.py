"""Text to the 7-bit pieces a mail is made of: clean values, folded header fields, encoded bodies, addresses.

Everything a stranger wrote passes `clean_line` or `clean_text` here before it goes into a mail of ours, so
nothing that could end a header field, or turn the reading direction of one, is left by then.

Standards: RFC 5322 2.1.1, 2.2.3, 3.2 (lines, folding, phrases), RFC 2047 (encoded words), RFC 2231
(parameters), RFC 2045 6.7, 6.8 (quoted-printable, base64), RFC 5890 (A-labels), RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from mailbridge.core.address import is_valid
from mailbridge.core.mail import Address

FOLD_AT = 78
"""Characters in a line where there is somewhere to fold (RFC 5322 2.1.1)."""
LONGEST_LINE = 998
LONGEST_NAME = 100
LONGEST_FILENAME = 100

_TO_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029 ]+")
# C0, DEL, C1; the bidirectional embeddings, overrides and isolates; the byte order mark, which decoders eat.
_NOT_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_NEWLINE = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q = tuple(chr(b) if b in _Q_SAFE else "_" if b == 0x20 else f"={b:02X}" for b in range(256))
_WORD_LIMIT = 75
"""RFC 2047 2: an encoded word has at most 75 characters, a line holding one at most 76."""
_WORD_FRAME = len("=?utf-8?q??=")

_PLAIN_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+@-]{0,59}")
_ATTR_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~")
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}")

_RISKY_LINE = re.compile(rb"^From |[ \t]$|^\.", re.MULTILINE)
_FROM_LINE = re.compile(rb"^From (.*)$", re.MULTILINE)
_LONG_LINE = re.compile(rb"[^\n]{79}")


def clean_line(value: str, limit: int) -> str:
    """`value` as one line of at most `limit` characters, fit for a header or a log.

    Line breaks, tabs and runs of spaces become one space; C0, C1, U+2028/9 and bidirectional controls go,
    lone surrogates become U+FFFD; what is cut off is marked by an ellipsis.
    """
    # Most values are clean already: one look in C instead of three passes. No control, line break or
    # bidirectional mark is printable, and of the blanks only the plain one.
    if len(value) <= limit and value.isprintable() and "  " not in value and value == value.strip():
        return value
    # No more is looked at than could be kept: a megabyte of subject must not cost a megabyte of work.
    value = value[: 8 * limit]
    cleaned = _NOT_IN_LINE.sub("", _TO_SPACE.sub(" ", value))
    cleaned = _TO_SPACE.sub(" ", _SURROGATE.sub("\ufffd", cleaned)).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1].rstrip() + "…"


def clean_text(value: str, limit: int) -> str:
    """`value` as body text: LF line ends, one at the end, no controls but tab, at most `limit` characters."""
    cut = value[:limit]
    cleaned = _NOT_IN_TEXT.sub("", _NEWLINE.sub("\n", cut))
    cleaned = _SURROGATE.sub("\ufffd", cleaned).rstrip("\n")
    return cleaned + ("\n[cut off here: too long]\n" if len(value) > limit else "\n")


def clean_filename(value: str) -> str:
    """`value` as a label: last path component, no controls, no leading dot or dash, at most 100 characters.

    'attachment' when nothing is left. The end of a long name (its extension) is kept.
    """
    name = clean_line(value.replace("\\", "/").rpartition("/")[2], 1000).lstrip(".- ").rstrip()
    if len(name) > LONGEST_FILENAME:
        stem, dot, extension = name.rpartition(".")
        tail = dot + extension if dot and len(extension) <= 16 else ""
        name = (stem if tail else name)[: LONGEST_FILENAME - len(tail)].rstrip() + tail
    return name or "attachment"


def clean_content_type(value: str) -> str:
    """`type/subtype` in lower case; octet-stream when it is malformed or may not be base64 (RFC 2046 5)."""
    lowered = value.strip().lower()
    if not _CONTENT_TYPE.fullmatch(lowered) or lowered.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return lowered


def is_sendable(address: str) -> bool:
    """Whether we send to or from this address: a plain addr-spec of printable characters only.

    Stricter than `core.address.is_valid`: no separators, invisible or direction characters (U+2028, U+202E).
    """
    return is_valid(address) and address.isprintable()


def wire_address(address: str) -> str:
    """The address as sent: a non-ASCII domain as A-labels when that can be undone, else unchanged.

    What stays non-ASCII needs SMTPUTF8. A name that IDNA 2003 would turn into another one (straße, ς) stays
    as it is, since it could belong to someone else.
    """
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    try:
        encoded = domain.encode("idna")
        if local.isascii() and encoded.decode("idna") == domain.lower():
            return f"{local}@{encoded.decode('ascii')}"
    except UnicodeError:
        pass
    return address


def _word_payload(data: bytes, quoted: bool) -> str:
    return (
        "".join(_Q[b] for b in data) if quoted else binascii.b2a_base64(data, newline=False).decode("ascii")
    )


def encoded_words(value: str, first_limit: int = _WORD_LIMIT) -> list[str]:
    """`value` as RFC 2047 words in UTF-8, cut between characters; the first at most `first_limit` long."""
    data = value.encode("utf-8")
    quoted = 3 * sum(b not in _Q_SAFE and b != 0x20 for b in data) <= len(data)
    frame = "=?utf-8?q?" if quoted else "=?utf-8?b?"
    words: list[str] = []
    room = max(first_limit, 24) - _WORD_FRAME
    while data:
        if quoted:
            size, used = 0, 0
            while size < len(data) and used + len(_Q[data[size]]) <= room:
                used += len(_Q[data[size]])
                size += 1
        else:
            size = min(room // 4 * 3, len(data))
        while size < len(data) and data[size] & 0xC0 == 0x80:  # inside a character
            size -= 1
        words.append(f"{frame}{_word_payload(data[:size], quoted)}?=")
        data = data[size:]
        room = _WORD_LIMIT - _WORD_FRAME
    return words


def fold(name: str, tokens: Iterable[str]) -> str:
    """`Name: tokens`, broken only between tokens, with its CRLF; never an empty first line."""
    lines: list[str] = []
    line = f"{name}:"
    first = True
    for token in tokens:
        if not first and len(line) + 1 + len(token) > FOLD_AT:
            lines.append(line)
            line = ""
        line = f"{line} {token}"
        first = False
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def text_header(name: str, value: str) -> str:
    """An unstructured field of a clean `value`: plain when it is ASCII and folds, else in encoded words."""
    first_limit = FOLD_AT - 2 - len(name) - 2
    if value.isascii() and "=?" not in value:
        tokens = value.split(" ")
        if all(len(token) <= first_limit for token in tokens):
            return fold(name, tokens)
    return fold(name, encoded_words(value, first_limit))


def _phrase(name: str, first_limit: int) -> list[str]:
    """A clean display name as tokens of an RFC 5322 phrase."""
    if name.isascii() and "=?" not in name:
        if _ATOMS.fullmatch(name) and len(name) <= first_limit:
            return name.split(" ")
        quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(quoted) <= first_limit:
            return [quoted]
    return encoded_words(name, first_limit)


def address_header(name: str, addresses: Iterable[Address]) -> str:
    """An address list field, folded between and inside mailboxes but never inside an addr-spec."""
    first_limit = FOLD_AT - 2 - len(name) - 2
    tokens: list[str] = []
    for address in addresses:
        if tokens:
            tokens[-1] += ","
        spec = wire_address(address.address)
        display = clean_line(address.name, LONGEST_NAME)
        if display:
            tokens += _phrase(display, first_limit)
            tokens.append(f"<{spec}>")
        else:
            tokens.append(spec)
    return fold(name, tokens)


def parameter(name: str, value: str) -> list[str]:
    """A clean file name as parameter tokens: quoted when plain and short, else by RFC 2231."""
    if _PLAIN_FILENAME.fullmatch(value):
        return [f'{name}="{value}"']
    pieces: list[str] = []
    piece = "utf-8''"
    for character in value:
        coded = "".join(chr(b) if b in _ATTR_SAFE else f"%{b:02X}" for b in character.encode("utf-8"))
        if len(piece) + len(coded) > 60:
            pieces.append(piece)
            piece = ""
        piece += coded
    pieces.append(piece)
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    last = len(pieces) - 1
    return [f"{name}*{i}*={p}" + (";" if i < last else "") for i, p in enumerate(pieces)]


def _quoted_printable(data: bytes) -> bytes:
    coded = binascii.b2a_qp(data, istext=True)
    # "From " at the start of a line is changed by mbox stores on the way, which breaks signatures.
    coded = _FROM_LINE.sub(lambda m: b"=46rom " + (m[1] if len(m[1]) <= 67 else b"=\n" + m[1]), coded)
    return coded.replace(b"\n", b"\r\n")


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76 characters, each with its CRLF."""
    coded = binascii.b2a_base64(data, newline=False)
    return b"".join(coded[i : i + 76] + b"\r\n" for i in range(0, len(coded), 76)) or b"\r\n"


def encode_body(text: str) -> tuple[str, bytes]:
    """A clean text as (Content-Transfer-Encoding, bytes with CRLF), all 7-bit and in short lines.

    '=_' never occurs in the result, so a boundary that holds it cannot be forged by a text (RFC 2045 6.7).
    """
    data = text.encode("utf-8")
    if text.isascii() and not _LONG_LINE.search(data) and not _RISKY_LINE.search(data) and b"=_" not in data:
        return "7bit", data.replace(b"\n", b"\r\n")
    escaped = len(data) - len(data.translate(None, bytes(range(0x80, 0x100)) + b"="))
    if 6 * escaped <= len(data):
        return "quoted-printable", _quoted_printable(data)
    return "base64", base64_lines(data.replace(b"\n", b"\r\n"))
