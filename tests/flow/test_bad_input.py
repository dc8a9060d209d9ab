"""Bad input, by SMTP, to the real daemon: nothing is lost, nothing stops, and each mail is accounted for."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import time
from typing import Any

import pytest

from tests.core import bombs
from tests.flow.letters import letter, unique
from tests.flow.world import World

ANNE = "anne@customer.example"
DESK = "support@desk.example"
Row = dict[str, Any]


def head(subject: str, extra: str = "") -> str:
    """The fields of an ordinary mail of Anne's."""
    return f"From: Anne <{ANNE}>\r\nTo: {DESK}\r\nSubject: {subject}\r\n{extra}"


def decided(world: World, raw: bytes, sender: str = ANNE) -> Row:
    """Deliver raw bytes and return what was decided; the mail is either on a ticket or kept apart by name."""
    record = world.deliver(raw, sender)
    decision = record["decision"]
    assert record["state"] in ("done", "quarantined")
    assert bool(decision["ticket"]) or record["quarantine"]["reason"], "accounted for"
    return record


def message(world: World, number: int) -> Row:
    """The line of `message list` about one mail."""
    return next(row for row in world.rows("message", "list", "--limit", "500") if row["id"] == number)


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("empty", b"\r\n", "no-identity"),
        ("no From", f"To: {DESK}\r\nSubject: x\r\n\r\nhello\r\n".encode(), "no-identity"),
        ("two From", (head("x") + "From: Boss <boss@victim.test>\r\n\r\nhello\r\n").encode(), "no-identity"),
        (
            "From without an address",
            f"From: Anne\r\nTo: {DESK}\r\nSubject: x\r\n\r\nhi\r\n".encode(),
            "no-identity",
        ),
        ("nothing in it", f"From: {ANNE}\r\nTo: {DESK}\r\n\r\n\r\n".encode(), "blank"),
        ("binary noise", bytes(range(256)) * 40, "no-identity"),
    ],
)
def test_a_mail_that_nobody_can_answer_is_kept_apart_and_named(
    world: World, name: str, raw: bytes, reason: str
) -> None:
    """Kept raw, with its reason, and shown by `quarantine`."""
    record = decided(world, raw.replace(b"\r\n.\r\n", b"\r\n"))
    assert record["quarantine"]["reason"] == reason, name
    kept = world.cli("quarantine", "raw", str(record["id"]))
    assert kept.code == 0


def test_no_message_id_and_no_date_are_no_obstacle(world: World) -> None:
    """Scanners and scripts send such mail; it opens a ticket."""
    record = decided(world, (head(unique("bare")) + "\r\nIt burns.\r\n").encode())
    assert record["decision"]["reason"] == "new-request"


def test_a_reused_message_id_with_other_content_is_kept_too(world: World) -> None:
    """Promise 3: a Message-ID alone is never proof of a duplicate."""
    same = f"Message-ID: <{unique('id').replace(' ', '.')}@customer.example>\r\n"
    first = decided(world, (head(unique("one"), same) + "\r\nfirst\r\n").encode())
    second = decided(world, (head(unique("two"), same) + "\r\nsecond\r\n").encode())
    assert first["id"] != second["id"]
    assert {message(world, r["id"])["reply"] for r in (first, second)} == {"first", "second"}
    assert len(world.rows("explain", first["message_id"])) == 2


def test_the_same_mail_twice_is_stored_once(world: World) -> None:
    """A client that lost our 250 sends again: it gets another 250, and nothing is doubled."""
    raw = (head(unique("again")) + "\r\nonce\r\n").encode()
    first = world.deliver(raw, ANNE)
    (again,) = world.send(raw, ANNE)
    assert again == first["id"]
    assert world.row("explain", str(again))["duplicates"] == 1


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Thu, 99 Xxx 0000 99:99:99 +9999", "Mon, 1 Jan 1900 00:00:00 -0000", "\x00"]
)
def test_a_bad_date_is_only_a_bad_date(world: World, date: str) -> None:
    """Our own clock rules; the Date field is for display."""
    raw = (head(unique("date"), f"Date: {date}\r\n") + "\r\nhello\r\n").encode()
    assert decided(world, raw)["decision"]["reason"] == "new-request"


@pytest.mark.parametrize(
    ("charset", "body", "words"),
    [
        ("utf-8", "Grüße aus Köln".encode("latin-1"), "Grüße aus Köln"),
        ("us-ascii", "Grüße aus Köln".encode(), "Grüße aus Köln"),
        ("iso-8859-1", "don\u2019t".encode("cp1252"), "don\u2019t"),
        ("x-unknown-42", "Grüße".encode(), "Grüße"),
        ("zlib", b"plain words", "plain words"),
        ("idna", b"plain words", "plain words"),
        ("undefined", b"plain words", "plain words"),
        ("utf-7", b"Gr+APwA3w-e", "Grüße"),
        ("utf-16", b"plain words, truly", "plain words"),
        ("big5", "Grüße".encode(), "e"),
    ],
)
def test_a_charset_that_lies_loses_no_words(world: World, charset: str, body: bytes, words: str) -> None:
    """Declared, then UTF-8, then Windows-1252; never a codec that is no text encoding."""
    fields = f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n"
    record = decided(world, (head(unique("charset"), fields) + "\r\n").encode() + body + b"\r\n")
    assert record["decision"]["reason"] == "new-request"
    if charset not in ("utf-7", "utf-16"):
        assert words in message(world, record["id"])["text"]


@pytest.mark.parametrize("size", [0, 17, 20 << 20])
def test_an_attachment_is_stored_byte_for_byte(world: World, size: int) -> None:
    """From 0 bytes to nearly what an envelope of 30 MiB can carry in base64."""
    content = hashlib.sha256(str(size).encode()).digest() * (size // 32) + b"x" * (size % 32)
    mail = letter(ANNE, DESK, unique("attached"), "see the file")
    mail.add_attachment(content, "application", "octet-stream", filename="../../etc/passwd\u202e.txt")
    record = world.deliver(mail)
    (file,) = message(world, record["id"])["attachments"]
    assert file["size"] == size
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert "/" not in file["filename"]
    assert "\u202e" not in file["filename"]
    assert not file["filename"].startswith(".")


def test_a_mail_over_the_limit_is_refused_at_the_door_with_the_limit_named(world: World) -> None:
    """552 in the dialogue: the sender's own server tells them, and no bounce is made by us."""
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(30 << 20)
        code, said = client.mail(ANNE, [f"SIZE={31 << 20}"])
    assert code == 552, said


@pytest.mark.parametrize(
    "body",
    [b"nul \x00 here", b"bare\nnewline\nhere", b"bare\rreturn", b"\x1b[2J\x1b]0;owned\x07", b"\xff\xfe\xfd"],
)
def test_odd_bytes_in_a_body_are_kept_and_shown_harmlessly(world: World, body: bytes) -> None:
    """The raw mail has them as they came; what is shown has no control characters that a terminal obeys."""
    record = decided(world, head(unique("odd")).encode() + b"\r\n" + body + b"\r\n")
    assert record["decision"]["reason"] == "new-request"
    shown = world.cli("ticket", "show", record["decision"]["ticket"])
    assert shown.code == 0
    assert not set(shown.out) & set(map(chr, [*range(9), *range(11, 32), 127]))


BOMBS = {
    "10,000 parts": bombs.parts(10_000),
    "nested 4,000 deep": bombs.nested(4000),
    "headers of 1 MB": bombs.head(b"X-Long: " + b"x" * 1_000_000),
    "20,000 encoded words": bombs.head(b"Subject: " + b"=?utf-8?q?a?= " * 20_000),
    "10,000 addresses": bombs.head(b"To: " + b", ".join(b"a%d@b.test" % n for n in range(10_000))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_bounded_and_a_polite_client_is_served_meanwhile(world: World, name: str) -> None:
    """Promise 6: at most 5 s for others; the bomb itself ends on a ticket or apart, whole."""
    (number,) = world.send(BOMBS[name], ANNE)
    began = time.monotonic()
    world.deliver(letter(ANNE, DESK, unique("polite"), "meanwhile"))
    assert time.monotonic() - began < 5
    record = world.decided(number)
    assert record["state"] in ("done", "quarantined")
    kept = world.cli("quarantine", "raw", str(number))
    assert kept.code == 0
    assert len(kept.raw) >= len(BOMBS[name])


@pytest.mark.parametrize(
    "to",
    [
        "nobody@desk.example",
        "support@elsewhere.example",
        "support%victim.test@desk.example",
        "@a.test:support@desk.example",
        "support",
    ],
)
def test_only_our_own_addresses_are_taken(world: World, to: str) -> None:
    """Exact match, no relay form: 5xx in the dialogue."""
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.ehlo()
        client.mail(ANNE)
        code, _ = client.docmd(f"RCPT TO:<{to}>")
    assert 500 <= code < 560


@pytest.mark.parametrize(
    "field",
    [
        "Subject: =?utf-8?q?x=0D=0ABcc:_victim@victim.test?=",
        "Subject: =?utf-8?q?x=0AX-Injected:_1?=",
        "Subject: a\u2028Bcc: victim@victim.test",
    ],
)
def test_no_header_of_a_stranger_gets_into_our_mail(world: World, field: str) -> None:
    """CVE-2024-6923 and its kin: encoded line breaks in what we quote in our own headers."""
    raw = f"From: =?utf-8?q?Anne=0D=0ABcc:_victim@victim.test?= <{ANNE}>\r\nTo: {DESK}\r\n{field}\r\n\r\nhello\r\n"
    record = world.deliver(raw.encode(), ANNE)
    if record["decision"]["ticket"]:
        mail = world.await_mail("bart@desk.example", record["decision"]["ticket"])
        header = mail.data.partition(b"\r\n\r\n")[0]
        assert b"\nBcc" not in header
        assert b"X-Injected" not in header.replace(b"X-Injected:_1", b"")
        assert b"\r" not in header.replace(b"\r\n", b"")
        assert "victim@victim.test" not in mail.recipients


@pytest.mark.parametrize(
    "hello", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00\xff" * 50]
)
def test_other_protocols_are_shown_the_door(world: World, hello: bytes) -> None:
    """ALPACA and plain mistakes: nothing is stored, the connection ends."""
    with socket.create_connection(("127.0.0.1", world.port), 5) as client:
        client.recv(200)
        client.sendall(hello)
        client.settimeout(5)
        rest = b""
        try:
            while piece := client.recv(4096):
                rest += piece
        except ConnectionResetError:
            pass
    assert b"250" not in rest
    world.deliver(letter(ANNE, DESK, unique("after"), "still here"))
