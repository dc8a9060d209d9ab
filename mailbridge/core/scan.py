"""One linear pass over a raw mail: where its headers and parts are, whether it is too complex to be read.

Nothing is decoded here but the Content-Type of each part. Attached messages are leaves: they are not
descended into, so that nesting is counted only where it is read.

Standards: RFC 5322 2.1-2.2 (header section, folding), RFC 2046 5.1 (multipart), RFC 4155 (mbox `From ` line).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mailbridge.core.mime_params import Params, read_params
from mailbridge.core.text import header_text


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What a mail may hold and still be read. Sizes in bytes."""

    max_message: int = 36 << 20
    """25 MB of attachments in base64 need 34 MB; what providers accept in total ends between 25 and 35 MB."""
    max_header_block: int = 256 << 10
    """Real header sections stay below 64 KB even with long Received and ARC chains."""
    max_header_fields: int = 1000
    """Four times the longest seen; each costs a tuple, a row in memory and a look by the classifier."""
    max_header: int = 64 << 10
    """Above it address parsing is felt (1 s at 256 KB). A longer field is cut, not refused."""
    max_boundary_lines: int = 1000
    """Two per part at most, with room for nested closings."""
    max_dashed_lines: int = 50_000
    """Lines that start with two dashes and are no boundary; each is looked at, and no letter has so many."""
    max_depth: int = 30
    """Real mail nests up to 6 (signed, mixed, related, alternative, forwarded twice)."""
    max_parts: int = 500
    """A mail with 200 inline pictures and their texts is rare; 10,000 parts are an attack."""
    max_boundaries: int = 100
    """Each multipart declares one; this many multiparts are never written by a mailer."""
    max_addresses: int = 500
    """Kept per mail and field; more recipients are a list, whose members we need not know."""
    max_references: int = 100
    """Mailers keep 20 to 50; the last ones are the nearest."""
    max_attachments: int = 200
    """Kept per mail: as many as `intake.max_attachments` allows by default."""
    max_attachment: int = 25 << 20
    """A single decoded attachment; a larger one keeps name and type and loses its content."""
    max_text: int = 1 << 20
    """Characters of body text and of HTML: a thousand pages; what is more is cut and named."""
    max_part_text: int = 64 << 10
    """Characters of the text of one part for bounces and reports."""


@dataclass(frozen=True, slots=True)
class RawHeader:
    """One header field in bytes: name without colon, value unfolded to one line, outer blanks gone."""

    name: bytes
    value: bytes


@dataclass(slots=True)
class Node:
    """One MIME entity of a mail; `start:end` is its body in the scanned bytes. Built here, then only read."""

    headers: Sequence[RawHeader]
    start: int
    end: int
    content_type: Params
    depth: int
    children: list[Node] = field(default_factory=list)
    closed: bool = False
    """Whether a multipart's last delimiter was found."""

    def header(self, name: bytes) -> bytes:
        """The first field of that lower-case name, b'' when absent."""
        return next((h.value for h in self.headers if h.name.lower() == name), b"")


@dataclass(frozen=True, slots=True)
class Structure:
    """A scanned mail: its bytes (as scanned, see `read_structure`), its tree, and what was odd."""

    raw: bytes
    root: Node
    defects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a mail is over."""

    reason: str


def scan(raw: bytes, limits: ParseLimits) -> str | None:
    """Why a mail is too complex to be read ('header block of 1048576 bytes, allowed 262144'), or None."""
    found = read_structure(raw, limits)
    return found.reason if isinstance(found, Excess) else None


_FIELD: Final = re.compile(rb"([!-9;-~]{1,998})[ \t]*:")
_FROM_LINE: Final = re.compile(rb">?From [^\n]*\n")
_BLANK_LINES: Final = re.compile(rb"(?:[ \t]*\r?\n)+")
_KNOWN_FIELD: Final = re.compile(
    rb"(?:x-[!-9;-~]+|content-[a-z-]+|mime-version|from|to|cc|bcc|subject|date|received|return-path|message-id"
    rb"|reply-to|sender|references|in-reply-to|delivered-to|dkim-signature|list-[a-z-]+|precedence|auto-submitted"
    rb"|user-agent|importance|thread-[a-z]+|status)[ \t]*:",
    re.I,
)
_GUESSED: Final = re.compile(rb"\n--([^\r\n]{1,200}?)[ \t]*\r?\nContent-", re.I)
_GUESS_WITHIN: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class _Head:
    headers: tuple[RawHeader, ...]
    body: int
    cut: bool
    broken: bool


def read_structure(raw: bytes, limits: ParseLimits) -> Structure | Excess:
    """The headers and parts of a mail, or the first limit that it is over.

    Bare CR line ends are read as LF when the mail has no other. Takes linear time.
    """
    if len(raw) > limits.max_message:
        return Excess(f"message of {len(raw)} bytes, allowed {limits.max_message}")
    defects: list[str] = []
    if b"\r" in raw and b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
        defects.append("bare-cr")
    start = _skip_front(raw, defects)
    head = _read_head(raw, start, len(raw), limits, root=True)
    if isinstance(head, Excess):
        return head
    if head.cut:
        defects.append("header-cut")
    if head.broken:
        defects.append("broken-header")
    if not head.headers:
        defects.append("no-headers")
    root = Node(head.headers, head.body, len(raw), _type_of(head.headers, "text/plain"), 0)
    if root.content_type.value.startswith("multipart/"):
        counter = _Counter(limits)
        excess = _split(raw, root, counter)
        if excess is None and not root.children:
            excess = _retry_guessed(raw, root, counter, defects)
        if excess is not None:
            return excess
        if not root.closed:
            defects.append("no-end-boundary")
    return Structure(raw, root, tuple(defects))


def _skip_front(raw: bytes, defects: list[str]) -> int:
    """Where the header section starts: after an mbox line, or after blank lines that a header follows."""
    blank = _BLANK_LINES.match(raw)
    if blank and _KNOWN_FIELD.match(raw, blank.end()):
        defects.append("blank-start")
        return blank.end()
    mbox = _FROM_LINE.match(raw)
    if mbox:
        defects.append("mbox-line")
        return mbox.end()
    if raw.startswith(b"\xef\xbb\xbf"):
        return 3
    return 0


def _read_head(raw: bytes, start: int, stop: int, limits: ParseLimits, *, root: bool) -> _Head | Excess:
    """The fields from `start` on. A line that is no field ends them, unless a known field follows it."""
    names: list[bytes] = []
    values: list[list[bytes]] = []
    sizes: list[int] = []
    cut = broken = False
    at = start
    while at < stop:
        if at - start > limits.max_header_block:
            size = _block_size(raw, start, stop)
            return Excess(f"header block of {size} bytes, allowed {limits.max_header_block}")
        newline = raw.find(b"\n", at, stop)
        after = stop if newline < 0 else newline + 1
        first = raw[at : at + 1]
        if after - at <= 2 and raw[at:after] in (b"\n", b"\r\n", b"\r"):
            at = after
            break
        if first in (b" ", b"\t"):
            if not names:
                break
            room = limits.max_header - sizes[-1]
            line = raw[at : min(after, at + room)].rstrip(b"\r\n")
            if after - at > room:
                cut = True
            values[-1].append(line)
            sizes[-1] += len(line)
            at = after
            continue
        found = None if first == b"-" and raw.startswith(b"--", at) else _FIELD.match(raw, at, after)
        if found is None:
            if names and not root:
                break
            if _FROM_LINE.match(raw, at, after) or (names and _KNOWN_FIELD.match(raw, after)):
                broken = True
                at = after
                continue
            broken = broken or bool(names)
            break
        if len(names) >= limits.max_header_fields:
            return Excess(f"more than {limits.max_header_fields} header fields")
        if after - found.end() > limits.max_header:
            cut = True
        line = raw[found.end() : min(after, found.end() + limits.max_header)].rstrip(b"\r\n")
        names.append(found[1])
        values.append([line])
        sizes.append(len(line))
        at = after
    if at - start > limits.max_header_block:
        return Excess(f"header block of {at - start} bytes, allowed {limits.max_header_block}")
    headers = tuple(
        RawHeader(name, (lines[0] if len(lines) == 1 else b"".join(lines)).strip())
        for name, lines in zip(names, values, strict=True)
    )
    return _Head(headers, at, cut, broken)


def _block_size(raw: bytes, start: int, stop: int) -> int:
    ends = [
        end - start
        for end in (raw.find(b"\n\n", start, stop), raw.find(b"\r\n\r\n", start, stop))
        if end >= 0
    ]
    return min(ends) if ends else stop - start


def _type_of(headers: Sequence[RawHeader], default: str) -> Params:
    for header in headers:
        if len(header.name) == 12 and header.name.lower() == b"content-type":
            params = read_params(header_text(header.value))
            return params if "/" in params.value else Params(default, params.params)
    return Params(default, {})


@dataclass(slots=True)
class _Counter:
    """What all multiparts of a mail have used up together."""

    limits: ParseLimits
    lines: int = 0
    dashed: int = 0
    parts: int = 0
    boundaries: int = 0
    header_bytes: int = 0


def _boundary(node: Node) -> bytes:
    return node.content_type.get("boundary").rstrip(" \t").encode("utf-8", "surrogateescape")[:1000]


def _split(raw: bytes, root: Node, counter: _Counter, boundary: bytes = b"") -> Excess | None:
    """Fill `root.children`, and theirs, in one pass over the lines that start with two dashes."""
    limits = counter.limits
    boundary = boundary or _boundary(root)
    if not boundary:
        return None
    counter.boundaries += 1
    open_nodes: list[Node] = [root]
    shadowed: list[tuple[bytes, int | None]] = [(boundary, None)]
    levels: dict[bytes, int] = {boundary: 0}
    current: Node | None = None
    at = root.start - 1  # a multipart has a Content-Type, so a line end stands before its body
    while open_nodes and (at := raw.find(b"\n--", at, root.end)) >= 0:
        line_start = at + 1
        line_end = raw.find(b"\n", line_start, root.end)
        line_end = root.end if line_end < 0 else line_end
        line = raw[line_start + 2 : line_end].rstrip() if line_end - line_start < 2000 else b""
        closing = False
        level = levels.get(line) if line else None
        if level is None and line.endswith(b"--"):
            level = levels.get(line[:-2])
            closing = level is not None
        if level is None:
            counter.dashed += 1
            if counter.dashed > limits.max_dashed_lines:
                return Excess(f"more than {limits.max_dashed_lines} lines that start with two dashes")
            at = line_end
            continue
        counter.lines += 1
        if counter.lines > limits.max_boundary_lines:
            return Excess(f"more than {limits.max_boundary_lines} boundary lines")
        ends = at - 1 if at > 0 and raw[at - 1 : at] == b"\r" else at
        if current is not None:
            current.end = max(current.start, ends)
            current = None
        while len(open_nodes) > level + 1 or (closing and len(open_nodes) == level + 1):
            node = open_nodes.pop()
            node.end = max(node.start, ends) if node is not root else node.end
            node.closed = node.closed or (closing and len(open_nodes) == level)
            key, previous = shadowed.pop()
            if previous is None:
                del levels[key]
            else:
                levels[key] = previous
        if closing:
            at = line_end
            continue
        parent = open_nodes[-1]
        counter.parts += 1
        if counter.parts > limits.max_parts:
            return Excess(f"more than {limits.max_parts} parts")
        head = _read_head(raw, min(line_end + 1, root.end), root.end, limits, root=False)
        if isinstance(head, Excess):
            return head
        counter.header_bytes += head.body - line_end
        if counter.header_bytes > limits.max_header_block:
            return Excess(f"headers of all parts over {limits.max_header_block} bytes")
        default = "message/rfc822" if parent.content_type.value == "multipart/digest" else "text/plain"
        current = Node(head.headers, head.body, root.end, _type_of(head.headers, default), parent.depth + 1)
        parent.children.append(current)
        if current.content_type.value.startswith("multipart/"):
            if current.depth >= limits.max_depth:
                return Excess(f"parts nested deeper than {limits.max_depth}")
            inner = _boundary(current)
            if inner:
                counter.boundaries += 1
                if counter.boundaries > limits.max_boundaries:
                    return Excess(f"more than {limits.max_boundaries} boundaries")
                open_nodes.append(current)
                shadowed.append((inner, levels.get(inner)))
                levels[inner] = len(open_nodes) - 1
                current = None
        at = head.body - 1
    return None


def _retry_guessed(raw: bytes, root: Node, counter: _Counter, defects: list[str]) -> Excess | None:
    """A multipart whose boundary is absent or never comes: take the first line that looks like one."""
    defects.append("no-boundary")
    found = _GUESSED.search(raw, root.start - 1, min(root.end, root.start + _GUESS_WITHIN))
    return _split(raw, root, counter, found[1]) if found else None
