"""What leaves us is a clean mail, whatever went into it."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailbridge.core.compose import (
    LONGEST_SUBJECT,
    ComposeBug,
    bound_references,
    compose,
    needs_smtputf8,
    reply_subject,
    verify,
)
from mailbridge.core.encode import (
    clean_content_type,
    clean_filename,
    clean_line,
    clean_text,
    is_sendable,
    wire_address,
)
from mailbridge.core.mail import Address
from mailbridge.core.outgoing import AutoSubmitted, MailDraft, OutgoingAttachment

ANNE = Address("Anne", "anne@customer.example")
CRIS = Address("Cris", "cris@customer.example")
DESK = Address("Support", "support@desk.example")
DRAFT = MailDraft(
    from_=DESK,
    to=(ANNE,),
    cc=(CRIS,),
    reply_to=Address("Support", "support+t1-abc@desk.example"),
    subject="Re: [#AB-CD] The printer is broken",
    message_id="<t1.abc@desk.example>",
    date=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    text="Hello Anne,\n\nplease switch it on.\n",
)
ALWAYS = ["Date", "From", "To", "Cc", "Reply-To", "Subject", "Message-ID", "MIME-Version", "Content-Type"]
SINGLE = [*ALWAYS, "Content-Transfer-Encoding"]

ANY_TEXT = st.text(st.characters(), max_size=200)
# Characters that end lines, folds or encoded words somewhere, mixed with what they would be used for.
ATTACK = st.lists(
    st.sampled_from(
        ["\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\u202e", "\ud800",
         "\t", " ", "Bcc: x@victim.example", "X-Injected: 1", "=?utf-8?q?a=0D=0AX-Injected:_1?=", "=?", "?=",
         "=_", "--", '"', "\\", "<", ">", ",", ";", ":", "é", "漢字", "😀", "%0d%0a", "From ", ".", "a" * 80,
         "x"]
    ),
    max_size=25,
).map("".join)  # fmt: skip
TEXT = ANY_TEXT | ATTACK


def parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: Message) -> str:
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8").replace("\r\n", "\n")


def decoded(value: str) -> str:
    return str(make_header(decode_header(re.sub(r"\r\n(?=[ \t])", "", value))))


def mailboxes(value: str) -> list[tuple[str, str]]:
    return [(decoded(name), address) for name, address in getaddresses([value])]


def assert_proper(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\0" not in data
    assert max(map(len, data.split(b"\r\n"))) <= 998


@settings(max_examples=150, deadline=None)
@given(
    subject=TEXT,
    name=TEXT,
    text=TEXT,
    html=TEXT,
    filename=TEXT,
    content_type=TEXT,
    loop_mark=TEXT,
    other_id=TEXT,
)
@example("", "", "", "", "", "", "", "")
@example(
    "a\r\nBcc: x@victim.example",
    "a\r\n b",
    ".\r\n",
    "<p>",
    "../\r\nx",
    "text/html\r\nX: 1",
    "\r\nX: 1",
    "<a>\r\nX:1",
)
def test_any_text_in_any_field_comes_back_cleaned_and_adds_no_header(
    subject: str,
    name: str,
    text: str,
    html: str,
    filename: str,
    content_type: str,
    loop_mark: str,
    other_id: str,
) -> None:
    """Header injection has come through each of these fields in some desk (RT, FreeScout, Python)."""
    draft = replace(
        DRAFT,
        from_=replace(DESK, name=name),
        to=(replace(ANNE, name=name), replace(CRIS, name=name)),
        subject=subject,
        text=text,
        html=html,
        loop_mark=loop_mark,
        in_reply_to=other_id,
        references=(other_id, DRAFT.message_id),
        auto=AutoSubmitted.AUTO_REPLIED,
        attachments=(OutgoingAttachment(filename, content_type, text.encode("utf-8", "replace")),),
    )
    data = compose(draft)
    assert_proper(data)
    # compat32 decodes only when asked to; `policy.default` leaves spaces between the words of a long name.
    message = email.message_from_bytes(data)
    optional = {"In-Reply-To", "X-Mailbridge-Loop"}
    assert set(message.keys()) - optional == {
        *ALWAYS, "References", "Auto-Submitted", "X-Auto-Response-Suppress", "Precedence"
    }  # fmt: skip
    assert len(message.keys()) == len(set(message.keys()))
    assert decoded(message["Subject"]) == (clean_line(subject, LONGEST_SUBJECT) or "(no subject)")
    shown = clean_line(name, 100)
    assert mailboxes(message["From"]) == [(shown, DESK.address)]
    assert mailboxes(message["To"]) == [(shown, ANNE.address), (shown, CRIS.address)]
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert text_of(leaves[0]) == clean_text(text, 1 << 20)
    assert [text_of(part) for part in leaves[1:-1]] == ([clean_text(html, 1 << 20)] if html else [])
    attachment = leaves[-1]
    assert attachment.get_filename() == clean_filename(filename)
    assert attachment.get_payload(decode=True) == text.encode("utf-8", "replace")
    assert attachment.get_content_type() == clean_content_type(content_type)


@settings(max_examples=80, deadline=None)
@given(text=TEXT)
def test_a_text_only_mail_is_a_single_part_in_seven_bits(text: str) -> None:
    """No HTML and no files, so no multipart: the plainest mail there can be, for any relay."""
    data = compose(replace(DRAFT, text=text))
    assert_proper(data)
    assert data.isascii()
    message = email.message_from_bytes(data)
    assert list(message.keys()) == SINGLE
    assert text_of(message) == clean_text(text, 1 << 20)


def test_an_automatic_answer_says_so_and_asks_for_none() -> None:
    """RFC 3834: two robots must not talk to each other for ever."""
    message = parsed(compose(replace(DRAFT, auto=AutoSubmitted.AUTO_REPLIED, loop_mark="desk-1")))
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Precedence"] == "auto_reply"
    assert message["X-Mailbridge-Loop"] == "desk-1"


def test_a_notice_is_automatic_but_no_reply() -> None:
    """Precedence: auto_reply would be untrue of a mail nobody asked for."""
    message = parsed(compose(replace(DRAFT, auto=AutoSubmitted.AUTO_GENERATED)))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Precedence"] is None


def test_words_of_a_person_carry_no_automatic_mark() -> None:
    """An agent's answer marked as automatic would be filed away or thrown away by the customer's server."""
    assert list(parsed(compose(DRAFT)).keys()) == SINGLE


def test_header_lines_fold_at_78_and_never_inside_an_id() -> None:
    """A Message-ID broken by folding is another one for half of the world's clients."""
    ids = tuple(f"<{'i' * 60}.{n}@customer.example>" for n in range(12))
    own = DRAFT.message_id
    draft = replace(
        DRAFT,
        to=tuple(Address(f"Anne of the {n}. house", f"anne{n}@customer.example") for n in range(20)),
        subject="Grüße " * 30,
        in_reply_to=ids[-1],
        references=bound_references(ids[:-1], ids[-1], own),
    )
    head = compose(draft).split(b"\r\n\r\n")[0]
    assert all(
        len(line) <= 78 or line.startswith((b" <", b"In-Reply-To: <", b"References: <"))
        for line in head.split(b"\r\n")
    )
    assert all(reference.encode() in head for reference in (*ids[:4], *ids[-6:], own))


def test_references_keep_the_first_four_the_last_six_and_our_own_last() -> None:
    """Bounded for any length of thread; our own id last survives servers that replace Message-ID."""
    ids = [f"<{n}@customer.example>" for n in range(30)]
    assert bound_references(ids[:-1], ids[-1], "<own@desk.example>") == (
        *ids[:4],
        *ids[-6:],
        "<own@desk.example>",
    )


@pytest.mark.parametrize(
    ("refs", "parent", "expected"),
    [
        ((), "", ("<own@d>",)),
        ((), "<p@c>", ("<p@c>", "<own@d>")),
        (("<p@c>",), "<p@c>", ("<p@c>", "<own@d>")),
        (("<own@d>", "<a@c>"), "<p@c>", ("<a@c>", "<p@c>", "<own@d>")),
        (("<a\r\nBcc: x@c>", "no-brackets", "<ü@c>", "<" + "x" * 900 + ">"), "<p@c>", ("<p@c>", "<own@d>")),
    ],
)
def test_references_hold_each_usable_id_once(
    refs: tuple[str, ...], parent: str, expected: tuple[str, ...]
) -> None:
    """A stranger's ids are passed on only when they can neither break a line nor exceed one."""
    assert bound_references(refs, parent, "<own@d>") == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("The printer", "Re: [#AB-CD] The printer"),
        ("Re: The printer", "Re: [#AB-CD] The printer"),
        ("RE: AW: re[2]: Antw: The printer", "Re: [#AB-CD] The printer"),
        ("Re: [#AB-CD] Re: The [#ab-cd] printer", "Re: [#AB-CD] The printer"),
        ("[#OTHER] The printer", "Re: [#AB-CD] [#OTHER] The printer"),
        ("Fwd: The printer", "Re: [#AB-CD] Fwd: The printer"),
        ("Regarding: the printer", "Re: [#AB-CD] Regarding: the printer"),
        ("x\r\nBcc: y@victim.example", "Re: [#AB-CD] x Bcc: y@victim.example"),
        ("", "Re: [#AB-CD]"),
    ],
)
def test_an_answer_has_one_re_and_one_tag(subject: str, expected: str) -> None:
    """Ten answers later the subject is still readable, and mail clients still see one conversation."""
    assert reply_subject(subject, "[#AB-CD]") == expected
    assert reply_subject(expected, "[#AB-CD]") == expected


@pytest.mark.parametrize("local", ["anne", "änne"])
def test_a_domain_in_other_letters_goes_as_a_label(local: str) -> None:
    """A-labels reach every server; only a local part in other letters needs SMTPUTF8."""
    address = f"{local}@bücher.example"
    data = compose(replace(DRAFT, to=(Address("", address),)))
    if local == "anne":
        assert b"To: anne@xn--bcher-kva.example\r\n" in data
        assert not needs_smtputf8(data, [address])
    else:
        assert f"To: {address}\r\n".encode() in data
        assert needs_smtputf8(data, [address])


@pytest.mark.parametrize("domain", ["straße.example", "λόγος.example"])
def test_a_domain_that_idna_would_change_is_left_alone(domain: str) -> None:
    """IDNA 2003 makes strasse of straße: a mail to someone else's domain."""
    assert wire_address(f"anne@{domain}") == f"anne@{domain}"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anne",
        "anne@customer.example\r\nBcc: x@y",
        "a b@c.example",
        "anne@c\u2028.example",
        "x\u202e@c.example",
    ],
)
def test_an_unusable_address_is_a_bug_not_a_mail(address: str) -> None:
    """Whoever chooses recipients checks them first; a mail to half of them would hide the mistake."""
    assert not is_sendable(address)
    with pytest.raises(ComposeBug):
        compose(replace(DRAFT, to=(Address("Anne", address),)))


@pytest.mark.parametrize(
    "broken",
    [
        replace(DRAFT, to=(), cc=()),
        replace(DRAFT, message_id="<a@b>\r\nX-Injected: 1"),
        replace(DRAFT, message_id="t1@desk.example"),
        replace(DRAFT, date=DRAFT.date.replace(tzinfo=None)),
    ],
)
def test_a_draft_that_cannot_be_right_raises(broken: MailDraft) -> None:
    """These values are ours alone, so a wrong one is a bug to be found, not to be sent."""
    with pytest.raises(ComposeBug):
        compose(broken)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"Subject: a\r\nBcc: x@y\r\n\r\nhi\r\n", "header fields"),
        (b"Subject: a\r\nnot a field\r\n\r\nhi\r\n", "no field"),
        (b"Subject: a\nBcc: x@y\r\n\r\nhi\r\n", "bare"),
        (b"Subject: a\r\n\r\nhi\rthere\r\n", "bare"),
        (b"Subject: a\r\n\r\nh\0i\r\n", "bare"),
        (b"Subject: a\r\n\r\nhi", "bare"),
        (b"Subject: \xc3\xa4\r\n\r\nhi\r\n", "8-bit"),
        (b"Subject: " + b"a" * 999 + b"\r\n\r\nhi\r\n", "998"),
        (b"Subject: a\r\n \r\n\r\nhi\r\n", "folded"),
    ],
)
def test_the_last_check_refuses_bytes_we_did_not_mean(data: bytes, why: str) -> None:
    """It must hold even if the code before it is wrong, so it is shown to catch each fault by itself."""
    with pytest.raises(ComposeBug, match=why):
        verify(data, ["Subject"], utf8=False)


def test_a_boundary_in_the_text_does_not_split_the_mail() -> None:
    """Boundaries follow from the Message-ID, so a customer who knows it could try to write one."""
    first = compose(replace(DRAFT, html="<p>x</p>"))
    boundary = parsed(first).get_boundary()
    text = f"--{boundary}\nContent-Type: text/html\n\nevil\n--{boundary}--\n"
    message = parsed(compose(replace(DRAFT, text=text, html="<p>x</p>")))
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]
    assert text_of(next(message.iter_parts())) == text


def test_a_date_keeps_its_zone_and_an_odd_zone_becomes_utc() -> None:
    """RFC 5322 3.3 knows no seconds in an offset, old local times have them."""
    date = datetime(2026, 3, 1, 12, 0, 7, 999, tzinfo=timezone(timedelta(hours=-5)))
    assert b"Date: Sun, 01 Mar 2026 12:00:07 -0500\r\n" in compose(replace(DRAFT, date=date))
    odd = datetime(2026, 3, 1, 12, 0, 28, tzinfo=timezone(timedelta(minutes=17, seconds=28)))
    assert b"Date: Sun, 01 Mar 2026 11:43:00 +0000\r\n" in compose(replace(DRAFT, date=odd))


def test_composing_is_repeatable() -> None:
    """The same draft gives the same bytes: nothing random, nothing of the clock."""
    assert compose(replace(DRAFT, html="<p>x</p>")) == compose(replace(DRAFT, html="<p>x</p>"))
