"""Bounces: who did not get our mail, with which status, and which mail it was.

Every sample is written for its row in the shape that the named system gives its notices.
"""

from __future__ import annotations

import time

import pytest

from mailbridge.core.dsn import read_bounce
from mailbridge.core.dsn_fields import plain_address, read_reports
from mailbridge.core.dsn_notice import split_notice
from mailbridge.core.dsn_status import derived_code, first_code, stated_code
from mailbridge.core.mail import Bounce, Header, Part

RETURNED = (
    "Return-Path: <support@desk.example>\nMessage-ID: <t1@desk.example>\nTo: cris@customer.example\n\nHello\n"
)


def bounce_of(
    text: str = "",
    *,
    report: str = "",
    returned: str = "",
    subject: str = "Undelivered Mail Returned to Sender",
    head: tuple[Header, ...] = (),
    sender: str = "MAILER-DAEMON@mx.customer.example",
) -> Bounce:
    """Read a bounce made of a notice, a report part and a returned mail, each if given."""
    parts = [Part("text/plain", text)]
    if report:
        parts.append(Part("message/delivery-status", report))
    if returned:
        parts.append(Part("message/rfc822", returned))
    headers = (Header("From", sender), Header("To", "support@desk.example"), *head)
    found = read_bounce(headers, subject=subject, text=text, parts=parts, content_type="multipart/report")
    assert found is not None
    return found


def rows(bounce: Bounce) -> list[tuple[str, str | None, str | None]]:
    """Address, status, action of each recipient."""
    return [(r.address, r.status, r.action) for r in bounce.recipients]


# ------------------------------------------------------------------ RFC 3464


def test_a_standard_report_gives_every_recipient_as_stated() -> None:
    """RFC 3464 2.3: one group a recipient; here one failed and one is only late."""
    report = (
        "Reporting-MTA: dns; mx.customer.example\n\n"
        "Final-Recipient: rfc822; cris@customer.example\nAction: failed\nStatus: 5.1.1 (bad address)\n"
        "Diagnostic-Code: smtp; 550 5.1.1 <cris@customer.example>\n  User unknown\n\n"
        "Final-Recipient: rfc822;anne@customer.example\nAction: delayed\nStatus: 4.4.1\n"
    )
    bounce = bounce_of(report=report, returned=RETURNED)
    assert rows(bounce) == [
        ("cris@customer.example", "5.1.1", "failed"),
        ("anne@customer.example", "4.4.1", "delayed"),
    ]
    assert bounce.recipients[0].diagnostic == "smtp; 550 5.1.1 <cris@customer.example> User unknown"
    assert bounce.original_message_id == "<t1@desk.example>"


@pytest.mark.parametrize(
    ("report", "expected", "source"),
    [
        (
            "Original-Recipient: rfc822;cris@customer.example\nFinal-Recipient: rfc822;c.r@inner.example\n"
            "Action: failed\nStatus: 5.2.2",
            [("cris@customer.example", "5.2.2", "failed")],
            "RFC 3464 2.3.1: we know the address that we wrote to",
        ),
        (
            "Original-Recipient: rfc822;all@customer.example\nFinal-Recipient: rfc822;a@inner.example\n"
            "Action: failed\nStatus: 5.1.1\n\n"
            "Original-Recipient: rfc822;all@customer.example\nFinal-Recipient: rfc822;b@inner.example\n"
            "Action: failed\nStatus: 5.1.1",
            [("a@inner.example", "5.1.1", "failed"), ("b@inner.example", "5.1.1", "failed")],
            "an expanded alias did not fail as a whole",
        ),
        (
            "Final-Recipient: rfc822;@relay.example:cris@customer.example\nAction: failed\nStatus: 5.0.0",
            [("cris@customer.example", "5.0.0", "failed")],
            "RFC 5321 4.1.1.3: the source route is to be ignored",
        ),
        (
            "Final-Recipient: cris@customer.example\nAction: failed (permanently)\nStatus: 5.1.1",
            [("cris@customer.example", "5.1.1", "failed")],
            "no type, a comment",
        ),
        (
            "Final-Recipient: RFC822; <Cris@Customer.example>\nAction: Expired\nStatus: 4.4.7",
            [("Cris@Customer.example", "4.4.7", "failed")],
            "angle brackets and an action of its own",
        ),
        (
            "Final-Recipient: rfc822; cris@customer.example\n\nAction: failed\n\nStatus: 5.1.1",
            [("cris@customer.example", "5.1.1", "failed")],
            "blank lines inside one group",
        ),
        (
            "Final-Recipient: rfc822; a@customer.example\nAction: failed\nStatus: 5.1.1\n"
            "Final-Recipient: rfc822; b@customer.example\nAction: failed\nStatus: 5.1.2",
            [("a@customer.example", "5.1.1", "failed"), ("b@customer.example", "5.1.2", "failed")],
            "no blank line between two groups",
        ),
        (
            "Final-Recipient: rfc822; cris@customer.example\nAction: failed\n"
            "Diagnostic-Code: smtp; 550 5.7.1 refused",
            [("cris@customer.example", "5.7.1", "failed")],
            "the status stands in the diagnostic only",
        ),
        (
            "Final-Recipient: utf-8; j\\x{F6}rg@customer.example\nAction: failed\nStatus: 5.1.1",
            [("jörg@customer.example", "5.1.1", "failed")],
            "RFC 6533 3",
        ),
    ],
)
def test_reports_of_the_world_are_read_as_meant(
    report: str, expected: list[tuple[str, str, str]], source: str
) -> None:
    """Few systems follow RFC 3464 to the letter."""
    assert rows(bounce_of(report=report)) == expected, source


def test_fields_pasted_into_the_text_count_as_a_report() -> None:
    """Amazon WorkMail and broken MIME bring the fields in the text."""
    text = (
        "An error occurred.\n\nAction: failed\nFinal-Recipient: rfc822; cris@customer.example\n"
        "Diagnostic-Code: smtp; 550 5.2.2 Mailbox Full\nStatus: 5.2.2\n"
    )
    assert rows(bounce_of(text)) == [("cris@customer.example", "5.2.2", "failed")]


def test_a_bounce_inside_a_bounce_is_read_from_the_inner_one() -> None:
    """A gateway wraps the first notice whole; only there is the recipient named."""
    inner = (
        "Message-ID: <inner@mx.example>\nContent-Type: message/delivery-status\n\n"
        "Final-Recipient: rfc822; cris@customer.example\nAction: failed\nStatus: 5.1.1\n"
    )
    assert rows(bounce_of("See attachment.", returned=inner)) == [
        ("cris@customer.example", "5.1.1", "failed")
    ]


def test_fields_without_an_address_complete_the_recipient_of_the_header() -> None:
    """Exim reports a pipe or file that failed; X-Failed-Recipients names whose it was."""
    bounce = bounce_of(
        report="Action: failed\nFinal-Recipient: rfc822;/var/spool/cris\nStatus: 5.0.0\n",
        head=(Header("X-Failed-Recipients", "cris@customer.example"),),
    )
    assert rows(bounce) == [("cris@customer.example", "5.0.0", "failed")]


# ------------------------------------------------------------------ notices without a standard

CRIS = [("cris@customer.example", "5.1.1", "failed")]


@pytest.mark.parametrize(
    ("family", "text", "expected"),
    [
        (
            "qmail",
            "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver.\n\n"
            "<cris@customer.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
            "--- Below this line is a copy of the message.\n\nTo: <bart@desk.example>:\n",
            CRIS,
        ),
        (
            "Postfix",
            "This is the Postfix program at host mx.example.\nFor further assistance, please send mail to "
            "<postmaster@mx.example>\n\n<cris@customer.example>: host in.customer.example said: 550 5.1.1\n"
            "    User unknown (in reply to RCPT TO command)\n",
            CRIS,
        ),
        (
            "Exim, two recipients",
            "A message that you sent could not be delivered to one or more of its\nrecipients. The following "
            "address(es) failed:\n\n  cris@customer.example\n    host x [192.0.2.1]: 550 5.1.1 unknown\n"
            "  anne@customer.example\n    mailbox is full\n\n------ This is a copy of the message ------\n\n",
            [*CRIS, ("anne@customer.example", "5.2.2", "failed")],
        ),
        (
            "Sendmail 8",
            "   ----- The following addresses had permanent fatal errors -----\n<cris@customer.example>\n"
            "    (reason: 550 5.1.1 No such user)\n\n   ----- Transcript of session follows -----\n"
            ">>> RCPT To:<cris@customer.example>\n<<< 550 5.1.1 No such user\n",
            CRIS,
        ),
        (
            "Sendmail 5",
            "   ----- Transcript of session follows -----\nWhile talking to mx.example:\n"
            "550 <cris@customer.example>... User unknown\n\n   ----- Unsent message follows -----\n"
            "Received: x\n",
            CRIS,
        ),
        (
            "Exchange 5.5",
            "Your message\n\n  To:      bart@desk.example\n  Subject: Hello\n\ndid not reach the following "
            "recipient(s):\n\ncris@customer.example on Wed, 15 Feb 2006 04:25:29 -0500\n"
            "    The recipient name is not recognized\n",
            CRIS,
        ),
        (
            "Domino",
            "Your message\n\n  Subject: Hello\n\nwas not delivered to:\n\n  cris@customer.example\n\n"
            "because:\n\n"
            "  User cris (cris@customer.example) not listed in Domino Directory\n",
            CRIS,
        ),
        (
            "Notes",
            "------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\n"
            "cris@customer.example\n\n------- Returned Message --------\n\nReceived: x\n",
            CRIS,
        ),
        (
            "Yahoo",
            "Sorry, we were unable to deliver your message to the following address.\n\n"
            "<cris@customer.example>:\nRemote host said:\n550 5.1.1 User Unknown\n[RCPT_TO]\n",
            CRIS,
        ),
        (
            "Gmail before 2014",
            "Delivery to the following recipient failed permanently:\n\n     cris@customer.example\n\n"
            "Technical details of permanent failure:\nThe error that the other server returned was: 550 550 "
            "5.1.1 user unknown (state 14).\n\n----- Original message -----\n\nReceived: by 192.0.2.1\n",
            CRIS,
        ),
        (
            "GMX",
            'The following address\nfailed:\n\n"cris@customer.example":\nSMTP error from remote server\n'
            "5.1.1 <cris@customer.example>... User Unknown\n",
            CRIS,
        ),
        (
            "1&1, reason below a bare address",
            "A message that you sent could not be delivered. The following address failed:\n\n"
            "cris@customer.example:\n  user unknown\n",
            CRIS,
        ),
        (
            "KDDI",
            "Your mail sent on: Thu, 29 Apr 2013 00:00:00 +0900\n     Could not be delivered to: "
            "<cris@customer.example>\n     As their mailbox is full.\n",
            [("cris@customer.example", "5.2.2", "failed")],
        ),
        (
            "ezweb",
            "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n"
            "Each of the following recipients was "
            "rejected by a remote\nmail server.\n\n    Recipient: <cris@customer.example>\n"
            "    >>> RCPT TO:<cris@customer.example>\n    <<< 550 User unknown\n",
            CRIS,
        ),
        (
            "m-FILTER",
            "以下のメールアドレスへの送信に失敗しました。\ncris@customer.example\n\n-------server message\n"
            "550 5.1.1 unknown\n-------original message\nReceived: x\n",
            CRIS,
        ),
        (
            "DragonFly, wrapped",
            "There was an error delivering your mail to\n<cris@customer.example>.\n\n550 5.1.1 No such user\n"
            "\nMessage headers follow.\n\nReceived: x\n",
            CRIS,
        ),
        (
            "OpenSMTPD",
            "    An error has occurred while attempting to deliver a message for\n    the following list of "
            "recipients:\n\ncris@customer.example: 550 5.1.1 no such user\n",
            CRIS,
        ),
        (
            "IMail",
            "Invalid final delivery userid: cris@customer.example\n\nOriginal message follows.\n\nTo: x\n",
            CRIS,
        ),
        (
            "MailEnable",
            "The following recipient(s) could not be reached:\n\n\tRecipient: [SMTP:cris@customer.example]\n"
            "\tReason: 550 mailbox unavailable.\n",
            CRIS,
        ),
        (
            "InterScan",
            "Sent <<< RCPT TO:<cris@customer.example>\nReceived >>> 550 5.1.1 unknown user.\n"
            "Unable to deliver message to <cris@customer.example> (and others).\n",
            CRIS,
        ),
        (
            "Netscape, InterMail",
            "The following destination addresses were unknown (please check):\n\n"
            "SMTP <cris@customer.example>\n",
            [("cris@customer.example", None, "failed")],
        ),
        (
            "Apache James",
            "Failed recipient(s):\ncris@customer.example\n\nError message:\n550 5.1.1 no such user\n",
            CRIS,
        ),
        (
            "AT&T",
            "The following message to <cris@customer.example> was undeliverable.\n"
            "The reason: 550 User unknown\n",
            CRIS,
        ),
        (
            "SurfControl",
            "Your message could not be sent.\nAddressed To: cris@customer.example\n\n550 5.1.1 unknown\n",
            CRIS,
        ),
        (
            "GroupWise, a bare local part completed by the writer's domain",
            "The message that you sent was undeliverable to the following:\n\tcris (user not found)\n",
            [("cris@mx.customer.example", "5.1.1", "failed")],
        ),
        (
            "Zoho",
            "This message was created automatically. cris@elsewhere.example is who wrote.\n"
            "[Status: Error, Address: <cris@customer.example>, ResponseCode 550, 5.1.1 unknown]\n",
            CRIS,
        ),
        (
            "French, an office as only recipient",
            "Impossible de remettre votre message aux destinataires suivants :\n\n"
            "  postmaster@customer.example\n"
            "    550 5.1.1 inconnu\n",
            [("postmaster@customer.example", "5.1.1", "failed")],
        ),
        (
            "nobody's form, one foreign address",
            "Hallo support@desk.example, leider kam Ihre Mail fuer cris@customer.example zurueck (5.1.1). "
            "Fragen an: postmaster@mx.example\n",
            CRIS,
        ),
    ],
)
def test_notices_for_people_name_their_recipient(
    family: str, text: str, expected: list[tuple[str, str | None, str]]
) -> None:
    """Half of the world's bounces follow no standard."""
    assert rows(bounce_of(text)) == expected, family


def test_failed_recipients_of_the_header_take_their_status_from_the_notice() -> None:
    """X-Failed-Recipients (Exim, Gmail) names them exactly; the words tell why."""
    bounce = bounce_of(
        "The following address(es) failed:\n\n  cris@customer.example\n    550 5.1.1 unknown\n"
        "  anne@customer.example\n    552 5.2.2 full\n",
        head=(Header("X-Failed-Recipients", "cris@customer.example, anne@customer.example"),),
    )
    assert rows(bounce) == [*CRIS, ("anne@customer.example", "5.2.2", "failed")]


def test_amazon_tells_in_json() -> None:
    """Amazon SES by SNS: the text of the mail is one JSON object, with a footer behind it."""
    text = (
        '{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"cris@customer.example",'
        '"action":"failed","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 unknown"}]}}\n--\nunsubscribe'
    )
    assert rows(bounce_of(text)) == CRIS


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Delivery Status Notification (Delay)", "Delivery to the following recipient:\n\n  c@d.example\n"),
        (
            "Warning: message x delayed 24 hours",
            "not yet been delivered to the following addresses:\n  c@d.example\n",
        ),
        ("Delayed Mail (still being retried)", "<c@d.example>: connect to mx: Connection timed out\n"),
        (
            "Delivery report",
            "THIS IS A WARNING ONLY\nWill be retried for 2 days. Recipients:\n  c@d.example\n",
        ),
    ],
)
def test_a_delay_is_not_a_failure(subject: str, text: str) -> None:
    """RFC 3464 2.3.3: the mail may still arrive; the address must not be marked."""
    (recipient,) = bounce_of(text, subject=subject).recipients
    assert recipient.action == "delayed"
    assert recipient.status is None or recipient.status.startswith("4.")


# ------------------------------------------------------------------ which mail


@pytest.mark.parametrize(
    ("parts", "head", "expected"),
    [
        ([Part("message/rfc822", RETURNED)], (), "<t1@desk.example>"),
        (
            [Part("text/rfc822-headers", "Subject: x\nMessage-Id:\n <t1@desk.example>\n")],
            (),
            "<t1@desk.example>",
        ),
        (
            [Part("message/delivery-status", "X-Original-Message-ID: <t1@desk.example>\n")],
            (),
            "<t1@desk.example>",
        ),
        ([], (Header("References", "<a@x.example> <t1@desk.example>"),), "<t1@desk.example>"),
        ([Part("message/rfc822", "Message-ID: 20140913\n\n")], (), ""),
    ],
    ids=["returned mail", "returned header, folded", "field of the report", "thread", "unusable"],
)
def test_the_bounced_mail_is_found_by_its_message_id(
    parts: list[Part], head: tuple[Header, ...], expected: str
) -> None:
    """By it the bounce finds the entry and the recipient of the outbox."""
    text = "<cris@customer.example>: 550 5.1.1 no\n"
    found = read_bounce(
        head, subject="failure notice", text=text, parts=[Part("text/plain", text), *parts], content_type=""
    )
    assert found is not None
    assert found.original_message_id == expected


def test_the_returned_mail_below_a_notice_gives_id_but_no_recipients() -> None:
    """Addresses of the returned mail never failed: they are our words coming back."""
    copy = f"--- Below this line is a copy of the message.\n\n{RETURNED}<x@y.example>: hi"
    text = f"<cris@customer.example>:\n550 5.1.1 no\n\n{copy}"
    bounce = bounce_of(text)
    assert rows(bounce) == CRIS
    assert bounce.original_message_id == "<t1@desk.example>"


def test_a_mail_that_names_nobody_is_no_bounce() -> None:
    """None instead of a guess: nobody is marked."""
    assert (
        read_bounce((), subject="", text="Something went wrong.", parts=[], content_type="text/plain") is None
    )


# ------------------------------------------------------------------ pieces


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("550 5.1.1 User unknown", "5.1.1"),
        ("550-5.7.26 not authenticated", "5.7.26"),
        ("smtp; 554 4.4.7 Message expired <421 4.4.2 Connection timed out>", "4.4.2"),
        ("554 5.0.0 Service unavailable\n<<< 550 5.7.1 refused", "5.7.1"),
        ("no mailbox here by that name. (#5.1.1)", "5.1.1"),
        ("host 4.5.6.7 said no", None),
        ("Exim 4.92.3", None),
        ("Postfix version 5.1.2", None),
        ("served by 192.5.1.1", None),
        ("250 2.1.5 Ok", None),
    ],
)
def test_a_stated_code_is_no_address_and_no_version(text: str, code: str | None) -> None:
    """RFC 3463 2; a far server's own code tells more than the wrapper's x.0.0 and x.4.7."""
    assert stated_code(text) == code


@pytest.mark.parametrize(
    ("text", "action", "code"),
    [
        ("550 user unknown", "failed", "5.1.1"),
        ("mailbox full, user unknown to quota", "failed", "5.2.2"),
        ("Connection timed out", "delayed", "4.4.1"),
        ("Host unknown", "failed", "5.1.2"),
        ("too many hops", "failed", "5.4.6"),
        ("550 something odd", "failed", "5.0.0"),
        ("something odd", "failed", None),
    ],
)
def test_a_derived_code_is_what_words_mean_or_none(text: str, action: str, code: str | None) -> None:
    """RFC 3463 3: words give subject and detail, reply and action the class; no words, no guess."""
    assert derived_code(text, action=action) == code


def test_field_values_are_read_with_their_decoration() -> None:
    """RFC 3464 2.1.2 and 2.3.4 in the forms that are met."""
    assert first_code("5.1.1 (bad destination mailbox address)") == "5.1.1"
    assert first_code("unknown") is None
    assert plain_address("rfc822;anne+tag@customer.example") == "anne+tag@customer.example"
    assert plain_address("rfc822; rfc822;anne@customer.example") == "anne@customer.example"
    assert plain_address("x400; /G=Anne/") == ""
    assert read_reports("Reporting-MTA: dns; mx.example\nArrival-Date: today\n") == ()


def test_a_sentence_about_the_original_message_does_not_cut_the_notice() -> None:
    """`The original message was received at ...` opens Sendmail's notice, not the returned mail."""
    text = (
        "Bounce\nThe original message was received at noon\n<a@b.example>: no\n--- Original message ---\nx\n"
    )
    notice, tail = split_notice(text)
    assert "a@b.example" in notice
    assert tail.startswith("--- Original message")


# ------------------------------------------------------------------ bounds


def test_at_most_200_recipients_are_taken() -> None:
    """One hostile mail must not write a hundred thousand rows."""
    many = [f"c{i}@customer.example" for i in range(1000)]
    report = "\n\n".join(f"Final-Recipient: rfc822; {a}\nAction: failed\nStatus: 5.1.1" for a in many)
    assert len(bounce_of(report=report).recipients) == 200
    assert len(bounce_of("".join(f"<{a}>: 550 no\n" for a in many)).recipients) == 200
    assert len(bounce_of(head=(Header("X-Failed-Recipients", ", ".join(many)),)).recipients) == 200


@pytest.mark.parametrize(
    "filler",
    ["a" * 65_536, "a@" * 32_768, "x@y.example " * 5_000, "\n" * 65_536, ("-" * 70 + " original\n") * 900,
     "your message " * 5_000, "550 " * 16_000, '{"notificationType":' + "[" * 60_000],
    ids=["word", "signs", "addresses", "lines", "rules", "introductions", "replies", "nested json"],
)  # fmt: skip
def test_hostile_notices_cost_no_time(filler: str) -> None:
    """64 Ki characters of each part, linear patterns: the worker must not be held up."""
    started = time.perf_counter()
    read_bounce(
        (Header("X-Failed-Recipients", filler),),
        subject=filler,
        text=filler,
        parts=[
            Part("text/plain", filler),
            Part("message/delivery-status", filler),
            Part("message/rfc822", filler),
        ],
        content_type=filler,
    )
    assert time.perf_counter() - started < 5  # a quarter of a second here; a quadratic pattern takes minutes
