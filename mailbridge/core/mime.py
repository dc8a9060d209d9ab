"""From the tree of a scanned mail to its body, attachments and parts: encodings, charsets, the choice.

The body is chosen as mail programs do: of alternatives the plain text, unless it is empty beside a full HTML
part; of mixed parts every text in its order. An attached message stays apart and never joins the body.

Standards: RFC 2045 6 (transfer encodings), RFC 2046 5.1.3-5.1.4 (mixed, alternative), RFC 2183 (disposition),
RFC 2387 (related), RFC 2392 (Content-ID), RFC 3676 (format=flowed), RFC 6522 (report).
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mailbridge.core.mail import Attachment, Part
from mailbridge.core.mime_params import Params, part_filename, read_params, safe_filename
from mailbridge.core.mime_text import flowed, take_uuencoded
from mailbridge.core.scan import Node, ParseLimits, Structure
from mailbridge.core.text import clean_text, decode, decode_base64, header_text


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail's parts hold. Texts are clean, with LF line ends."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]
    parts: tuple[Part, ...]
    defects: tuple[str, ...]


_BASE64_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_TEXT_TYPES: Final = frozenset({"text/plain", "text/html"})
_REPORT_TYPES: Final = frozenset(
    {"message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
     "message/global-disposition-notification", "message/feedback-report", "text/rfc822-headers",
     "message/rfc822-headers", "message/global-headers"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One leaf with what its headers say."""

    node: Node
    kind: str
    encoding: str
    disposition: Params
    filename: str
    content_id: str


@dataclass(slots=True)
class _Block:
    """A stretch of body in its two forms; None where the form does not exist."""

    plain: str | None = None
    html: str | None = None


@dataclass(slots=True)
class _Reader:
    """Collects while one tree is walked."""

    raw: bytes
    limits: ParseLimits
    attachments: list[Attachment] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    defects: dict[str, None] = field(default_factory=dict)

    def note(self, defect: str) -> None:
        self.defects[defect] = None


def read_content(structure: Structure, limits: ParseLimits, html_to_text: Callable[[str], str]) -> Content:
    """Body, attachments and parts of a scanned mail; `html_to_text` renders HTML that no plain text stands for."""
    reader = _Reader(structure.raw, limits)
    blocks = _blocks(reader, structure.root, "", False)
    texts: list[str] = []
    htmls: list[str] = []
    for block in blocks:
        html = block.html or ""
        if block.plain is not None and (block.plain.strip() or not html.strip()):
            texts.append(block.plain)
        elif html:
            texts.append(html_to_text(html))
        if html:
            htmls.append(html)
    texts = [text for text in texts if text.strip()] or texts[:1]
    text = "".join(text if text.endswith("\n") else text + "\n" for text in texts[:-1]) + "".join(texts[-1:])
    if len(htmls) > 1:
        reader.note("several-html")  # never joined: one part's open tag would swallow the next (EFAIL)
    if len(reader.attachments) > limits.max_attachments:
        reader.note("too-many-attachments")
    return Content(
        clean_text(text, limits.max_text),
        htmls[0] if htmls else "",
        tuple(reader.attachments[: limits.max_attachments]),
        tuple(reader.parts),
        tuple(reader.defects),
    )


def _blocks(reader: _Reader, node: Node, parent: str, have_body: bool) -> list[_Block]:
    """The body below `node` in order. Depth is bounded by the scan, so recursion is too."""
    kind = node.content_type.value
    if not node.children:
        block = _leaf_block(reader, node, parent, have_body)
        return [block] if block else []
    if kind == "multipart/alternative":
        return _alternative(reader, node, have_body)
    blocks: list[_Block] = []
    for child in node.children:
        blocks += _blocks(reader, child, kind, have_body or bool(blocks))
    return blocks


def _alternative(reader: _Reader, node: Node, have_body: bool) -> list[_Block]:
    """One block of the alternatives: their plain and their HTML form, each from the child that has it."""
    best: list[_Block] = []
    for child in node.children:
        blocks = _blocks(reader, child, "multipart/alternative", have_body)
        if not blocks:
            continue
        if not best:
            best = blocks
            continue
        if len(best) == 1 and len(blocks) == 1:
            one, other = best[0], blocks[0]
            if one.html is None and other.html is not None:
                one.html = other.html
            if other.plain is not None and not (one.plain or "").strip():
                one.plain = other.plain
            continue
        # Plain text against a mixed form: the plain text stands for all, the first HTML is shown.
        plain = next((b.plain for b in best if b.plain and b.plain.strip()), None)
        html = next((b.html for b in (*best, *blocks) if b.html), None)
        best = [_Block(plain, html)] if plain is not None else blocks
    return best


def _leaf_block(reader: _Reader, node: Node, parent: str, have_body: bool) -> _Block | None:
    """A leaf's body text, or None after it was filed as attachment or report part."""
    leaf = _describe(node)
    kind = leaf.kind
    raw = _decode_transfer(reader, leaf)
    text = ""
    if kind.startswith(("text/", "message/")):
        decoded = decode(raw[: reader.limits.max_text * 4], leaf.node.content_type.get("charset"))
        if decoded.lie and kind.startswith("text/"):
            reader.note("charset-lie")
        text = _line_ends(decoded.text)
    text_is_body = kind in _TEXT_TYPES and _is_body(leaf, parent, have_body)
    if kind == "text/plain" and text_is_body:
        text = _plain(reader, leaf, text)
    cleaned = clean_text(text, reader.limits.max_text)
    if len(text) > reader.limits.max_text:
        reader.note("text-cut")
    reader.parts.append(Part(kind, cleaned[: reader.limits.max_part_text], leaf.filename))
    if text_is_body:
        if leaf.filename:  # a body that is a named file is offered as one too
            _attach(reader, leaf, raw)
        return _Block(html=cleaned) if kind == "text/html" else _Block(plain=cleaned)
    if not leaf.filename and (
        kind in _REPORT_TYPES or (parent == "multipart/report" and kind.startswith("message/"))
    ):
        return None
    if kind.startswith("text/") and not leaf.filename and leaf.disposition.value != "attachment":
        if kind != "text/calendar" and not kind.startswith("text/x-amp"):
            return _Block(plain=cleaned) if parent != "multipart/alternative" else None
        if kind.startswith("text/x-amp"):
            return None
    if not raw and not leaf.filename and not kind.startswith(("application/", "image/", "message/")):
        return None
    _attach(reader, leaf, raw)
    return None


def _describe(node: Node) -> _Leaf:
    kind = node.content_type.value
    if kind.startswith("multipart/"):
        kind = "text/plain"  # no part was found in it: what stands there is read as text
    encoding = disposition = content_id = b""
    for header in node.headers:
        match header.name.lower():
            case b"content-transfer-encoding":
                encoding = encoding or header.value
            case b"content-disposition":
                disposition = disposition or header.value
            case b"content-id":
                content_id = content_id or header.value
    described = read_params(header_text(disposition))
    return _Leaf(
        node,
        kind,
        encoding.split(b";")[0].split(b"(")[0].strip(b" \t\"'").lower().decode("ascii", "replace"),
        described,
        part_filename(node.content_type, described),
        clean_text(header_text(content_id), 500).strip().strip("<>"),
    )


def _is_body(leaf: _Leaf, parent: str, have_body: bool) -> bool:
    """Whether a text part is body: no attachment by its own word, and nameless unless nothing precedes it."""
    if leaf.disposition.value == "attachment":
        return leaf.node.depth == 0 and not leaf.filename
    if not leaf.filename:
        return True
    if parent == "multipart/alternative":
        return leaf.disposition.value != "attachment"
    return leaf.node.depth == 0 and leaf.disposition.value != "attachment" and not have_body


def _decode_transfer(reader: _Reader, leaf: _Leaf) -> bytes:
    raw = reader.raw[leaf.node.start : leaf.node.end]
    match leaf.encoding:
        case "" | "7bit" | "8bit" | "binary":
            return raw
        case "quoted-printable" | "quoted_printable" | "quotedprintable" | "q":
            return binascii.a2b_qp(raw)
        case "base64" | "base-64" | "b":
            if leaf.kind.startswith("text/") and _looks_written(raw):
                reader.note("bad-base64")
                return raw
            return decode_base64(raw)
        case "x-uuencode" | "uuencode" | "x-uue" | "uue":
            _, files = take_uuencoded(raw.decode("latin-1"))
            return files[0].content if files else raw
        case _:
            if leaf.encoding not in {"7-bit", "8-bit", "7bits", "8bits", "none", "text", "utf-8", "us-ascii"}:
                reader.note("unknown-encoding")
            return raw


def _looks_written(raw: bytes) -> bool:
    """Whether what is said to be base64 is plainly text: its first line has blanks, or much that is no base64."""
    line = raw[:2000].strip().partition(b"\n")[0].strip()
    return b" " in line or len(line.translate(None, _BASE64_LETTERS)) * 4 > len(line)


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _plain(reader: _Reader, leaf: _Leaf, text: str) -> str:
    """Body text with flowed lines joined and uuencoded files taken out of it."""
    text = text.removeprefix("\ufeff")
    if "\nbegin " in text or text.startswith("begin "):
        text, files = take_uuencoded(text)
        for found in files:
            name = safe_filename(found.name) or "attachment"
            _file(
                reader,
                Attachment(
                    name, "application/octet-stream", len(found.content), False, "", "", found.content
                ),
            )
    if leaf.node.content_type.get("format").lower() == "flowed":
        text = flowed(text, delsp=leaf.node.content_type.get("delsp").lower() == "yes")
    return text


def _attach(reader: _Reader, leaf: _Leaf, raw: bytes) -> None:
    inline = leaf.disposition.value == "inline" or (
        bool(leaf.content_id) and leaf.disposition.value != "attachment"
    )
    name = leaf.filename
    _file(reader, Attachment(name, leaf.kind, len(raw), inline, leaf.content_id, "", raw))


def _file(reader: _Reader, found: Attachment) -> None:
    """Keep an attachment with its digest; the content of one that is too large is left out, its size told."""
    content = found.content
    if len(content) > reader.limits.max_attachment:
        reader.note("attachment-cut")
        content = b""
    if len(reader.attachments) > reader.limits.max_attachments:
        return
    digest = hashlib.sha256(found.content).hexdigest()
    reader.attachments.append(
        Attachment(
            found.filename, found.content_type, found.size, found.inline, found.content_id, digest, content
        )
    )
