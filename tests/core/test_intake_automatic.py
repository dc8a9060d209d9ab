"""The order of the rules, loops, bounces, and merges that lead nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailbridge.core import decision as d
from mailbridge.core.decision import QuarantineReason, Reason
from mailbridge.core.intake import decide
from mailbridge.core.mail import Address, BounceRecipient, Kind, ParsedMail
from mailbridge.core.ticket import Change, Status
from tests.core.cases import (
    ANNE,
    BART,
    CRIS,
    DESK,
    KEY_2,
    LOOP_MARK,
    ON_HOLD,
    OPEN,
    OTHER_RING,
    PENDING,
    agent_address,
    attachment,
    bounce_address,
    bounce_mail,
    case,
    facts,
    mail,
    merged,
    our_id,
    sent,
    solved,
    ticket,
    ticket_address,
)

MALLORY = Address("", "mallory@elsewhere.example")


def appended(decision: d.Decision) -> d.Append:
    """The decision, which must be an entry on a ticket."""
    assert isinstance(decision, d.Append), decision
    return decision


def opened(decision: d.Decision) -> d.OpenTicket:
    """The decision, which must be a new ticket."""
    assert isinstance(decision, d.OpenTicket), decision
    return decision


def apart(decision: d.Decision) -> QuarantineReason:
    """Why the mail is kept apart, which it must be."""
    assert isinstance(decision, d.Quarantine), decision
    return decision.why


# ---------------------------------------------------------------- the order of the rules


def test_the_order_of_the_rules_is_the_policy() -> None:
    """Where two rules would speak, the earlier one does."""
    known = facts(ticket(PENDING), sent=sent(), own_message_ids=frozenset({"<m1@customer.example>"}))
    every = bounce_mail(from_=BART, message_id="<m1@customer.example>")
    rcpt = (bounce_address(), agent_address())
    assert apart(decide(case(every, known, rcpt=rcpt))) is QuarantineReason.LOOP
    known = replace(known, own_message_ids=frozenset())
    assert appended(decide(case(every, known, rcpt=rcpt))).entry_kind == "bounce"
    # A reply without any identity is not taken for a reply, automatic or not.
    nobody = mail(from_fields=2, kind=Kind.AUTO_REPLY)
    assert apart(decide(case(nobody, known, rcpt=(ticket_address(),)))) is QuarantineReason.NO_IDENTITY
    # An empty answer on a ticket is an answer; an empty new mail is blank.
    empty = mail(subject="", text="")
    assert appended(decide(case(empty, known, rcpt=(ticket_address(),)))).entry_kind == "mail"
    assert apart(decide(case(empty, known))) is QuarantineReason.BLANK


def test_a_mail_with_only_a_file_or_only_html_is_not_blank() -> None:
    """A photograph of the screen says it all."""
    opened(decide(case(mail(subject="", text="", attachments=(attachment(),)))))
    opened(decide(case(mail(subject="", text="", html="<img src='cid:1'>"))))


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (mail(from_=None), "no From"),
        (mail(from_fields=2), "2 From fields"),
        (mail(from_=Address("", "anne"), from_fields=1), "the From is not one address"),
        (mail(from_fields=1, defects=("bad-from",)), "the From is not one address"),
    ],
)
def test_an_operator_reads_what_is_wrong_with_the_from(message: ParsedMail, detail: str) -> None:
    """The quarantine names it."""
    decision = decide(case(message))
    assert isinstance(decision, d.Quarantine)
    assert decision.detail == detail


@pytest.mark.parametrize(
    "author", [DESK, DESK.upper(), "support+anything@desk.example", "sales@desk.example"]
)
def test_a_mail_in_our_own_name_is_a_loop_whatever_its_tag_or_case(author: str) -> None:
    """Two desks that answer each other, or a forwarding rule back to us."""
    assert apart(decide(case(mail(from_=Address("", author))))) is QuarantineReason.LOOP


def test_only_our_own_loop_mark_is_one() -> None:
    """Another desk with the same program has another key: its customers may write to us."""
    own = mail(headers=[("X-Mailbridge-Loop", f" {LOOP_MARK} ")])
    other = mail(headers=[("X-Mailbridge-Loop", "f" * 20), ("X-Loop", LOOP_MARK)])
    assert apart(decide(case(own))) is QuarantineReason.LOOP
    opened(decide(case(other)))


# ---------------------------------------------------------------- bounces in full


@pytest.mark.parametrize(
    "rcpt", [DESK, bounce_address(ring=OTHER_RING), ticket_address(), bounce_address("zz11")]
)
def test_a_forged_bounce_stops_no_clock(rcpt: str) -> None:
    """Else anybody could keep a ticket from being reminded, or make agents doubt a good address."""
    known = facts(ticket(PENDING), sent=sent())
    forged = bounce_mail(in_reply_to=(our_id(),))
    assert apart(decide(case(forged, known, rcpt=(rcpt,), mail_from=None))) is QuarantineReason.AUTOMATIC


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_a_report_of_anything_but_failure_is_noted_and_tells_nobody(action: str) -> None:
    """The clock runs on, and no agent is woken for 'will try again'."""
    report = bounce_mail(BounceRecipient(ANNE.address, None, action))
    known = facts(ticket(PENDING), sent=sent())
    found = appended(decide(case(report, known, rcpt=(bounce_address(),), mail_from=None)))
    assert (found.verdict.reason, found.state, found.drafts) == (Reason.BOUNCE_NOTED, PENDING, ())


def test_of_several_recipients_the_one_that_failed_is_named() -> None:
    """Not the one before it whose mail is only late."""
    report = bounce_mail(
        BounceRecipient(ANNE.address, "4.4.7", "delayed"), BounceRecipient(CRIS.address, "5.1.1", "failed")
    )
    known = facts(ticket(PENDING), sent=sent())
    found = appended(decide(case(report, known, rcpt=(bounce_address(),), mail_from=None)))
    assert CRIS.address in found.state.flag
    assert ANNE.address not in found.state.flag


@pytest.mark.parametrize("state", [OPEN, ON_HOLD, solved()])
def test_a_bounce_in_another_state_changes_nothing_and_tells_the_agents(state: Any) -> None:
    """It never reopens; but somebody should know."""
    known = facts(ticket(state), sent=sent())
    found = appended(decide(case(bounce_mail(), known, rcpt=(bounce_address(),), mail_from=None)))
    assert (found.state, found.changes, found.verdict.reason) == (state, (), Reason.BOUNCE_NOTED)
    (notice,) = found.drafts
    assert isinstance(notice, d.Notify)
    assert (notice.news, notice.warnings) == (d.News.BOUNCE, (f"did not reach {ANNE.address}",))


def test_the_second_report_of_one_loss_is_noted_only() -> None:
    """Some servers send two: the flag is there already."""
    known = facts(ticket(PENDING), sent=sent())
    once = appended(decide(case(bounce_mail(), known, rcpt=(bounce_address(),), mail_from=None)))
    again = facts(ticket(once.state), sent=sent())
    twice = appended(decide(case(bounce_mail(), again, rcpt=(bounce_address(),), mail_from=None)))
    assert (twice.verdict.reason, twice.state) == (Reason.BOUNCE_NOTED, once.state)


def test_a_bounce_without_recipients_names_those_we_wrote_to() -> None:
    """Old servers only say 'undeliverable'; the signed address says which mail."""
    message = bounce_mail()
    assert message.bounce is not None
    message = replace(message, bounce=replace(message.bounce, recipients=()))
    known = facts(ticket(PENDING), sent=sent())
    found = appended(decide(case(message, known, rcpt=(bounce_address(),), mail_from=None)))
    assert found.state.flag == f"our answer did not reach {ANNE.address}"


# ---------------------------------------------------------------- broken chains of merges


@pytest.mark.parametrize("into", [99, 1, 2])
def test_automatic_mail_and_bounces_never_open_a_ticket_whose_merge_leads_nowhere(into: int) -> None:
    """A survivor that is gone, the ticket itself, or two that were merged into each other."""
    source = ticket(merged(into))
    other = ticket(merged(1), number=2, key=KEY_2)
    known = facts(source, other, sent=sent())
    for message, rcpt in ((mail(kind=Kind.AUTO_REPLY), ticket_address()), (bounce_mail(), bounce_address())):
        found = appended(decide(case(message, known, rcpt=(rcpt,), mail_from=None)))
        assert (found.state, found.changes) == (found.ticket.state, ())


@pytest.mark.parametrize("into", [99, 1, 2])
def test_a_person_opens_such_a_ticket_and_the_history_says_so(into: int) -> None:
    """Open work with a flag; the epoch of its reminders never goes back."""
    known = facts(ticket(merged(into)), ticket(merged(1), number=2, key=KEY_2))
    found = appended(decide(case(mail(), known, rcpt=(ticket_address(),))))
    assert found.verdict.reason is Reason.REOPENED
    assert (found.state.status, found.state.pending_epoch, found.state.solution) == (Status.OPEN, 4, None)
    assert found.state.flag
    assert found.changes == (Change("status", "solved", "open", found.state.flag),)


def test_a_chain_of_merges_is_followed_to_its_end() -> None:
    """Merges made before the chain was shortened."""
    chain = [
        ticket(merged(2)),
        ticket(merged(3), number=2, key=KEY_2),
        ticket(OPEN, number=3, key="3333333333"),
    ]
    found = appended(decide(case(mail(), facts(*chain), rcpt=(ticket_address(),))))
    assert (found.ticket.id, found.via and found.via.id) == (3, 1)
    assert found.collaborators == ()
