"""Mails made to exhaust a parser, by name. Each is a function, since some are large."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping


def nested(depth: int) -> bytes:
    """Multiparts within one another."""
    head = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )
    tail = b"".join(b"\r\n--b%d--\r\n" % n for n in reversed(range(depth)))
    return b"Subject: nest\r\n" + head + b"Content-Type: text/plain\r\n\r\nhi\r\n" + tail


def parts(count: int, header: bytes = b"") -> bytes:
    """One multipart of many small parts."""
    part = b"--b\r\n" + header + b"\r\nx\r\n"
    return (
        b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part * count + b"--b--\r\n"
    )


def head(field: bytes) -> bytes:
    """A mail of one field beside From."""
    return b"From: anne@customer.example\r\n" + field + b"\r\n\r\nhello\r\n"


def body(kind: bytes, content: bytes, encoding: bytes = b"8bit") -> bytes:
    """A mail of one part."""
    return (
        b"From: anne@customer.example\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n"
        % (kind, encoding)
        + content
    )


BOMBS: Mapping[str, Callable[[], bytes]] = {
    # header section
    "1 MB of header fields": lambda: b"X-Pad: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 26_000 + b"\r\nhello",
    "100k distinct fields": lambda: b"".join(b"X-%d: v\r\n" % n for n in range(100_000)) + b"\r\nhello",
    "9k empty fields": lambda: b"A:\n" * 9_000 + b"\nhello",
    "1 MB subject": lambda: head(b"Subject: " + b"a " * 500_000),
    "200 KB subject": lambda: head(b"Subject: " + b"a " * 100_000),
    "folded subject": lambda: head(b"Subject: a" + b"\r\n a" * 60_000),
    "20k encoded words": lambda: head(b"Subject: " + b"=?utf-8?Q?abc?= " * 20_000),
    "12k encoded words": lambda: head(b"Subject: " + b"=?utf-8?Q?abc?= " * 12_000),
    "unended encoded words": lambda: head(b"Subject: " + b"=?utf-8?Q?a" * 20_000),
    "encoded words in From": lambda: head(b"From: " + b"=?utf-8?Q?abc?= " * 12_000 + b"<a@b.example>"),
    "10k addresses": lambda: head(
        b"To: " + b", ".join(b'"N %d" <u%d@x.example>' % (n, n) for n in range(10_000))
    ),
    "100k addresses": lambda: head(b"To: " + b", ".join(b"u%d@x.example" % n for n in range(100_000))),
    "address fields": lambda: head(b"\r\n".join([b"Cc: " + b"a@b.example, " * 250] * 70)),
    "letters in From": lambda: b"From: " + b"a" * 60_000 + b" @\r\n\r\nhello\r\n",
    "dots in From": lambda: b"From: " + b"a." * 30_000 + b"@b\r\n\r\nhello\r\n",
    "quotes in From": lambda: head(b"From: " + b'"' * 60_001 + b" <a@x.example>"),
    "parentheses in From": lambda: head(b"From: " + b"(" * 60_000 + b" a@x.example"),
    "angles in From": lambda: head(b"From: " + b"<" * 60_000),
    "groups in From": lambda: head(b"From: " + b"a:" * 30_000 + b"b@c.example;"),
    "50k Content-Type parameters": lambda: head(
        b"Content-Type: text/plain; " + b"; ".join(b"p%d=v" % n for n in range(50_000))
    ),
    "12k Content-Type parameters": lambda: head(
        b"Content-Type: text/plain; " + b"; ".join(b"p%d=v" % n for n in range(12_000))
    ),
    "quotes in Content-Type": lambda: head(b"Content-Type: text/plain; a=" + b'"\\' * 60_000),
    "blanks in Content-Type": lambda: head(b"Content-Type: text/plain" + b" " * 60_000 + b"=" * 60_000),
    "continued file name": lambda: head(
        b"Content-Disposition: attachment; " + b"; ".join(b"filename*%d=a" % n for n in range(20_000))
    ),
    "100k references": lambda: head(
        b"References: " + b" ".join(b"<%d@x.example>" % n for n in range(100_000))
    ),
    "10k references": lambda: head(b"References: " + b" ".join(b"<%d@x.example>" % n for n in range(10_000))),
    "angles in Message-ID": lambda: head(b"Message-ID: " + b"<" * 200_000),
    "garbage in Date": lambda: head(b"Date: " + b"1 " * 100_000),
    "parentheses in Date": lambda: head(b"Date: " + b"(" * 60_000),
    # structure
    "nested 50": lambda: nested(50),
    "nested 4000": lambda: nested(4000),
    "attached 1000 deep": lambda: (
        b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"Subject: leaf\r\n\r\nhello\r\n"
    ),
    "10k parts": lambda: parts(10_000),
    "100k named parts": lambda: parts(100_000, b"Content-Disposition: attachment; filename=a.txt\r\n"),
    "300k boundary lines": lambda: head(b"Content-Type: multipart/mixed; boundary=b") + b"--b\r\n" * 300_000,
    "1M dashed lines": lambda: head(b"Content-Type: multipart/mixed; boundary=b") + b"--\n" * 1_000_000,
    "part of 1 MB header": lambda: parts(1, b"X: y\r\n" * 160_000),
    "long boundary": lambda: (
        head(b"Content-Type: multipart/mixed; boundary=" + b"b" * 60_000) + b"--b\r\n" * 1000
    ),
    # bodies
    "combining marks": lambda: body(b"text/plain; charset=utf-8", "a\u0316\u0301".encode() * 200_000),
    "marks in the subject": lambda: head(b"Subject: " + "\u0316\u0301".encode() * 15_000),
    "5M blank lines": lambda: body(b"text/plain", b"\n" * 5_000_000),
    "only CR": lambda: b"Subject: x\r" * 400_000,
    "no line end": lambda: b"a" * 5_000_000,
    "base64 padding": lambda: body(b"text/plain", b"ab==" * 1_000_000, b"base64"),
    "quoted-printable": lambda: body(b"text/plain", b"=3Ca=20b=3E=\r\n" * 400_000, b"quoted-printable"),
    "uuencode begins": lambda: body(b"text/plain", b"begin 644 a\n" * 200_000 + b"end\n" * 200_000),
    "flowed lines": lambda: body(b"text/plain; format=flowed", b">>>> a \n" * 300_000),
    "html depth": lambda: body(b"text/html", b"<div>" * 200_000 + b"hello"),
    "html tags unclosed": lambda: body(b"text/html", b"<a <b " * 170_000),
    "named codec": lambda: body(
        b"text/plain; charset=zlib", base64.b64encode(b"x\x9cK\x04\x00\x00b\x00b"), b"base64"
    ),
    "On lines": lambda: body(b"text/plain", b"On " * 200_000),
    "On wrote lines": lambda: body(b"text/plain", b"On Monday Anne wrote\n" * 20_000),
    "From: lines": lambda: body(b"text/plain", b"From: a\n" * 50_000),
}
