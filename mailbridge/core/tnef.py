"""Reads winmail.dat: the files and the body that Outlook wraps in TNEF when it sends rich text.

Our own reader of some hundred lines: tnefparse copies the rest of the stream at each attribute, which is
quadratic (25 MB of empty attributes never end), opens embedded messages without a bound, and logs. Here each
byte is looked at once, nothing is nested, and every count is bounded.

Standards: MS-OXTNEF 2.1-2.4 (stream, attributes, MAPI properties), MS-OXPROPS (property numbers).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mailbridge.core.text import clean_text, decode

SIGNATURE: Final = b"\x78\x9f\x3e\x22"
_MAX_ATTRIBUTES: Final = 5000
_MAX_PROPERTIES: Final = 20_000
_MAX_VALUES: Final = 1000
_MAX_FILES: Final = 200
_MAX_BODY: Final = 4 << 20

_BODY: Final = 0x800C
_ATTACH_DATA: Final = 0x800F
_ATTACH_TITLE: Final = 0x8010
_ATTACH_START: Final = 0x9002
_MAPI: Final = 0x9003
_ATTACH_MAPI: Final = 0x9005
_CODEPAGE: Final = 0x9007

_PR_BODY: Final = 0x1000
_PR_RTF: Final = 0x1009
_PR_HTML: Final = 0x1013
_PR_DATA: Final = 0x3701
_PR_SHORT_NAME: Final = 0x3704
_PR_LONG_NAME: Final = 0x3707
_PR_MEDIA_TYPE: Final = 0x370E
_PR_CONTENT_ID: Final = 0x3712
_PR_DISPLAY_NAME: Final = 0x3001
_PR_CPID: Final = 0x3FDE
_STRING8: Final = 0x1E
_UNICODE: Final = 0x1F
_OBJECT: Final = 0x0D
_SIZES: Final[dict[int, int]] = {
    0x00: 4, 0x01: 4, 0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8,
    0x40: 8, 0x48: 16,
}  # fmt: skip
_VARIABLE: Final = frozenset((_OBJECT, _STRING8, _UNICODE, 0x102))
_CHARSETS: Final[dict[int, str]] = {
    65001: "utf-8", 65000: "utf-7", 20127: "us-ascii", 20866: "koi8-r", 21866: "koi8-u", 50220: "iso-2022-jp",
    51932: "euc-jp", 51949: "euc-kr", 54936: "gb18030", 936: "gbk", 950: "big5", 932: "shift_jis",
    949: "euc-kr", 10000: "mac-roman",
}  # fmt: skip


@dataclass(slots=True)
class TnefFile:
    """A file in the stream. `filename` as written, not yet safe; `content_type` may be ''."""

    filename: str = ""
    content_type: str = ""
    content_id: str = ""
    content: bytes = b""


@dataclass(slots=True)
class Tnef:
    """What a stream holds. `rtf_only`: a body is there, but only as compressed rich text, which is not read."""

    files: list[TnefFile] = field(default_factory=list)
    text: str = ""
    html: str = ""
    rtf_only: bool = False


class _CutError(Exception):
    """The stream ends inside a value, or holds more than is looked at."""


def read_tnef(raw: bytes) -> Tnef | None:
    """The content of a TNEF stream; what was read so far when it breaks off; None when it is none."""
    if not raw.startswith(SIGNATURE):
        return None
    found = Tnef()
    reader = _Reader(raw, found)
    with contextlib.suppress(_CutError, struct.error):
        reader.read()
    found.files = [f for f in found.files if f.content or f.filename]
    found.rtf_only = reader.rtf and not (found.text or found.html)
    return found


class _Reader:
    """One pass over one stream."""

    def __init__(self, raw: bytes, found: Tnef) -> None:
        self._raw = raw
        self._found = found
        self._charset = "windows-1252"
        self._properties = _MAX_PROPERTIES
        self.rtf = False

    def read(self) -> None:
        """Read attribute after attribute; raises _CutError at a broken one."""
        at = 6
        for _ in range(_MAX_ATTRIBUTES):
            if at + 9 > len(self._raw):
                return
            _, number, _, size = struct.unpack_from("<BHHI", self._raw, at)
            start, end = at + 9, at + 9 + size
            if end > len(self._raw):
                raise _CutError
            self._attribute(number, start, end)
            at = end + 2

    def _attribute(self, number: int, start: int, end: int) -> None:
        files = self._found.files
        if number == _CODEPAGE and end - start >= 4:
            self._charset = _charset(struct.unpack_from("<I", self._raw, start)[0])
        elif number == _ATTACH_START:
            if len(files) >= _MAX_FILES:
                raise _CutError
            files.append(TnefFile())
        elif number == _BODY:
            self._found.text = self._text(self._raw[start : min(end, start + _MAX_BODY)])
        elif number == _MAPI:
            self._message(start, end)
        elif files and number == _ATTACH_TITLE:
            files[-1].filename = files[-1].filename or self._text(self._raw[start : min(end, start + 1000)])
        elif files and number == _ATTACH_DATA:
            files[-1].content = self._raw[start:end]
        elif files and number == _ATTACH_MAPI:
            self._file(files[-1], start, end)

    def _message(self, start: int, end: int) -> None:
        charset = self._charset
        html = b""
        for number, kind, value in self._values(start, end):
            if number == _PR_CPID and len(value) == 4:
                charset = _charset(int.from_bytes(value, "little"))
            elif number == _PR_BODY:
                self._found.text = self._string(kind, value[:_MAX_BODY]) or self._found.text
            elif number == _PR_HTML:
                if kind == 0x102:
                    html = value[:_MAX_BODY]
                else:
                    self._found.html = self._string(kind, value[:_MAX_BODY])
            elif number == _PR_RTF:
                self.rtf = True
        if html:
            self._found.html = clean_text(decode(html, charset).text)

    def _file(self, file: TnefFile, start: int, end: int) -> None:
        names: dict[int, str] = {}
        for number, kind, value in self._values(start, end):
            if number in (_PR_LONG_NAME, _PR_SHORT_NAME, _PR_DISPLAY_NAME):
                names[number] = self._string(kind, value[:1000])
            elif number == _PR_MEDIA_TYPE:
                file.content_type = self._string(kind, value[:200]).lower()
            elif number == _PR_CONTENT_ID:
                file.content_id = self._string(kind, value[:1000]).strip("<>")
            elif number == _PR_DATA and not file.content:
                file.content = value[16:] if kind == _OBJECT else value  # an object starts with its class
        best = names.get(_PR_LONG_NAME) or file.filename or names.get(_PR_SHORT_NAME)
        file.filename = best or names.get(_PR_DISPLAY_NAME, "")

    def _string(self, kind: int, value: bytes) -> str:
        if kind == _UNICODE:
            return clean_text(value.decode("utf-16-le", "replace"))
        return self._text(value)

    def _text(self, value: bytes) -> str:
        return clean_text(decode(value.rstrip(b"\0"), self._charset).text)

    def _values(self, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Number, type and value of each MAPI property (MS-OXTNEF 2.1.3.4); the first of several values."""
        count, at = self._number(start, end), start + 4
        for _ in range(count):
            self._properties -= 1
            if self._properties < 0 or at + 4 > end:
                raise _CutError
            kind, number = struct.unpack_from("<HH", self._raw, at)
            at += 4
            if number >= 0x8000:  # named: a GUID and a number or a name, which we do not use
                named = self._number(at + 16, end)
                at += 24
                if named == 1:
                    at += _padded(self._number(at - 4, end))
            several = kind & 0x1000
            kind &= 0xEFFF
            values = self._number(at, end) if several or kind in _VARIABLE else 1
            at += 4 if several or kind in _VARIABLE else 0
            if values > _MAX_VALUES:
                raise _CutError
            for nth in range(values):
                size = self._number(at, end) if kind in _VARIABLE else _SIZES.get(kind, -1)
                at += 4 if kind in _VARIABLE else 0
                if size < 0 or at + size > end:
                    raise _CutError
                if nth == 0:
                    yield number, kind, self._raw[at : at + size]
                at += _padded(size)

    def _number(self, at: int, end: int) -> int:
        if at + 4 > end:
            raise _CutError
        return int(struct.unpack_from("<I", self._raw, at)[0])


def _padded(size: int) -> int:
    return size + -size % 4


def _charset(codepage: int) -> str:
    if 28591 <= codepage <= 28606:
        return f"iso-8859-{codepage - 28590}"
    return _CHARSETS.get(codepage, f"cp{codepage}")
