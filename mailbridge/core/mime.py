"""From the tree of a scanned mail to its body, attachments and parts: encodings, charsets, the choice.

The body is chosen as mail programs do: of alternatives the plain text, unless it is empty beside a full HTML
part; of mixed parts every text in its order. An attached message stays apart and never joins the body.

Standards: RFC 2045 6 (transfer encodings), RFC 2046 5.1.3-5.1.4 (mixed, alternative), RFC 2183 (disposition),
RFC 2387 (related), RFC 2392 (Content-ID), RFC 3676 (format=flowed), RFC 6522 (report).
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mailbridge.core.invitation import read_invitation
from mailbridge.core.mail import Attachment, Part, Role
from mailbridge.core.mime_body import Block, choose
from mailbridge.core.mime_params import Params, part_filename, read_params, safe_filename
from mailbridge.core.mime_text import flowed, take_uuencoded
from mailbridge.core.scan import Excess, Node, ParseLimits, Structure, read_structure
from mailbridge.core.sealed import PGP_MESSAGE, Seal, read_cms, without_clearsign
from mailbridge.core.text import clean_text, decode, decode_base64, header_text
from mailbridge.core.tnef import read_tnef


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail's parts hold. Texts are clean, with LF line ends."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]
    parts: tuple[Part, ...]
    defects: tuple[str, ...]
    body_from: str = ""
    """Which form of the body was read, and why."""
    seals: tuple[str, ...] = ()
    """How the mail is signed or encrypted, unverified."""
    invitation: str = ""
    """What a calendar part says, in lines; '' without one."""


_BASE64_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_TEXT_TYPES: Final = frozenset({"text/plain", "text/html"})
_SMIME_TYPES: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_TNEF_TYPES: Final = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_CALENDAR_TYPES: Final = frozenset({"text/calendar", "application/ics"})
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_MAX_CALENDAR: Final = 256 << 10
_LOCKED: Final = {
    "smime-encrypted": "This mail is encrypted with S/MIME and cannot be read here.",
    "pgp-encrypted": "This mail is encrypted with PGP and cannot be read here.",
    "smime-compressed": "This mail is wrapped in compressed S/MIME and cannot be read here.",
}
"""What stands in place of a body that we cannot open, so that nobody takes the mail for an empty one."""
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
class _Reader:
    """Collects while one tree is walked."""

    raw: bytes
    limits: ParseLimits
    attachments: list[Attachment] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    defects: dict[str, None] = field(default_factory=dict)
    seals: dict[str, None] = field(default_factory=dict)
    spare: list[Block] = field(default_factory=list)
    """Bodies to fall back on when the mail has no other."""
    calendars: list[str] = field(default_factory=list)
    wrapped: bool = False
    """Whether this is the inside of a wrapping: it is opened once, not again and again."""

    def note(self, defect: str) -> None:
        self.defects[defect] = None


def read_content(structure: Structure, limits: ParseLimits, html_to_text: Callable[[str], str]) -> Content:
    """Body, attachments and parts of a scanned mail; `html_to_text` renders HTML that no plain text stands for."""
    reader = _Reader(structure.raw, limits)
    blocks = _blocks(reader, structure.root, "", False)
    body = choose(blocks, html_to_text)
    if not body.text.strip() and reader.spare:
        spare = choose(reader.spare, html_to_text)
        body = replace(spare, why=f"winmail.dat: {spare.why}")
    if body.several_html:
        reader.note("several-html")  # never joined: one part's open tag would swallow the next (EFAIL)
    text, body_from = body.text, body.why
    if not text.strip():
        locked = [_LOCKED[seal] for seal in reader.seals if seal in _LOCKED]
        text, body_from = (f"[{locked[0]}]", "none: encrypted") if locked else (text, body_from)
    if len(reader.attachments) > limits.max_attachments:
        reader.note("too-many-attachments")
    return Content(
        clean_text(text, limits.max_text),
        body.html,
        tuple(reader.attachments[: limits.max_attachments]),
        tuple(reader.parts),
        tuple(reader.defects),
        body_from,
        tuple(reader.seals),
        clean_text(_invitation(reader.calendars, text), limits.max_text),
    )


def _invitation(calendars: list[str], body: str) -> str:
    """What the first readable calendar part says, with its description unless the body has it."""
    for calendar in calendars:
        found = read_invitation(calendar)
        if found is None:
            continue
        described = found.description
        if "".join(described.split()) in "".join(body.split()):
            described = ""
        return "\n".join(found.lines) + (f"\n\n{described}" if described else "")
    return ""


def _blocks(reader: _Reader, node: Node, parent: str, have_body: bool) -> list[Block]:
    """The body below `node` in order. Depth is bounded by the scan, so recursion is too."""
    kind = node.content_type.value
    if not node.children:
        named = node.content_type.get("name").lower() == "smime.p7m"  # some send it as octet-stream
        if (kind in _SMIME_TYPES or named) and not reader.wrapped:
            return _opened(reader, node, have_body)
        block = _leaf_block(reader, node, parent, have_body)
        return [block] if block else []
    if kind in ("multipart/signed", "multipart/encrypted"):
        protocol = node.content_type.get("protocol").lower()
        how = "pgp" if "pgp" in protocol else "smime" if "pkcs7" in protocol else "other"
        reader.seals[f"{how}-{kind.removeprefix('multipart/')}"] = None
    if kind == "multipart/alternative":
        return _alternative(reader, node, have_body)
    blocks: list[Block] = []
    for child in node.children:
        blocks += _blocks(reader, child, kind, have_body or bool(blocks))
    return blocks


def _alternative(reader: _Reader, node: Node, have_body: bool) -> list[Block]:
    """One block of the alternatives: their plain and their HTML form, each from the child that has it."""
    best: list[Block] = []
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
        best = [Block(plain, html)] if plain is not None else blocks
    return best


def _leaf_block(reader: _Reader, node: Node, parent: str, have_body: bool) -> Block | None:
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
    if kind in _CALENDAR_TYPES:
        reader.calendars.append(
            text or decode(raw[:_MAX_CALENDAR], leaf.node.content_type.get("charset")).text
        )
    if kind in _TNEF_TYPES or leaf.filename.lower() == "winmail.dat":
        _unpack_tnef(reader, leaf, raw)
        return None
    cleaned = clean_text(text, reader.limits.max_text)
    if len(text) > reader.limits.max_text:
        reader.note("text-cut")
    reader.parts.append(Part(kind, cleaned[: reader.limits.max_part_text], leaf.filename))
    if text_is_body:
        if leaf.filename:  # a body that is a named file is offered as one too
            _attach(reader, leaf, raw)
        return Block(html=cleaned) if kind == "text/html" else Block(plain=cleaned)
    if not leaf.filename and (
        kind in _REPORT_TYPES or (parent == "multipart/report" and kind.startswith("message/"))
    ):
        return None
    if kind.startswith("text/") and not leaf.filename and leaf.disposition.value != "attachment":
        if kind != "text/calendar" and not kind.startswith("text/x-amp"):
            return Block(plain=cleaned) if parent != "multipart/alternative" else None
        if kind.startswith("text/x-amp"):
            return None
    if not raw and not leaf.filename and not kind.startswith(("application/", "image/", "message/")):
        return None
    _attach(reader, leaf, raw)
    return None


def _opened(reader: _Reader, node: Node, have_body: bool) -> list[Block]:
    """The body inside opaque signed data (RFC 8551 3.5.2); of encrypted data the wrapping as it is."""
    leaf = _describe(node)
    raw = _decode_transfer(reader, leaf)
    cms = read_cms(raw)
    if cms.seal is Seal.UNKNOWN:
        said = node.content_type.get("smime-type").lower()
        cms = replace(cms, seal=Seal.SIGNED if "signed" in said or "certs" in said else Seal.ENCRYPTED)
    reader.seals[f"smime-{cms.seal.value}"] = None
    inside = read_structure(cms.content, reader.limits) if cms.content else None
    reader.parts.append(Part(leaf.kind, "", leaf.filename))
    if inside is None or isinstance(inside, Excess):
        _attach(reader, leaf, raw, Role.SIGNATURE if cms.seal is Seal.SIGNED else Role.ENCRYPTED)
        return []
    _attach(reader, leaf, raw, Role.CONTAINER)
    return _blocks(replace(reader, raw=inside.raw, wrapped=True), inside.root, "", have_body)


def _unpack_tnef(reader: _Reader, leaf: _Leaf, raw: bytes) -> None:
    """The files in winmail.dat as attachments of the mail, its body as one to fall back on."""
    reader.parts.append(Part(leaf.kind, "", leaf.filename))
    found = read_tnef(raw)
    if found is None:
        reader.note("bad-tnef")
        _attach(reader, leaf, raw)
        return
    reader.note("tnef")
    if found.rtf_only:
        reader.note("tnef-rtf")
    _attach(reader, leaf, raw, Role.CONTAINER)
    for file in found.files:
        name = safe_filename(file.filename) or "attachment"
        media = file.content_type if _MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream"
        ident, size = file.content_id, len(file.content)
        _file(reader, Attachment(name, media, size, bool(ident), ident, "", file.content))
    if found.text or found.html:
        reader.spare.append(Block(_line_ends(found.text) or None, found.html or None))


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
    if "-----BEGIN PGP " in text:
        bare = without_clearsign(text)
        if bare is not None:
            reader.seals["pgp-signed"] = None
            text = bare
        elif PGP_MESSAGE in text:
            reader.seals["pgp-encrypted"] = None
    if leaf.node.content_type.get("format").lower() == "flowed":
        text = flowed(text, delsp=leaf.node.content_type.get("delsp").lower() == "yes")
    return text


def _attach(reader: _Reader, leaf: _Leaf, raw: bytes, role: Role = Role.FILE) -> None:
    inline = leaf.disposition.value == "inline" or (
        bool(leaf.content_id) and leaf.disposition.value != "attachment"
    )
    name = leaf.filename
    _file(reader, Attachment(name, leaf.kind, len(raw), inline, leaf.content_id, "", raw, role))


def _file(reader: _Reader, found: Attachment) -> None:
    """Keep an attachment with its digest; the content of one that is too large is left out, its size told."""
    content = found.content
    if len(content) > reader.limits.max_attachment:
        reader.note("attachment-cut")
        content = b""
    if len(reader.attachments) > reader.limits.max_attachments:
        return
    digest = hashlib.sha256(found.content).hexdigest()
    reader.attachments.append(replace(found, sha256=digest, content=content))
