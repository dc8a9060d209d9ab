"""Conversations through the services: every door leads to the same state, and nobody sees what is another's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mailbridge.core import decision as d
from mailbridge.core.case import Case
from mailbridge.core.intake import decide
from mailbridge.core.ticket import Priority, SetPriority, SetStatus, Solution, SolvedReason, Status
from mailbridge.core.tokens import Token, TokenKind
from mailbridge.service.intake import Intake
from mailbridge.store import tickets
from tests.fakes import FakeClock, FakeIds
from tests.service.office import (
    ANNE,
    BART,
    CRIS,
    DESK,
    DORA,
    SALES,
    Office,
    letter,
    reply_address,
    text_of,
)


@pytest.fixture
def office(database_url: str, tmp_path: Path, clock: FakeClock, ids: FakeIds) -> Iterator[Office]:
    """The services on a database of each kind, with Bart as the one agent."""
    made = Office.open(database_url, tmp_path, clock, ids)
    made.agent()
    yield made
    made.parts.close()


def intake_with(office: Office, rule: object) -> Intake:
    """The intake, deciding by that rule."""
    parts = office.parts
    assert callable(rule)
    return Intake(
        parts.database,
        parts.mailboxes,
        parts.keys,
        parts.mailer,
        parts.caps,
        clock=parts.clock,
        ids=parts.ids,
        decide=rule,
    )


def answer(office: Office, words: str, *, message_id: str = "<b1@desk.example>", sender: str = BART) -> bytes:
    """Bart's mail to what he was last told."""
    to = reply_address(office.sent("notification"))
    return letter(sender, "Re: The printer burns", words=words, name="Bart", to=to, message_id=message_id)


def send(office: Office, words: str, *, message_id: str = "<b1@desk.example>") -> str:
    """Bart answers; the action that was taken."""
    raw = answer(office, words, message_id=message_id)
    return office.receive(raw, reply_address(office.sent("notification")), mail_from=BART).reason


# ---------------------------------------------------------------- the same machine by every channel


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("#solved agreed\n\nHello?", (SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED)),)),
        ("#priority S1 all down\n\nHello?", (SetPriority(Priority.S1, "all down"),)),
    ],
)
def test_mail_and_command_line_lead_to_the_same_state(
    office: Office, words: str, commands: tuple[SetStatus | SetPriority, ...]
) -> None:
    """One state machine: whatever the door, the ticket, its history and the customer's mail are the same."""
    first, second = (office.receive(letter(message_id=f"<{n}@x>")).ticket_key for n in range(2))
    notice = office.outgoing("notification")[0][1]
    raw = letter(BART, words=words, name="Bart", to=reply_address(notice), message_id="<b1@x>")
    office.receive(raw, reply_address(notice), mail_from=BART)
    agent = office.parts.desk.agent(BART)
    office.parts.desk.reply(second, "Hello?", commands, agent, "bart")

    by_mail, by_hand = (
        office.parts.database.read(partial(tickets.by_key, key=key)) for key in (first, second)
    )
    assert by_mail is not None
    assert by_hand is not None
    assert by_mail.state == by_hand.state
    events = [
        [
            (row.event, json.loads(row.data)["to"])
            for row in office.rows("entry")
            if (row.ticket_id, row.kind) == (n, "event")
        ]
        for n in (by_mail.id, by_hand.id)
    ]
    assert events[0] == events[1]
    assert [text_of(mail).split("\n")[0] for _, mail in office.outgoing("answer")] == ["Hello?", "Hello?"]


# ---------------------------------------------------------------- what one requester must not see of another


def test_the_survivor_of_a_merge_shows_its_requester_nothing_of_the_others(office: Office) -> None:
    """Anne's words land on Dora's ticket; Dora's mail has neither them nor Anne's address nor her Message-ID."""
    mine = office.receive(letter(DORA, name="Dora", words="It beeps."), mail_from=DORA).ticket_key
    office.receive(letter(message_id="<anne1@customer.example>", words="Mine too."))
    anne_writes_to = reply_address(office.sent("acknowledgement"))
    office.parts.desk.merge(office.ticket(2).key, mine, "root")
    office.receive(
        letter(words="My secret.", to=anne_writes_to, message_id="<anne2@customer.example>"), anne_writes_to
    )
    assert office.entries(1) == ["It beeps.", "My secret."]
    send(office, "Turn it off.")
    (row, mail), *_ = office.outgoing("answer")
    assert mail["To"] == f"Dora <{DORA}>"
    raw = mail.as_string()
    for word in ("secret", "anne", "Mine too"):
        assert word not in raw.lower()
    assert "> It beeps." in text_of(mail)
    recipients = [r.address for r in office.rows("outbox_recipient") if r.outbox_id == row.id]
    assert recipients == [DORA]


def test_a_collaborators_words_are_not_put_into_the_requesters_mouth(office: Office) -> None:
    """Below an answer stands '... wrote:' with the requester's name, so it must be the requester's words."""
    office.receive(letter(fields=f"Cc: {CRIS}\r\n"))
    to = reply_address(office.sent("acknowledgement"))
    office.receive(
        letter(CRIS, words="I saw flames.", name="Cris", to=to, message_id="<c1@x>"), to, mail_from=CRIS
    )
    assert office.entries() == ["Smoke everywhere.", "I saw flames."]
    send(office, "Leave the room.")
    sent = text_of(office.sent("answer"))
    assert "Smoke everywhere." in sent
    assert "flames" not in sent


def test_an_answer_between_the_lines_leaks_nothing_of_the_notification(office: Office) -> None:
    """The whole way: the real notification, quoted by a mail program, answered between its lines."""
    office.receive(letter(words="Smoke everywhere.\r\n\r\nAnd it beeps."))
    notice = office.sent("notification")
    quoted = [f"> {line}".rstrip() for line in text_of(notice).split("\n")]
    at = next(n for n, line in enumerate(quoted) if "Smoke" in line) + 1
    lines = [
        f"On Tue, 2 Jun 2026 at 09:00, Support <{reply_address(notice)}> wrote:",
        "",
        *quoted[:at],
        "",
        "Did you pour water on it?",
        "",
        *quoted[at:],
        "",
        f"(sent to {reply_address(notice)})",
    ]
    raw = letter(BART, words="\r\n".join(lines), name="Bart", to=reply_address(notice), message_id="<b1@x>")
    assert office.receive(raw, reply_address(notice), mail_from=BART).reason == "agent-answer"
    sent = office.sent("answer")
    words = text_of(sent)
    assert "> Smoke everywhere." in words
    assert "Did you pour water on it?" in words
    tag = reply_address(notice).partition("+")[2].partition("@")[0]
    for hidden in (tag, tag[-20:], BART, "Priority:", "#solved", "write your reply above", "New request"):
        assert hidden.lower() not in sent.as_string().lower(), hidden
    assert office.entries(kind="reply")[0].startswith("> Smoke everywhere.\n\nDid you pour")


def test_our_notification_that_comes_back_as_an_attachment_is_not_sent_on(office: Office) -> None:
    """'Forward as attachment' would hand the agent's token to the customer in a header; the manual goes out."""
    office.receive(letter())
    row, notice = office.outgoing("notification")[0]
    data = next(bytes(o.data) for o in office.rows("outbox_data") if o.outbox_id == row.id)
    head, _, _ = letter(BART, name="Bart", to=reply_address(notice), message_id="<b1@x>").partition(
        b"\r\n\r\n"
    )
    raw = (
        head
        + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the manual."
        b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        + data
        + b"\r\n--b\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename=manual.pdf\r\n\r\n%PDF\r\n--b--\r\n"
    )
    assert office.receive(raw, reply_address(notice), mail_from=BART).reason == "agent-answer"
    sent = office.sent("answer")
    assert [part.get_filename() for part in sent.iter_attachments()] == ["manual.pdf"]
    assert reply_address(notice) not in sent.as_string()


# ---------------------------------------------------------------- across tickets and doors


def test_one_mail_to_two_mailboxes_is_two_tickets_with_their_own_names(office: Office) -> None:
    """Each mailbox is a desk of its own."""
    office.accept(letter(), DESK, SALES)
    assert [receipt.action for receipt in office.work()] == ["open", "open"]
    assert [row.mailbox for row in office.rows("ticket")] == [DESK, SALES]
    froms = [str(mail["From"]) for _, mail in office.outgoing("acknowledgement")]
    assert froms == [f"Support <{DESK}>", f"Sales <{SALES}>"]


def test_our_own_mail_that_comes_back_is_kept_apart_and_not_answered(office: Office) -> None:
    """A forwarding rule at the customer's: the acknowledgement returns to us, by whatever way."""
    office.receive(letter())
    (row, _), *_ = office.outgoing("acknowledgement")
    data = next(o.data for o in office.rows("outbox_data") if o.outbox_id == row.id)
    before = len(office.rows("outbox"))
    assert office.receive(bytes(data), mail_from=ANNE).reason == "loop"
    renamed = bytes(data).replace(row.message_id.encode(), b"<new@gateway.example>")
    renamed = renamed.replace(f"<{DESK}>".encode(), b"<robot@gateway.example>", 1)
    assert office.receive(renamed, mail_from="robot@gateway.example").reason == "loop"
    assert len(office.rows("outbox")) == before


def test_a_real_delivery_report_to_our_signed_sender_stops_the_clock(office: Office) -> None:
    """The envelope sender reads back as the mail that bounced; a second report changes nothing more."""
    office.receive(letter())
    send(office, "Which model?")
    (row, _), *_ = office.outgoing("answer")
    assert office.ticket().pending_since is not None
    report = (
        f"From: MAILER-DAEMON@customer.example\r\nTo: {row.envelope_from}\r\nSubject: Undelivered Mail\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nNo such user.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mx.customer.example\r\n\r\nFinal-Recipient: rfc822; {ANNE}\r\nAction: failed\r\n"
        "Status: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()
    assert office.receive(report, row.envelope_from, mail_from=None).reason == "question-bounced"
    after = office.ticket()
    assert (after.status, after.pending_since) == ("pending", None)
    assert ANNE in after.flag
    states = {r.address: r.state for r in office.rows("outbox_recipient") if r.outbox_id == row.id}
    assert states == {ANNE: "failed"}
    second = report.replace(b"No such user", b"Really no such user")
    assert office.receive(second, row.envelope_from, mail_from=None).reason == "bounce-noted"
    forged = office.receive(report.replace(row.envelope_from.encode(), DESK.encode()), mail_from=None)
    assert (forged.action, forged.reason) == ("quarantine", "automatic")


def test_a_rotated_key_still_threads_the_replies_to_older_mail(office: Office) -> None:
    """`keys rotate` in the middle of a conversation."""
    key = office.receive(letter()).ticket_key
    to = reply_address(office.sent("acknowledgement"))
    office.parts.keys.rotate()
    receipt = office.receive(letter(words="More.", to=to, message_id="<m2@x>"), to)
    assert (receipt.ticket_key, receipt.rule) == (key, "plus-address")
    newer = office.parts.keys.load().sign(Token(TokenKind.TICKET, key))
    assert f"+{newer}@" not in to


def test_a_change_between_deciding_and_writing_is_decided_on_again(office: Office) -> None:
    """The customer answers while an agent solves: neither is lost, and the ticket ends open."""
    office.receive(letter())
    to = reply_address(office.sent("acknowledgement"))
    office.accept(letter(words="Still burning.", to=to, message_id="<m2@x>"), to)
    seen: list[str] = []

    def meddling(case: Case) -> d.Decision:
        decision = decide(case)
        assert isinstance(decision, d.Append)
        seen.append(decision.ticket.state.status)
        if len(seen) == 1:
            office.parts.desk.set(
                "1", (SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED)),), None, "root"
            )
        return replace(decision)

    (receipt,) = office.work(intake_with(office, meddling))
    assert seen == ["open", "solved"]
    assert receipt.reason == "reopened"
    assert office.ticket().status == "open"
    assert office.entries() == ["Smoke everywhere.", "Still burning."]
