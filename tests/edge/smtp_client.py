"""A raw-socket SMTP client and a service to stand behind the door, for the tests of `edge.smtp_in`.

The client sends any bytes at any time and closes in any manner, which no well-behaved library will do.
The service is real but small: it keeps what it was given, and can be slow, busy or broken on request.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from mailbridge.config import Smtp
from mailbridge.core.address import split_tag
from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from mailbridge.edge.smtp_in import SmtpListener

DESK = "support@desk.example"
ANNE = "anne@customer.example"
PATIENCE = 10.0
"""Seconds that a test waits for what must happen."""


@dataclass
class Desk:
    """An acceptor that keeps mail in memory. `hold`, once set to an Event, makes every store wait for it."""

    mailboxes: frozenset[str] = frozenset({DESK})
    trouble: Exception | None = None
    busy_because: str | None = None
    hold: asyncio.Event | None = None
    mails: list[tuple[Envelope, bytes, str]] = field(default_factory=list)
    begun: int = 0
    cancelled: int = 0

    def mailbox_for(self, address: str) -> str | None:
        tagged = split_tag(address)
        return tagged.mailbox if tagged and tagged.mailbox in self.mailboxes else None

    async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
        self.begun += 1
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.trouble is not None:
            raise self.trouble
        self.mails.append((envelope, raw, source))
        return Accepted(f"m{len(self.mails)}", duplicate=False)

    def busy(self) -> str | None:
        return self.busy_because

    @property
    def contents(self) -> list[bytes]:
        """The mails as they were sent: without the trace header, which must be there."""
        return [without_trace(raw) for _, raw, _ in self.mails]


def without_trace(raw: bytes) -> bytes:
    """`raw` without the Received field that the door put on top."""
    assert raw.startswith(b"Received: from "), raw[:80]
    end = raw.index(b"\r\n")
    while raw[end + 2 : end + 3] in (b" ", b"\t"):
        end = raw.index(b"\r\n", end + 2)
    return raw[end + 2 :]


@dataclass
class Log:
    """A logger that remembers."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **kw: Any) -> None:
        self.events.append(("info", event, kw))

    def warning(self, event: str, **kw: Any) -> None:
        self.events.append(("warning", event, kw))

    def error(self, event: str, **kw: Any) -> None:
        self.events.append(("error", event, kw))

    def named(self, event: str) -> list[dict[str, Any]]:
        """The values of every event of that name."""
        return [kw for _, name, kw in self.events if name == event]


class RawClient:
    """One connection. Replies are returned as text, a multi-line one joined by newlines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def reply(self) -> str:
        """The next whole reply; '' when the server has closed."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not lines or lines[-1][3:4] == "-":
                try:
                    line = await self._reader.readline()
                except ConnectionError:
                    line = b""
                if not line:
                    break
                assert line.endswith(b"\r\n"), line
                lines.append(line.decode().rstrip("\r\n"))
        return "\n".join(lines)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def say(self, command: str) -> str:
        """Send one command, return its reply."""
        await self.send(command.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self.reply()

    async def hello(self) -> RawClient:
        """Read the greeting and say EHLO."""
        assert (await self.reply()).startswith("220 ")
        assert (await self.say("EHLO client.example")).startswith("250-")
        return self

    async def start_data(self, sender: str = ANNE, *recipients: str) -> RawClient:
        """Go on to the 354 of DATA."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250 ")
        for recipient in recipients or (DESK,):
            assert (await self.say(f"RCPT TO:<{recipient}>")).startswith("250 ")
        assert (await self.say("DATA")).startswith("354 ")
        return self

    async def mail(self, content: bytes, sender: str = ANNE, *recipients: str) -> str:
        """Send one mail (`content` ends in CRLF and is not dot-stuffed); the reply to its dot."""
        await self.start_data(sender, *recipients)
        await self.send(content + b".\r\n")
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the handshake; the server has said 220."""
        await self._writer.start_tls(context, server_hostname="desk.example")

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()

    async def closed_by_server(self) -> bool:
        """Whether the server closes, within the patience of a test; what it says before is read over."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True

    async def close(self) -> None:
        """Close and wait for it."""
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()


@dataclass
class Door:
    """A listener on a free port of the loopback, the desk behind it and its log."""

    listener: SmtpListener
    desk: Desk
    log: Log
    clients: list[RawClient] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """The first bound address."""
        return self.listener.addresses[0]

    @property
    def guests(self) -> frozenset[object]:
        """The sessions connected now."""
        return frozenset(self.listener.gate.guests)

    def has_room(self, size: int) -> bool:
        """Whether a mail of `size` bytes could be taken now."""
        return self.listener.gate.has_room(size)

    async def connect(self) -> RawClient:
        """A connection on which nothing was read yet."""
        client = RawClient(*await asyncio.open_connection(*self.address))
        self.clients.append(client)
        return client

    async def client(self) -> RawClient:
        """A connection that has said EHLO."""
        return await (await self.connect()).hello()


@contextlib.asynccontextmanager
async def open_door(
    desk: Desk | None = None, *, listen: tuple[str, ...] = ("127.0.0.1:0",), **settings: Any
) -> AsyncIterator[Door]:
    """A door on a free port; whatever the test leaves open is closed."""
    desk, log = desk or Desk(), Log()
    chosen = Smtp.model_validate(settings).model_copy(update={"listen": listen})
    listener = SmtpListener(chosen, desk, hostname="mx.desk.example", log=log)
    await listener.start()
    door = Door(listener, desk, log)
    try:
        yield door
    finally:
        await listener.drain(0)
        for client in door.clients:
            await client.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for `condition`, looking often; fails the test when it does not come true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # the condition is the tested code's, which tells nobody
            await asyncio.sleep(0.01)
