"""Bytes of mail to clean text: the charset ladder, encoded words, and what no text of ours may hold.

Ladder: the declared charset, then UTF-8, then windows-1252. Only text encodings of a fixed list are ever
used, so that a mail cannot name a codec such as zlib, idna or undefined.

Standards: RFC 2045-2047 (charsets, encoded words), RFC 2231 5 (language in an encoded word), RFC 6532 (UTF-8
headers), UAX #15 (NFC, stream-safe text).
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from encodings.aliases import aliases
from types import MappingProxyType
from typing import Final

_TEXT_CODEC_NAMES: Final = """
    ascii utf_8 utf_7 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le latin_1 iso8859_2
    iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11
    iso8859_13 iso8859_14 iso8859_15 iso8859_16 cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857
    cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 cp932 cp949 cp950 cp1125 cp1250
    cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 big5 big5hkscs gb2312 gbk gb18030 hz
    euc_jp euc_jis_2004 euc_jisx0213 shift_jis shift_jis_2004 iso2022_jp iso2022_jp_1 iso2022_jp_2
    iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext euc_kr johab iso2022_kr koi8_r koi8_t koi8_u kz1048
    mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish ptcp154 tis_620
"""
_TEXT_CODECS: Final = frozenset(_TEXT_CODEC_NAMES.split())

_SUPERSETS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Senders write the narrow name and mean the wide one, as browsers assume too (WHATWG Encoding).
        "latin_1": "cp1252",
        "iso8859_9": "cp1254",
        "iso8859_11": "cp874",
        "tis_620": "cp874",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "euc_kr": "cp949",
        "shift_jis": "cp932",
        "big5": "cp950",
        "iso2022_jp": "iso2022_jp_ext",
    }
)

_MORE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unicode_1_1_utf_7": "utf_7",
        "unicode_1_1_utf_8": "utf_8",
        "utf8mb4": "utf_8",
        "utf_8_bom": "utf_8",
        "x_unknown": "utf_8",
        "unknown_8bit": "utf_8",
        "unknown": "utf_8",
        "x_sjis": "cp932",
        "windows_31j": "cp932",
        "ms_kanji": "cp932",
        "x_euc_jp": "euc_jp",
        "x_gbk": "gb18030",
        "gb_2312_80": "gb18030",
        "gb_2312": "gb18030",
        "x_big5": "cp950",
        "big5_hkscs": "big5hkscs",
        "x_windows_949": "cp949",
        "windows_949": "cp949",
        "ks_c_5601_1987": "cp949",
        "ks_c_5601": "cp949",
        "iso_8859_8_i": "iso8859_8",
        "iso_8859_8_e": "iso8859_8",
        "iso_8859_6_i": "iso8859_6",
        "windows_874": "cp874",
        "dos_874": "cp874",
        "x_mac_roman": "mac_roman",
        "x_mac_cyrillic": "mac_cyrillic",
        "koi8": "koi8_r",
        "koi8_ru": "koi8_u",
        "ansi": "cp1252",
        "x_ansi": "cp1252",
        "cp_1252": "cp1252",
        "cp_1251": "cp1251",
        "cp_850": "cp850",
        "iso_2022_jp_ms": "iso2022_jp_ext",
        "x_viet_vps": "cp1258",
    }
)


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _codec_names() -> Mapping[str, str]:
    names = {codec: codec for codec in _TEXT_CODECS}
    names |= {_normal(codec): codec for codec in _TEXT_CODECS}
    names |= {_normal(alias): codec for alias, codec in aliases.items() if codec in _TEXT_CODECS}
    names |= _MORE_NAMES
    return MappingProxyType({name: _SUPERSETS.get(codec, codec) for name, codec in names.items()})


_CODECS: Final = _codec_names()
_MULTIBYTE: Final = frozenset(
    ("cp932", "cp949", "cp950", "big5hkscs", "gb18030", "hz", "euc_jp", "euc_jis_2004", "euc_jisx0213",
     "shift_jis_2004", "johab")
)  # fmt: skip
_MAX_NAME: Final = 60

_UTF8_SEQUENCE: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_LONG_MARKS: Final = re.compile(r"[^\w\x00-\x7f]{31,}")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
_MARKS_KEPT: Final = 30  # UAX #15, stream-safe text format
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

# The text of a word is bounded so that a header full of openings costs linear time.
_WORD: Final = re.compile(r"=\?([^?\s\*]{1,60})(?:\*[^?\s]{0,40})?\?([bBqQ])\?(.{0,2000}?)\?=", re.S)
_ISO_2022: Final = re.compile(r"\x1b(?:\$[@B]|\([BJI])")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and whether its bytes were not what they claimed to be."""

    text: str
    lie: bool


def codec_for(charset: str) -> str | None:
    """The Python codec for a charset name, None when it is unknown or not a text encoding."""
    return _CODECS.get(_normal(charset)) if len(charset) <= _MAX_NAME else None


def decode(raw: bytes, charset: str = "") -> Decoded:
    """`raw` as text, never failing: the declared charset, else UTF-8, else windows-1252.

    `charset` is the name as declared, '' for none. Lone surrogates and NUL may still be there: `clean_text`.
    """
    declared = charset.strip().strip("\"'")
    codec = codec_for(declared) if declared else None
    if raw.isascii() and (codec is None or codec in _ASCII_SUPERSETS):
        return Decoded(raw.decode("ascii"), bool(declared) and codec is None)
    if codec in _WIDE and b"\0" not in raw:
        codec = None  # not one NUL in two- or four-byte units: it says UTF-16 and is something else
    if codec in (None, "ascii", "utf_8"):
        return Decoded(_utf8_or_western(raw), bool(declared) and (codec != "utf_8" or not _is_utf8(raw)))
    assert codec is not None
    if codec not in _WIDE and codec != "utf_7" and _is_plainly_utf8(raw):
        return Decoded(raw.decode("utf-8"), lie=True)
    try:
        return Decoded(raw.decode(codec), lie=False)
    except (UnicodeError, ValueError):
        pass
    if codec == "iso2022_jp_ext" and (japanese := _mixed_japanese(raw)) is not None:
        return Decoded(japanese, lie=True)
    if codec == "cp1252" or (codec not in _MULTIBYTE and not codec.startswith(("utf", "iso2022"))):
        # Single-byte tables have holes; a byte in a hole says little about the rest.
        if _is_utf8(raw):
            return Decoded(raw.decode("utf-8"), lie=True)
        return Decoded(_western(raw) if codec == "cp1252" else raw.decode(codec, "replace"), lie=True)
    if _is_utf8(raw):
        return Decoded(raw.decode("utf-8"), lie=True)
    # A truncated or slightly damaged East Asian text is better read with marks than as Western letters.
    text = raw.decode(codec, "replace")
    high = len(raw) - len(raw.translate(None, _HIGH))
    return Decoded(text if text.count("\ufffd") * 8 <= max(high, 8) else _utf8_or_western(raw), lie=True)


def _mixed_japanese(raw: bytes) -> str | None:
    """Mail declared as ISO-2022-JP with lines in EUC-JP or Shift_JIS, as signatures come; None if it is neither."""
    out: list[str] = []
    for line in raw.split(b"\n"):
        for codec in ("iso2022_jp_ext",) if line.isascii() else ("euc_jp", "cp932"):
            try:
                out.append(line.decode(codec))
                break
            except UnicodeError:
                continue
        else:
            return None
    return "\n".join(out)


_HIGH: Final = bytes(range(128, 256))
_WIDE: Final = frozenset(("utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"))
_ASCII_SUPERSETS: Final = frozenset(set(_CODECS.values()) - _WIDE) - {
    "utf_7", "hz", "iso2022_jp_ext", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_kr",
}  # fmt: skip


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_plainly_utf8(raw: bytes) -> bool:
    """Whether bytes under another name are UTF-8 beyond doubt: nothing broken, and several three-byte runs.

    Two-byte runs are no proof: short texts in East Asian charsets hold them by chance.
    """
    if not _is_utf8(raw):
        return False
    return sum(len(run) >= 3 for run in _UTF8_SEQUENCE.findall(raw[: 64 << 10])) >= 4


def _utf8_or_western(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = raw.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = len(_UTF8_SEQUENCE.findall(raw))
    return text if good > bad else _western(raw)


def _western(raw: bytes) -> str:
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return "".join(_cp1252_or_latin1(byte) for byte in _split_holes(raw))


def _split_holes(raw: bytes) -> list[bytes]:
    return re.findall(rb"[\x81\x8d\x8f\x90\x9d]|[^\x81\x8d\x8f\x90\x9d]+", raw)


def _cp1252_or_latin1(raw: bytes) -> str:
    return raw.decode("latin-1" if len(raw) == 1 and raw in b"\x81\x8d\x8f\x90\x9d" else "cp1252")


def clean_text(text: str, limit: int | None = None) -> str:
    """`text` in NFC, without NUL or lone surrogates, at most `limit` characters; safe for any store.

    Runs of combining marks are cut at 30 (UAX #15), since normalising a longer run costs quadratic time.
    """
    if limit is not None and len(text) > limit:
        text = text[:limit]
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    highest = max(text)
    if highest < "\u0300":  # nothing below the combining marks is changed by NFC
        return text
    if highest >= "\ud800":
        text = _SURROGATES.sub("\ufffd", text)
    normal = unicodedata.normalize("NFC", _LONG_MARKS.sub(_cut_marks, text))
    return normal if limit is None else normal[:limit]


def _cut_marks(found: re.Match[str]) -> str:
    kept: list[str] = []
    run = 0
    for char in found[0]:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= _MARKS_KEPT:
            kept.append(char)
    return "".join(kept)


def one_line(text: str, limit: int = 2000) -> str:
    """`text` clean and on one line: every control character, line end or separator becomes one blank."""
    return clean_text(_CONTROLS.sub(" ", text[: limit * 2]), limit).strip()


def header_text(raw: bytes, charset: str = "") -> str:
    """A header's bytes as text: ASCII, else UTF-8 (RFC 6532), else `charset`, the body's, else windows-1252."""
    if raw.isascii():
        text = raw.decode("ascii")
        if "\x1b" in text and _ISO_2022.search(text):
            return decode(raw, "iso-2022-jp").text
        return text
    return raw.decode("utf-8") if _is_utf8(raw) else decode(raw, charset).text


def decode_words(value: str) -> str:
    """`value` with its RFC 2047 encoded words decoded; what is no word stays.

    Blanks between two words vanish (RFC 2047 6.2). Neighbours of one charset are joined before decoding, since
    senders cut inside a character. Words with blanks in them, without blanks around them, or with broken base64
    are read too.
    """
    if "=?" not in value:
        return value
    out: list[str] = []
    pending: list[bytes] = []
    charset = ""
    end = 0

    def flush() -> None:
        if pending:
            out.append(decode(b"".join(pending), charset).text)
            pending.clear()

    for found in _WORD.finditer(value):
        between = value[end : found.start()]
        if between and (not between.isspace() or end == 0):
            flush()
            out.append(between)
        if found[1].lower() != charset.lower():
            flush()
            charset = found[1]
        pending.append(_word_bytes(found[2], found[3]))
        end = found.end()
    flush()
    out.append(value[end:])
    return "".join(out)


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b"\r", b"").replace(b"\n", b""), header=True)
    return decode_base64(raw)


_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")
_MAX_PIECES: Final = 1000  # senders that pad each piece pad each file or line; more is made to cost time
_BASE64_AND_LINES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"


def decode_base64(raw: bytes) -> bytes:
    """Base64 decoded (RFC 2045 6.8): foreign characters skipped, missing padding made up, padded pieces joined.

    What follows the padding is read only when it is base64 too; a list's footer is not.
    """
    pad = raw.find(b"=")
    if pad >= 0:
        rest = raw[pad:].strip(b"= \t\r\n")
        if rest:
            head = decode_base64(raw[:pad])
            if rest.translate(None, _BASE64_AND_LINES):
                return head
            pieces = re.split(rb"=+\s*", rest, maxsplit=_MAX_PIECES)[:_MAX_PIECES]
            return head + b"".join(decode_base64(piece) for piece in pieces)
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        clean = _NOT_BASE64.sub(b"", raw)
        if len(clean) % 4 == 1:
            clean = clean[:-1]
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
