"""What becomes of a mail: rule by rule, on bare values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mailbridge.core import decision as d
from mailbridge.core.case import PriorityRule
from mailbridge.core.decision import QuarantineReason, Reason, Trust
from mailbridge.core.intake import decide
from mailbridge.core.mail import Address, BounceRecipient, Kind, ParsedMail
from mailbridge.core.match import Rule
from mailbridge.core.ticket import Priority, Status
from mailbridge.core.tokens import Token, TokenKind
from tests.core.cases import (
    ANNE,
    BART,
    CRIS,
    DESK,
    KEY,
    OPEN,
    PENDING,
    RING,
    agent_address,
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


# ---------------------------------------------------------------- the ladder


LADDER: list[tuple[Rule, dict[str, Any], tuple[str, ...]]] = [
    (Rule.PLUS_ADDRESS, {}, (ticket_address(),)),
    (Rule.SIGNED_MESSAGE_ID, {"in_reply_to": (our_id(),)}, (DESK,)),
    (Rule.SIGNED_MESSAGE_ID, {"references": ("<x@y.example>", our_id(), "<rewritten@ses.example>")}, (DESK,)),
    (Rule.STORED_MESSAGE_ID, {"in_reply_to": ("<theirs@customer.example>",)}, (DESK,)),
    (Rule.SUBJECT_TAG, {"subject": "Re: [#7K3M9-QX2VD] printer"}, (DESK,)),
]


@pytest.mark.parametrize(("rule", "fields", "rcpt"), LADDER)
def test_each_rung_finds_the_ticket_of_a_participant(
    rule: Rule, fields: dict[str, Any], rcpt: tuple[str, ...]
) -> None:
    """And pending becomes open, whatever the evidence."""
    known = facts(ticket(PENDING), by_message_id={"<theirs@customer.example>": KEY})
    if rule is Rule.SUBJECT_TAG:
        fields = {"subject": f"Re: [#{KEY.upper()[:5]}-{KEY.upper()[5:]}] printer"}
    found = appended(decide(case(mail(**fields), known, rcpt=rcpt)))
    assert found.verdict.match.rule is rule
    assert found.state.status is Status.OPEN
    assert found.verdict.reason is Reason.CUSTOMER_REPLY


@pytest.mark.parametrize(("rule", "fields", "rcpt"), LADDER)
def test_a_stranger_never_joins_whatever_the_evidence(
    rule: Rule, fields: dict[str, Any], rcpt: tuple[str, ...]
) -> None:
    """A valid token in other hands opens a ticket of its own, which says where it claims to belong."""
    known = facts(ticket(PENDING), by_message_id={"<theirs@customer.example>": KEY})
    new = opened(decide(case(mail(from_=MALLORY, **fields), known, rcpt=rcpt)))
    signed = rule in (Rule.PLUS_ADDRESS, Rule.SIGNED_MESSAGE_ID)
    assert (new.claims is not None) == signed
    assert new.verdict.match.dismissed or rule is Rule.SUBJECT_TAG


def test_a_marker_in_the_quoted_body_threads_when_all_headers_are_lost() -> None:
    """Some desks keep only the text."""
    marker = RING.body_marker(Token(TokenKind.TICKET, KEY))
    found = appended(decide(case(mail(text=f"Yes.\n> {marker}", reply="Yes."), facts(ticket(PENDING)))))
    assert found.verdict.match.rule is Rule.BODY_MARKER


def test_the_same_subject_alone_is_never_enough() -> None:
    """Two customers, or one with two troubles, write 'The printer burns'."""
    opened(decide(case(mail(subject="Re: The printer burns"), facts(ticket(PENDING)))))


def test_a_forged_token_is_counted_and_the_agents_are_warned() -> None:
    """One changed letter of the signature."""
    address = ticket_address()
    local, _, domain = address.partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    new = opened(decide(case(mail(), facts(ticket(PENDING)), rcpt=(forged,))))
    assert new.claims is None
    assert any("forged" in item.why for item in new.verdict.match.dismissed)
    notices = [draft for draft in new.drafts if isinstance(draft, d.Notify)]
    assert any("forged" in warning for notice in notices for warning in notice.warnings)


def test_stronger_evidence_wins_and_the_other_ticket_is_recorded() -> None:
    """The address names one ticket, the subject another."""
    other = ticket(PENDING, number=2, key="zzzzzzzzzz")
    message = mail(subject="[#ZZZZZ-ZZZZZ] x")
    found = appended(decide(case(message, facts(ticket(PENDING), other), rcpt=(ticket_address(),))))
    assert found.ticket.key == KEY
    assert [i.rule for i in found.verdict.match.dismissed] == [Rule.SUBJECT_TAG]


# ---------------------------------------------------------------- customers


def test_a_reply_reopens_a_solved_ticket() -> None:
    """And is called so."""
    found = appended(decide(case(mail(), facts(ticket(solved())), rcpt=(ticket_address(),))))
    assert found.verdict.reason is Reason.REOPENED
    assert found.verdict.trust is Trust.VERIFIED
    assert [n.news for n in found.drafts if isinstance(n, d.Notify)] == [d.News.REOPENED]


def test_past_the_window_a_reply_opens_a_linked_follow_up() -> None:
    """`reopen_within` of ops."""
    known = facts(ticket(solved(ago=timedelta(days=30))))
    new = opened(decide(case(mail(), known, rcpt=(ticket_address(),), reopen_within=timedelta(days=14))))
    assert new.verdict.reason is Reason.FOLLOW_UP
    assert new.follow_up_of is not None
    assert new.follow_up_of.key == KEY


def test_a_reply_to_a_merged_ticket_lands_on_the_survivor() -> None:
    """With the ticket it was written to remembered, so that each requester sees only their own."""
    survivor = ticket(PENDING, number=2, key="zzzzzzzzzz")
    source = ticket(merged(2))
    known = replace(facts(source), by_id={1: source, 2: survivor})
    found = appended(decide(case(mail(), known, rcpt=(ticket_address(),))))
    assert (found.ticket.id, found.via and found.via.id) == (2, 1)


def test_a_broken_chain_of_merges_loses_no_words() -> None:
    """The survivor is gone: the words stay where they were written, as open work."""
    found = appended(decide(case(mail(), facts(ticket(merged(99))), rcpt=(ticket_address(),))))
    assert (found.ticket.id, found.state.status) == (1, Status.OPEN)


def test_collaborators_come_from_to_and_cc_without_us_agents_and_robots() -> None:
    """Those who would make a loop, or are told anyway."""
    message = mail(to=(DESK, CRIS), cc=(BART, "no-reply@x.example", "dora@x.example", DESK))
    new = opened(decide(case(message)))
    assert [a.address for a in new.collaborators] == [CRIS.address, "dora@x.example"]
    many = mail(cc=[f"p{n}@x.example" for n in range(21)])
    assert opened(decide(case(many))).collaborators == ()


def test_only_the_requester_with_our_token_brings_others_in() -> None:
    """A mail's Cc never grants access by itself."""
    known, dora = facts(ticket(PENDING)), ("dora@x.example",)
    by_anne = appended(decide(case(mail(cc=dora), known, rcpt=(ticket_address(),))))
    by_cris = appended(decide(case(mail(from_=CRIS, cc=dora), known, rcpt=(ticket_address(),))))
    assert [a.address for a in by_anne.collaborators] == ["dora@x.example"]
    assert by_cris.collaborators == ()


@pytest.mark.parametrize(
    ("rule", "message", "expected"),
    [
        (PriorityRule(Priority.S1, subject_tags=("S1",)), mail(subject="[s1] down"), Priority.S1),
        (PriorityRule(Priority.S1, subject_tags=("S1",)), mail(subject="S1 down"), Priority.S3),
        (PriorityRule(Priority.S2, senders=("anne@customer.example",)), mail(), Priority.S2),
        (PriorityRule(Priority.S2, senders=("@customer.example",)), mail(), Priority.S2),
        (PriorityRule(Priority.S2, senders=("@customer.example",)), mail(from_=MALLORY), Priority.S3),
        (PriorityRule(Priority.S4, organisations=("Acme",)), mail(), Priority.S4),
        (PriorityRule(Priority.S4, mailboxes=("other@desk.example",)), mail(), Priority.S3),
    ],
)
def test_the_priority_follows_the_first_rule_that_holds(
    rule: PriorityRule, message: ParsedMail, expected: Priority
) -> None:
    """Else the mailbox's default."""
    known = facts(organisation="Acme")
    assert opened(decide(case(message, known, rules=(rule,)))).priority is expected


# ---------------------------------------------------------------- acknowledgements


@pytest.mark.parametrize(
    ("message", "mail_from", "why"),
    [
        (mail(), ANNE.address, ""),
        (mail(), "bounce@mail.customer.example", ""),
        (mail(), None, "null envelope sender"),
        (mail(), "anne@elsewhere.example", "do not agree"),
        (mail(from_=Address("", "no-reply@customer.example")), "no-reply@customer.example", "robot"),
        (mail(headers=[("List-Unsubscribe", "<mailto:x@y>")]), ANNE.address, "list mail"),
        (mail(headers=[("Precedence", "bulk")]), ANNE.address, "Precedence"),
        (mail(headers=[("X-Auto-Response-Suppress", "OOF, AutoReply")]), ANNE.address, "Suppress"),
    ],
)
def test_an_acknowledgement_goes_out_only_where_it_can_harm_nobody(
    message: ParsedMail, mail_from: str | None, why: str
) -> None:
    """RFC 3834 2: never to robots, lists, null senders, or an address that may be forged."""
    new = opened(decide(case(message, mail_from=mail_from)))
    assert any(isinstance(x, d.Acknowledge) for x in new.drafts) == (not why)
    assert why in new.withheld


# ---------------------------------------------------------------- automatic mail


@pytest.mark.parametrize("kind", [Kind.AUTO_REPLY, Kind.MAILING_LIST, Kind.CHALLENGE, Kind.FEEDBACK_REPORT])
@pytest.mark.parametrize("state", [OPEN, PENDING, solved()])
def test_automatic_mail_is_noted_and_changes_nothing(kind: Kind, state: Any) -> None:
    """It never reopens, never resets timers, is never answered."""
    found = appended(decide(case(mail(kind=kind), facts(ticket(state)), rcpt=(ticket_address(),))))
    assert (found.entry_kind, found.state, found.changes, found.drafts) == ("automatic", state, (), ())
    assert apart(decide(case(mail(kind=kind)))) is QuarantineReason.AUTOMATIC


def test_mail_through_a_list_that_is_our_own_mailbox_is_a_persons() -> None:
    """A support address that is a group stamps every customer's mail."""
    message = mail(kind=Kind.MAILING_LIST, headers=[("List-Post", f"<mailto:{DESK}>")])
    opened(decide(case(message)))


def test_a_bounce_of_our_question_stops_the_clock_and_flags() -> None:
    """Somebody who never got the question is not timed out."""
    known = facts(ticket(PENDING), sent=sent())
    found = appended(decide(case(bounce_mail(), known, rcpt=(bounce_address(),), mail_from=None)))
    assert found.verdict.reason is Reason.QUESTION_BOUNCED
    assert ANNE.address in found.state.flag
    assert found.state.pending_since is None
    assert found.state.status is Status.PENDING


@pytest.mark.parametrize("kind", ["acknowledgement", "notification", "solved"])
def test_a_bounce_of_another_mail_is_only_noted(kind: str) -> None:
    """The question did arrive."""
    known = facts(ticket(PENDING), sent=sent(kind))
    found = appended(decide(case(bounce_mail(), known, rcpt=(bounce_address(),), mail_from=None)))
    assert (found.verdict.reason, found.state) == (Reason.BOUNCE_NOTED, PENDING)


def test_a_delay_is_not_a_bounce() -> None:
    """The other server goes on trying."""
    late = bounce_mail(BounceRecipient(ANNE.address, "4.4.7", "delayed"))
    found = appended(
        decide(case(late, facts(ticket(PENDING), sent=sent()), rcpt=(bounce_address(),), mail_from=None))
    )
    assert found.state == PENDING


def test_a_bounce_without_our_token_is_kept_apart() -> None:
    """It may be forged: it touches no ticket."""
    known = facts(ticket(PENDING), sent=sent())
    assert apart(decide(case(bounce_mail(), known, mail_from=None))) is QuarantineReason.AUTOMATIC


# ---------------------------------------------------------------- identity and loops


def test_no_clean_from_is_no_identity() -> None:
    """Two From fields, none, or one that is no address: nothing is joined and nobody answered."""
    for message in (
        mail(from_=None),
        mail(from_fields=2),
        mail(defects=("bad-from",)),
        mail(from_=Address("", "not an address")),
    ):
        decision = decide(case(message, facts(ticket(PENDING)), rcpt=(ticket_address(),)))
        assert apart(decision) is QuarantineReason.NO_IDENTITY


def test_our_own_mail_that_comes_back_is_a_loop() -> None:
    """By Message-ID, by our mark, or by our own address as its author."""
    own_id = our_id()
    assert apart(decide(case(mail(message_id=own_id), facts(own_message_ids=frozenset({own_id}))))) is (
        QuarantineReason.LOOP
    )
    marked = mail(headers=[("X-Mailbridge-Loop", "mark")])
    assert apart(decide(case(marked, loop_marks=frozenset({"mark"})))) is QuarantineReason.LOOP
    assert apart(decide(case(mail(from_=Address("", DESK))))) is QuarantineReason.LOOP


def test_a_mail_with_nothing_in_it_is_blank_and_one_with_a_subject_is_not() -> None:
    """'Server down!' with an empty body is a request."""
    assert apart(decide(case(mail(subject="", text="")))) is QuarantineReason.BLANK
    opened(decide(case(mail(subject="Server down!", text=""))))


# ---------------------------------------------------------------- agents


def by_bart(text: str, **more: Any) -> ParsedMail:
    """A mail of Bart's."""
    return mail(from_=BART, text=text, **more)


def test_an_agents_words_go_to_the_customer_and_the_ticket_waits_for_them() -> None:
    """The token of the notification, from the agent's own address."""
    found = appended(decide(case(by_bart("Try again?"), facts(ticket()), rcpt=(agent_address(),))))
    assert (found.verdict.reason, found.state.status) == (Reason.AGENT_ANSWER, Status.PENDING)
    assert [x.text for x in found.drafts if isinstance(x, d.Answer)] == ["Try again?"]


def test_an_agent_without_a_token_changes_nothing() -> None:
    """From alone is no proof."""
    for rcpt in (DESK, ticket_address()):
        decision = decide(case(by_bart("#solved agreed"), facts(ticket()), rcpt=(rcpt,)))
        assert apart(decision) is QuarantineReason.AGENT_UNVERIFIED


def test_an_agents_token_in_other_hands_changes_nothing() -> None:
    """Not even for the requester."""
    for author in (ANNE, MALLORY):
        decision = decide(case(mail(from_=author), facts(ticket()), rcpt=(agent_address(),)))
        assert apart(decision) is QuarantineReason.AGENT_UNVERIFIED


def test_an_agents_out_of_office_never_reaches_a_customer() -> None:
    """It answers our notification, token and all."""
    away = by_bart("I am away", kind=Kind.AUTO_REPLY)
    assert apart(decide(case(away, facts(ticket()), rcpt=(agent_address(),)))) is QuarantineReason.AUTOMATIC


def test_commands_are_all_or_nothing_and_answered_by_a_receipt() -> None:
    """With one that is wrong nothing is applied, and the words are given back."""
    good = appended(
        decide(
            case(
                by_bart("#priority S1 all down\n#solved agreed\n\nDone."),
                facts(ticket()),
                rcpt=(agent_address(),),
            )
        )
    )
    assert (good.state.priority, good.state.status) == (Priority.S1, Status.SOLVED)
    bad = decide(case(by_bart("#solved agreed\n#solvd\n\nDone."), facts(ticket()), rcpt=(agent_address(),)))
    assert isinstance(bad, d.Reject)
    (receipt,) = bad.drafts
    assert isinstance(receipt, d.Receipt)
    assert [(r.number, r.line) for r in receipt.rejected] == [(2, "#solvd")]
    assert receipt.text == "Done."


def test_a_note_is_not_sent() -> None:
    """It stays inside, and the status stays too."""
    found = appended(decide(case(by_bart("#note\nHe is angry."), facts(ticket()), rcpt=(agent_address(),))))
    assert (found.entry_kind, found.words, found.state) == ("note", "He is angry.", OPEN)
    assert not any(isinstance(x, d.Answer) for x in found.drafts)


def test_an_empty_answer_is_refused_with_a_receipt() -> None:
    """An accident: nothing may go to the customer."""
    assert isinstance(decide(case(by_bart(""), facts(ticket()), rcpt=(agent_address(),))), d.Reject)
