"""Bad input, by SMTP, to the real daemon: nothing is lost, nothing stops, and each mail is accounted for."""

from __future__ import annotations

import hashlib
import re
import smtplib
import socket
import time
from email.utils import getaddresses
from urllib.parse import quote

import pytest

from mailbridge.store import views
from tests.core import bombs
from tests.flow.letters import DESK, Mail, bare, letter, reply, unique
from tests.flow.world import Row, Talk, World

ANNE, BART, CRIS = "anne@customer.example", "bart@desk.example", "cris@customer.example"
MAX_MESSAGE = 36 << 20  # the default: 25 MiB of attachment are 34 MiB in base64


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


@pytest.mark.parametrize("size", [0, 17, 25_000_000])
def test_an_attachment_is_stored_byte_for_byte(world: World, size: int) -> None:
    """From nothing at all to the largest that the big providers let pass."""
    content = hashlib.sha256(str(size).encode()).digest() * (size // 32) + b"x" * (size % 32)
    mail = letter(ANNE, DESK, unique("attached"), "see the file")
    mail.add_attachment(content, "application", "octet-stream", filename="../../etc/passwd\u202e.txt")
    record = world.deliver(mail)
    (file,) = message(world, record["id"])["attachments"]
    digest = hashlib.sha256(content).hexdigest()
    assert (file["size"], file["sha256"]) == (size, digest)
    assert world.database.read(lambda conn: views.content(conn, digest)) == content
    assert "/" not in file["filename"]
    assert "\u202e" not in file["filename"]
    assert not file["filename"].startswith(".")


def test_a_mail_over_the_limit_is_refused_at_the_door_with_the_limit_named(world: World) -> None:
    """552 in the dialogue: the sender's own server tells them, and no bounce is made by us."""
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(MAX_MESSAGE)
        code, said = client.mail(ANNE, [f"SIZE={MAX_MESSAGE + 1}"])
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


# ---------------------------------------------------------------- who wrote it


@pytest.mark.parametrize(
    ("field", "author"),
    [
        (f"From: =?utf-8?b?w4RubmU=?= <{ANNE}>", ANNE),
        (f"from:{ANNE}", ANNE),
        (f'From: "Berger, Anne" (at home) <{ANNE}>', ANNE),
        (f"From: {ANNE}\r\nFrom:", None),
        (f"From: {ANNE}, boss@victim.example", None),
        (f"From: {ANNE} <boss@victim.example>", None),
        ("From: undisclosed-recipients:;", None),
        ("From: <>", None),
        ("From: anne@", None),
        ("From: @customer.example", None),
        (f"From: <{ANNE}\x00@victim.example>", None),
        (f"From : {ANNE}", ANNE),
        ("From: " + "a" * 70_000 + "@customer.example", None),
    ],
)
def test_an_author_is_one_clean_address_or_nobody(world: World, field: str, author: str | None) -> None:
    """Whoever cannot be named for sure is not guessed at: the mail is kept, and nobody gets an answer."""
    raw = f"To: {DESK}\r\nSubject: {unique('who')}\r\n".encode() + field.encode() + b"\r\n\r\nhello\r\n"
    record = decided(world, raw)
    if author is None:
        assert (record["quarantine"] or {}).get("reason") in ("no-identity", "too-complex", "automatic"), (
            record
        )
    else:
        assert record["decision"]["ticket"], record
        assert bare(world.ticket(record["decision"]["ticket"])["requester"]) == author


# ---------------------------------------------------------------- broken MIME


def mime(kind: str, body: str, encoding: str = "7bit") -> bytes:
    """The rest of a mail's head, and its body."""
    return (
        f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("name", "rest", "words"),
    [
        ("no boundary", mime("multipart/mixed", "the words"), "the words"),
        ("an unused boundary", mime("multipart/mixed; boundary=b", "the words"), "the words"),
        ("never closed", mime("multipart/mixed; boundary=b", "--b\r\n\r\nthe words"), "the words"),
        ("unknown encoding", mime("text/plain", "the words", "x-rot13"), "the words"),
        ("base64 that is none", mime("text/plain", "the words!", "base64"), None),
        ("base64 cut short", mime("text/plain", "dGhlIHdvcmRz\r\ndGhlI", "base64"), "the words"),
        ("quoted-printable that is none", mime("text/plain", "the words =XX =", "quoted-printable"), "words"),
        ("a type that is none", mime("no/such/type; x", "the words"), None),
        ("no type at all", b"MIME-Version: 1.0\r\nContent-Type:\r\n\r\nthe words\r\n", "the words"),
        ("only a forwarded mail", mime("message/rfc822", "Subject: inner\r\n\r\nthe words"), None),
        ("only HTML", mime("text/html", "<p>the <b>words</b></p><script>alert(1)</script>"), "the words"),
        ("no body at all", b"", None),
        ("uuencoded", b"\r\nthe words\r\nbegin 644 a.txt\r\n#:&D*\r\n`\r\nend\r\n", "the words"),
    ],
)
def test_broken_mime_still_opens_a_ticket_with_what_can_be_read(
    world: World, name: str, rest: bytes, words: str | None
) -> None:
    """The customer does not care whose program was wrong."""
    record = decided(world, head(unique("broken")).encode() + rest)
    assert record["decision"]["reason"] == "new-request", name
    if words is not None:
        assert words in message(world, record["id"])["text"], name


def test_html_is_shown_without_what_it_could_do(world: World) -> None:
    """No script, no handler, no remote content, no frame: also not in what agents get by mail."""
    html = """<html><body onload="steal()"><style>p{background:url(http://track.example/x)}</style>
<p>Dear <b>desk</b> \U0001f600</p><img src="http://track.example/pixel.gif"><img src=x onerror=alert(1)>
<a href="javascript:alert(1)">click</a><a href="https://ok.example/">fine</a><iframe src="//evil.example"></iframe>
<form action="http://evil.example"><input name="password"></form><script>alert(2)</script></body></html>"""
    record = decided(world, head(unique("html")).encode() + mime("text/html; charset=utf-8", html, "8bit"))
    shown = message(world, record["id"])
    assert "<b>desk</b> \U0001f600" in shown["html_safe"]
    assert "https://ok.example/" in shown["html_safe"]
    notice = world.await_mail(BART, record["decision"]["ticket"])
    alternative = notice.message.get_body(("html",))
    assert alternative is not None
    for text in (shown["html_safe"], alternative.get_content()):
        for bad in (
            "onload",
            "onerror",
            "javascript:",
            "<script",
            "<iframe",
            "<form",
            "<style",
            "track.example",
        ):
            assert bad not in text.lower(), bad
    assert "Dear desk \U0001f600" in notice.text


# ---------------------------------------------------------------- names and subjects


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "..\\..\\windows\\system32\\cmd.exe",
        "/etc/passwd",
        "C:\\autoexec.bat",
        "....",
        "a/b/../../c.txt",
        "invoice\u202egpj.exe",
        "a\x00b.txt",
        "line\r\nbreak.txt",
        "tab\tname.txt",
        ".bashrc",
        "-rf",
        "x" * 5000 + ".txt",
        "\U0001f600 smile.txt",
        "con",
        "~root",
    ],
)
def test_a_file_name_is_only_a_label(world: World, name: str) -> None:
    """Whatever it says, it names no place and steers no terminal; the content is what it was."""
    encoded = "utf-8''" + quote(name, safe="")
    raw = (
        head(unique("name"))
        + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        + "--b\r\n\r\nsee the file\r\n"
        + f"--b\r\nContent-Type: text/x-thing\r\nContent-Disposition: attachment; filename*={encoded}\r\n\r\n"
        + "content\r\n--b--\r\n"
    )
    record = decided(world, raw.encode())
    (file,) = message(world, record["id"])["attachments"]
    assert file["sha256"] == hashlib.sha256(b"content").hexdigest()
    label = file["filename"]
    assert not set("/\\\0\r\n\t") & set(label)
    assert label.isprintable()
    assert not label.startswith((".", "-"))
    assert len(label) <= 200
    notice = world.await_mail(BART, record["decision"]["ticket"])
    (sent,) = notice.message.iter_attachments()
    assert sent.get_filename() == (label or "attachment")
    assert_clean(notice, {BART})


@pytest.mark.parametrize(
    "subject",
    [
        "x" * 100_000,
        "=?utf-8?b?" + "8J+YgA==" + "?= smile",
        "=?utf-8?q?=E2=80=AEdesrever?= \u05e9\u05dc\u05d5\u05dd",
        "=?utf-8?q?" + "=C3=BC" * 2000 + "?=",
        "tab\there",
        "=?utf-8?q?nul=00bell=07esc=1B[31m?=",
        "=?x-none?q?unknown=FF?=",
        "=?utf-8?q?unended",
        "Re: " * 500 + "enough",
        "[#00000-00000] [#7K3M9-QX2VD] Re: [S1]",
        "",
    ],
)
def test_any_subject_goes_through_and_comes_out_clean(world: World, subject: str) -> None:
    """In the ticket, in lists, and in the mails that we send about it."""
    raw = f"From: Anne <{ANNE}>\r\nTo: {DESK}\r\nSubject: {subject}\r\n\r\n{unique('words')}\r\n"
    record = decided(world, raw.encode())
    key = record["decision"]["ticket"]
    assert key, record
    for person in (ANNE, BART):
        mail = world.await_mail(person, key)
        assert_clean(mail, {person})
        assert len(mail.header("Subject")) <= 1100
    listed = world.cli("ticket", "list", "--limit", "1").out
    assert key in listed
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", listed)


# ---------------------------------------------------------------- what gets into our own mails

OURS = {
    "date", "from", "to", "cc", "reply-to", "subject", "message-id", "in-reply-to", "references", "mime-version",
    "content-type", "content-transfer-encoding", "content-disposition", "content-language", "auto-submitted",
    "precedence", "x-auto-response-suppress", "x-mailbridge-loop",
}  # fmt: skip


def assert_clean(mail: Mail, recipients: set[str]) -> None:
    """A mail of ours: whole lines, ASCII header, only our own fields, each once, and only to those it is for."""
    assert mail.data.replace(b"\r\n", b"").find(b"\n") == -1, "a bare LF"
    assert mail.data.replace(b"\r\n", b"").find(b"\r") == -1, "a bare CR"
    assert max(len(line) for line in mail.data.split(b"\r\n")) <= 998
    header = mail.data.partition(b"\r\n\r\n")[0]
    assert header.isascii()
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", header)
    names = [str(name).lower() for name in mail.message.keys()]  # noqa: SIM118  # a mail has a name more than once
    assert set(names) <= OURS
    assert len(names) == len(set(names))
    assert set(mail.recipients) == {bare(r) for r in recipients}
    named = getaddresses([value for name in ("To", "Cc") if (value := mail.header(name))])
    assert {address for _, address in named} == set(mail.recipients)


_CRLF = ["=0D=0A", "=0A", "=0D", "=C2=85", "=E2=80=A8", "=00"]


@pytest.mark.parametrize("line_end", _CRLF)
def test_no_header_of_a_stranger_gets_into_our_mail(world: World, line_end: str) -> None:
    """Encoded line ends in every field and name that we repeat: CVE-2024-6923 and its kin."""
    words = ("x", "Bcc=3A_v=40victim.example", "X=3A1", "")  # an encoded word has at most 75 letters
    evil = f"=?utf-8?q?{line_end.join(words)}?="
    percent = line_end.replace("=", "%")
    raw = (
        f"From: {evil} <{ANNE}>\r\nTo: {evil} <{DESK}>\r\nCc: {evil} <{CRIS}>\r\nSubject: {evil}\r\n"
        f"Message-ID: <{unique('evil').replace(' ', '.')}@customer.example>\r\n"
        f"References: <a{evil}@x.example> <b@x.example>\r\nIn-Reply-To: <a{evil}@x.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe words\r\n"
        f"--b\r\nContent-Type: application/x; name={evil}\r\nContent-Disposition: attachment; "
        f"filename*=utf-8''x{percent}X-Injected:%201{percent}{percent}evil\r\n\r\ncontent\r\n--b--\r\n"
    )
    record = decided(world, raw.encode())
    assert record["decision"]["ticket"], record
    talk = Talk(world, record["decision"]["ticket"], "")
    notice = talk.to(BART)
    world.deliver(reply(BART, notice, "We look into it.\n"))
    assert_clean(talk.to(ANNE), {ANNE})
    assert_clean(notice, {BART})
    assert_clean(talk.to(ANNE, 2), {ANNE, CRIS})
    assert not world.mails("v@victim.example")


def test_all_that_went_out_meanwhile_is_clean(world: World) -> None:
    """Every mail of this module's storm of bad input, whichever it answers."""
    decided(world, (head("=?utf-8?q?one=0D=0Amore?=") + "\r\nwords\r\n").encode())
    world.sent()
    sent = world.post.mails()
    assert sent
    for mail in sent:
        assert_clean(mail, set(mail.recipients))
