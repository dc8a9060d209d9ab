"""Raw mail to what we use of it: fields, texts, names of files, and who wrote it."""

from __future__ import annotations

import base64
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.mail import Kind, ParsedMail
from mailbridge.core.mime_params import read_params, safe_filename
from mailbridge.core.parse import TooComplex, parse_mail
from mailbridge.core.scan import ParseLimits
from mailbridge.core.text import clean_text, codec_for, decode, decode_words


def mail(head: str | bytes, body: bytes = b"hello\r\n") -> ParsedMail:
    raw = head if isinstance(head, bytes) else head.encode()
    return parse_mail(raw.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)


def mixed(*parts: bytes, kind: str = "mixed") -> ParsedMail:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return mail(f"Content-Type: multipart/{kind}; boundary=b", body)


def part(content_type: str, body: str | bytes, more: str = "") -> bytes:
    raw = body if isinstance(body, bytes) else body.encode()
    return f"Content-Type: {content_type}\r\n{more}\r\n".encode() + raw


def test_a_plain_mail_is_read_whole() -> None:
    """The ordinary case, field by field."""
    read = mail(
        "From: Anne Smith <anne@customer.example>\n"
        'To: support@desk.example, "Bart, agent" <bart@desk.example>\n'
        "Cc: cris@customer.example\nReply-To: anne@home.example\nSubject: Printer\n on fire\n"
        "Date: Tue, 24 Nov 2026 09:00:00 +0100\nMessage-ID: <1@customer.example>\n"
        "In-Reply-To: <0@desk.example>\nReferences: <a@desk.example>\n\t<0@desk.example>"
    )
    assert str(read.sender) == "Anne Smith <anne@customer.example>"
    assert [str(a) for a in read.to] == ["support@desk.example", "Bart, agent <bart@desk.example>"]
    assert [a.address for a in read.cc] == ["cris@customer.example"]
    assert [a.address for a in read.reply_to] == ["anne@home.example"]
    assert read.subject == "Printer on fire"
    assert read.date == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert read.message_id == "<1@customer.example>"
    assert read.in_reply_to == ("<0@desk.example>",)
    assert read.references == ("<a@desk.example>", "<0@desk.example>")
    assert read.text == "hello\n"
    assert read.reply == "hello"
    assert read.classification.kind is Kind.HUMAN
    assert read.defects == ()


@pytest.mark.parametrize(
    ("field", "address", "name", "clean"),
    [
        ("Anne <anne@customer.example>", "anne@customer.example", "Anne", True),
        ("anne@customer.example (Anne)", "anne@customer.example", "Anne", True),
        ('"Smith, Anne" <anne@customer.example>', "anne@customer.example", "Smith, Anne", True),
        ("Smith, Anne <anne@customer.example>", "anne@customer.example", "Smith, Anne", True),
        ("[ACME] Anne <anne@customer.example>", "anne@customer.example", "[ACME] Anne", True),
        (
            "anne@customer.example <anne@customer.example>",
            "anne@customer.example",
            "anne@customer.example",
            True,
        ),
        ("=?utf-8?q?J=C3=B6rg?= <j@customer.example>", "j@customer.example", "Jörg", True),
        ('"=?utf-8?q?J=C3=B6rg?=" <j@customer.example>', "j@customer.example", "Jörg", True),
        ("jörg@exämple.example", "jörg@exämple.example", "", True),
        ("Team: anne@customer.example;", "anne@customer.example", "", True),
        (
            "=?utf-8?q?boss=40corp.test_=3Cboss=40corp.test=3E?= <evil@x.example>",
            "evil@x.example",
            "boss@corp.test <boss@corp.test>",
            True,
        ),
        ("ceo@victim.test <attacker@evil.test>", "attacker@evil.test", "ceo@victim.test", False),
        ("<ceo@victim.test> <attacker@evil.test>", "", "", False),
        ("ceo@victim.test@evil.test", "", "", False),
        ('"ceo@victim.test"@evil.test', '"ceo@victim.test"@evil.test', "", False),
        ("a@customer.example, b@customer.example", "a@customer.example", "", False),
        ("Anne <anne@customer.example", "anne@customer.example", "Anne", False),
        ("Anne anne@customer.example", "anne@customer.example", "Anne", False),
        ("MAILER-DAEMON <>", "", "", False),
        ("undisclosed-recipients:;", "", "", False),
    ],
)
def test_only_a_clean_from_is_an_identity(field: str, address: str, name: str, clean: bool) -> None:
    """A display name must never be taken for the address, and what can be read two ways is nobody."""
    read = mail(f"From: {field}")
    assert (read.from_[0].address if read.from_ else "") == address
    assert (read.from_[0].name if read.from_ else "") == name
    assert ("bad-from" in read.defects) is not clean
    assert (read.sender is not None) is clean


def test_two_from_fields_are_no_identity() -> None:
    """RFC 5322 3.6 allows one; each program picks another of the two, which is how the trick works."""
    read = mail("From: anne@customer.example\nFrom: ceo@victim.test")
    assert read.from_fields == 2
    assert len(read.from_) == 2
    assert read.sender is None
    assert "two-from" in read.defects


def test_an_encoded_line_end_in_a_name_stays_in_the_name() -> None:
    """Names go into headers of ours; a line end there would add a header."""
    read = mail(
        "From: =?utf-8?q?Anne=0D=0ABcc=3A_victim?= <anne@customer.example>\nSubject: =?utf-8?q?a=0D=0Ab?="
    )
    assert read.from_[0].name == "Anne Bcc: victim"
    assert read.subject == "a b"


def test_nul_in_from_is_no_identity() -> None:
    """C programs stop at NUL, so two readers would see two senders."""
    read = mail(b"From: anne@customer.example\x00 <attacker@evil.test>")
    assert read.sender is None
    assert "\0" not in read.header("from")


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"=?utf-8?Q?caf=C3=A9?=", "café"),
        (b"=?iso-8859-1?Q?caf=E9?= raw \xe9", "café raw é"),
        ("grüße".encode(), "grüße"),
        (b"gr\xfc\xdfe", "grüße"),
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?= c =?utf-8?Q?d?=", "ab c d"),
        (b"=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
        (b"=?utf-8?B?4oKs?=Euro", "€Euro"),
        (b"=?utf-8?Q?with blanks?=", "with blanks"),
        (b"=?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        (b"=?x-nothing?Q?caf=C3=A9?=", "café"),
        (b"=?zlib?B?eJxLBAAAYgBi?=", None),
        (b"=?utf-8?X?abc?= =?utf-8?Q?open", "=?utf-8?X?abc?= =?utf-8?Q?open"),
        (b"\x1b$B$3$s\x1b(B", "こん"),
        (b"a\x00b\x07c", "ab c"),
    ],
)
def test_subjects_are_decoded(raw: bytes, subject: str | None) -> None:
    """Encoded words as they are written in the field, not only as RFC 2047 wants them."""
    read = mail(b"Subject: " + raw)
    assert subject is None or read.subject == subject
    read.subject.encode("utf-8")


def test_a_raw_header_is_read_in_the_charset_of_the_body() -> None:
    """Mailers that write raw 8-bit headers write them in the body's charset."""
    read = mail("Subject: Привет\nContent-Type: text/plain; charset=koi8-r".encode("koi8-r"))
    assert read.subject == "Привет"
    assert "raw-8bit-header" in read.defects


@pytest.mark.parametrize(
    ("charset", "raw", "text", "lie"),
    [
        ("utf-8", "naïve €".encode(), "naïve €", False),
        ("", "naïve €".encode(), "naïve €", False),
        ("", "naïve".encode("latin-1"), "naïve", False),
        ("us-ascii", "naïve €".encode(), "naïve €", True),
        ("utf-8", "naïve €".encode("cp1252"), "naïve €", True),
        ("iso-8859-1", "“quoted” €".encode("cp1252"), "“quoted” €", False),
        ("big5", "您好！你今天好吗？".encode(), "您好！你今天好吗？", True),
        ("gb2312", "您好镕".encode("gb18030"), "您好镕", False),
        ("x-unknown-thing", "naïve".encode(), "naïve", True),
        ("idna", b"xn--a\xe9", "xn--aé", True),
        ("undefined", "naïve".encode(), "naïve", True),
        ("utf-16", b"plain words", "plain words", True),
        ("utf-16", "naïve".encode("utf-16"), "naïve", False),
        ("utf-7", b"+AOk-t+AOk-", "été", False),
        ("iso-2022-jp", "こんにちは".encode("iso2022_jp"), "こんにちは", False),
        ("ISO_8859-15", "€".encode("iso8859-15"), "€", False),
        ("utf-8", "truncated ééé€".encode()[:-1], "truncated ééé\ufffd", True),
    ],
)
def test_the_charset_ladder(charset: str, raw: bytes, text: str, lie: bool) -> None:
    """Declared, then UTF-8, then windows-1252; a lie is told, never an error."""
    found = decode(raw, charset)
    assert (found.text, found.lie) == (text, lie)


@pytest.mark.parametrize(
    "name", ["zlib", "idna", "undefined", "base64", "rot13", "punycode", "unicode_escape", "mbcs"]
)
def test_no_codec_but_text_encodings_is_used(name: str) -> None:
    """Python's codecs unpack, run forever or raise what decoders do not expect."""
    assert codec_for(name) is None


def test_a_charset_lie_in_the_body_is_a_defect() -> None:
    """The agent should know that a letter may be wrong."""
    read = mail("Content-Type: text/plain; charset=utf-8", "café".encode("cp1252"))
    assert read.text == "café"
    assert "charset-lie" in read.defects


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "utf-8", "utf-7", "gbk", "utf-16", "iso-2022-jp", "hz", "zlib"]),
)
def test_any_bytes_become_storable_text(raw: bytes, charset: str) -> None:
    """PostgreSQL refuses NUL and lone surrogates: a mail must not fail at the store."""
    text = clean_text(decode(raw, charset).text)
    assert "\0" not in text
    assert text == unicodedata.normalize("NFC", text)
    text.encode("utf-8")


def test_lone_surrogates_are_replaced() -> None:
    """UTF-7 and some codecs can make them; no store takes them."""
    assert clean_text("a\ud800b") == "a\ufffdb"
    assert "\ud800" not in mail("Content-Type: text/plain; charset=utf-7", b"+2AA-x").text


def test_flowed_text_is_joined() -> None:
    """RFC 3676: soft ends are the writer's long lines, and a signature line stays one."""
    read = mail(
        "Content-Type: text/plain; format=flowed",
        b"one \r\ntwo\r\n> quoted \r\n> more\r\n  stuffed\r\n-- \r\nAnne\r\n",
    )
    assert read.text == "one two\n> quoted more\n stuffed\n-- \nAnne\n"


def test_delsp_removes_the_blank() -> None:
    """RFC 3676 4.3: for scripts without blanks between words."""
    read = mail("Content-Type: text/plain; format=flowed; delsp=yes", b"one \r\ntwo\r\n")
    assert read.text == "onetwo\n"


def test_uuencoded_files_leave_the_text() -> None:
    """Old Unix mailers attach so; the agent wants the file, not its letters."""
    read = mail("Subject: s", b"see this\r\nbegin 644 ../a.txt\r\n%:&5L;&\\ \r\n`\r\nend\r\nbye\r\n")
    assert read.text == "see this\nbye\n"
    assert [(a.filename, a.content) for a in read.attachments] == [("a.txt", b"hello")]


def test_begin_in_a_sentence_is_no_file() -> None:
    """Text that only looks like uuencode stays text."""
    text = "begin 644 times\nlet us try\nend\n"
    assert mail("Subject: s", text.encode()).text == text


def test_of_alternatives_the_plain_text_is_body() -> None:
    """RFC 2046 5.1.4; the HTML is kept beside it, the calendar is a file."""
    read = mixed(
        part("text/plain", "plain"),
        part("text/html", "<p>html</p>"),
        part("text/calendar", "BEGIN:VCALENDAR"),
        kind="alternative",
    )
    assert read.text == "plain"
    assert read.html == "<p>html</p>"
    assert [a.content_type for a in read.attachments] == ["text/calendar"]


def test_an_empty_plain_part_gives_way_to_the_html() -> None:
    """Some mailers send a blank text part beside the words."""
    read = mixed(part("text/plain", " \r\n"), part("text/html", "<p>words</p>"), kind="alternative")
    assert read.text.strip() == "words"


def test_related_html_with_its_picture() -> None:
    """The picture is inline, its Content-ID without brackets, the text comes from the HTML."""
    read = mixed(
        part("text/html", "<p>see</p><img src=cid:x@y>"),
        part(
            "image/png",
            base64.b64encode(b"png"),
            "Content-ID: <x@y>\r\nContent-Transfer-Encoding: base64\r\n",
        ),
        kind="related",
    )
    assert read.text.strip() == "see"
    (picture,) = read.attachments
    assert (picture.content_id, picture.inline, picture.content, picture.size) == ("x@y", True, b"png", 3)


def test_texts_around_a_file_are_joined_in_order() -> None:
    """Apple Mail puts a picture between two text parts; both are the letter."""
    read = mixed(part("text/plain", "one"), part("image/png", "x"), part("text/plain", "two"))
    assert read.text == "one\n\ntwo"


def test_html_parts_are_never_joined() -> None:
    """An open tag of one would swallow the next (EFAIL); the text has both."""
    read = mixed(part("text/html", "<p>one</p>"), part("text/html", "<p>two</p>"))
    assert read.html == "<p>one</p>"
    assert "one" in read.text
    assert "two" in read.text
    assert "several-html" in read.defects


def test_an_attached_message_stays_apart() -> None:
    """Its words are another's: they must not become the customer's, nor its files theirs."""
    inner = (
        "Subject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nINNER TEXT\r\n--c\r\n"
        "Content-Disposition: attachment; filename=i.txt\r\n\r\nfile\r\n--c--\r\n"
    )
    read = mixed(
        part("text/plain", "my words"), part("message/rfc822", inner, "Content-Disposition: attachment\r\n")
    )
    assert read.text == "my words"
    (attached,) = read.attachments
    assert attached.content_type == "message/rfc822"
    assert b"INNER TEXT" in attached.content
    assert "INNER TEXT" in read.parts[1].text


def test_report_parts_are_there_for_the_bounce_reader() -> None:
    """RFC 3464: delivery-status and the returned headers are read by the next step."""
    read = mixed(
        part("text/plain", "sorry"),
        part(
            "message/delivery-status",
            "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1",
        ),
        part("text/rfc822-headers", "Message-ID: <o@x.example>"),
        kind="report; report-type=delivery-status",
    )
    assert [p.content_type for p in read.parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert read.text == "sorry"
    assert read.attachments == ()
    assert read.classification.kind is Kind.BOUNCE
    assert read.bounce is not None
    assert [r.address for r in read.bounce.recipients] == ["a@b.example"]


def test_a_multipart_without_parts_is_text() -> None:
    """The text of a mail must not vanish for a lost boundary."""
    read = mail("Content-Type: multipart/alternative; boundary=never", b"the words\r\n")
    assert read.text == "the words\n"
    assert "no-boundary" in read.defects


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        ("base64", b"aGVsbG8=", "hello"),
        ("BASE64", b"aGVs\r\nbG8", "hello"),
        ("base64", b"aGVsbG8=\r\n_____\r\nlist footer. see http://x\r\n", "hello"),
        ("base64", b"aGVs!bG8=", "hello"),
        ("base64", b"This is no base64, at all: it is text.", "This is no base64, at all: it is text."),
        ("quoted-printable", b"a=20b=\r\nc=zz", "a bc=zz"),
        ("8bit", b"hello", "hello"),
        ("text/plain", b"hello", "hello"),
    ],
)
def test_transfer_encodings(encoding: str, raw: bytes, text: str) -> None:
    """Broken encodings are common and still letters."""
    assert mail(f"Content-Transfer-Encoding: {encoding}", raw).text == text


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=a.pdf", "a.pdf"),
        ('attachment; filename="a;b.pdf"', "a;b.pdf"),
        ("attachment; filename=two words.pdf", "two words.pdf"),
        ("attachment; filename*=utf-8''na%C3%AFve.pdf", "naïve.pdf"),
        ("attachment; filename*=utf-8'en'a.pdf; filename=b.pdf", "a.pdf"),
        ("attachment; filename*0=long; filename*1=name.pdf", "longname.pdf"),
        ("attachment; filename*1*=%C3%AF.pdf; filename*0*=utf-8''na", "naï.pdf"),
        ('attachment; filename="=?utf-8?Q?na=C3=AFve.pdf?="', "naïve.pdf"),
        ("attachment; filename*=a.pdf", "a.pdf"),
        ("attachment; filename*=klingon''a.pdf", "a.pdf"),
        ('attachment; filename="unended.pdf', "unended.pdf"),
        ('attachment; filename="C:\\temp\\a.pdf"', "a.pdf"),
        ("attachment", "from-type.pdf"),
    ],
)
def test_names_of_files_are_read(header: str, name: str) -> None:
    """RFC 2231, RFC 2047 where it is forbidden, and quotes left open: all are sent every day."""
    read = mixed(part("application/pdf; name=from-type.pdf", "x", f"Content-Disposition: {header}\r\n"))
    assert [a.filename for a in read.attachments] == [name]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        (".htaccess", "htaccess"),
        ("--rf", "rf"),
        ("..", "attachment"),
        ("/", "attachment"),
        ("\u202e", "attachment"),
        ("inv\u202egpj.exe", "invgpj.exe"),
        ("a\x00b\x1b[31m.txt", "ab[31m.txt"),
        ("a\r\nX: y.txt", "a X: y.txt"),
        ("trailing. ", "trailing"),
        ("", ""),
        ("x" * 300 + ".tar.gz", "x" * 97 + ".gz"),
        ("cafe\u0301.txt", "café.txt"),
    ],
)
def test_names_of_files_are_safe_labels(name: str, safe: str) -> None:
    """A label is shown, sent in headers and typed into shells by agents."""
    assert safe_filename(name) == safe


@given(st.text(max_size=400))
def test_any_name_is_a_safe_label(name: str) -> None:
    """No path, no control, bounded, and safe twice is safe once."""
    safe = safe_filename(name)
    assert len(safe) <= 100
    assert "/" not in safe
    assert "\\" not in safe
    assert not safe.startswith((".", "-"))
    assert (safe == "") == (name == "")
    assert safe_filename(safe) == safe


def test_the_first_of_equal_parameters_counts() -> None:
    """As browsers and Outlook do; the second may be an attempt to differ."""
    assert read_params("text/plain; charset=utf-8; charset=utf-7").get("charset") == "utf-8"


@pytest.mark.parametrize(
    ("field", "ids"),
    [
        ("<a@b> <c@d>", ("<a@b>", "<c@d>")),
        ("<a@b><c@d>", ("<a@b>", "<c@d>")),
        ("<a@\n b>", ("<a@b>",)),
        ("<a@b> <a@b>", ("<a@b>",)),
        ("Your letter of Monday <a@b>", ("<a@b>",)),
        ("a@b", ()),
        ("<" * 50, ()),
        ("<" + "a" * 1200 + ">", ()),
    ],
)
def test_message_ids_keep_their_brackets(field: str, ids: tuple[str, ...]) -> None:
    """They are compared byte by byte with what we sent."""
    assert mail(f"References: {field}").references == ids


def test_the_last_references_are_kept() -> None:
    """Our own id stands last; a long thread must not push it out."""
    read = mail("References: " + " ".join(f"<{n}@x.example>" for n in range(300)))
    assert len(read.references) == 100
    assert read.references[-1] == "<299@x.example>"


@pytest.mark.parametrize(
    ("field", "date"),
    [
        ("Tue, 24 Nov 2026 09:00:00 +0100 (CET)", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("24 Nov 26 09:00 GMT", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("Tue Nov 24 09:00:00 2026", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("Tue, 31 Feb 2026 25:99:00 +9999", None),
        ("Tue, 24 Nov 99999 00:00:00 +0000", None),
        ("yesterday", None),
    ],
)
def test_dates(field: str, date: datetime | None) -> None:
    """A date that cannot be is none; it is shown and never decides."""
    read = mail(f"Date: {field}")
    assert read.date == date
    assert ("bad-date" in read.defects) is (date is None)


def test_repeated_headers_keep_their_order_and_are_told() -> None:
    """The first counts, as for most readers; the defect makes the difference visible."""
    read = mail("Subject: one\nSubject: two\nMessage-ID: <1@x>\nMessage-ID: <2@x>")
    assert read.subject == "one"
    assert read.message_id == "<1@x>"
    assert read.all_headers("SUBJECT") == ("one", "two")
    assert {"two-subject", "two-message-id"} <= set(read.defects)


def test_an_attachment_over_the_limit_keeps_its_name_and_size() -> None:
    """The ticket says what was sent, even when we do not keep it."""
    raw = (
        b"Content-Disposition: attachment; filename=big.bin\r\nContent-Type: application/x\r\n\r\n"
        + b"x" * 100
    )
    read = parse_mail(raw, limits=ParseLimits(max_attachment=50))
    (big,) = read.attachments
    assert (big.filename, big.size, big.content) == ("big.bin", 100, b"")
    assert "attachment-cut" in read.defects


def test_too_complex_is_told_by_its_reason() -> None:
    """The caller quarantines with this text."""
    with pytest.raises(TooComplex) as told:
        parse_mail(b"X: y\r\n" * 2000 + b"\r\n")
    assert str(told.value) == "more than 1000 header fields"


SEED = (
    b"From: Anne <anne@customer.example>\r\nSubject: =?utf-8?Q?J=C3=B6rg?=\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nhello=20\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n"
    b"--b\r\nContent-Disposition: attachment; filename*0*=utf-8''a; filename*1=b\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SEED)), st.integers(0, 30), st.binary(max_size=12)),
        min_size=1,
        max_size=6,
    )
)
def test_a_damaged_mail_is_always_read(edits: list[tuple[int, int, bytes]]) -> None:
    """Whatever the wire does to a mail, reading it gives a mail of clean text and never an error."""
    raw = SEED
    for at, length, new in edits:
        raw = raw[:at] + new + raw[at + length :]
    read = parse_mail(raw)
    for text in (read.subject, read.text, read.html, read.reply, *(h.value for h in read.headers)):
        assert "\0" not in text
        text.encode("utf-8")
    assert bool(read.reply.strip()) or not read.text.strip()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    """The listener accepts bytes; parsing them gives an answer."""
    parse_mail(raw)


@given(st.text(max_size=60))
def test_text_without_words_is_not_changed(value: str) -> None:
    """Only encoded words are decoded."""
    if "=?" not in value:
        assert decode_words(value) == value
