"""One mail over one open SMTP connection: MAIL, RCPT, DATA, and what each answer means.

Raises `Lost` as long as it is certain that the server has not the whole mail, so that the caller may try
again on another connection; a fault after the final dot is Unknown, because the server may have it.

Standards: RFC 5321 3.3, 4.2 (transaction, replies), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
(SMTPUTF8), RFC 2034 (enhanced status codes), RFC 4954 6 (replies about AUTH).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from mailbridge.core.compose import needs_smtputf8
from mailbridge.core.encode import clean_line, wire_address
from mailbridge.core.outgoing import (
    Deferred,
    Delivered,
    Outgoing,
    RecipientResult,
    Refused,
    SmarthostDown,
    Unknown,
)

LONGEST_REPLY = 500
_CHUNK = 64 << 10
_SLOWEST = 32 << 10
"""Octets a second below which a transfer is given up, beside the time the server has for its answer."""
_PER_RECIPIENT = 5.0
"""Seconds each recipient adds to the deadline of the envelope: some servers slow down on purpose."""
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_NOT_LET_IN = frozenset({530, 534, 535, 538})
"""Replies that say that we may not send at all, whatever command they answer."""


class Lost(Exception):
    """The connection failed, and it is certain that the server does not have the whole mail."""

    def __init__(self, why: str, code: int | None = None, *, early: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.early = early
        """Before the server had said a word about a recipient: it cannot be this mail's fault."""


Answer = Mapping[str, RecipientResult] | SmarthostDown


class Transaction:
    """One mail over `client`, which is connected, secured, logged in, and used by nobody else meanwhile."""

    def __init__(self, client: aiosmtplib.SMTP, where: str, timeout: float) -> None:
        """`where` names the server in messages; `timeout` is in seconds for each phase."""
        self._client = client
        self._where = where
        self._timeout = timeout

    async def run(self, outgoing: Outgoing, recipients: Sequence[str]) -> tuple[Answer, bool]:
        """What became of `recipients`, and whether the connection is in a known state and can be used again.

        Raises Lost, and nothing else for anything the network does.
        """
        refusal, options = _requirements(self._client, outgoing)
        if refusal:
            return dict.fromkeys(recipients, refusal), True
        try:
            async with asyncio.timeout(self._timeout + _PER_RECIPIENT * len(recipients)):
                answer = await self._envelope(outgoing.envelope_from, recipients, options)
        except TimeoutError:
            raise Lost("the server was silent during the envelope") from None
        if isinstance(answer, SmarthostDown):
            return answer, await self._reset()
        if isinstance(answer, Refused | Deferred):
            return dict.fromkeys(recipients, answer), await self._reset()
        accepted = [r for r, result in answer.items() if isinstance(result, Delivered)]
        if not accepted:
            return answer, await self._reset()
        outcome, usable = await self._data(outgoing.data)
        return answer | dict.fromkeys(accepted, outcome), usable

    async def _envelope(
        self, sender: str, recipients: Sequence[str], options: Sequence[str]
    ) -> dict[str, RecipientResult] | SmarthostDown | Refused | Deferred:
        """The answer to each RCPT, where Delivered stands for accepted so far; or what MAIL met."""
        path = f"FROM:<{wire_address(sender)}>".encode()
        command = self._client.execute_command(b"MAIL", path, *(o.encode("ascii") for o in options))
        reply = await _asked(command, early=True)
        if reply.code // 100 != 2:
            return self._mail_refused(reply)
        results: dict[str, RecipientResult] = {}
        for recipient in recipients:
            path = f"TO:<{wire_address(recipient)}>".encode()
            reply = await _asked(self._client.execute_command(b"RCPT", path))
            if reply.code in _NOT_LET_IN:
                return SmarthostDown(f"{self._where} does not let us send: {_text(reply)}", True)
            if reply.code == 421:  # closing: those accepted before are lost with the transaction
                raise Lost(clean_line(reply.message, LONGEST_REPLY), 421)
            results[recipient] = Delivered(_text(reply)) if reply.code // 100 == 2 else _refusal(reply)
        return results

    def _mail_refused(self, reply: aiosmtplib.SMTPResponse) -> SmarthostDown | Refused | Deferred:
        if reply.code == 421:
            raise Lost(f"{self._where}: {_text(reply)}", 421, early=True)
        if reply.code in {452, 552}:  # RFC 1870 6.1: answers to the SIZE we gave, so about this mail
            return _refusal(reply)
        why = f"{self._where} does not take our sender: {_text(reply)}"
        return SmarthostDown(why, reply.code // 100 == 5)

    async def _reset(self) -> bool:
        """Whether the connection is free for a next mail."""
        try:
            await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return self._client.is_connected

    async def _data(self, data: bytes) -> tuple[RecipientResult, bool]:
        """What became of the accepted recipients, and whether the connection can be used again."""
        reply = await _asked(self._client.execute_command(b"DATA"))
        if reply.code == 421:
            raise Lost(clean_line(reply.message, LONGEST_REPLY), 421)
        if reply.code != 354:
            return _refusal(reply), reply.code // 100 in {4, 5} and await self._reset()
        protocol = self._client.protocol
        if protocol is None:
            raise Lost("the connection was lost before the mail was sent")
        answer = asyncio.get_running_loop().create_task(protocol.read_response())
        try:
            try:
                async with asyncio.timeout(self._timeout + len(data) / _SLOWEST):
                    refused = await _send_body(protocol, data, answer, self._timeout)
            except TimeoutError:
                raise Lost("the server stopped taking the mail in the middle") from None
            if refused:
                return _refusal(refused), False
            _write(protocol, b".\r\n")
            async with asyncio.timeout(self._timeout):
                reply = await answer
        except TimeoutError:
            return Unknown("no answer in time to the whole mail"), False
        except aiosmtplib.SMTPException as error:
            return Unknown(f"no usable answer to the whole mail: {_error(error)}"), False
        finally:
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, so that the loop does not report it
            answer.cancel()
        if reply.code // 100 == 2:
            return Delivered(_text(reply)), self._client.is_connected
        if reply.code // 100 in {4, 5}:
            return _refusal(reply), reply.code != 421 and self._client.is_connected
        return Unknown(f"an answer without meaning to the whole mail: {_text(reply)}"), False


async def _send_body(
    protocol: SMTPProtocol, data: bytes, answer: asyncio.Future[aiosmtplib.SMTPResponse], stall: float
) -> aiosmtplib.SMTPResponse | None:
    """Send all but the final dot; returns a refusal that came meanwhile, raises Lost when it cannot go on.

    TimeoutError when the server takes none of it for `stall` seconds.

    Written here rather than left to `SMTP.data`, which queues the whole at once and so cannot tell a mail cut
    off in the middle from one that may have arrived, and overlooks a refusal in the middle of a large mail.
    """
    transport = protocol.transport
    assert isinstance(transport, asyncio.WriteTransport)
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    await asyncio.sleep(0)  # so that `answer` is listening before there is anything to answer
    for start in range(0, len(stuffed), _CHUNK):
        _write(protocol, stuffed[start : start + _CHUNK])
        # The transport tells its protocol when there is room, and the library keeps that to itself.
        async with asyncio.timeout(stall):
            while transport.get_write_buffer_size() and not answer.done():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.002)
        if answer.done():
            try:
                return answer.result()
            except aiosmtplib.SMTPException as error:
                raise Lost(f"the connection was lost in the middle of the mail: {_error(error)}") from error
    return None


def _write(protocol: SMTPProtocol, data: bytes) -> None:
    try:
        protocol.write(data)
    except aiosmtplib.SMTPException as error:
        raise Lost(f"the connection was lost in the middle of the mail: {_error(error)}") from error


async def _asked(command: Awaitable[aiosmtplib.SMTPResponse], early: bool = False) -> aiosmtplib.SMTPResponse:
    """The reply to a command of the envelope; whatever else happens is Lost."""
    try:
        return await command
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Lost(_error(error), early=early) from error


def _requirements(client: aiosmtplib.SMTP, outgoing: Outgoing) -> tuple[Refused | None, Sequence[str]]:
    """Why this server cannot take this mail, or the MAIL parameters that it needs."""
    options: list[str] = []
    size = client.esmtp_extensions.get("size")
    if size is not None:
        most = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0
        if 0 < most < len(outgoing.data):
            text = f"the mail has {len(outgoing.data)} bytes and the server takes at most {most}"
            return Refused(552, "5.3.4", text), ()
        options.append(f"SIZE={len(outgoing.data)}")
    utf8 = needs_smtputf8(outgoing.data, (outgoing.envelope_from, *outgoing.recipients))
    if utf8:
        if not client.supports_extension("smtputf8"):
            return Refused(553, "5.6.7", "an address needs SMTPUTF8, which the server does not offer"), ()
        options.append("SMTPUTF8")
    if utf8 or not outgoing.data.isascii():
        if not client.supports_extension("8bitmime"):
            return Refused(554, "5.6.3", "the mail is 8-bit and the server takes 7-bit mail only"), ()
        options.append("BODY=8BITMIME")
    return None, options


def _refusal(reply: aiosmtplib.SMTPResponse) -> Refused | Deferred:
    """5yz is final; 4yz and replies that mean nothing here are for another time (RFC 5321 4.2.1, 4.3.2)."""
    if reply.code // 100 != 5:
        return Deferred(reply.code, clean_line(reply.message, LONGEST_REPLY))
    found = _ENHANCED.match(reply.message)
    return Refused(reply.code, found[1] if found else "", clean_line(reply.message, LONGEST_REPLY))


def _text(reply: aiosmtplib.SMTPResponse) -> str:
    return clean_line(f"{reply.code} {reply.message}", LONGEST_REPLY)


def _error(error: Exception) -> str:
    return clean_line(str(error) or type(error).__name__, LONGEST_REPLY)
