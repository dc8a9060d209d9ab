"""Two old forms of plain text: flowed lines joined, uuencoded files taken out.

Standards: RFC 3676 4 (format=flowed, DelSp), POSIX uuencode.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

_BEGIN: Final = re.compile(r"^begin [0-7]{3,4} ([^\n]{1,255})$")
_UU_LINE: Final = re.compile(r"[\x20-\x60]{1,90}")


@dataclass(frozen=True, slots=True)
class UuFile:
    """A file that stood in a text."""

    name: str
    content: bytes


def take_uuencoded(text: str) -> tuple[str, list[UuFile]]:
    """`text` without the uuencoded files in it, and these. Text that only looks so stays text."""
    kept: list[str] = []
    files: list[UuFile] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        begin = _BEGIN.match(lines[at].rstrip()) if lines[at].startswith("begin ") else None
        found = _uudecode(lines, at + 1) if begin else None
        if begin and found:
            files.append(UuFile(begin[1].strip(), found[0]))
            at = found[1]
            continue
        kept.append(lines[at])
        at += 1
    return "\n".join(kept), files


def _uudecode(lines: list[str], at: int) -> tuple[bytes, int] | None:
    """The bytes up to the line `end`, and the number of the line after it; None when a line is no uu line.

    A `begin` line is none, so that each line is looked at twice at most.
    """
    out = bytearray()
    for number in range(at, len(lines)):
        line = lines[number].rstrip("\r")
        if line.rstrip() == "end":
            return bytes(out), number + 1
        if not line.strip() or line == "`":
            continue
        if not _UU_LINE.fullmatch(line):
            return None
        raw = line.encode("ascii")
        try:
            out += binascii.a2b_uu(raw)
        except binascii.Error:
            # Some encoders leave junk after the bytes that the first character counts.
            length = (((raw[0] - 32) & 63) * 4 + 5) // 3
            try:
                out += binascii.a2b_uu(raw[:length])
            except binascii.Error:
                return None
    return None


def flowed(text: str, *, delsp: bool) -> str:
    """Flowed lines joined to paragraphs; quoting marks kept, stuffed blanks removed, `-- ` never joined."""
    out: list[str] = []
    open_line: list[str] = []
    open_depth = 0

    def close() -> None:
        if open_line:
            joined = "".join(open_line)
            out.append(f"{'>' * open_depth} {joined}" if open_depth else joined)
            open_line.clear()

    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        if content.startswith(" "):
            content = content[1:]
        if open_line and (depth != open_depth or content == "-- "):
            close()
        if content == "-- ":
            out.append(f"{'>' * depth} -- " if depth else "-- ")
            continue
        soft = content.endswith(" ")
        open_depth = depth
        open_line.append(content[:-1] if soft and delsp else content)
        if not soft:
            close()
    close()
    return "\n".join(out)
