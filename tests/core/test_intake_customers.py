"""What customers' mail does: replies, trust, collaborators, priority, who is told and who is answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mailbridge.core import decision as d
from mailbridge.core.case import PriorityRule
from mailbridge.core.decision import QuarantineReason, Reason, Trust
from mailbridge.core.intake import decide
from mailbridge.core.mail import Address, Kind
from mailbridge.core.ticket import Priority, Status
from tests.core.cases import (
    ANNE,
    BART,
    CRIS,
    DESK,
    EVE,
    KEY,
    KEY_2,
    NOW,
    ON_HOLD,
    OPEN,
    OTHER_RING,
    PENDING,
    bounce_mail,
    case,
    facts,
    mail,
    merged,
    our_id,
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


@pytest.mark.parametrize(
    ("state", "reason", "news"),
    [
        (OPEN, Reason.CUSTOMER_REPLY, d.News.REPLY),
        (PENDING, Reason.CUSTOMER_REPLY, d.News.REPLY),
        (ON_HOLD, Reason.CUSTOMER_REPLY, d.News.REPLY),
        (solved(), Reason.REOPENED, d.News.REOPENED),
    ],
)
def test_the_agents_are_told_what_a_reply_did(state: Any, reason: Reason, news: d.News) -> None:
    """And the ticket is theirs again, whatever it was."""
    found = appended(decide(case(mail(), facts(ticket(state)), rcpt=(ticket_address(),))))
    assert (found.verdict.reason, found.state.status) == (reason, Status.OPEN)
    assert [n.news for n in found.drafts if isinstance(n, d.Notify)] == [news]
    assert not any(isinstance(n, d.Acknowledge) for n in found.drafts)


def test_a_reply_on_a_merged_ticket_is_judged_by_the_survivors_age() -> None:
    """It is the survivor that would be reopened, or followed up."""
    survivor = ticket(solved(ago=timedelta(days=30)), number=2, key=KEY_2)
    known = facts(ticket(merged(2)), survivor)
    new = opened(decide(case(mail(), known, rcpt=(ticket_address(),), reopen_within=timedelta(days=14))))
    assert new.follow_up_of is survivor


def test_a_follow_up_is_acknowledged_like_any_new_request() -> None:
    """The customer learns its new reference; our token in their hands makes it verified."""
    known = facts(ticket(solved(ago=timedelta(days=30))))
    new = opened(decide(case(mail(), known, rcpt=(ticket_address(),), reopen_within=timedelta(days=14))))
    assert new.verdict.trust is Trust.VERIFIED
    assert [x.to for x in new.drafts if isinstance(x, d.Acknowledge)] == [ANNE]


def test_trust_is_what_the_evidence_is_worth() -> None:
    """Our token and its holder: verified. A known thread and a known sender: plausible. A new mail: not."""
    known = facts(ticket(PENDING), by_message_id={"<theirs@x.example>": KEY})
    assert decide(case(mail(), known, rcpt=(ticket_address(),))).verdict.trust is Trust.VERIFIED
    threaded = mail(in_reply_to=("<theirs@x.example>",))
    assert decide(case(threaded, known)).verdict.trust is Trust.PLAUSIBLE
    assert decide(case(mail(), known)).verdict.trust is Trust.UNVERIFIED
    assert decide(case(mail(from_=EVE), known, rcpt=(ticket_address(),))).verdict.trust is Trust.UNVERIFIED


def test_a_ticket_never_has_more_than_twenty_collaborators() -> None:
    """Each answer goes to all of them: a thread must not become a list."""
    twenty = mail(cc=[f"p{n}@x.example" for n in range(20)])
    assert len(opened(decide(case(twenty))).collaborators) == 20
    known = facts(ticket(PENDING))
    found = appended(decide(case(twenty, known, rcpt=(ticket_address(),))))
    assert len(found.collaborators) == 19  # Cris is one already


def test_a_collaborator_is_one_whatever_the_case_and_is_never_the_requester() -> None:
    """Anne's copy to herself, and Cris in To and Cc."""
    message = mail(to=(DESK, "CRIS@customer.example"), cc=(CRIS, "Anne@Customer.example", "not an address"))
    assert [a.key for a in opened(decide(case(message))).collaborators] == [CRIS.key]


def test_a_plain_reply_without_our_token_brings_nobody_in() -> None:
    """From and a Message-ID can be written by anyone."""
    known = facts(ticket(PENDING), by_message_id={"<theirs@x.example>": KEY})
    message = mail(in_reply_to=("<theirs@x.example>",), cc=("dora@x.example",))
    found = appended(decide(case(message, known)))
    assert (found.verdict.trust, found.collaborators) == (Trust.PLAUSIBLE, ())


@pytest.mark.parametrize(
    ("rules", "expected", "why"),
    [
        ((), Priority.S3, ""),
        ((PriorityRule(Priority.S4, mailboxes=(DESK,), name="1"),), Priority.S4, "rule 1"),
        (
            (PriorityRule(Priority.S1, subject_tags=("a", "prod"), senders=("@customer.example",)),),
            Priority.S1,
            "rule",
        ),
        (
            (PriorityRule(Priority.S1, subject_tags=("prod",), senders=("@other.example",)),),
            Priority.S3,
            "",
        ),
        (
            (
                PriorityRule(Priority.S2, senders=("@customer.example",), name="1"),
                PriorityRule(Priority.S1, subject_tags=("prod",), name="2"),
            ),
            Priority.S2,
            "rule 1",
        ),
        ((PriorityRule(Priority.S1, organisations=("Other",)),), Priority.S3, ""),
    ],
)
def test_all_conditions_of_a_rule_must_hold_and_the_first_such_rule_wins(
    rules: tuple[PriorityRule, ...], expected: Priority, why: str
) -> None:
    """The history says which."""
    new = opened(decide(case(mail(subject="[PROD] down"), facts(organisation="Acme"), rules=rules)))
    assert (new.priority, new.by_rule) == (expected, why)


def test_agents_are_warned_of_what_only_looks_right() -> None:
    """A valid token of another's ticket, a forged one, and a Reply-To that leads elsewhere."""
    message = mail(
        from_=EVE, reply_to=(Address("", "drop@evil.example"),), in_reply_to=(our_id(ring=OTHER_RING),)
    )
    new = opened(decide(case(message, facts(ticket(PENDING)), rcpt=(ticket_address(),))))
    assert new.verdict.reason is Reason.CLAIMS_TO_BELONG
    (notice,) = [n for n in new.drafts if isinstance(n, d.Notify)]
    assert len(notice.warnings) == 3
    assert any("drop@evil.example" in warning for warning in notice.warnings)


def test_who_is_told_follows_the_settings() -> None:
    """`notify_agents` of the settings; what they leave out is still on the ticket."""
    new = opened(decide(case(mail(), notify=frozenset(("reply",)))))
    assert [type(x) for x in new.drafts] == [d.Acknowledge]
    quiet = appended(
        decide(case(mail(), facts(ticket()), rcpt=(ticket_address(),), notify=frozenset(("new",))))
    )
    assert quiet.drafts == ()
    silent = opened(decide(case(mail(), acknowledge=False)))
    assert (silent.withheld, [type(x) for x in silent.drafts]) == ("", [d.Notify])


@pytest.mark.parametrize(
    "local",
    [
        "noreply",
        "no-reply",
        "No_Reply",
        "donotreply",
        "do-not-reply",
        "MAILER-DAEMON",
        "postmaster",
        "bounces",
        "bounces+7=x",
        "noreply-billing",
        "autoreply",
    ],
)
def test_robots_are_opened_for_but_never_answered(local: str) -> None:
    """A monitoring system's mail is a request; an answer to it is the beginning of a loop."""
    robot = Address("", f"{local}@customer.example")
    new = opened(decide(case(mail(from_=robot))))
    assert new.withheld == "the sender is a robot"


@pytest.mark.parametrize("local", ["anne", "reply", "bouncer", "noreplyanne", "postmasters", "listservice"])
def test_a_persons_name_that_only_resembles_a_robots_is_answered(local: str) -> None:
    """They would wait for an acknowledgement that never comes."""
    assert opened(decide(case(mail(from_=Address("", f"{local}@customer.example"))))).withheld == ""


@pytest.mark.parametrize(
    ("mail_from", "answered"),
    [
        ("anne@customer.example", True),
        ("x@bounce.customer.example", True),
        ("anne@CUSTOMER.example", True),
        ("x@notcustomer.example", False),
        ("x@customer.example.evil.example", False),
        ("garbage", False),
    ],
)
def test_the_envelope_must_speak_for_the_from(mail_from: str, answered: bool) -> None:
    """Else our acknowledgement is the weapon: mail with a forged From makes us write to its victim."""
    new = opened(decide(case(mail(), mail_from=mail_from)))
    assert any(isinstance(x, d.Acknowledge) for x in new.drafts) == answered


def test_a_decision_needs_nothing_but_the_case() -> None:
    """The same case gives the same decision: on another node, after a restart, in a test."""
    for message in (mail(), bounce_mail(), mail(from_=BART), mail(kind=Kind.AUTO_REPLY)):
        one, two = (
            case(message, facts(ticket(PENDING)), rcpt=(ticket_address(),), now=NOW) for _ in range(2)
        )
        assert decide(one) == decide(two)
