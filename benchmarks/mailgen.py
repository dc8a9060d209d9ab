"""Mails to measure with: the same number and size always give the same bytes.

What people send: text and HTML as alternatives, quoted-printable, a few trace fields and a signature. Sizes
are met within a few per cent, by more paragraphs (or, for `attached`, by a file).
"""

from __future__ import annotations

import base64
import quopri
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

DESK = "support@desk.example"
SENDERS = 3  # mails that come from one sender, on average, as in a real mailbox

_TEXT = (
    "the server printer invoice login page error after update cannot open file report since yesterday please "
    "look at this when we try to save the order it shows a blank screen and then nothing customer data export "
    "takes very long today morning again still same problem version windows browser"
)
_WORDS = _TEXT.split()
_ACCENTED = [*_WORDS, "café", "größe", "naïve", "però"]
_BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def sender(number: int) -> str:
    """Who writes the mail of that number."""
    return f"person{number // SENDERS}@customer{number // SENDERS % 50}.example"


def message_id(number: int, series: str) -> str:
    """The Message-ID of the mail of that number."""
    return f"<{series}.{number}.{number * 2654435761 % 2**32:08x}@mail.customer.example>"


def request(number: int, size: int, series: str = "r") -> bytes:
    """A new request of about `size` bytes, CRLF line ends."""
    return _mail(number, size, series, DESK, "", "")


def reply(number: int, size: int, to: str, parent: str, series: str = "a") -> bytes:
    """A reply to our mail `parent`, at our signed address `to`, with the quoted words below."""
    fields = f"In-Reply-To: {parent}\r\nReferences: {message_id(number, 'r')} {parent}\r\n"
    return _mail(number, size, series, to, fields, "Re: ")


def attached(number: int, size: int) -> bytes:
    """A request with one file, about `size` bytes as sent."""
    chance = random.Random(f"file {number}")
    data = base64.encodebytes(chance.randbytes(size * 57 // 78)).replace(b"\n", b"\r\n")
    head = _head(number, "file", DESK, "", "")
    return (
        head
        + b'Content-Type: multipart/mixed; boundary="=-mixed"\r\n\r\n'
        + b"--=-mixed\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe log is attached.\r\n"
        + b'--=-mixed\r\nContent-Type: application/octet-stream; name="trace.bin"\r\n'
        + b"Content-Transfer-Encoding: base64\r\n"
        + b'Content-Disposition: attachment; filename="trace.bin"\r\n\r\n'
        + data
        + b"--=-mixed--\r\n"
    )


def _head(number: int, series: str, to: str, fields: str, prefix: str) -> bytes:
    chance = random.Random(f"{series} {number}")
    who = sender(number)
    at = format_datetime(_BEGIN + timedelta(seconds=number * 7))
    subject = prefix + " ".join(chance.choice(_WORDS[:40]) for _ in range(chance.randint(3, 8)))
    signature = base64.b64encode(chance.randbytes(192)).decode()
    folded = "\r\n\t".join(signature[i : i + 64] for i in range(0, len(signature), 64))
    return (
        f"Received: from mail.customer.example (mail.customer.example [192.0.2.{number % 250}])\r\n"
        f"\tby mx.desk.example (Postfix) with ESMTPS id {number:010X} for <{DESK}>; {at}\r\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=customer.example; s=s1; t=1767600000;\r\n"
        f"\th=from:to:subject:date:message-id:mime-version:content-type; b={folded}\r\n"
        f'From: "Person {number // SENDERS}" <{who}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {at}\r\n'
        f"Message-ID: {message_id(number, series)}\r\n{fields}MIME-Version: 1.0\r\n"
        f"X-Mailer: Example Mail 12.3\r\n"
    ).encode()


def _mail(number: int, size: int, series: str, to: str, fields: str, prefix: str) -> bytes:
    head = _head(number, series, to, fields, prefix)
    chance = random.Random(f"body {series} {number}")
    name = f"Person {number // SENDERS}"
    words_of = _WORDS if number % 4 else _ACCENTED
    paragraphs: list[str] = []
    # HTML says all of it once more, with tags around it.
    room = (size - len(head) - 700) * 0.44
    while room > 0 or not paragraphs:
        words = [chance.choice(words_of) for _ in range(min(60, max(8, int(room / 6))))]
        paragraphs.append(" ".join(words).capitalize() + ".")
        room -= len(paragraphs[-1]) + 12
    quoted = ""
    if prefix:
        half = len(paragraphs) // 2
        quoted = "\n".join("> " + line for text in paragraphs[half:] for line in _wrapped(text))
        quoted = f"\nOn Mon, 5 Jan 2026 at 08:00, Support <{DESK}> wrote:\n{quoted}\n"
        paragraphs = paragraphs[: max(1, half)]
    text = "\n\n".join("\n".join(_wrapped(each)) for each in paragraphs)
    text = f"Hello,\n\n{text}\n\nKind regards\n{name}\n{quoted}"
    html = "".join(f"<p>{each}</p>\n" for each in paragraphs)
    if quoted:
        html += f"<blockquote type=cite>{quoted.replace(chr(10), '<br>')}</blockquote>\n"
    html = (
        f"<html><body><div dir=ltr><p>Hello,</p>\n{html}<p>Kind regards<br>{name}</p></div></body></html>\n"
    )
    bound = f"=-{number}"
    parts = (
        f'Content-Type: multipart/alternative; boundary="{bound}"\r\n\r\n'.encode(),
        _part(bound, "plain", text),
        _part(bound, "html", html),
        f"--{bound}--\r\n".encode(),
    )
    return head + b"".join(parts)


def _part(bound: str, kind: str, text: str) -> bytes:
    head = (
        f"--{bound}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + quopri.encodestring(text.encode()).replace(b"\n", b"\r\n") + b"\r\n"


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > 72:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return [*lines, line]
