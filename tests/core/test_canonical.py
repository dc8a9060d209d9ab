"""When two deliveries are the same mail."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_words_behind_a_lone_carriage_return_are_not_taken_for_a_trace_field() -> None:
    """Old systems end lines with CR alone: the whole mail is then one line, which begins with Received."""
    first = b"Received: by x\rSubject: one\r\rThe printer burns"
    second = b"Received: by x\rSubject: two\r\rThe server is down"
    assert dedupe_key(BOX, ANNE, first) != dedupe_key(BOX, ANNE, second)


@pytest.mark.parametrize("head", [b"", b"\r\n", b"\n", b"Subject: x\n\r\n", b"Subject: x\r\n\n"])
def test_a_body_that_reads_like_a_trace_field_is_body(head: bytes) -> None:
    """Mail without a header, or with mixed line ends: what follows the first empty line always counts."""
    bodies = [b"Lines: 5\r\n", b"Lines: 6\r\n"] if head else [b"five\r\n", b"six\r\n"]
    one, other = (dedupe_key(BOX, ANNE, head + body) for body in bodies)
    assert one != other


@given(st.text(st.sampled_from("ab: \r\n"), max_size=40), st.text(st.sampled_from("ab: \r\n"), max_size=40))
def test_two_texts_are_one_mail_only_when_their_lines_are_equal(first: str, second: str) -> None:
    """Whatever the line ends: two mails with one key would be the loss of one of them."""
    same = first.replace("\r\n", "\n") == second.replace("\r\n", "\n")
    keys = [dedupe_key(BOX, ANNE, b"X: y\r\n\r\n" + text.encode()) for text in (first, second)]
    assert (keys[0] == keys[1]) == same


def test_the_null_sender_is_like_no_sender_and_neither_is_like_anne() -> None:
    """A bounce sent twice is one bounce."""
    assert dedupe_key(BOX, None, RAW) == dedupe_key(BOX, "", RAW) != KEY


def test_the_largest_mail_is_keyed_in_the_time_that_its_size_needs() -> None:
    """25 MB without an end of line, and 25 MB of nothing but ends, each without a slow path."""
    for body in (b"a" * (25 << 20), b"\r" * (25 << 20), b"\r\n" * (12 << 20), b"Received: x\n" * (2 << 20)):
        began = time.process_time()
        dedupe_key(BOX, ANNE, b"Subject: x\r\n" + body)
        assert time.process_time() - began < 2
