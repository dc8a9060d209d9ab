"""Incoming mail worked off on a real database: one commit, one decision, nothing twice, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from mailbridge.core import decision as d
from mailbridge.core.case import Case, PriorityRule
from mailbridge.core.decision import QuarantineReason
from mailbridge.core.intake import decide
from mailbridge.core.parse import parse_mail
from mailbridge.core.ticket import Priority
from mailbridge.service.intake import Intake, Unreadable
from mailbridge.store import inbound, outbox, outbox_control
from mailbridge.store.outbox import NewOutgoing
from tests.fakes import FakeClock, FakeIds
from tests.service.office import (
    ANNE,
    BART,
    DESK,
    DORA,
    LEASE,
    Office,
    letter,
    reply_address,
)

LITTLE = "[caps]\nper_recipient = 5\nper_mailbox = 100\nper_domain = 100\nper_ticket = 100\ntotal = 8\n"


@pytest.fixture
def office(database_url: str, tmp_path: Path, clock: FakeClock, ids: FakeIds) -> Iterator[Office]:
    """The services on a database of each kind, with Bart as the one agent."""
    made = Office.open(database_url, tmp_path, clock, ids, LITTLE)
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


# ---------------------------------------------------------------- one commit, one decision


def test_a_new_request_is_ticket_entry_mails_and_decision_at_once(office: Office) -> None:
    """Whoever sees one of them sees all."""
    receipt = office.receive(letter())
    assert (receipt.action, receipt.reason, receipt.rule, receipt.kind) == (
        "open",
        "new-request",
        "none",
        "human",
    )
    row = office.ticket()
    assert (row.key, row.status, row.priority, row.subject) == (
        receipt.ticket_key,
        "open",
        "S3",
        "The printer burns",
    )
    assert office.entries() == ["Smoke everywhere."]
    assert [(o.kind, o.state, o.cause_key) for o in office.rows("outbox")] == [
        ("acknowledgement", "queued", f"ack:inbound:{receipt.inbound_id}"),
        ("notification", "queued", f"notify:inbound:{receipt.inbound_id}:1"),
    ]
    decision = office.decision(receipt.inbound_id)
    assert (decision.action, decision.reason, decision.ticket_id) == ("open", "new-request", row.id)
    (mail,) = office.rows("inbound")
    assert (mail.state, mail.ticket_id, mail.message_id) == ("done", row.id, "<m1@customer.example>")


@pytest.mark.parametrize("table", ["outbox_recipient", "entry", "participant"])
def test_a_write_that_fails_leaves_nothing_but_the_quarantine(office: Office, table: str) -> None:
    """No ticket without its acknowledgement, no acknowledgement without its ticket."""
    office.refuse(table)
    receipt = office.receive(letter())
    assert (receipt.action, receipt.reason) == ("quarantine", "internal")
    for name in ("ticket", "entry", "participant", "contact", "outbox", "outbox_data", "outbox_recipient"):
        assert not office.rows(name), name
    (row,) = office.rows("inbound")
    assert row.state == "quarantined"
    assert row.detail.startswith("IntegrityError")
    assert len(office.rows("decision")) == 1


def test_a_mail_whose_decision_cannot_be_written_waits_and_is_worked_off_later(office: Office) -> None:
    """Not even the quarantine can be written: the claim lapses, and the mail is tried again."""
    office.accept(letter())
    office.refuse("decision")
    with pytest.raises(DBAPIError):
        office.work()
    assert [row.state for row in office.rows("inbound")] == ["received"]
    assert not office.rows("ticket")
    office.allow("decision")
    assert not office.work()  # still leased
    office.clock.advance(LEASE + timedelta(seconds=1))
    assert [receipt.reason for receipt in office.work()] == ["new-request"]
    assert office.rows("inbound")[0].attempts == 2


def test_every_mail_has_exactly_one_decision_record_whatever_became_of_it(office: Office) -> None:
    """`explain` has an answer for each."""
    office.receive(letter())
    for raw, mail_from in (
        (letter(words="more", to=reply_address(office.sent("acknowledgement")), message_id="<m2@x>"), ANNE),
        (letter(fields="Auto-Submitted: auto-replied\r\n", message_id="<m3@x>"), ANNE),
        (letter(BART, name="Bart", message_id="<m4@x>"), BART),
        (letter(fields=f"From: {DORA}\r\n", message_id="<m5@x>"), DORA),
        (answer(office, "#frobnicate", message_id="<m6@x>"), BART),
        (answer(office, "Hello?", message_id="<m7@x>"), BART),
    ):
        office.accept(raw, raw.split(b"To: ")[1].split(b"\r\n")[0].decode(), mail_from=mail_from)
    receipts = office.work()
    assert [r.reason for r in receipts] == [
        "customer-reply",
        "automatic",
        "agent-unverified",
        "no-identity",
        "commands-rejected",
        "agent-answer",
    ]
    assert [row.inbound_id for row in office.rows("decision")] == [row.id for row in office.rows("inbound")]
    assert [row.reason for row in office.rows("decision")][1:] == [r.reason for r in receipts]


def test_what_was_passed_over_is_in_the_record(office: Office) -> None:
    """The header that decided, the forged token, the acknowledgement that was withheld and why."""
    receipt = office.receive(
        letter(to="support+t1-0000000000aaaaaaaaaaaaaaaaaaaa@desk.example"), mail_from="x@else.example"
    )
    record = office.decision(receipt.inbound_id)
    passed_over = json.loads(record.rejected)
    assert [(item["rule"], item["why"]) for item in passed_over] == [
        ("plus-address", "forged: the signature is wrong"),
        ("none", "From (customer.example) and envelope sender (else.example) do not agree"),
    ]
    assert not office.outgoing("acknowledgement")


def test_nothing_is_written_twice_for_one_cause(office: Office) -> None:
    """The unique cause key stops what every other guard has let through."""
    office.receive(letter())
    (row, _), *_ = office.outgoing("acknowledgement")
    again = NewOutgoing(
        row.cause_key, row.kind, True, False, DESK, "other0ref0", "", "<new@desk.example>", "x", (ANNE,), b""
    )
    with pytest.raises(IntegrityError):
        office.parts.database.write(
            lambda conn: outbox.add(
                conn, again, ticket_id=1, entry_id=None, now=office.clock.now(), caps=office.parts.caps
            )
        )
    assert len(office.outgoing("acknowledgement")) == 1


def test_a_mail_that_is_worked_off_twice_is_written_once(office: Office) -> None:
    """Two workers held the same claim: a lease lapsed while the first one was slow."""
    office.accept(letter())
    claimed = office.claim()
    read = [(mail, parse_mail(mail.raw)) for mail in claimed]
    office.clock.advance(LEASE + timedelta(seconds=1))
    assert len(office.work()) == 1
    before = office.everything()
    assert list(office.parts.intake.process(read)) == []
    assert office.everything() == before


# ---------------------------------------------------------------- our own faults


def boom(case: Case) -> d.Decision:
    """A rule with a bug."""
    raise KeyError(f"no such header in {case.mail.message_id}")


def test_a_bug_is_named_kept_and_mended_by_a_replay(office: Office) -> None:
    """The customer's mail outlives it: after the next release it takes the way that it should have taken."""
    office.accept(letter())
    (receipt,) = office.work(intake_with(office, boom))
    assert (receipt.action, receipt.reason) == ("quarantine", "internal")
    assert receipt.detail.startswith("KeyError: ")
    assert "test_intake.py:" in receipt.detail
    assert not office.rows("outbox")

    now = office.clock.now()
    assert office.parts.database.write(lambda conn: inbound.replay(conn, receipt.inbound_id, "root", now))
    (mended,) = office.work()
    assert (mended.action, mended.inbound_id) == ("open", receipt.inbound_id)
    (row,) = office.rows("inbound")
    assert (row.state, row.reason, row.detail) == ("done", "", "")
    (past,) = json.loads(row.history)
    assert (past["reason"], past["action"], past["replayed_by"]) == ("internal", "quarantine", "root")
    assert office.decision(receipt.inbound_id).reason == "new-request"
    assert len(office.rows("decision")) == 1


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\x1b[31m" + "x" * 5000])
def test_a_bug_whose_message_holds_what_no_database_takes_is_kept_apart_all_the_same(
    office: Office, text: str
) -> None:
    """Else the mail would be tried for ever, and the batch behind it with it."""

    def failing(case: Case) -> d.Decision:
        raise ValueError(text)

    office.accept(letter())
    (receipt,) = office.work(intake_with(office, failing))
    assert receipt.reason == "internal"
    assert receipt.detail.startswith("ValueError")
    assert office.rows("inbound")[0].state == "quarantined"


def test_one_mail_with_a_bug_does_not_touch_those_around_it(office: Office) -> None:
    """They are committed together only as long as nothing is wrong."""

    def picky(case: Case) -> d.Decision:
        return boom(case) if "poison" in case.mail.subject else decide(case)

    for number, subject in enumerate(("one", "poison", "two")):
        office.accept(letter(subject=subject, message_id=f"<{number}@x>"))
    receipts = office.work(intake_with(office, picky))
    assert [receipt.reason for receipt in receipts] == ["new-request", "internal", "new-request"]


def test_a_mail_that_could_not_be_read_is_kept_with_its_reason_and_can_be_replayed(office: Office) -> None:
    """The parser's limits are ours to raise."""
    office.accept(letter())
    (stored,) = office.claim()
    unread = Unreadable(QuarantineReason.TOO_COMPLEX, "10001 parts")
    (receipt,) = office.parts.intake.process([(stored, unread)])
    assert (receipt.reason, receipt.detail) == ("too-complex", "10001 parts")
    now = office.clock.now()
    assert office.parts.database.write(lambda conn: inbound.replay(conn, stored.id, "root", now))
    assert [r.reason for r in office.work()] == ["new-request"]


# ---------------------------------------------------------------- caps on automatic mail


def test_the_sixth_acknowledgement_in_an_hour_to_one_address_is_withheld_and_the_decision_says_so(
    office: Office,
) -> None:
    """The ticket is there, and the agents are told; only the mail that could be part of a storm is not made."""
    receipts = [office.receive(letter(message_id=f"<{n}@x>")) for n in range(6)]
    assert len(office.outgoing("acknowledgement")) == 5
    assert len(office.outgoing("notification")) == 6
    for receipt in receipts[:5]:
        assert json.loads(office.decision(receipt.inbound_id).rejected) == []
    (withheld,) = json.loads(office.decision(receipts[5].inbound_id).rejected)
    assert withheld["why"] == f"acknowledgement: withheld: 5 automatic mails an hour to {ANNE}"
    office.clock.advance(hours=1)
    office.receive(letter(message_id="<late@x>"))
    assert len(office.outgoing("acknowledgement")) == 6


def test_mail_over_the_total_cap_is_held_until_somebody_releases_it(office: Office) -> None:
    """A flood from many addresses: nothing goes out unseen, and nothing is lost."""
    for number in range(10):
        who = f"p{number}@x{number}.example"
        office.receive(letter(who, message_id=f"<{number}@x>"), mail_from=who)
    states = [row.state for row, _ in office.outgoing("acknowledgement")]
    assert states == ["queued"] * 8 + ["held"] * 2
    claimed = office.parts.sending.claim(100)
    assert len([item for item in claimed if item.kind == "acknowledgement"]) == 8
    now = office.clock.now()
    assert office.parts.database.write(lambda conn: outbox_control.release(conn, None, now)) == 2
    assert len(office.parts.sending.claim(100)) == 2


def test_a_rule_that_sets_the_priority_is_written_in_the_history(office: Office) -> None:
    """Whoever wonders why it is S1 sees which rule said so; the mailbox's default needs no word."""
    urgent = (PriorityRule(Priority.S1, subject_tags=("S1",), name="1"),)

    def by_rules(case: Case) -> d.Decision:
        return decide(replace(case, policy=replace(case.policy, rules=urgent)))

    for subject in ("All quiet", "[S1] All down"):
        office.accept(letter(subject=subject, message_id=f"<{len(subject)}@customer.example>"))
    office.work(intake_with(office, by_rules))
    events = [(e.ticket_id, e.event, json.loads(e.data)) for e in office.rows("entry") if e.kind == "event"]
    assert events == [(2, "priority", {"from": "", "to": "S1", "why": "rule 1"})]


def test_what_was_cut_of_a_customers_mail_is_kept_and_of_an_agents_is_not(office: Office) -> None:
    """A quote can be shown on demand; an agent's quote is our own notification, with its token."""
    office.receive(letter(words="It burns.\r\n\r\n-- \r\nAnne, second floor"))
    assert office.receive(answer(office, "Unplug it.\r\n\r\n-- \r\nBart"), mail_from=BART).action == "append"
    mail, reply = (e for e in office.rows("entry") if e.kind in ("mail", "reply"))
    assert "second floor" in mail.cut
    assert "second floor" not in mail.reply
    assert reply.cut == ""
