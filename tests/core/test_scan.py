"""What is refused before it is read, and where headers and parts are found."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from mailbridge.core.parse import TooComplex, parse_mail
from mailbridge.core.scan import Excess, Node, ParseLimits, Structure, read_structure, scan
from tests.core.bombs import BOMBS, head, nested, parts

LIMITS = ParseLimits()
_ALLOWED = 2.0
"""Seconds. The slowest takes 0.8 s on a busy two-core machine; anything quadratic takes minutes."""


def structure(raw: bytes) -> Structure:
    found = read_structure(raw, LIMITS)
    assert isinstance(found, Structure)
    return found


def shape(node: Node) -> object:
    """The tree as nested lists of content types."""
    return [node.content_type.value, *map(shape, node.children)] if node.children else node.content_type.value


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_read_in_time(name: str) -> None:
    """Whatever a mail holds, reading it is linear: a parser that can be held holds the daemon's other mail."""
    raw = BOMBS[name]()
    start = time.process_time()
    reason = scan(raw, LIMITS)
    scanned = time.process_time() - start
    if reason is not None:
        assert scanned < 0.5
        with pytest.raises(TooComplex) as refused:
            parse_mail(raw)
        assert str(refused.value) == reason
    else:
        mail = parse_mail(raw)
        assert len(mail.text) <= LIMITS.max_text
        assert len(mail.subject) <= 1000
        assert len(mail.attachments) <= LIMITS.max_attachments
    assert time.process_time() - start < _ALLOWED


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"a" * 1001, "message of 1001 bytes, allowed 1000"),
        (b"X: " + b"a" * 600 + b"\n\n", "header block of 603 bytes, allowed 500"),
        (b"X: a\n" * 21 + b"\n", "more than 20 header fields"),
        (parts(6), "more than 5 parts"),
        (nested(5), "parts nested deeper than 3"),
        (
            head(b"Content-Type: multipart/mixed; boundary=b") + b"\n--c" * 31,
            "more than 30 lines that start with two dashes",
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
            + b"Content-Type: multipart/mixed; boundary=c\n\n--c\n\n--c--\n--b\n"
            + b"Content-Type: multipart/mixed; boundary=d\n\n--d\n\n--d--\n--b\n"
            + b"Content-Type: multipart/mixed; boundary=e\n\n--e\n\n--e--\n--b--\n",
            "more than 3 boundaries",
        ),
        (parts(2, b"X: " + b"a" * 300 + b"\r\n"), "headers of all parts over 500 bytes"),
    ],
)
def test_the_reason_names_the_limit_and_what_was_found(raw: bytes, reason: str) -> None:
    """An operator reads it in the quarantine and must know which limit to raise."""
    limits = replace(
        LIMITS,
        max_message=1000,
        max_header_block=500,
        max_header_fields=20,
        max_parts=5,
        max_depth=3,
        max_dashed_lines=30,
        max_boundaries=3,
    )
    assert scan(raw, limits) == reason


def test_boundary_lines_are_counted_apart_from_parts() -> None:
    """Closing lines cost as much as opening ones and make no part."""
    raw = head(b"Content-Type: multipart/mixed; boundary=b") + b"--b\n\nx\n" * 3
    assert scan(raw, replace(LIMITS, max_boundary_lines=2)) == "more than 2 boundary lines"


def test_an_over_long_header_is_cut_and_the_mail_still_read() -> None:
    """One silly field of 100 KB must not cost a customer their ticket."""
    mail = parse_mail(b"X-Long: " + b"a" * 100_000 + b"\r\nSubject: printer\r\n\r\nhello")
    assert len(mail.header("x-long")) == LIMITS.max_header - 1  # the blank after the colon
    assert mail.subject == "printer"
    assert "header-cut" in mail.defects


def test_a_folded_header_is_cut_too() -> None:
    """The limit is on the field, however many lines it is spread over."""
    mail = parse_mail(b"X-Long: a" + b"\r\n a" * 50_000 + b"\r\nSubject: printer\r\n\r\nhello")
    assert len(mail.header("x-long")) <= LIMITS.max_header
    assert mail.subject == "printer"


def test_nested_parts_are_found_in_order() -> None:
    """The tree decides body and attachments."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=outer\r\n\r\npreamble\r\n--outer\r\n"
        b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\r\nplain\r\n--inner\r\n"
        b"Content-Type: text/html\r\n\r\n<p>html\r\n--inner--\r\n--outer\r\nContent-Type: image/png\r\n\r\n"
        b"png\r\n--outer--\r\nepilogue\r\n"
    )
    found = structure(raw)
    assert shape(found.root) == [
        "multipart/mixed",
        ["multipart/alternative", "text/plain", "text/html"],
        "image/png",
    ]
    image = found.root.children[1]
    assert raw[image.start : image.end] == b"png"
    assert found.defects == ()


def test_an_outer_boundary_ends_inner_parts_that_were_not_closed() -> None:
    """Mailers forget the closing line; the next part must not fall into the wrong multipart."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/related; boundary=i\n\n--i\n\n"
        b"one\n--o\nContent-Type: text/x-two\n\ntwo\n--o--\n"
    )
    assert shape(structure(raw).root) == [
        "multipart/mixed",
        ["multipart/related", "text/plain"],
        "text/x-two",
    ]


def test_the_same_boundary_in_and_out_is_read_innermost_first() -> None:
    """Broken mailers reuse one boundary; the outer one counts again once the inner is closed."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/related; boundary=b\n\n--b\n\n"
        b"one\n--b--\n--b\nContent-Type: text/x-two\n\ntwo\n--b--\n"
    )
    assert shape(structure(raw).root) == [
        "multipart/mixed",
        ["multipart/related", "text/plain"],
        "text/x-two",
    ]


def test_a_boundary_that_is_the_start_of_another_line_is_no_boundary() -> None:
    """`--b` must not match `--b2`, a part would be torn."""
    raw = head(b"Content-Type: multipart/mixed; boundary=b") + b"--b\n\n--b2\n--b-\n -\n--b--\n"
    found = structure(raw)
    assert len(found.root.children) == 1


def test_an_attached_message_is_a_leaf() -> None:
    """Its boundaries are its own: nesting by forwarding must not be counted, nor its parts be ours."""
    raw = b"Content-Type: message/rfc822\n\n" * 100 + b"Subject: inner\n\nhello"
    assert shape(structure(raw).root) == "message/rfc822"


@pytest.mark.parametrize(
    ("raw", "subject", "defect"),
    [
        (b"From anne@customer.example Tue Nov 24\nSubject: s\n\nb", "s", "mbox-line"),
        (b"\r\n\r\nSubject: s\r\n\r\nb", "s", "blank-start"),
        (b"Subject: s\nbroken line\nFrom: anne@customer.example\n\nb", "s", "broken-header"),
        (b"Subject: s\r\rb\r", "s", "bare-cr"),
        (b"Subject : s\n\nb", "s", ""),
        (b"b only", "", "no-headers"),
        (b"", "", "no-headers"),
        (b"\xef\xbb\xbfSubject: s\n\nb", "s", ""),
    ],
)
def test_odd_starts_are_read(raw: bytes, subject: str, defect: str) -> None:
    """Pipes add an mbox line, scripts blank lines; what they wrap is still a mail."""
    mail = parse_mail(raw)
    assert mail.subject == subject
    assert not defect or defect in mail.defects


def test_body_text_after_missing_blank_line_is_kept() -> None:
    """A script that forgets the blank line still meant its text as body."""
    mail = parse_mail(b"Subject: s\nThe printer burns\nplease help\n")
    assert mail.subject == "s"
    assert mail.text.strip() == "The printer burns\nplease help"


def test_an_undeclared_boundary_is_guessed() -> None:
    """Some gateways rewrite the header but not the body; the text must not be lost among MIME lines."""
    raw = head(b"Content-Type: multipart/mixed; boundary=declared") + (
        b"--used\nContent-Type: text/plain\n\nhello\n--used\nContent-Type: image/png\n\nx\n--used--\n"
    )
    mail = parse_mail(raw)
    assert mail.text == "hello"
    assert "no-boundary" in mail.defects


def test_scan_agrees_with_reading_a_good_mail() -> None:
    """None means it can be read."""
    assert scan(parts(3), LIMITS) is None
    assert not isinstance(read_structure(parts(3), LIMITS), Excess)
