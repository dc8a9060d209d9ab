"""The table of signs: each row is a mail, the kind it must have, and where the rule comes from."""

from __future__ import annotations

import re
import time

import pytest

from mailbridge.core.classify import classify
from mailbridge.core.mail import Address, Classification, Header, Kind, Part
from mailbridge.core.signs import SIGNS

ANNE = "Anne <anne@customer.example>"


def kind_of(
    head: str = "",
    *,
    subject: str = "Invoice 17",
    sender: str = ANNE,
    text: str = "Hello, I have a question.",
    content_type: str = "text/plain",
    parts: tuple[str, ...] = ("text/plain",),
    null_sender: bool = False,
) -> Classification:
    """Classify a mail given by its extra header lines; the rest is a person's plain mail."""
    headers = [Header("From", sender), Header("To", "support@desk.example"), Header("Subject", subject)]
    for line in head.splitlines():
        name, _, value = line.partition(":")
        headers.append(Header(name, value.strip()))
    return classify(
        headers,
        subject=subject,
        from_=(Address("", sender.partition("<")[2].rstrip(">")),),
        content_type=content_type,
        parts=tuple(Part(media, text if media == "text/plain" else "") for media in parts),
        text=text,
        null_sender=null_sender,
    )


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("", "no sign at all"),
        ("Auto-Submitted: no", "RFC 3834 5: `no` is a person"),
        ("Auto-Submitted: (sent by hand) no (really)", "RFC 3834 5 with RFC 5322 3.2.2 comments"),
        ("Auto-Submitted: no; owner-email=anne@customer.example", "RFC 3834 5: parameters may follow"),
        ("Auto-Submitted:", "an empty field says nothing"),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", "it asks for silence; people's mail carries it"),
        ("X-MS-Exchange-Inbox-Rules-Loop: anne@customer.example", "a rule forwarded a person's mail"),
        ("X-Autoreply: no", "the header denies it"),
        ("List-Unsubscribe: <mailto:x@crm.example>", "customer systems put it on people's mail"),
        ("Precedence: first-class", "the default precedence"),
        ("Feedback-ID: 1:2:3:mail", "a provider's counter on any mail"),
        ("Importance: high\nX-Mailer: Outlook\nX-Spam-Status: No", "what providers add"),
    ],
)
def test_a_person_stays_a_person(head: str, why: str) -> None:
    """A person taken for a machine gets no answer and no ticket: the worst mistake this table can make."""
    assert kind_of(head).kind is Kind.HUMAN, why


@pytest.mark.parametrize(
    ("subject", "sender", "text"),
    [
        ("Automatic reply does not work", ANNE, "Our autoresponder is broken."),
        ("Out of office replies open tickets", ANNE, "Why?"),
        (
            "Re: Undeliverable: Invoice",
            ANNE,
            "This mail was returned to me, see below. > could not be delivered",
        ),
        ("Fwd: failure notice", ANNE, "What is this? > Hi. This is the qmail-send program"),
        (
            "Delivery failed for order 12",
            ANNE,
            "The parcel was not delivered, the courier was unable to deliver.",
        ),
        (
            "Mailbox full",
            "System Administrator <it@customer.example>",
            "Mails could not be delivered to you.",
        ),
        ("Question about DNS", "Postmaster <postmaster@customer.example>", "Which MX should we use?"),
        ("Abwesenheitsnotiz wird nicht versendet", ANNE, "Bitte um Hilfe"),
        ("Autosvar fungerar inte", ANNE, "Hej"),
    ],
)
def test_people_who_write_about_mail_trouble_stay_people(subject: str, sender: str, text: str) -> None:
    """Customers of a desk write about exactly these things, in exactly these words."""
    assert kind_of(subject=subject, sender=sender, text=text).kind is Kind.HUMAN


@pytest.mark.parametrize(
    ("head", "source"),
    [
        ("Auto-Submitted: auto-replied", "RFC 3834 5"),
        ("Auto-Submitted: Auto-Generated (by cron); x=y", "RFC 3834 5: case and comment"),
        ("Auto-Submitted: (robot) auto-notified", "RFC 5436 2.7.1, a comment first"),
        ("Auto-Submitted: no\nAuto-Submitted: auto-replied", "any of repeated fields counts"),
        ("X-Autoreply: yes", "GitLab, FreeScout"),
        ("X-Autorespond: x", "FreeScout, osTicket"),
        ("X-Autoresponder: x", "FreeScout"),
        ("X-Mail-Autoreply: x", "osTicket"),
        ("X-FC-MachineGenerated: true", "RT: FirstClass"),
        ("Delivered-To: autoresponder@customer.example", "FreeScout"),
        ("Precedence: auto_reply", "FreeScout, osTicket"),
        ("X-Precedence: auto-reply", "osTicket"),
        ("X-Auto-Response-Suppress: All\nX-MS-Exchange-Inbox-Rules-Loop: a@b.example", "Zammad: Exchange"),
        ("X-Amazon-Mail-Relay-Type: notification", "osTicket"),
        ("X-Loop: vacation", "vacation programs"),
        ("List-Id: <build.lists.example>\nAuto-Submitted: auto-generated", "a list's robot is a robot"),
    ],
)
def test_automatic_mail_is_known_by_its_headers(head: str, source: str) -> None:
    """Answering one of these starts a loop (RFC 3834 2)."""
    assert kind_of(head).kind is Kind.AUTO_REPLY, source


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Invoice 17",
        "Out of Office",
        "Abwesenheitsnotiz: Rechnung",
        "Réponse automatique : facture",
        "Risposta automatica: fattura",
        "Respuesta automática: factura",
        "Resposta automática: fatura",
        "Automatisch antwoord: factuur",
        "Autosvar: faktura",
        "Automatisk svar: faktura",
        "Automaattinen vastaus: lasku",
        "Automatická odpověď: faktura",
        "Odpowiedź automatyczna: faktura",
        "Автоматический ответ: счёт",
        "Автоматична відповідь: рахунок",
        "Otomatik Yanıt: fatura",
        "自動応答: 請求書",
        "自动回复: 发票",
        "자동 회신: 송장",
        "رد تلقائي: فاتورة",
        "תשובה אוטומטית: חשבונית",
    ],
)
def test_a_subject_alone_tells_an_automatic_reply_only_at_its_start(subject: str) -> None:
    """The weakest evidence: some systems mark nothing else. A quoted one after Re: is a person's answer."""
    assert kind_of(subject=subject).kind is Kind.AUTO_REPLY
    assert kind_of(subject=f"Re: {subject}").kind is Kind.HUMAN


DSN = "multipart/report; report-type=delivery-status; boundary=x"


@pytest.mark.parametrize(
    ("case", "source"),
    [
        ({"content_type": DSN}, "RFC 3464 2, RFC 6522 3"),
        ({"content_type": DSN.replace("delivery-status", '"delivery-status"')}, "a quoted parameter"),
        ({"parts": ("text/plain", "message/delivery-status")}, "the part under a wrong container"),
        ({"parts": ("text/plain", "message/global-delivery-status")}, "RFC 6533"),
        ({"head": "X-Failed-Recipients: cris@customer.example"}, "Exim, Gmail"),
        ({"content_type": DSN, "head": "Auto-Submitted: auto-replied"}, "a bounce is automatic too"),
        ({"content_type": DSN, "head": "Precedence: bulk"}, "and often bulk"),
        ({"sender": "MAILER-DAEMON <>", "subject": "Mail delivery failed"}, "DragonFly"),
        (
            {"sender": "MAILER-DAEMON@mx.example", "text": "邮件无法发送到您指定的地址中。"},
            "sina, words in Chinese",
        ),
        ({"sender": "MAILER-DAEMON@mx.example", "subject": "Ваше сообщение не доставлено"}, "Mail.Ru"),
        ({"sender": "postmaster@mx.example", "subject": "Undeliverable: Invoice"}, "Exchange"),
        ({"sender": "postmaster@mx.example", "subject": "配信エラー"}, "Japanese gateways"),
        ({"null_sender": True, "subject": "Undelivered Mail Returned to Sender"}, "RFC 5321 4.5.5"),
        (
            {"head": "Return-Path: <>", "text": "Could not be delivered to: <c@d.example>"},
            "KDDI; RFC 5321 4.4",
        ),
        (
            {
                "subject": "Mail delivery failed: returning message to sender",
                "text": "This message was created automatically by mail delivery software.",
            },
            "Exim under a name of its administrator's choice",
        ),
        (
            {
                "head": "X-Amz-Sns-Message-Id: 1",
                "text": '{"notificationType":"Bounce","bounce":{"bouncedRecipients":[]}}',
            },
            "Amazon SES by SNS",
        ),
    ],
)
def test_a_bounce_is_known_by_structure_header_writer_or_words(case: dict[str, object], source: str) -> None:
    """Its recipient must be flagged, and its ticket must not reopen."""
    assert kind_of(**case).kind is Kind.BOUNCE, source  # type: ignore[arg-type]  # rows are keyword arguments


@pytest.mark.parametrize(
    ("case", "kind", "source"),
    [
        (
            {"content_type": "multipart/report; report-type=feedback-report"},
            Kind.FEEDBACK_REPORT,
            "RFC 5965 2",
        ),
        ({"parts": ("text/plain", "message/feedback-report")}, Kind.FEEDBACK_REPORT, "RFC 5965 3"),
        (
            {"content_type": "multipart/report; report-type=feedback-report", "head": "Precedence: list"},
            Kind.FEEDBACK_REPORT,
            "AOL marks its reports as list mail",
        ),
        (
            {"content_type": "multipart/report; report-type=disposition-notification"},
            Kind.AUTO_REPLY,
            "RFC 8098: a receipt is no bounce",
        ),
        ({"sender": "x@boxbe.com", "content_type": DSN}, Kind.CHALLENGE, "Boxbe poses as a bounce"),
        ({"head": "X-AskVersion: 2.5"}, Kind.CHALLENGE, "Active Spam Killer"),
        (
            {
                "head": "Auto-Submitted: auto-replied",
                "text": "Please verify that you are a human by clicking here",
            },
            Kind.CHALLENGE,
            "words, together with RFC 3834",
        ),
        ({"head": "List-Id: Talk <talk.lists.example>"}, Kind.MAILING_LIST, "RFC 2919 3"),
        ({"head": "List-Post: <mailto:talk@lists.example>"}, Kind.MAILING_LIST, "RFC 2369 3.4"),
        (
            {"head": "List-Post: NO"},
            Kind.HUMAN,
            "RFC 2369 3.4: posting is not allowed, so no list to talk of",
        ),
        ({"head": "Precedence: list"}, Kind.MAILING_LIST, "Mailman, Discourse"),
        ({"head": "Precedence: bulk"}, Kind.MAILING_LIST, "bulk mail"),
        ({"head": "Precedence: bulk", "subject": "Out of office: Invoice"}, Kind.AUTO_REPLY, "vacation(1)"),
        ({"head": "X-Mailing-List: talk@vger.example"}, Kind.MAILING_LIST, "Majordomo"),
        ({"head": "Mailing-List: contact talk-help@lists.example"}, Kind.MAILING_LIST, "ezmlm"),
        (
            {
                "head": "List-Unsubscribe: <https://x.example>\n"
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
            },
            Kind.MAILING_LIST,
            "RFC 8058 3.1",
        ),
        ({"null_sender": True}, Kind.AUTO_REPLY, "RFC 5321 4.5.5: wants no answer"),
    ],
)
def test_the_first_sign_of_the_table_decides(case: dict[str, object], kind: Kind, source: str) -> None:
    """Where two signs hold, the order of the table is the rule."""
    assert kind_of(**case).kind is kind, source  # type: ignore[arg-type]  # rows are keyword arguments


def test_the_deciding_header_is_named_as_it_came() -> None:
    """`mailbridge explain` shows it; an operator must find it in the mail."""
    found = kind_of("AUTO-submitted: auto-replied\nList-Id: <talk.lists.example>")
    assert (found.header, found.value) == ("AUTO-submitted", "auto-replied")
    assert "RFC 3834" in found.why
    assert kind_of().header == ""


def test_values_shown_are_bounded() -> None:
    """A value is stored with each mail: its length is ours to decide."""
    assert len(kind_of("Auto-Submitted: auto-replied; " + "x" * 9000).value) == 200


def test_every_kind_but_human_has_a_row_with_a_reason() -> None:
    """A kind without a row could never be given."""
    assert {sign.kind for sign in SIGNS} == set(Kind) - {Kind.HUMAN}
    assert all(sign.why and sign.conditions for sign in SIGNS)


@pytest.mark.parametrize(
    "filler",
    ["a" * 65_536, "(" * 65_536, " " * 65_536, "no " * 20_000, "\n" * 65_536, "report-type = " * 4_000],
    ids=["word", "open comments", "blanks", "words", "lines", "parameters"],
)
def test_hostile_values_cost_no_time(filler: str) -> None:
    """Every pattern is linear on a bounded value: the parser's worker must not be held up."""
    head = "".join(
        f"{name}: {filler.replace(chr(10), ' ')}\n" for name in ("Auto-Submitted", "Precedence", "Sender")
    )
    started = time.perf_counter()
    kind_of(head, subject=filler, sender=filler, text=filler, content_type=filler)
    assert time.perf_counter() - started < 0.5


def test_no_pattern_of_the_table_can_match_nothing() -> None:
    """A pattern that matches the empty string would hold for any value, which the table says otherwise."""
    patterns = [c.pattern for sign in SIGNS for c in sign.conditions if c.pattern is not None]
    assert patterns
    assert not [p.pattern for p in patterns if re.search(p, "")]
