"""Mails of ours: what their headers say, what reads back from them, and whose words they never carry."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import pytest

from mailbridge.core import decision as d
from mailbridge.core.address import split_tag
from mailbridge.core.commands import Rejected
from mailbridge.core.facts import AgentFacts
from mailbridge.core.mail import Address, Attachment
from mailbridge.core.parse import parse_mail
from mailbridge.core.ticket import Priority, Solution, SolvedReason, Status, TicketState
from mailbridge.core.tokens import Forged, Key, KeyRing, Token, TokenKind, subject_numbers
from mailbridge.edge.templates import DEFAULT_DIR, load_templates
from mailbridge.service.mailer import Mailer, Occasion, Subject, loop_mark, loop_marks
from mailbridge.store.outbox import NewOutgoing
from tests.fakes import FakeClock, FakeIds
from tests.service.office import DESK, read, text_of

KEY = "7k3m9qx2vd"
RING = KeyRing(Key("2", b"n" * 32), (Key("1", b"o" * 32),))
ANNE = Address("Anne", "anne@customer.example")
CRIS = Address("Cris", "cris@customer.example")
BART = AgentFacts(12, Address("Bart", "bart@desk.example"))
FILE = Attachment("log.txt", "text/plain", 3, False, "", "0" * 64, b"abc")
EVIL = "Hi\r\nBcc: victim@x.example\r\n\r\n{{ 7 * 7 }} <script>x</script> \u202eoops"

ACK = d.Acknowledge(ANNE)
NOTIFY = d.Notify(BART, d.News.NEW, "Anne")
ANSWER = d.Answer(BART, "Did you pour water on it?")
SOLVED = d.TellSolved("agreed")
RECEIPT = d.Receipt(BART, ("#open",), ())
ALL: Sequence[d.Draft] = (ACK, NOTIFY, ANSWER, SOLVED, RECEIPT)
TO_CUSTOMERS: Sequence[d.Draft] = (ACK, ANSWER, SOLVED)
TO_AGENTS: Sequence[d.Draft] = (NOTIFY, RECEIPT)
STATE = TicketState(Status.OPEN, Priority.S3)


@pytest.fixture(scope="module")
def mailer() -> Mailer:
    """With the templates that come along."""
    return Mailer(load_templates(DEFAULT_DIR, None), FakeIds())


def about(**more: Any) -> Subject:
    """Anne's ticket with Cris on Cc."""
    fields: dict[str, Any] = {
        "key": KEY,
        "mailbox": DESK,
        "mailbox_name": "Support",
        "subject": "The printer burns",
        "number": 3,
        "requester": ANNE,
        "collaborators": (CRIS,),
        "state": STATE,
        "message_ids": ("<m1@customer.example>", "<m2@customer.example>"),
    }
    return Subject(**(fields | more))


def occasion(**more: Any) -> Occasion:
    """A mail that came in."""
    return Occasion("inbound:17", FakeClock().now(), **({"words": "Smoke everywhere."} | more))


def made(
    mailer: Mailer, draft: d.Draft, *, ring: KeyRing = RING, **more: Any
) -> tuple[NewOutgoing, EmailMessage]:
    """The finished mail, as bytes with its row and as its recipient's program reads it."""
    out = mailer.make(draft, about(**more), occasion(), ring)
    return out, read(out.data)


def token_of(address: str, ring: KeyRing = RING) -> Token | Forged | None:
    """The token in the plus-tag of an address."""
    parts = split_tag(address)
    assert parts is not None
    assert parts.mailbox == DESK
    return ring.read(parts.tag)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("draft", ALL)
def test_every_mail_has_our_headers_once_and_no_others(mailer: Mailer, draft: d.Draft) -> None:
    """Whatever stands in subject, names and words."""
    evil = about(
        subject=EVIL,
        requester=Address(EVIL, ANNE.address),
        collaborators=(Address(EVIL, CRIS.address),),
        mailbox_name="Support",
    )
    for what in (about(), evil):
        mail = read(mailer.make(draft, what, occasion(words=EVIL, author=EVIL, verified=True), RING).data)
        names = mail.keys()
        allowed = {
            *("Date", "From", "To", "Cc", "Reply-To", "Subject", "Message-ID", "In-Reply-To", "References"),
            *("Auto-Submitted", "X-Auto-Response-Suppress", "Precedence", "X-Mailbridge-Loop"),
            *("MIME-Version", "Content-Type"),
        }
        assert set(names) <= allowed
        assert len(names) == len(set(names))
        assert mail["From"].addresses[0].addr_spec == DESK


@pytest.mark.parametrize("draft", TO_CUSTOMERS)
def test_the_reply_address_of_a_customers_mail_reads_back_as_their_ticket(
    mailer: Mailer, draft: d.Draft
) -> None:
    """And so do its Message-ID, the last of its References, and the marker in its words."""
    out, mail = made(mailer, draft)
    token = Token(TokenKind.TICKET, KEY)
    assert token_of(mail["Reply-To"].addresses[0].addr_spec) == token
    assert RING.read_message_id(out.message_id) == token
    assert mail["Message-ID"] == out.message_id
    assert str(mail["References"]).split() == [
        "<m1@customer.example>",
        "<m2@customer.example>",
        out.message_id,
    ]
    assert mail["In-Reply-To"] == "<m2@customer.example>"
    assert RING.find_body_markers(text_of(mail)) == [token]


@pytest.mark.parametrize("draft", ALL)
def test_the_envelope_sender_reads_back_as_the_mail_that_would_bounce(mailer: Mailer, draft: d.Draft) -> None:
    """VERP: a delivery report names the row without its body being read."""
    out, _ = made(mailer, draft)
    assert token_of(out.envelope_from) == Token(TokenKind.BOUNCE, KEY, out.reference)


@pytest.mark.parametrize("draft", TO_AGENTS)
def test_each_notice_carries_a_token_of_its_own_for_its_own_agent(mailer: Mailer, draft: d.Draft) -> None:
    """One that leaked can be told from all others; none of them threads a customer."""
    addresses = [made(mailer, draft)[1]["Reply-To"].addresses[0].addr_spec for _ in range(20)]
    tokens = [token_of(address) for address in addresses]
    assert len(set(addresses)) == 20
    for token in tokens:
        assert isinstance(token, Token)
        assert (token.kind, token.ticket, subject_numbers(token.subject)[0]) == (
            TokenKind.AGENT,
            KEY,
            BART.id,
        )
    assert RING.find_body_markers(text_of(made(mailer, draft)[1])) == []


def test_names_of_one_moment_are_never_the_same(mailer: Mailer) -> None:
    """References and Message-IDs are unique in the database: a repeat would stop a commit."""
    many = [made(mailer, draft)[0] for draft in ALL for _ in range(10)]
    assert len({out.reference for out in many}) == len({out.message_id for out in many}) == 50


@pytest.mark.parametrize(
    ("draft", "auto", "capped"),
    [
        (ACK, "auto-replied", True),
        (NOTIFY, "auto-generated", False),
        (ANSWER, None, False),
        (SOLVED, "auto-generated", True),
        (RECEIPT, "auto-replied", False),
    ],
)
def test_automatic_mail_says_so_and_a_persons_words_do_not(
    mailer: Mailer, draft: d.Draft, auto: str | None, capped: bool
) -> None:
    """RFC 3834 5: no auto-responder answers ours; and an answer of a person may be answered by one."""
    out, mail = made(mailer, draft)
    assert (mail["Auto-Submitted"], out.automatic, out.capped) == (auto, auto is not None, capped)
    assert (mail["X-Auto-Response-Suppress"] is not None) == (auto is not None)
    assert mail["X-Mailbridge-Loop"] == loop_mark(RING.current)


def test_the_loop_mark_is_known_after_a_rotation_and_nobody_else_can_make_it() -> None:
    """Mail of last month that comes back is still ours; another desk's never is."""
    assert loop_mark(RING.retired[0]) in loop_marks(RING)
    assert loop_mark(Key("2", b"x" * 32)) not in loop_marks(RING)


def test_a_strangers_template_is_only_words(mailer: Mailer) -> None:
    """What a mail says is a value, shown as it is written, and escaped in HTML."""
    mail = read(mailer.make(NOTIFY, about(subject=EVIL), occasion(words=EVIL), RING).data)
    assert "{{ 7 * 7 }} <script>x</script>" in text_of(mail)
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()
    assert "{{ 7 * 7 }} &lt;script&gt;" in html.get_content()


def test_the_cause_names_occasion_kind_and_agent(mailer: Mailer) -> None:
    """Unique, so that no cause makes a mail twice."""
    assert all("inbound:17" in made(mailer, draft)[0].cause_key for draft in ALL)
    causes = {made(mailer, each)[0].cause_key for each in ALL}
    other = d.Notify(AgentFacts(13, Address("", "zoe@desk.example")), d.News.NEW, "Anne")
    assert len(causes | {made(mailer, other)[0].cause_key}) == len(ALL) + 1


# ---------------------------------------------------------------- who gets what


def test_an_answer_goes_to_the_requester_with_the_collaborators_on_copy(mailer: Mailer) -> None:
    """In the mailbox's name and the agent's, never from or to the agent's own address."""
    out, mail = made(mailer, ANSWER)
    assert (mail["To"], mail["Cc"]) == ("Anne <anne@customer.example>", "Cris <cris@customer.example>")
    assert out.recipients == (ANNE.address, CRIS.address)
    assert mail["From"].addresses[0].display_name == "Bart (Support)"
    assert BART.address.address not in mail.as_string()
    assert mail["Subject"] == "Re: [#7K3M9-QX2VD] The printer burns"


@pytest.mark.parametrize("draft", TO_CUSTOMERS)
def test_nothing_about_agents_is_in_a_customers_mail(mailer: Mailer, draft: d.Draft) -> None:
    """No address, no token, no command, no running number: it would tell how many customers there are."""
    _, mail = made(mailer, draft)
    raw = mail.as_string()
    for hidden in (BART.address.address, "+a2-", "#solved", "write your reply above", "Priority:"):
        assert hidden not in raw
    assert "#3" not in text_of(mail)


@pytest.mark.parametrize("draft", TO_AGENTS)
def test_an_agents_mail_goes_to_the_agent_alone(mailer: Mailer, draft: d.Draft) -> None:
    """A customer on copy would have the agent's token."""
    out, mail = made(mailer, draft)
    assert (out.recipients, mail["Cc"]) == ((BART.address.address,), None)


def test_an_unverified_acknowledgement_carries_no_word_of_the_sender(mailer: Mailer) -> None:
    """Else a forged From makes us deliver a stranger's advertisement, signed by us."""
    what = about(
        subject="BUY NOW http://evil.example",
        requester=Address("BUY NOW", "victim@x.example"),
        collaborators=(Address("BUY NOW", "more@x.example"),),
        message_ids=("<m1@customer.example>",),
    )
    ack = d.Acknowledge(Address("BUY NOW", "victim@x.example"))
    out = mailer.make(ack, what, occasion(words="BUY NOW", attachments=(FILE,)), RING)
    mail = read(out.data)
    assert "BUY" not in mail.as_string()
    assert "evil" not in mail.as_string()
    assert mail["Subject"] == "[#7K3M9-QX2VD] We have received your message"
    assert out.recipients == ("victim@x.example",)
    assert not list(mail.iter_attachments())

    verified = read(mailer.make(ack, what, occasion(words="BUY NOW", verified=True), RING).data)
    assert "BUY NOW" in verified["Subject"]
    assert "BUY NOW" not in text_of(verified)


def test_words_and_files_of_the_mail_reach_the_agent_and_large_files_are_only_named(mailer: Mailer) -> None:
    """An agent can work from the mail alone; 11 MiB are fetched where they are wanted."""
    large = Attachment("core.bin", "application/octet-stream", 11 << 20, False, "", "1" * 64, b"x")
    small = read(mailer.make(NOTIFY, about(), occasion(attachments=(FILE,)), RING).data)
    assert [part.get_filename() for part in small.iter_attachments()] == ["log.txt"]
    assert "Smoke everywhere." in text_of(small)
    big = read(mailer.make(NOTIFY, about(), occasion(attachments=(FILE, large)), RING).data)
    assert not list(big.iter_attachments())
    assert "too large" in text_of(big)
    assert "core.bin" in text_of(big)


def test_a_notice_of_a_new_ticket_has_no_number_yet_and_does_not_say_none(mailer: Mailer) -> None:
    """The number is given by the commit that the mail is part of."""
    _, mail = made(mailer, NOTIFY, number=None)
    assert "None" not in mail.as_string()
    assert "[#7K3M9-QX2VD]" in text_of(mail)


def test_a_receipt_names_every_line_and_gives_unsent_words_back(mailer: Mailer) -> None:
    """The agent can send the whole again without writing it again."""
    wrong = d.Receipt(BART, (), (Rejected(2, "#solvd", "unknown command"),), "All my words.")
    text = text_of(made(mailer, wrong)[1])
    assert "Line 2: #solvd" in text
    assert "> All my words." in text
    done = text_of(made(mailer, RECEIPT)[1])
    assert "- #open" in done


def test_a_solved_mail_says_why_and_that_a_reply_reopens(mailer: Mailer) -> None:
    """The promise of DESIGN §1, in the customer's words."""
    bug = Solution(SolvedReason.BUG_FILED, "BUG-7", "high", "the June release")
    state = TicketState(Status.SOLVED, Priority.S3, solution=bug)
    text = text_of(made(mailer, d.TellSolved("bug_filed"), state=state)[1])
    assert "BUG-7" in text
    assert "the June release" in text
    assert "opens it again" in text


@pytest.mark.parametrize("draft", ALL)
def test_our_own_mail_is_read_by_our_own_parser_without_a_defect(mailer: Mailer, draft: d.Draft) -> None:
    """What we demand of others we do ourselves; and a quoted copy of it threads by its marker."""
    mail = parse_mail(made(mailer, draft)[0].data)
    assert mail.defects == ()
    assert mail.sender is not None
    assert mail.html


def test_a_mailbox_with_a_name_of_another_script_still_gives_ids_in_ascii(mailer: Mailer) -> None:
    """Message-IDs are ASCII (RFC 5322 3.6.4); the domain goes by its IDNA form."""
    out = mailer.make(ANSWER, about(mailbox="hilfe@bücher.example"), occasion(), RING)
    assert out.message_id.endswith("@xn--bcher-kva.example>")
    assert RING.read_message_id(out.message_id) == Token(TokenKind.TICKET, KEY)
