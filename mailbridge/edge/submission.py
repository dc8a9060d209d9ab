"""Mail out by SMTP submission: connections to the smarthost, and which of them takes the next mail.

Connections are reused, at most `connections` at a time, and closed when idle. Nothing is sent in clear unless
the server is on loopback and the settings say so. What is said over a connection is `edge.smtp_transaction`.

Standards: RFC 6409 (submission), RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 4954 (AUTH).
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence

import aiosmtplib
import structlog

from mailbridge.config import Delivery
from mailbridge.core.encode import clean_line, is_sendable
from mailbridge.core.outgoing import (
    Deferred,
    Outgoing,
    RecipientResult,
    Refused,
    SmarthostDown,
    SubmissionResult,
)
from mailbridge.edge.smtp_transaction import LONGEST_REPLY, Answer, Lost, Transaction

_QUIT_TIMEOUT = 2.0


class SmtpSubmitter:
    """Hands mails to one smarthost. Safe to use from many tasks of one loop; `close` when done."""

    def __init__(
        self,
        settings: Delivery,
        password: str | None,
        log: structlog.stdlib.BoundLogger,
        *,
        hostname: str | None = None,
        idle_after: float = 30.0,
    ) -> None:
        """`hostname` is what EHLO says (None: this machine's); `idle_after` is in seconds."""
        self._settings = settings
        self._password = password
        self._log = log
        self._hostname = hostname
        self._idle_after = idle_after
        self._timeout = settings.timeout.total_seconds()
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[aiosmtplib.SMTP] = []
        self._expiry: dict[aiosmtplib.SMTP, asyncio.TimerHandle] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def submit(self, outgoing: Outgoing) -> SubmissionResult | SmarthostDown:
        """Try once to send. Each recipient gets exactly one result; no network fault is raised.

        Addresses that are not `is_sendable` are refused here. Waits for a free connection; then every phase
        has a deadline: `timeout` for connecting, `timeout` and 5 s a recipient for the envelope, the time at
        32 KiB/s and `timeout` for the mail, `timeout` for its answer. Cancelled, it closes its connection.
        """
        results: dict[str, RecipientResult] = {
            r: Refused(553, "5.1.3", "not an address we send to")
            for r in outgoing.recipients
            if not is_sendable(r)
        }
        if outgoing.envelope_from and not is_sendable(outgoing.envelope_from):
            results = {
                r: Refused(553, "5.1.7", "our envelope sender is not an address") for r in outgoing.recipients
            }
        wanted = [r for r in dict.fromkeys(outgoing.recipients) if r not in results]
        if not wanted:
            return SubmissionResult(results)
        async with self._slots:
            answer = await self._over_some_connection(outgoing, wanted)
        if isinstance(answer, SmarthostDown):
            return answer
        return SubmissionResult(results | dict(answer))

    async def close(self) -> None:
        """Say goodbye on idle connections and close them; those in use are closed by their own submit."""
        self._closed = True
        for client in self._idle:
            self._expire(client, from_timer=False)
        self._idle.clear()
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    async def _over_some_connection(self, outgoing: Outgoing, recipients: Sequence[str]) -> Answer:
        if reused := self._take():
            try:
                return await self._transaction(reused, outgoing, recipients)
            except Lost as lost:
                # Servers drop idle connections without a word: that says nothing about this mail.
                self._log.debug("smarthost.connection_lost", why=lost.why)
        client = await self._connect()
        if isinstance(client, SmarthostDown):
            return client
        try:
            return await self._transaction(client, outgoing, recipients)
        except Lost as lost:
            if lost.early:
                return SmarthostDown(lost.why, False)
            return dict.fromkeys(recipients, Deferred(lost.code, lost.why))

    async def _transaction(
        self, client: aiosmtplib.SMTP, outgoing: Outgoing, recipients: Sequence[str]
    ) -> Answer:
        usable = False
        try:
            answer, usable = await Transaction(client, self._where, self._timeout).run(outgoing, recipients)
            return answer
        finally:
            if usable and client.is_connected and not self._closed:
                self._give_back(client)
            else:
                client.close()

    # Connections

    def _take(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            client = self._idle.pop()
            self._expiry.pop(client).cancel()
            if client.is_connected:
                return client
        return None

    def _give_back(self, client: aiosmtplib.SMTP) -> None:
        self._idle.append(client)
        loop = asyncio.get_running_loop()
        self._expiry[client] = loop.call_later(self._idle_after, self._expire, client)

    def _expire(self, client: aiosmtplib.SMTP, from_timer: bool = True) -> None:
        self._expiry.pop(client).cancel()
        if from_timer:
            self._idle.remove(client)
        goodbye = asyncio.get_running_loop().create_task(self._quit(client))
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)

    async def _quit(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.quit(timeout=_QUIT_TIMEOUT)
        except (aiosmtplib.SMTPException, OSError):
            pass  # it is closed either way
        finally:
            client.close()

    async def _connect(self) -> aiosmtplib.SMTP | SmarthostDown:
        settings = self._settings
        if settings.security == "none-on-loopback" and not _may_be_loopback(settings.host):
            return SmarthostDown(f"not sending in clear to {settings.host}: it is not on loopback", True)
        try:
            context = await self._tls_context()
        except (OSError, ssl.SSLError) as error:
            return SmarthostDown(f"certificates of delivery.ca_file cannot be read: {error}", True)
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=self._hostname,
            timeout=self._timeout,
            use_tls=settings.security == "tls",
            start_tls=False,
            tls_context=context,
        )
        try:
            async with asyncio.timeout(self._timeout):
                down = await self._open(client)
        except TimeoutError:
            down = SmarthostDown(f"no connection to {self._where} within {self._timeout:g} s", False)
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, UnicodeError) as error:
            down = _down(f"connecting to {self._where}", error)
        except BaseException:
            client.close()
            raise
        if down:
            client.close()
            return down
        self._log.info(
            "smarthost.connected", host=settings.host, port=settings.port, security=settings.security
        )
        return client

    async def _open(self, client: aiosmtplib.SMTP) -> SmarthostDown | None:
        """Greeting, EHLO, TLS as demanded, AUTH. Returns what forbids sending; may raise as a socket does."""
        security = self._settings.security
        await client.connect()
        if security == "none-on-loopback":
            peer = client.get_transport_info("peername")
            if not ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback:
                return SmarthostDown(f"not sending in clear to {peer[0]}: it is not on loopback", True)
        if security == "starttls":
            await client.ehlo()
            if not client.supports_extension("starttls"):
                return SmarthostDown(f"{self._where} does not offer STARTTLS, so nothing was sent", True)
            await client.starttls()
        await client.ehlo()
        return await self._log_in(client) if self._settings.username else None

    async def _log_in(self, client: aiosmtplib.SMTP) -> SmarthostDown | None:
        if self._password is None:
            return SmarthostDown("delivery.username is set but there is no password", True)
        # One mechanism only: trying all of them makes three wrong passwords of one and locks accounts.
        offered = client.server_auth_methods
        if "plain" in offered:
            await client.auth_plain(self._settings.username, self._password)
        elif "login" in offered:
            await client.auth_login(self._settings.username, self._password)
        elif "cram-md5" in offered:
            await client.auth_crammd5(self._settings.username, self._password)
        else:
            return SmarthostDown(f"{self._where} offers no way to log in that we know", True)
        return None

    async def _tls_context(self) -> ssl.SSLContext | None:
        if self._settings.security == "none-on-loopback":
            return None
        if self._tls is None:
            # Read in a thread: the system's certificates take some 20 ms. ca_file stands instead of them.
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)
        return self._tls

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"


def _down(doing: str, error: Exception) -> SmarthostDown:
    cause = error.__cause__ or error
    if isinstance(error, aiosmtplib.SMTPResponseException):
        permanent = error.code // 100 == 5
        return SmarthostDown(clean_line(f"{doing}: {error.code} {error.message}", LONGEST_REPLY), permanent)
    permanent = isinstance(cause, ssl.SSLCertVerificationError | UnicodeError)
    return SmarthostDown(clean_line(f"{doing}: {error}", LONGEST_REPLY), permanent)


def _may_be_loopback(host: str) -> bool:
    """False for an IP address that is not on loopback; a name is judged by where it leads, once connected."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
