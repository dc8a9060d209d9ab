"""What each attachment is to the reader: a file, a picture among the words, a signature's logo, a pixel.

A picture is a logo when the HTML shows it only in what was cut. In doubt it is shown: a customer's screenshot
is worth more than a clean list.

Standards: RFC 2392 (cid URLs), PNG 11.2.2, GIF89a 18, ITU T.81 B.2 (sizes in picture files).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from lxml import etree

from mailbridge.core.html_text import parse_html
from mailbridge.core.mail import Attachment, Role
from mailbridge.core.reply import ReplySplit
from mailbridge.core.reply_html import marked_elements

_SIGNATURE_TYPES: Final = frozenset(
    ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature",
     "application/pgp-encrypted", "application/pgp-keys")
)  # fmt: skip
_SIGNATURE_NAMES: Final = frozenset(("smime.p7s", "signature.asc", "signature.pgp", "pgp-signature.asc"))
_ARMOURED: Final = b"-----BEGIN PGP MESSAGE-----"
_CID: Final = re.compile(r"\s*cid:(.{1,500})", re.IGNORECASE | re.S)
_CID_IN_TEXT: Final = re.compile(r"\[cid:([^\]\s]{1,300})\]")
_MAX_JPEG_SEGMENTS: Final = 100
_PIXEL: Final = 2
"""Pixels each way: counters and spacers are of one, rarely of two."""


_UNSEEN: Final = frozenset(("style", "script", "title"))
_PROBE: Final = 40
"""Letters by which the new words are found at the start of the HTML."""


def with_roles(attachments: Sequence[Attachment], *, html: str, split: ReplySplit) -> tuple[Attachment, ...]:
    """The attachments with their roles; `split` is the body in new words and rest, `html` its HTML form.

    A role that is set already (of wrappings) stays.
    """
    if not attachments:
        return ()
    kept: frozenset[str] | None = None
    gone: frozenset[str] = frozenset()
    out: list[Attachment] = []
    for item in attachments:
        role = item.role
        if role is Role.FILE:
            role = _by_itself(item)
        if role is Role.FILE and item.content_type.startswith("image/") and item.content_id:
            if kept is None:
                kept, gone = _shown(html, split)
            if item.content_id in kept:
                role = Role.INLINE
            elif item.content_id in gone:
                role = Role.LOGO
        out.append(item if role is item.role else replace(item, role=role))
    return tuple(out)


def _by_itself(item: Attachment) -> Role:
    if item.content_type in _SIGNATURE_TYPES or item.filename.lower() in _SIGNATURE_NAMES:
        return Role.SIGNATURE
    if item.content_type in ("application/octet-stream", "text/plain") and item.content.startswith(_ARMOURED):
        return Role.ENCRYPTED
    if item.content_type.startswith("image/"):
        size = picture_size(item.content)
        if size is not None and max(size) <= _PIXEL:
            return Role.PIXEL
    return Role.FILE


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as a PNG, GIF or JPEG file states them; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if content[:6] in (b"GIF87a", b"GIF89a") and len(content) >= 10:
        return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
    if content.startswith(b"\xff\xd8"):
        at = 2
        for _ in range(_MAX_JPEG_SEGMENTS):
            if at + 9 > len(content) or content[at] != 0xFF:
                break
            marker = content[at + 1]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
            at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return None


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def _shown(html: str, split: ReplySplit) -> tuple[frozenset[str], frozenset[str]]:
    """The content ids shown among the new words, and those shown only in what was cut."""
    kept, gone = set[str](), set[str]()
    root = parse_html(html) if html else None
    if root is None:
        kept |= set(_CID_IN_TEXT.findall(split.reply))
        gone |= set(_CID_IN_TEXT.findall(split.cut))
    else:
        letters, pictures = _walk(root)
        words = _letters(split.reply)
        # New words at the top end where the rest begins. Below or between quotes that cannot be told, and
        # only what the structure marks is known.
        at_top = bool(split.cut) and "quoted text " not in split.why and letters.startswith(words[:_PROBE])
        for ident, before, marked in pictures:
            out = marked or (at_top and before > len(words))
            (gone if out else kept).add(ident)
    return frozenset(kept), frozenset(gone - kept)


def _walk(root: etree._Element) -> tuple[str, list[tuple[str, int, bool]]]:
    """All letters of a document, and each picture's content id, the letters before it, whether in marks."""
    marked = marked_elements(root)
    letters: list[str] = []
    pictures: list[tuple[str, int, bool]] = []
    seen = inside = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start" and isinstance(element.tag, str):
            inside += element in marked
            own = "" if element.tag in _UNSEEN else _letters(element.text or "")
            found = _CID.match(str(element.get("src") or "")) if element.tag == "img" else None
            if found:
                pictures.append((unquote(found[1]).strip(), seen, inside > 0))
        elif event == "end":
            inside -= isinstance(element.tag, str) and element in marked
            own = _letters(element.tail or "")
        else:
            continue
        letters.append(own)
        seen += len(own)
    return "".join(letters), pictures
