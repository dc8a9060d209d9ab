"""A real SMTP server for tests: aiosmtpd in the test's own loop, keeps what it gets, fails on demand.

async with Sink() as sink:
    sink.faults.rcpt["cris@customer.example"] = "550 5.1.1 no such user"
    ...
    assert sink.mails[0].recipients == ["anne@customer.example"]
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

Stage = Literal["mail", "rcpt", "data", "body", "dot"]


@dataclass(slots=True)
class Received:
    """One mail as it was taken (or, with a fault at the dot, heard out)."""

    sender: str
    recipients: list[str]
    data: bytes
    options: list[str]
    connection: int


@dataclass(slots=True)
class Faults:
    """What to do wrong. Replies are whole lines without CRLF; stages are those of one mail."""

    mail: str = ""
    rcpt: dict[str, str] = field(default_factory=dict)
    data: str = ""
    """The reply to DATA instead of 354."""
    dot: str = ""
    """The reply after the final dot instead of 250."""
    drop: set[Stage] = field(default_factory=set)
    """Close the connection there; 'body' after the first kilobytes, 'dot' once the mail is kept."""
    hang: set[Stage] = field(default_factory=set)
    """Never answer there; at 'body', stop reading after the first kilobytes."""
    once: bool = False
    """Forget drop and hang after the first that happened."""


class _Server(SMTP):
    """aiosmtpd with the faults that its hooks cannot make."""

    def __init__(self, sink: Sink, **options: Any) -> None:
        super().__init__(sink, **options)
        self._sink = sink
        sink.connections += 1
        self.number = sink.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sink.transports.add(transport)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        sink = self._sink
        await sink.fail(self, "data")
        if sink.faults.data:
            await self.push(sink.faults.data)
        elif {"body"} & (sink.faults.drop | sink.faults.hang):
            await self.push("354 go on")
            await self._reader.read(4096)
            await sink.fail(self, "body")
        else:
            await super().smtp_DATA(arg)


class Sink:
    """The server: an async context manager. `faults` may be changed at any time."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        password: str = "",
        size: int = 1 << 20,
        smtputf8: bool = True,
    ) -> None:
        """`tls` offers STARTTLS (or speaks TLS at once); with `password`, AUTH as 'desk' is needed."""
        self.faults = Faults()
        self.mails: list[Received] = []
        self.connections = 0
        self.logins: list[str] = []
        self.transports: set[asyncio.BaseTransport] = set()
        self.port = 0
        self._implicit = tls if implicit_tls else None
        self._password = password
        self._options: dict[str, Any] = {
            "hostname": "sink.example",
            "enable_SMTPUTF8": smtputf8,
            "data_size_limit": size,
            "tls_context": None if implicit_tls else tls,
        }
        if password:
            self._options |= {
                "authenticator": self._authenticate,
                "auth_required": tls is not None,
                "auth_require_tls": tls is not None,
            }

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # Small, so that a sender notices soon when nothing is read any more; accepted sockets inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        # The same port again when it is entered again: a server that was away and is back.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = await loop.create_server(
            lambda: _Server(self, loop=loop, **self._options), sock=listener, ssl=self._implicit
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection now, without a word."""
        for transport in self.transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        self.transports.clear()

    async def fail(self, server: SMTP, stage: Stage) -> None:
        """Hang or drop here when told to; returns when not."""
        faults = self.faults
        drop, hang = stage in faults.drop, stage in faults.hang
        if not drop and not hang:
            return
        if faults.once:
            faults.drop, faults.hang = set(), set()
        if drop:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        await asyncio.Event().wait()  # until the connection is gone, which cancels this task

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append(mechanism)
        good = (data.login, data.password) == (b"desk", self._password.encode())
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        await self.fail(server, "mail")
        if self.faults.mail:
            return self.faults.mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        await self.fail(server, "rcpt")
        if reply := self.faults.rcpt.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: _Server, session: Session, envelope: Envelope) -> str:
        self.mails.append(
            Received(
                "" if envelope.mail_from == "<>" else str(envelope.mail_from),
                list(envelope.rcpt_tos),
                bytes(envelope.original_content or b""),
                list(envelope.mail_options),
                server.number,
            )
        )
        await self.fail(server, "dot")
        return self.faults.dot or "250 2.0.0 queued as 42"
