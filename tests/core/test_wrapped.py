"""Mail inside wrappings: TNEF, S/MIME, PGP, calendars; and what each attachment is to the reader."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.invitation import read_invitation
from mailbridge.core.mail import ParsedMail, Role
from mailbridge.core.parse import parse_mail
from mailbridge.core.roles import picture_size
from mailbridge.core.sealed import Seal, read_cms, without_clearsign
from mailbridge.core.tnef import SIGNATURE, read_tnef

HEAD = b"From: Anne <anne@customer.example>\r\nTo: support@desk.example\r\nSubject: The pump\r\nMIME-Version: 1.0\r\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 120, 40) + b"\x08\x06\0\0\0"
DOT = b"GIF89a\x01\x00\x01\x00\x80\x00\x00"


def part(content_type: str, body: bytes, *more: str) -> bytes:
    """One MIME part in base64."""
    head = "".join(f"{line}\r\n" for line in (f"Content-Type: {content_type}", *more))
    return f"{head}Content-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(body)


def mail(subtype: str, parts: Sequence[bytes], extra: str = "") -> ParsedMail:
    """A multipart mail, read."""
    body = b"".join(b"--xx\r\n" + item + b"\r\n" for item in parts) + b"--xx--\r\n"
    return parse_mail(
        HEAD + f'Content-Type: multipart/{subtype}; boundary="xx"{extra}\r\n\r\n'.encode() + body
    )


def single(content_type: str, body: bytes, *more: str) -> ParsedMail:
    """A mail of one part, read."""
    return parse_mail(HEAD + part(content_type, body, *more))


# ------------------------------------------------------------------ TNEF


def attribute(level: int, number: int, value: bytes) -> bytes:
    return struct.pack("<BHHI", level, number, 6, len(value)) + value + b"\0\0"


def prop(kind: int, number: int, value: bytes) -> bytes:
    variable = struct.pack("<II", 1, len(value)) if kind in (0x1E, 0x1F, 0x102, 0x0D) else b""
    return struct.pack("<HH", kind, number) + variable + value + b"\0" * (-len(value) % 4)


def tnef(*attributes: bytes) -> bytes:
    return SIGNATURE + b"\x01\x00" + b"".join(attributes)


def props(*values: bytes) -> bytes:
    return struct.pack("<I", len(values)) + b"".join(values)


WINMAIL = tnef(
    attribute(1, 0x9007, struct.pack("<II", 1252, 0)),
    attribute(1, 0x9003, props(prop(0x1F, 0x1000, "The pump leaks: è urgente".encode("utf-16-le")))),
    attribute(2, 0x9002, b"\0" * 14),
    attribute(2, 0x8010, b"REPORT~1.PDF\0"),
    attribute(2, 0x800F, b"%PDF-1.4 report"),
    attribute(2, 0x9005, props(prop(0x1F, 0x3707, "Bericht für Anne.pdf".encode("utf-16-le")))),
)


def test_the_files_in_winmail_dat_are_attachments_of_the_mail() -> None:
    """Outlook wraps what a customer attaches; the wrapping is kept and hidden, the files have their long names."""
    read = mail(
        "mixed",
        [part("text/plain", b"See the report"), part("application/ms-tnef; name=winmail.dat", WINMAIL)],
    )
    assert read.reply == "See the report"
    assert [(a.filename, a.role, a.content) for a in read.attachments] == [
        ("winmail.dat", Role.CONTAINER, WINMAIL),
        ("Bericht für Anne.pdf", Role.FILE, b"%PDF-1.4 report"),
    ]
    assert "tnef" in read.defects


def test_the_body_in_winmail_dat_is_read_when_the_mail_has_no_other() -> None:
    """Some gateways leave the text part out or empty."""
    read = mail(
        "mixed", [part("text/plain", b"\r\n"), part("application/ms-tnef; name=winmail.dat", WINMAIL)]
    )
    assert read.reply == "The pump leaks: è urgente"
    assert read.body_from == "winmail.dat: plain"


def test_a_winmail_dat_that_is_none_stays_a_file() -> None:
    """The name alone proves nothing, and nothing may be lost."""
    read = mail(
        "mixed", [part("text/plain", b"hello"), part("application/octet-stream; name=winmail.dat", b"junk")]
    )
    assert [(a.filename, a.role, a.content) for a in read.attachments] == [
        ("winmail.dat", Role.FILE, b"junk")
    ]
    assert "bad-tnef" in read.defects


def test_a_tnef_stream_that_breaks_off_gives_what_came_before() -> None:
    """Half a report is better than none."""
    whole = read_tnef(WINMAIL)
    assert whole is not None
    found = read_tnef(WINMAIL[:-20])
    assert found is not None
    assert found.text == whole.text
    assert [f.filename for f in found.files] == ["REPORT~1.PDF"]


@pytest.mark.parametrize(
    "raw",
    [
        tnef(*[attribute(1, 0x8006, b"")] * 500_000),
        tnef(*[attribute(2, 0x9002, b"")] * 200_000),
        tnef(attribute(1, 0x9003, struct.pack("<I", 0xFFFFFFFF) + prop(3, 1, b"abcd") * 200_000)),
        tnef(attribute(1, 0x9003, struct.pack("<I", 1) + struct.pack("<HHI", 0x1002, 1, 0xFFFFFFFF))),
    ],
    ids=["empty attributes", "empty files", "many properties", "many values"],
)
def test_hostile_tnef_is_read_in_bounded_time(raw: bytes) -> None:
    """Readers that copy the rest at each attribute never end on this."""
    start = time.perf_counter()
    read_tnef(raw)
    assert time.perf_counter() - start < 1


@given(st.binary(max_size=400), st.integers(0, len(WINMAIL)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_tnef_stream_are_read_without_an_error(junk: bytes, at: int) -> None:
    """A stream is a stranger's."""
    assert read_tnef(WINMAIL[:at] + junk + WINMAIL[at:]) is not None or at < 4


# ------------------------------------------------------------------ S/MIME

OID_SIGNED = bytes.fromhex("06092a864886f70d010702")
OID_DATA = bytes.fromhex("06092a864886f70d010701")
OID_ENVELOPED = bytes.fromhex("06092a864886f70d010703")
INNER = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe pump leaks.\r\n\r\n-- \r\nAnne\r\n"


def der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = bytes([len(body)]) if len(body) < 128 else b"\x84" + len(body).to_bytes(4)
    return bytes([tag]) + size + body


def endless(tag: int, *content: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(content) + b"\0\0"


def signed(content: bytes) -> bytes:
    inside = der(0x30, OID_DATA, der(0xA0, der(0x04, content)))
    return der(0x30, OID_SIGNED, der(0xA0, der(0x30, der(2, b"\1"), der(0x31), inside, der(0x31))))


def streamed(content: bytes) -> bytes:
    pieces = [der(0x04, content[at : at + 10]) for at in range(0, len(content), 10)]
    inside = endless(0x30, OID_DATA, endless(0xA0, endless(0x24, *pieces)))
    return endless(
        0x30, OID_SIGNED, endless(0xA0, endless(0x30, der(2, b"\1"), der(0x31), inside, der(0x31)))
    )


@pytest.mark.parametrize("wrap", [signed, streamed])
@pytest.mark.parametrize(
    "kind", ["application/pkcs7-mime; smime-type=signed-data", "application/octet-stream"]
)
def test_the_words_in_opaque_signed_mail_are_read(wrap: type, kind: str) -> None:
    """Outlook signs so by default; without opening it the customer's mail would be empty."""
    read = single(f'{kind}; name="smime.p7m"', wrap(INNER))
    assert read.reply == "The pump leaks."
    assert read.seals == ("smime-signed",)
    assert [(a.filename, a.role) for a in read.attachments] == [("smime.p7m", Role.CONTAINER)]


def test_encrypted_mail_says_that_it_is_encrypted() -> None:
    """Nobody may take it for an empty mail; the wrapping is offered, since someone may have the key."""
    read = single("application/pkcs7-mime; name=smime.p7m", der(0x30, OID_ENVELOPED, der(0xA0)))
    assert read.seals == ("smime-encrypted",)
    assert "encrypted with S/MIME" in read.reply
    assert [(a.role, a.role.hidden) for a in read.attachments] == [(Role.ENCRYPTED, False)]


def test_wrapped_mail_is_opened_once_only() -> None:
    """A wrapping within wrappings is an attack on the reader, never a customer."""
    raw = INNER
    for _ in range(5):
        raw = (
            b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            + signed(raw)
        )
    read = parse_mail(HEAD + raw)
    assert [a.role for a in read.attachments] == [Role.CONTAINER, Role.FILE]


def test_hostile_cms_is_read_in_bounded_time() -> None:
    """Indefinite lengths must be walked; the walk has an end."""
    start = time.perf_counter()
    assert read_cms(b"\x30\x80" * 100_000).seal is Seal.UNKNOWN
    assert read_cms(streamed(b"")[:30] + b"\x04\x00" * 1_000_000).seal is Seal.UNKNOWN
    assert time.perf_counter() - start < 2


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_cms_are_read_without_an_error(junk: bytes, at: int) -> None:
    """A wrapping is a stranger's."""
    whole = streamed(INNER)
    assert isinstance(read_cms(whole[:at] + junk + whole[at:]).seal, Seal)


def test_a_detached_signature_is_kept_and_hidden() -> None:
    """It is no file of the customer's."""
    for kind, name, seal in (
        ("pkcs7-signature", "smime.p7s", "smime-signed"),
        ("pgp-signature", "signature.asc", "pgp-signed"),
    ):
        read = mail(
            "signed",
            [part("text/plain", b"The pump leaks."), part(f"application/{kind}; name={name}", b"sig")],
            f'; protocol="application/{kind}"',
        )
        assert read.reply == "The pump leaks."
        assert read.seals == (seal,)
        assert [(a.filename, a.role, a.role.hidden) for a in read.attachments] == [
            (name, Role.SIGNATURE, True)
        ]


# ------------------------------------------------------------------ PGP

CLEAR = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

The pump leaks.
- -- a dash line
-----BEGIN PGP SIGNATURE-----

iQEzBAEBCAAdFiEE
=abcd
-----END PGP SIGNATURE-----
"""


def test_cleartext_signed_words_lose_their_armour() -> None:
    """The signature is no part of the words."""
    read = single("text/plain", CLEAR.encode())
    assert read.reply == "The pump leaks.\n-- a dash line"
    assert read.seals == ("pgp-signed",)


def test_a_text_that_only_speaks_of_armour_is_left_alone() -> None:
    """A customer may paste half of it and ask what it is."""
    # None: there is no armour to take off, the text stays as it is.
    asked = "What is -----BEGIN PGP SIGNED MESSAGE----- and\n-----BEGIN PGP SIGNATURE-----?"
    assert without_clearsign(asked) is None
    assert single("text/plain", asked.encode()).text == asked
    assert (
        without_clearsign("-----BEGIN PGP SIGNED MESSAGE-----\nnot armour\n-----BEGIN PGP SIGNATURE-----")
        is None
    )
    half = CLEAR.replace("-----END PGP SIGNATURE-----", "")
    assert single("text/plain", half.encode()).text.startswith("-----BEGIN PGP SIGNED MESSAGE-----")


def test_pgp_mime_says_that_it_is_encrypted() -> None:
    """The version part is hidden, the message is offered."""
    read = mail(
        "encrypted",
        [
            part("application/pgp-encrypted", b"Version: 1\n"),
            part("application/octet-stream; name=encrypted.asc", b"-----BEGIN PGP MESSAGE-----\n\nabc"),
        ],
        '; protocol="application/pgp-encrypted"',
    )
    assert read.seals == ("pgp-encrypted",)
    assert "encrypted with PGP" in read.reply
    assert [a.role for a in read.attachments] == [Role.SIGNATURE, Role.ENCRYPTED]


# ------------------------------------------------------------------ calendars

ICS = r"""BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Pump\, second
  visit
DTSTART;TZID=Europe/Rome:20250303T101500
DTEND;TZID=Europe/Rome:20250303T111500
LOCATION:Hall 3
ORGANIZER;CN="Anne Customer":mailto:anne@customer.example
ATTENDEE;CN=Desk;PARTSTAT=NEEDS-ACTION:mailto:support@desk.example
RRULE:FREQ=WEEKLY;COUNT=3
DESCRIPTION:Please bring\nthe seal.
BEGIN:VALARM
DESCRIPTION:Reminder
END:VALARM
END:VEVENT
END:VCALENDAR
"""


def test_an_invitation_is_shown_as_text() -> None:
    """Who reads the ticket must see what and when without opening a file."""
    read = mail(
        "alternative",
        [part("text/plain", b"See you then."), part("text/calendar; method=REQUEST", ICS.encode())],
    )
    assert read.reply == (
        "See you then.\n\nInvitation: Pump, second visit\nWhen: 2025-03-03 10:15-11:15 Europe/Rome\n"
        "Repeats: FREQ=WEEKLY;COUNT=3\nWhere: Hall 3\nOrganiser: Anne Customer <anne@customer.example>\n"
        "With: Desk <support@desk.example>\n\nPlease bring\nthe seal."
    )


def test_an_invitation_alone_is_the_body() -> None:
    """Phones send nothing else."""
    assert single("text/calendar", ICS.encode()).reply.startswith("Invitation: Pump")


@pytest.mark.parametrize(
    ("method", "status", "start", "shown"),
    [
        ("REPLY", "ACCEPTED", "20250303T101500Z", "Accepted: Visit\nWhen: 2025-03-03 10:15 UTC"),
        ("REPLY", "DECLINED", "20250303T101500Z", "Declined: Visit\nWhen: 2025-03-03 10:15 UTC"),
        ("CANCEL", "", "20250303", "Cancelled: Visit\nWhen: 2025-03-03"),
        ("COUNTER", "", "20250303T1015", "Another time proposed: Visit\nWhen: 2025-03-03 10:15"),
        ("", "", "soon", "Event: Visit\nWhen: soon"),
    ],
)
def test_the_method_of_a_calendar_part_is_told(method: str, status: str, start: str, shown: str) -> None:
    """An answer, a cancellation and an invitation ask different things of us."""
    ics = (
        f"BEGIN:VCALENDAR\nMETHOD:{method}\nBEGIN:VEVENT\nSUMMARY:Visit\nDTSTART:{start}\n"
        f"ATTENDEE;PARTSTAT={status}:mailto:anne@customer.example\nEND:VEVENT\nEND:VCALENDAR"
    )
    found = read_invitation(ics)
    assert found is not None
    assert "\n".join(found.lines).startswith(shown)


def test_hostile_calendars_are_read_in_bounded_time() -> None:
    """A calendar part may be a megabyte of parameters."""
    start = time.perf_counter()
    read_invitation("BEGIN:VEVENT\nDTSTART" + ";A=b" * 200_000 + ":x\n" + "BEGIN:VEVENT\n" * 50_000)
    assert time.perf_counter() - start < 1


# ------------------------------------------------------------------ bodies and roles


@pytest.mark.parametrize(
    ("plain", "html", "reply", "why"),
    [
        (b"Words", b"<p>Words</p>", "Words", "plain"),
        (b" \r\n", b"<p>Words</p>", "Words", "html: the plain part is empty"),
        (None, b"<p>Words</p>", "Words", "html: there is no plain part"),
        (
            b"Your mail program does not support HTML.",
            b"<p>Words and more words</p>",
            "Words and more words",
            "html: the plain part only says that there is HTML",
        ),
        (
            b"HTML mails do not arrive.",
            b"<p>HTML mails do not arrive.</p>",
            "HTML mails do not arrive.",
            "plain",
        ),
    ],
)
def test_the_best_alternative_is_chosen_and_the_reason_told(
    plain: bytes | None, html: bytes, reply: str, why: str
) -> None:
    """`inspect --explain` says which form was read."""
    parts = ([part("text/plain", plain)] if plain is not None else []) + [part("text/html", html)]
    read = mail("alternative", parts)
    assert (read.reply, read.body_from) == (reply, why)


PICTURES = [
    part("image/png; name=screen.png", PNG, "Content-ID: <screen@x>"),
    part("image/png; name=logo.png", PNG, "Content-ID: <logo@x>"),
    part("image/png; name=old.png", PNG, "Content-ID: <old@x>"),
    part("image/png; name=loose.png", PNG, "Content-ID: <loose@x>"),
    part("image/gif; name=dot.gif", DOT, "Content-ID: <dot@x>"),
]


@pytest.mark.parametrize(
    "html",
    [
        '<p>It leaks here: <img src="cid:screen@x"></p><p>Kind regards<br>Anne Customer<br><img src="cid:logo@x">'
        '<img src="cid:dot@x"></p><div class="gmail_quote"><div class="gmail_attr">On Mon, 3 Mar 2025 at 10:15 Bart '
        '&lt;bart@desk.example&gt; wrote:</div><blockquote class="gmail_quote">'
        'Where? <img src="cid:old@x"></blockquote></div>',
        '<p>It leaks here: <img src="cid:screen@x"></p><div class="gmail_signature">Anne<img src="cid:logo@x"></div>'
        '<div id="divRplyFwdMsg">From: Bart<br>Sent: Monday, March 3, 2025<br>To: Anne<br>Subject: x</div>'
        '<div>Where? <img src="cid:old@x"></div>',
        '<blockquote type="cite"><p>Where does it leak?</p><img src="cid:old@x"></blockquote><p>It leaks here: '
        '<img src="cid:screen@x"></p><div class="moz-signature">-- <br>Anne<img src="cid:logo@x"></div>',
    ],
    ids=["gmail", "outlook", "below the quote"],
)
def test_pictures_among_the_words_are_told_from_logos(html: str) -> None:
    """An agent wants the screenshot, not the logo of each answer; what nothing refers to is a file."""
    read = mail("related", [part("text/html", html.encode()), *PICTURES])
    roles = {a.filename: a.role for a in read.attachments}
    assert roles == {
        "screen.png": Role.INLINE,
        "logo.png": Role.LOGO,
        "old.png": Role.LOGO,
        "loose.png": Role.FILE,
        "dot.gif": Role.PIXEL,
    }


def test_a_picture_between_answers_is_never_taken_for_a_logo() -> None:
    """In doubt it is shown."""
    html = (
        "<p>See below.</p><blockquote type=cite>Where?</blockquote><p>Here:</p><blockquote type=cite>When?</blockquote>"
        '<p>Today, look: <img src="cid:screen@x"></p><blockquote type=cite>Anything else?</blockquote>'
    )
    read = mail("related", [part("text/html", html.encode()), PICTURES[0]])
    assert [a.role for a in read.attachments] == [Role.INLINE]


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (PNG, (120, 40)),
        (DOT, (1, 1)),
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x20\x00\x30\x03", (48, 32)),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 500, None),
        (b"not a picture", None),
    ],
)
def test_the_size_of_a_picture_is_read_from_its_head(content: bytes, size: tuple[int, int] | None) -> None:
    """One by one is a counter; the pixels themselves are never decoded."""
    assert picture_size(content) == size


def test_what_was_cut_is_kept_with_the_reason() -> None:
    """It can be shown on demand, and `inspect --explain` tells why."""
    read = single(
        "text/plain", b"Works.\n\nOn Mon, 3 Mar 2025 at 10:15, Bart <bart@desk.example> wrote:\n> And now?\n"
    )
    assert read.reply == "Works."
    assert read.cut == "On Mon, 3 Mar 2025 at 10:15, Bart <bart@desk.example> wrote:\n> And now?"
    assert read.cut_why == "quoted text"


def test_an_attached_mail_stays_apart_from_the_words() -> None:
    """Its words are another's."""
    inner = b"From: x@y.example\r\nSubject: other\r\n\r\nWords of another\r\n"
    raw = b"Content-Type: message/rfc822\r\n\r\n" + inner
    read = mail("mixed", [part("text/plain", b"See the attached mail."), raw])
    assert read.reply == "See the attached mail."
    assert [a.content_type for a in read.attachments] == ["message/rfc822"]


def test_old_forms_of_text_are_read() -> None:
    """UTF-7, flowed text with DelSp and uuencoded files still come, from old programs and from scanners."""
    assert single("text/plain; charset=utf-7", b"Gr+APwA3w-e aus K+APY-ln").reply == "Grüße aus Köln"
    assert single("text/plain; format=flowed; delsp=yes", b"The pu \nmp leaks.\n").reply == "The pump leaks."
    read = single("text/plain", b"The log:\n\nbegin 644 pump.log\n#0V%T\n`\nend\n")
    assert (read.reply, [(a.filename, a.content) for a in read.attachments]) == (
        "The log:",
        [("pump.log", b"Cat")],
    )
