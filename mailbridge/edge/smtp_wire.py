"""The bytes of one connection, cut into command lines and mails within bounds.

Mail data is searched as a whole for its end mark, never line by line: a line may then be of any length
(real mail breaks the 998-octet rule), and the work in Python does not grow with the number of lines.

Standards: RFC 5321 2.3.8 (only CRLF ends a line), 4.1.1.4 (DATA), 4.5.2 (transparency).
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from mailbridge.edge.smtp_gate import FREE_BYTES, Tab

END = b"\r\n.\r\n"
MAX_COMMAND = 2048
"""Octets of a command line: RFC 5321 4.5.3.1.4 asks for 512, and its extensions add to that."""
_MOST_WAITING = 64 * 1024
_PIECE = 256 * 1024


class Overrun(Enum):
    """Why mail data or a command line was read to its end but not kept."""

    TOO_BIG = auto()
    NO_ROOM = auto()
    ENDLESS = auto()


class Wire:
    """Reads from `reader`, and keeps what came after the line or mail last handed out (pipelining)."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._ahead = bytearray()
        self.waiting = False
        """Whether the client is silent between two commands."""

    def forget(self) -> None:
        """Drop what was read ahead: plaintext must not reach the other side of STARTTLS (RFC 3207 4.2)."""
        self._ahead.clear()

    async def line(self) -> bytes | Overrun:
        """The next command line without its line end. TOO_BIG: skipped; ENDLESS: give up on this client.

        A bare LF ends a command too, as people at a terminal send it; in mail data it never does.
        Raises EOFError when the client has gone.
        """
        looked = 0
        while (end := self._ahead.find(b"\n", looked)) < 0:
            looked = len(self._ahead)
            if looked > _MOST_WAITING:
                return Overrun.ENDLESS
            self.waiting = True
            try:
                self._ahead += await self._more()
            finally:
                self.waiting = False
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 1]
        return Overrun.TOO_BIG if len(line) > MAX_COMMAND else line.rstrip(b"\r")

    async def mail(self, trace: bytes, limit: int, tab: Tab) -> bytes | Overrun:
        """`trace` and the mail data up to its end mark, dots unstuffed, every other byte as it came.

        `trace` is a header field that ends in CRLF: that CRLF stands for the one that ended DATA, so an
        empty mail needs no case of its own. A mail of more than `limit` bytes, or one beyond `FREE_BYTES` for
        which there is no room, is read on to its end mark but not kept: memory stays flat, `tab` is settled.
        Raises EOFError when the client goes before the end mark.
        """
        body = bytearray(trace)
        body += self._ahead
        self._ahead.clear()
        start, looked = len(trace), len(trace) - 2
        overrun: Overrun | None = None
        while (end := body.find(END, looked)) < 0:
            size = len(body) - start
            if overrun is None and size > limit:
                overrun = Overrun.TOO_BIG
            elif overrun is None and size > FREE_BYTES and not tab.charge_up_to(size):
                overrun = Overrun.NO_ROOM
            if overrun is not None:
                tab.settle()
                del body[: 1 - len(END)]
            looked = max(0, len(body) + 1 - len(END))
            body += await self._more()
        self._ahead += memoryview(body)[end + len(END) :]
        del body[end + 2 :]
        if overrun is not None:
            return overrun
        if len(body) - start > limit:
            return Overrun.TOO_BIG
        if body.find(b"\r\n.", start - 2) >= 0:
            body = body.replace(b"\r\n.", b"\r\n")
        return bytes(body)

    async def _more(self) -> bytes:
        if piece := await self._reader.read(_PIECE):
            return piece
        raise EOFError
