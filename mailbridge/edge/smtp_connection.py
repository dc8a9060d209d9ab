"""One SMTP connection: aiosmtpd's protocol with our own clocks, budgets, command loop and hang-ups.

The library keeps the transport and STARTTLS. As shipped it lets a client hold time and memory without
bound, and cancels work half done when the client goes away; here both end. What the verbs say is in
`smtp_session`.

Standards: RFC 5321 4.5.3 (limits and time-outs), 4.2 (replies); RFC 3207 4.2 (STARTTLS starts anew).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, TLSSetupException

from mailbridge.config import Smtp
from mailbridge.edge.smtp_gate import EventLog, Gate, peer_address
from mailbridge.edge.smtp_wire import Overrun, Wire

TEMPORARY = "451 4.3.0 temporary failure, try again later"
SHUTTING_DOWN = "421 4.3.2 shutting down, try again later"
NOT_A_MAIL_CLIENT = "421 4.7.0 this is an SMTP server"
_NEVER = float("inf")
_PROGRESS = 1024
"""Bytes at once that count as a sign of life without a line end, for mail whose lines are very long."""
_MAX_ERRORS = 100
_MAX_FRUITLESS = {"RCPT": 10_000, "MAIL": 100, "DATA": 100}
"""Commands of one kind without a mail accepted in between; RCPT has its own number, lists being lists."""
_MAX_FRUITLESS_OTHER = 50
_VERB = re.compile(rb"[A-Za-z]{1,16}")
_BINARY = re.compile(rb"[^\t\x20-\x7e]")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HTTP = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PRI"})

Verb = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings a session reads, durations in seconds, sizes in bytes."""

    idle: float
    data: float
    session: float
    store: float
    max_message: int
    max_recipients: int
    grace: float = 5.0
    """For a client to take our last words before the connection is dropped."""

    @classmethod
    def of(cls, settings: Smtp) -> Limits:
        """The limits that `settings` asks for."""
        return cls(
            settings.idle_timeout.total_seconds(),
            settings.data_timeout.total_seconds(),
            settings.session_timeout.total_seconds(),
            settings.store_timeout.total_seconds(),
            settings.max_message,
            settings.max_recipients,
        )


class GuardedConnection(SMTP):
    """One client, from greeting to goodbye; a subclass gives the verbs."""

    line_length_limit = 64 * 1024  # the stream's high-water mark; lines themselves have no limit in mail

    def __init__(
        self, gate: Gate, limits: Limits, *, hostname: str, tls: ssl.SSLContext | None, log: EventLog
    ) -> None:
        super().__init__(
            None,
            data_size_limit=limits.max_message,
            enable_SMTPUTF8=True,
            hostname=hostname,
            tls_context=tls,
            timeout=limits.idle,
            loop=asyncio.get_running_loop(),
        )
        self._gate = gate
        self._limits = limits
        self._log = log
        self._used: Counter[str] = Counter()
        self._errors = 0
        self._leaving = False
        self._storing = False
        self._fresh = True  # the last byte heard ended a line
        self._last_heard = self._ends_at = self._data_ends_at = _NEVER
        self._grace: asyncio.TimerHandle | None = None
        self._peer = ""
        self._wire: Wire
        self._socket: asyncio.Transport

    def __dir__(self) -> list[str]:
        """Nothing: the base class searches itself for verbs and mechanisms at each connection, which costs
        half a millisecond, and none that it finds may be reached (`verb` lists them all)."""
        return []

    # -- what the subclass gives ---------------------------------------------------------------------------

    @abstractmethod
    def verb(self, name: str) -> Verb | None:
        """How to obey a command, or None when it is not known. Only what is listed here can be reached."""

    @abstractmethod
    def start_over(self) -> None:
        """Forget the mail transaction."""

    # -- the connection ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session, or go on inside TLS, where nothing sent before may be heard (RFC 3207 4.2)."""
        first = self._original_transport is None
        if first:
            assert isinstance(transport, asyncio.Transport)
            self._socket = transport
            self._peer = peer_address(transport)
            self._gate.enter(self, self._peer)
            self._ends_at = self.loop.time() + self._limits.session
        super().connection_made(transport)
        if first:
            self._wire = Wire(self._reader)
        else:
            self._wire.forget()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the client. A store under way goes on: its task is nobody's child."""
        self._gate.left(self, self._peer)
        if self._grace is not None:
            self._grace.cancel()
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client sends no more, but may still read: it gets the answers to all it has said."""
        asyncio.StreamReaderProtocol.eof_received(self)  # aiosmtpd's own would cancel what is under way
        return not self.in_tls  # a half-closed TLS connection cannot be kept open

    def data_received(self, data: bytes) -> None:
        """Note signs of life, and turn away what is no mail client before a line of it is complete."""
        if b"\n" in data or len(data) >= _PROGRESS:
            self._last_heard = self.loop.time()
        if self._fresh and self._wire.waiting and not (32 <= data[0] < 127 or 9 <= data[0] <= 13):
            self._log.info("smtp.not_mail", peer=self._peer, verb="binary")
            self._cut(NOT_A_MAIL_CLIENT)
            return
        self._fresh = data.endswith(b"\n")
        super().data_received(data)

    @property
    def in_tls(self) -> bool:
        """Whether STARTTLS has been done."""
        return self.session is not None and self.session.ssl is not None

    def leave(self) -> None:
        """Say 421 and go: now if the client is silent, else after the command or mail being worked on."""
        self._leaving = True
        if self._wire.waiting:
            self._cut(SHUTTING_DOWN)

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._socket.abort()

    def _cut(self, reply: str) -> None:
        """Say `reply`, best effort, and end the session from outside its task."""
        self._writer.write(reply.encode() + b"\r\n")
        self._hang_up()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def _hang_up(self) -> None:
        """Close; drop a client that does not take our last words within the grace time."""
        if isinstance(self.transport, asyncio.Transport) and not self.transport.is_closing():
            self.transport.close()
            self._grace = self.loop.call_later(self._limits.grace, self._socket.abort)

    # -- the clocks ----------------------------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Called by the base class when a session begins; one timer then serves all three clocks."""
        self._last_heard = self.loop.time()
        self._arm()

    def _due(self) -> float:
        if self._storing:
            return _NEVER  # the store step has its own bound, and a mail being stored must get its answer
        return min(self._last_heard + self._limits.idle, self._data_ends_at, self._ends_at)

    def _arm(self) -> None:
        """Let the timer ring no later than what is due. Ringing early is harmless, so it is rarely moved."""
        due = min(self._due(), self.loop.time() + self._limits.idle)
        if self._timeout_handle is None or self._timeout_handle.when() > due:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_at(due, self._ring)

    def _ring(self) -> None:
        if self._due() > self.loop.time():
            self._timeout_handle = None
            self._arm()
        else:
            self._log.info("smtp.timed_out", peer=self._peer)
            self._cut("421 4.4.2 timed out")

    # -- the dialogue --------------------------------------------------------------------------------------

    async def say(self, reply: str) -> None:
        """Send one reply; raises ConnectionError when the client has gone."""
        if reply[0] == "5":
            self._errors += 1
        self._writer.write(reply.encode() + b"\r\n")
        await self._writer.drain()

    async def _handle_client(self) -> None:
        """The whole dialogue. Ends by returning, whatever the client does."""
        try:
            await self.say(f"220 {self.hostname} ESMTP mailbridge")
            while await self._one_command():
                pass
        except (EOFError, ConnectionError):
            pass  # the client has gone: nobody is left to tell
        except TLSSetupException as error:
            self._log.info("smtp.tls_failed", peer=self._peer, reason=type(error.__cause__).__name__)
            self._socket.abort()
            self._gate.left(self, self._peer)  # the TLS layer reports no loss of a connection it never made
        finally:
            self._hang_up()

    async def _one_command(self) -> bool:
        """Read and obey one command; False when the session is over."""
        line = await self._wire.line()
        if isinstance(line, Overrun):
            await self.say("500 5.5.2 line too long")
            return line is not Overrun.ENDLESS and await self._may_go_on("")
        word, _, rest = line.partition(b" ")
        name = word.decode("latin-1").upper()
        if _BINARY.search(word) or name in _HTTP:
            verb = name if name in _HTTP else "binary"
            self._log.info("smtp.not_mail", peer=self._peer, verb=verb)
            await self.say(NOT_A_MAIL_CLIENT)
            return False
        argument = rest.decode("utf-8", "surrogateescape").strip(" \t")
        try:
            if not _VERB.fullmatch(word):
                name = ""
                await self.say("500 5.5.2 syntax error")
            elif _CONTROLS.search(argument):
                await self.say("501 5.5.2 control character in command")
            elif (obey := self.verb(name)) is None:
                await self.say("500 5.5.1 command not known")
            else:
                await obey(argument)
        except (ConnectionError, EOFError, TLSSetupException):
            raise
        except Exception as error:  # a bug of ours: the client is told to come again, and nothing else
            self._log.error("smtp.failed", peer=self._peer, verb=name, exc_info=error)
            self.start_over()
            self._errors += 1
            await self.say(TEMPORARY)
        return name != "QUIT" and await self._may_go_on(name)

    async def _may_go_on(self, name: str) -> bool:
        """Whether the client's credit allows another command; if not, it has been told 421."""
        self._used[name] += 1
        if self._leaving:
            await self.say(SHUTTING_DOWN)
        elif self._errors >= _MAX_ERRORS or self._used[name] >= _MAX_FRUITLESS.get(
            name, _MAX_FRUITLESS_OTHER
        ):
            self._log.info("smtp.budget_spent", peer=self._peer, verb=name, errors=self._errors)
            await self.say("421 4.7.0 too many errors, or commands without a mail")
        elif self.loop.time() > self._ends_at:
            await self.say("421 4.4.2 session too long, connect again")
        else:
            return True
        return False
