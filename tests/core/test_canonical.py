"""When two deliveries are the same mail."""

from __future__ import annotations

import pytest

from mailbridge.core.canonical import dedupe_key

BOX, ANNE = "support@desk.example", "anne@customer.example"
RAW = b"From: anne@customer.example\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nbody\r\nmore\r\n"
KEY = dedupe_key(BOX, ANNE, RAW)


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b"\r\n", b"\n"),
        b"Received: from a by b;\r\n\tfolded over lines\r\n" + RAW,
        b"Return-Path: <x@y>\r\nDelivered-To: z\r\nAuthentication-Results: mx; dmarc=pass\r\n" + RAW,
        b"ARC-Seal: i=1\r\nX-Spam-Score: 3\r\nDKIM-Signature: v=1;\r\n b=xx\r\n" + RAW,
    ],
)
def test_what_each_hop_adds_does_not_matter(raw: bytes) -> None:
    """The same mail by another way, or once more after a lost 250."""
    assert dedupe_key(BOX, ANNE.upper(), raw) == KEY


@pytest.mark.parametrize(
    ("box", "sender", "raw"),
    [
        ("sales@desk.example", ANNE, RAW),
        (BOX, "cris@customer.example", RAW),
        (BOX, None, RAW),
        (BOX, ANNE, RAW.replace(b"body", b"Body")),
        (BOX, ANNE, RAW.replace(b"Subject: x", b"Subject: y")),
        (BOX, ANNE, RAW + b"\r\n"),
    ],
)
def test_another_sender_mailbox_or_word_is_another_mail(box: str, sender: str | None, raw: bytes) -> None:
    """A Message-ID alone is never proof: all of these have the same one."""
    assert dedupe_key(box, sender, raw) != KEY


def test_line_ends_at_the_edge_of_a_chunk_count_as_one() -> None:
    """The body is read in pieces of 1 MiB; a CRLF may lie across two."""
    head = b"Subject: x\r\n\r\n"
    for size in range((1 << 20) - 3, (1 << 20) + 3):
        body = b"a" * size + b"\r\nend\r\n"
        assert dedupe_key(BOX, ANNE, head + body) == dedupe_key(
            BOX, ANNE, (head + body).replace(b"\r\n", b"\n")
        )
