"""The SMTP dialogue: what each verb answers, and how a mail gets from DATA to the service.

Promises kept here: 250 only after `Acceptor.accept` has returned; our own trouble is a 4xx without
internals; a client that goes away after the dot does not stop the store.

Standards: RFC 5321 4.1.1 (verbs), 3.6.1 (no relaying), 7.3 (VRFY); RFC 1870 (SIZE); RFC 2920 (PIPELINING);
RFC 3207 (STARTTLS); RFC 3463 (codes); RFC 6152 (8BITMIME); RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from mailbridge.core.address import split_tag
from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from mailbridge.edge.smtp_connection import TEMPORARY, GuardedConnection, Limits, Verb
from mailbridge.edge.smtp_gate import EventLog, Gate, Tab
from mailbridge.edge.smtp_syntax import (
    MAX_HOPS,
    Hop,
    Refused,
    Sender,
    hops,
    parse_mail,
    parse_rcpt,
    trace_header,
)
from mailbridge.edge.smtp_wire import Overrun
from mailbridge.store.errors import StoreUnavailable

_NO_ROOM = "452 4.3.1 no room for a mail of that size now, try again later"
_NEVER = float("inf")


class Acceptor(Protocol):
    """The service behind the door."""

    def mailbox_for(self, address: str) -> str | None:
        """Our mailbox for a recipient address, matched exactly after splitting the plus-tag, or None."""

    async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
        """Store one mail; durable when it returns. Raises on any trouble."""

    def busy(self) -> str | None:
        """A short reason, for the log, to put new mail off now, or None. Cheap."""


@dataclass(slots=True)
class _Transaction:
    """One mail transaction (RFC 5321 3.3): what MAIL and RCPT have said so far."""

    sender: Sender | None = None
    recipients: dict[str, None] = field(default_factory=dict)
    accepted: int = 0
    """RCPT commands answered 250: a repeated address counts each time."""


class GuardedSMTP(GuardedConnection):
    """The verbs of one session, in front of `acceptor`."""

    def __init__(
        self,
        acceptor: Acceptor,
        gate: Gate,
        limits: Limits,
        *,
        hostname: str,
        tls: ssl.SSLContext | None,
        log: EventLog,
    ) -> None:
        super().__init__(gate, limits, hostname=hostname, tls=tls, log=log)
        self._acceptor = acceptor
        self._mail = _Transaction()
        self._helo = ""
        self._extended = False
        self._verbs: dict[str, Verb] = {
            "HELO": self._on_helo,
            "EHLO": self._on_ehlo,
            "MAIL": self._on_mail,
            "RCPT": self._on_rcpt,
            "DATA": self._on_data,
            "RSET": self._on_rset,
            "NOOP": self._on_noop,
            "QUIT": self._on_quit,
            "VRFY": self._on_vrfy,
            "HELP": self._on_help,
            "EXPN": self._on_not_implemented,
            "AUTH": self._on_not_implemented,
        }
        if tls is not None:
            self._verbs["STARTTLS"] = self._on_starttls

    def verb(self, name: str) -> Verb | None:
        """How to obey a command."""
        return self._verbs.get(name)

    def start_over(self) -> None:
        """Forget the mail transaction."""
        self._mail = _Transaction()

    async def _on_helo(self, arg: str) -> None:
        await self._greet(arg, extended=False, reply=f"250 {self.hostname}")

    async def _on_ehlo(self, arg: str) -> None:
        # AUTH is never offered: nobody submits here.
        words = [f"SIZE {self._limits.max_message}", "8BITMIME", "SMTPUTF8", "PIPELINING"]
        if self.tls_context and not self.in_tls:
            words.append("STARTTLS")
        lines = [f"250-{self.hostname}", *(f"250-{word}" for word in words), "250 HELP"]
        await self._greet(arg, extended=True, reply="\r\n".join(lines))

    async def _greet(self, name: str, *, extended: bool, reply: str) -> None:
        if not name:
            await self.say("501 5.5.4 syntax: HELO or EHLO, then your host name")
            return
        self._mail = _Transaction()
        self._helo, self._extended = name.split()[0], extended
        await self.say(reply)

    async def _on_mail(self, arg: str) -> None:
        await self.say(self._open(arg))

    def _open(self, arg: str) -> str:
        """The reply to MAIL: open a transaction, unless we already know that we could not take the mail."""
        if not self._helo:
            return "503 5.5.1 say EHLO first"
        if self._mail.sender is not None:
            return "503 5.5.1 MAIL already given"
        sender = parse_mail(arg, extended=self._extended)
        if isinstance(sender, Refused):
            return sender.reply
        if sender.size > self._limits.max_message:
            return self._too_big()
        reason = "too many unfinished stores" if self._gate.choked else self._acceptor.busy()
        if reason is not None:
            self._log.warning("smtp.put_off", peer=self._peer, reason=reason)
            return "451 4.3.2 busy, try again later"
        if not self._gate.has_room(sender.size):
            return _NO_ROOM
        self._mail = _Transaction(sender)
        return "250 2.1.0 sender ok"

    async def _on_rcpt(self, arg: str) -> None:
        await self.say(self._add(arg))

    def _add(self, arg: str) -> str:
        """The reply to RCPT: only our own mailboxes, matched exactly."""
        mail = self._mail
        if mail.sender is None:
            return "503 5.5.1 say MAIL first"
        address = parse_rcpt(arg, extended=self._extended, utf8=mail.sender.utf8)
        if isinstance(address, Refused):
            return address.reply
        if "@" not in address:
            address = f"{address}@{self.hostname}"  # postmaster (RFC 5321 4.5.1)
        if mail.accepted >= self._limits.max_recipients:
            return "452 4.5.3 too many recipients"
        if split_tag(address) is None or self._acceptor.mailbox_for(address) is None:
            self._log.info("smtp.no_mailbox", peer=self._peer, recipient=address)
            return "550 5.1.1 no such mailbox here"
        mail.recipients[address] = None
        mail.accepted += 1
        return "250 2.1.5 recipient ok"

    async def _on_data(self, arg: str) -> None:
        """Read the mail, store it, and only then say 250."""
        mail = self._mail
        if arg:
            await self.say("501 5.5.4 syntax: DATA")
        elif mail.sender is None:
            await self.say("503 5.5.1 say MAIL first")
        elif not mail.recipients:
            await self.say("554 5.5.1 no valid recipients")
        elif not self._gate.has_room(mail.sender.size):
            await self.say(_NO_ROOM)
        else:
            await self.say("354 end data with <CR><LF>.<CR><LF>")
            tab = self._gate.open_tab()
            try:
                reply = await self._receive(mail, mail.sender, tab)
            finally:
                self._mail = _Transaction()
                tab.settle()  # a tab that went on to a store is empty by now
            await self.say(reply)

    async def _receive(self, mail: _Transaction, sender: Sender, tab: Tab) -> str:
        hop = Hop(self._helo, self._peer, self.hostname, self._extended, self.in_tls, sender.utf8)
        trace = trace_header(hop, datetime.now(UTC))
        self._data_ends_at = self.loop.time() + self._limits.data
        self._arm()
        try:
            raw = await self._wire.mail(trace, self._limits.max_message, tab)
        finally:
            self._data_ends_at = _NEVER
        if isinstance(raw, Overrun):
            self._log.info("smtp.not_kept", peer=self._peer, reason=raw.name.lower())
            return self._too_big() if raw is Overrun.TOO_BIG else _NO_ROOM
        if hops(raw, len(trace)) > MAX_HOPS:
            self._log.info("smtp.not_kept", peer=self._peer, reason="hops")
            return "554 5.4.6 too many hops, this mail goes in circles"
        return await self._store(Envelope(sender.address, tuple(mail.recipients)), raw, tab.hand_over())

    def _too_big(self) -> str:
        return f"552 5.3.4 mail too big, at most {self._limits.max_message} bytes"

    async def _store(self, envelope: Envelope, raw: bytes, tab: Tab) -> str:
        """The reply to a whole mail.

        We never cancel the store: a client that got 451, or nothing, sends again, and the service knows the
        copy. Its bytes stay charged to `tab` until it is done.
        """
        store = self.loop.create_task(self._acceptor.accept(envelope, raw, f"smtp:{self._peer}"))
        self._gate.watch(store, tab)
        self._storing = True
        try:
            # asyncio.wait, unlike wait_for, leaves the task alone on a timeout and when we are cancelled.
            await asyncio.wait((store,), timeout=self._limits.store)
        finally:
            self._storing = False
            self._last_heard = self.loop.time()
            if not store.done():
                store.add_done_callback(self._stored_late)
        if not store.done():
            self._log.error("smtp.store_slow", peer=self._peer, seconds=self._limits.store)
            return TEMPORARY
        if (error := _failure(store)) is not None:
            self._not_stored(error)
            return TEMPORARY
        accepted = store.result()
        self._used.clear()
        self._log.info(
            "smtp.accepted",
            id=accepted.id,
            duplicate=accepted.duplicate,
            peer=self._peer,
            sender=envelope.mail_from or "<>",
            recipients=len(envelope.rcpt_to),
            size=len(raw),
        )
        return f"250 2.0.0 accepted as {accepted.id}"

    def _stored_late(self, store: asyncio.Task[Accepted]) -> None:
        if (error := _failure(store)) is not None:
            self._not_stored(error)
        else:
            self._log.info("smtp.stored_unanswered", peer=self._peer, id=store.result().id)

    def _not_stored(self, error: BaseException) -> None:
        if isinstance(error, StoreUnavailable):  # expected of any database at times: a line, and no traceback
            self._log.warning("smtp.store_away", peer=self._peer, why=str(error))
        else:
            self._log.error("smtp.store_failed", peer=self._peer, exc_info=error)

    async def _on_rset(self, arg: str) -> None:
        self._mail = _Transaction()
        await self.say("250 2.0.0 ok")

    async def _on_noop(self, arg: str) -> None:
        await self.say("250 2.0.0 ok")

    async def _on_quit(self, arg: str) -> None:
        await self.say("221 2.0.0 bye")

    async def _on_vrfy(self, arg: str) -> None:
        # The same answer for everybody, so that nobody learns who exists (RFC 5321 7.3).
        await self.say("252 2.5.0 cannot verify, but will take mail for our own mailboxes")

    async def _on_help(self, arg: str) -> None:
        await self.say(f"214 2.0.0 RFC 5321: {' '.join(self._verbs)}")

    async def _on_not_implemented(self, arg: str) -> None:
        await self.say("502 5.5.1 not implemented")

    async def _on_starttls(self, arg: str) -> None:
        if self.in_tls:
            await self.say("503 5.5.1 already in TLS")
            return
        await self.smtp_STARTTLS(arg)
        self.start_over()
        self._helo = ""  # the client has to say again who it is (RFC 3207 4.2)


def _failure(store: asyncio.Task[Accepted]) -> BaseException | None:
    """Why a store that is done has not stored."""
    return asyncio.CancelledError() if store.cancelled() else store.exception()
