"""Mails as people's mail programs write them, and as they read what they get. For the tests of whole flows.

Standards: RFC 5322 3.6.4 (In-Reply-To and References of a reply), RFC 3464 (delivery reports).
"""

from __future__ import annotations

import email
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses, localtime

ANNE = "Anne Berger <anne@customer.example>"
BART = "Bart Vos <bart@desk.example>"
CRIS = "Cris Dahl <cris@customer.example>"
EVE = "Eve <eve@elsewhere.example>"
DESK = "support@desk.example"
SALES = "sales@desk.example"

_numbers = itertools.count(1)


def bare(address: str) -> str:
    """'Anne <anne@x>' -> 'anne@x'."""
    return getaddresses([address])[0][1]


def unique(subject: str) -> str:
    """A subject that no other mail of this run has."""
    return f"{subject} {next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail of ours as it arrived somewhere."""

    sender: str
    """The envelope's; '' is the null sender."""
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """Parsed as a mail program does."""
        parsed = email.message_from_bytes(self.data, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def header(self, name: str) -> str:
        """One header, decoded and unfolded; '' when absent."""
        return str(self.message[name] or "")

    @property
    def message_id(self) -> str:
        """With its brackets."""
        return self.header("Message-ID")

    @property
    def references(self) -> list[str]:
        """The Message-IDs of References."""
        return self.header("References").split()

    @property
    def text(self) -> str:
        """The text that a mail program shows."""
        body = self.message.get_body(("plain",))
        return str(body.get_content()) if body is not None else ""

    @property
    def words(self) -> str:
        """The text without what it quotes."""
        return "\n".join(line for line in self.text.splitlines() if not line.startswith(">"))


def letter(
    sender: str,
    to: str = DESK,
    subject: str = "A question",
    text: str = "Hello,\n\nour press stops with error 7.\n\nAnne\n",
    *,
    cc: Sequence[str] = (),
    headers: dict[str, str] | None = None,
) -> EmailMessage:
    """A new mail, with a Message-ID of its own."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    if cc:
        message["Cc"] = ", ".join(cc)
    message["Date"] = format_datetime(localtime())
    domain = bare(sender).rpartition("@")[2]
    message["Message-ID"] = f"<letter-{next(_numbers)}@{domain}>"
    for name, value in (headers or {}).items():
        message[name] = value
    message.set_content(text)
    return message


def reply(
    sender: str,
    to: Mail,
    words: str,
    *,
    address: str = "",
    threading: bool = True,
    quote: bool = True,
    subject: str | None = None,
    cc: Sequence[str] = (),
    headers: dict[str, str] | None = None,
) -> EmailMessage:
    """A reply: to Reply-To (or `address`), with threading fields, the original quoted below."""
    original = to.header("Subject")
    text = words
    if quote:
        quoted = "".join(f"> {line}".rstrip() + "\n" for line in to.text.splitlines())
        text += f"\nOn Tue, 24 Nov 2026 at 09:12, {to.header('From')} wrote:\n{quoted}"
    more = dict(headers or {})
    if threading:
        more["In-Reply-To"] = to.message_id
        more["References"] = " ".join([*to.references, to.message_id])
    if subject is None:
        subject = original if original.lower().startswith("re:") else f"Re: {original}"
    return letter(sender, address or to.header("Reply-To"), subject, text, cc=cc, headers=more)


def bounce(of: Mail, failed: str, *, status: str = "5.1.1", reason: str = "no such user") -> bytes:
    """A delivery report on a mail of ours, as Postfix writes it (RFC 3464)."""
    headers = of.data.partition(b"\r\n\r\n")[0].decode()
    text = f"""\
From: MAILER-DAEMON@mx.customer.example (Mail Delivery System)
To: {of.sender}
Subject: Undelivered Mail Returned to Sender
Date: {format_datetime(localtime())}
Message-ID: <report-{next(_numbers)}@mx.customer.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="RB"

--RB
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.customer.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

<{failed}>: host mx.customer.example said: 550 {status} {reason}

--RB
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customer.example

Final-Recipient: rfc822; {failed}
Action: failed
Status: {status}
Diagnostic-Code: smtp; 550 {status} {reason}

--RB
Content-Type: text/rfc822-headers

"""
    end = "\n\n--RB--\n"
    return (text.replace("\n", "\r\n") + headers + end.replace("\n", "\r\n")).encode()
