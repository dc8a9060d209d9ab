"""MIME parameters: `text/plain; charset=utf-8` to value and parameters; the name of a file made safe.

Linear in the length of the header, whatever it holds.

Standards: RFC 2045 5.1 (parameters), RFC 2183 (Content-Disposition), RFC 2231 (continuations, charsets),
RFC 2047 in file names (forbidden there by its section 5, and common).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from mailbridge.core.text import clean_text, decode, decode_words

_PARAM: Final = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"?|[^;]*)", re.S)
_LOOSE: Final = re.compile(r"[\s,]([^\s=;,\"]+)=(\"(?:[^\"\\]|\\.)*\"?|[^\s;,]*)", re.S)
_QUOTED_PAIR: Final = re.compile(r"\\([\"\\])")
_EXTENDED: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_MAX_PARAMS: Final = 200  # senders use five; the rest of a longer list is not looked at
_COMMENT: Final = re.compile(r"\s*\([^()]*\)\s*$")


@dataclass(frozen=True, slots=True)
class Params:
    """The value of a structured MIME header, lower case, and its parameters, decoded, by lower-case name."""

    value: str
    params: Mapping[str, str]

    def get(self, name: str) -> str:
        """A parameter decoded, '' when absent."""
        return self.params.get(name, "")


_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_EMPTY: Final = Params("", _NONE)


def read_params(header: str) -> Params:
    """Value and parameters of an unfolded header. The first of equal names counts, an RFC 2231 form before it."""
    if not header:
        return _EMPTY
    value, semicolon, _ = header.partition(";")
    if not semicolon and "=" not in header:
        return Params(value.partition("(")[0].strip().lower(), _NONE)
    plain: dict[str, str] = {}
    extended: dict[str, list[tuple[int, bool, str]]] = {}
    pattern = _PARAM
    if not semicolon or "=" in value:  # `text/plain charset=x`: a forgotten semicolon
        pattern, value = _LOOSE, re.split(r"[\s,]", value.strip(), maxsplit=1)[0]
    for count, found in enumerate(pattern.finditer(header)):
        if count >= _MAX_PARAMS:
            break
        text = found[2]
        quoted = text.startswith('"')
        if quoted:
            text = _QUOTED_PAIR.sub(r"\1", text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:])
        else:
            text = text.strip()
        name = found[1].lower()
        if "*" in name:
            parts = _EXTENDED.fullmatch(name)
            if parts:
                entry = (int(parts[2] or 0), bool(parts[3]), text)
                extended.setdefault(parts[1], []).append(entry)
            continue
        if not quoted and "(" in text:
            text = _COMMENT.sub("", text)
        plain.setdefault(name, text)
    for name, pieces in extended.items():
        plain[name] = _join(pieces)
    return Params(value.partition("(")[0].strip().lower(), plain)


def _join(pieces: list[tuple[int, bool, str]]) -> str:
    """The value of RFC 2231 pieces in their order; a single charset, named by the first, holds for all."""
    pieces.sort(key=lambda piece: piece[0])
    charset, raw, seen = "", bytearray(), set[int]()
    for number, encoded, text in pieces:
        if number in seen:
            continue
        if encoded and not seen and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        seen.add(number)
        raw += unquote_to_bytes(text) if encoded else text.encode("utf-8", "surrogateescape")
    return decode(bytes(raw), charset).text


_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
_MAX_FILENAME: Final = 100
_MAX_EXTENSION: Final = 20


def safe_filename(name: str) -> str:
    """A label for a file, never a path: '' only when `name` is ''.

    Encoded words decoded, the last path component, no control or direction characters, no leading dot, dash
    or blank, no trailing dot or blank, at most 100 characters with the extension kept.
    """
    if not name:
        return ""
    text = clean_text(decode_words(name), 2000)
    text = _UNSAFE.sub(" ", text) if _LINE_LIKE.search(text) else _UNSAFE.sub("", text)
    text = " ".join(text.split())
    # A slash is a folder only when something follows it; `a/` keeps its word.
    text = text.replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    text = text.lstrip(".- \u2010\u2011\u2012\u2013\u2014\u2212").rstrip(". ")
    if not text or all(unicodedata.category(char)[0] in "CZ" for char in text):
        return "attachment"
    if len(text) > _MAX_FILENAME:
        stem, dot, extension = text.rpartition(".")
        tail = f".{extension}" if dot and stem and 0 < len(extension) <= _MAX_EXTENSION else ""
        text = text[: _MAX_FILENAME - len(tail)].rstrip(". ") + tail
    return text


_LINE_LIKE: Final = re.compile("[\t\r\n\u2028\u2029]")


def part_filename(content_type: Params, disposition: Params) -> str:
    """The safe name of a part, from Content-Disposition, else from Content-Type; '' when it has none."""
    return safe_filename(disposition.get("filename") or content_type.get("name") or disposition.get("name"))
