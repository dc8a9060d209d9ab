"""Signed and encrypted mail: what is recognised, and the words taken out of signatures that wrap them.

Nothing is verified or decrypted here: a signature of a stranger proves nothing to a desk, but its wrapping
must not hide the words. The reader of CMS looks for one thing only, the content of signed data.

Standards: RFC 5652 4-6 (CMS), RFC 8551 3.4-3.5 (S/MIME), X.690 8.1 (BER), RFC 3156 (PGP/MIME), RFC 9580 6-7
(armour, cleartext signatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

_MAX_DEPTH: Final = 16
"""Signed data nests six levels to its content; indefinite lengths are walked, so depth is bounded."""
_MAX_PIECES: Final = 200_000
"""Values looked at: programs that stream cut the content in pieces of 1 to 4 KB."""

_SIGNED: Final = bytes.fromhex("2a864886f70d010702")
_SEALED: Final = (
    bytes.fromhex("2a864886f70d010703"),  # enveloped data
    bytes.fromhex("2a864886f70d010706"),  # encrypted data
    bytes.fromhex("2a864886f70d0109100117"),  # authenticated enveloped data (RFC 5083)
)
_COMPRESSED: Final = bytes.fromhex("2a864886f70d0109100109")

_CLEARSIGNED: Final = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE: Final = "-----BEGIN PGP SIGNATURE-----"
_SIGNATURE_END: Final = "-----END PGP SIGNATURE-----"
_ARMOUR_HEADER: Final = re.compile(r"(?:Hash|Charset|Comment|Version|NotDashEscaped): ?[^\n]{0,200}$|Hash:$")
PGP_MESSAGE: Final = "-----BEGIN PGP MESSAGE-----"


class Seal(Enum):
    """What CMS data is."""

    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    COMPRESSED = "compressed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cms:
    """CMS data: what it is, and what it wraps when it is signed (None for certificates alone)."""

    seal: Seal
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Value:
    """A BER value: its tag, and where its content lies."""

    tag: int
    start: int
    end: int
    after: int


class _BadBerError(Exception):
    """Not BER, or more of it than is looked at."""


class _Ber:
    """A bounded reader of BER, which allows indefinite lengths and strings in pieces (X.690 8.1.3.6, 8.7)."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = _MAX_PIECES

    def value(self, at: int, end: int, depth: int = 0) -> _Value:
        """The value that starts at `at`."""
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH or at + 2 > end:
            raise _BadBerError
        tag, length = self._raw[at], self._raw[at + 1]
        if tag & 0x1F == 0x1F:
            raise _BadBerError  # tags of several bytes do not occur in CMS
        start = at + 2
        if length == 0x80:
            inner = start
            while self._raw[inner : inner + 2] != b"\0\0":
                inner = self.value(inner, end, depth + 1).after
            return _Value(tag, start, inner, inner + 2)
        if length > 0x80:
            size = length & 0x7F
            if size > 8 or start + size > end:
                raise _BadBerError
            length = int.from_bytes(self._raw[start : start + size])
            start += size
        # A mail cut on its way still shows its beginning.
        stop = min(start + length, end)
        return _Value(tag, start, stop, stop)

    def children(self, of: _Value, depth: int = 0) -> Iterator[_Value]:
        """The values inside a constructed one."""
        at = of.start
        while at < of.end:
            found = self.value(at, of.end, depth)
            yield found
            at = found.after

    def octets(self, of: _Value, depth: int = 0) -> bytes:
        """The bytes of an octet string, whole or in pieces."""
        if depth > _MAX_DEPTH:
            raise _BadBerError
        if not of.tag & 0x20:
            return self._raw[of.start : of.end]
        return b"".join(self.octets(piece, depth + 1) for piece in self.children(of, depth))

    def bytes_of(self, of: _Value) -> bytes:
        """The content as it stands."""
        return self._raw[of.start : of.end]


def read_cms(raw: bytes) -> Cms:
    """What CMS data is, with the content of signed data. Never raises; linear in the size."""
    ber = _Ber(raw)
    try:
        outer = list(ber.children(ber.value(0, len(raw))))
        kind = ber.bytes_of(outer[0])
        if kind in _SEALED:
            return Cms(Seal.ENCRYPTED)
        if kind == _COMPRESSED:
            return Cms(Seal.COMPRESSED)
        if kind != _SIGNED:
            return Cms(Seal.UNKNOWN)
        signed = next(ber.children(outer[1]))
        encapsulated = next(v for v in ber.children(signed) if v.tag == 0x30)  # after version and digests
        inside = [v for v in ber.children(encapsulated) if v.tag == 0xA0]
        if not inside:
            return Cms(Seal.SIGNED)
        return Cms(Seal.SIGNED, ber.octets(next(ber.children(inside[0]))))
    except (_BadBerError, IndexError, StopIteration):
        return Cms(Seal.UNKNOWN)


def without_clearsign(text: str) -> str | None:
    """`text` without the armour of cleartext signatures (RFC 9580 7), None when there is none.

    Dash-escaped lines are restored. A text without the closing armour is left as it is.
    """
    if _CLEARSIGNED not in text or _SIGNATURE not in text:
        return None
    out: list[str] = []
    lines = text.split("\n")
    state = "outside"
    for line in lines:
        bare = line.rstrip()
        if state == "outside" and bare == _CLEARSIGNED:
            state = "head"
        elif state == "head":
            if not bare:
                state = "words"
            elif _ARMOUR_HEADER.match(bare) is None:
                return None
        elif state == "words":
            if bare == _SIGNATURE:
                state = "signature"
            else:
                out.append(line.removeprefix("- "))
        elif state == "signature":
            if bare == _SIGNATURE_END:
                state = "outside"
        else:
            out.append(line)
    return "\n".join(out) if state == "outside" and len(out) < len(lines) else None
