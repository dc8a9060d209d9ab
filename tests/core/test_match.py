"""The ladder of evidence: which rung wins, what is passed over and why, and that nobody guesses their way in."""

from __future__ import annotations

import random
import string
from itertools import combinations
from typing import Any

import pytest

from mailbridge.core.address import with_tag
from mailbridge.core.facts import Facts
from mailbridge.core.mail import Address, ParsedMail
from mailbridge.core.match import Match, MatchKeys, Rule, match_keys, resolve
from mailbridge.core.tokens import Forged, Token, TokenKind, subject_tag
from tests.core.cases import (
    ANNE,
    CRIS,
    DESK,
    EVE,
    KEY,
    KEY_2,
    KEY_3,
    OTHER_RING,
    PENDING,
    POLICY,
    RING,
    agent_address,
    bounce_address,
    facts,
    mail,
    merged,
    our_id,
    ticket,
    ticket_address,
)

RUNGS = [
    Rule.PLUS_ADDRESS,
    Rule.SIGNED_MESSAGE_ID,
    Rule.BODY_MARKER,
    Rule.STORED_MESSAGE_ID,
    Rule.SUBJECT_TAG,
]
STORED = {KEY: "<one@customer.example>", KEY_2: "<two@customer.example>", KEY_3: "<three@customer.example>"}
TICKETS = (ticket(PENDING), ticket(PENDING, number=2, key=KEY_2), ticket(PENDING, number=3, key=KEY_3))
KNOWN = facts(*TICKETS, by_message_id={message_id: key for key, message_id in STORED.items()})


def keys_of(message: ParsedMail, *rcpt: str) -> MatchKeys:
    """The evidence in a mail that was delivered to these addresses."""
    return match_keys(message, rcpt or (DESK,), POLICY.own, RING)


def found(message: ParsedMail, *rcpt: str, known: Facts = KNOWN, sender: Address | None = ANNE) -> Match:
    """What the ladder says."""
    return resolve(keys_of(message, *rcpt), known, sender.key if sender else None)


def key_of(match: Match) -> str:
    """The key of the ticket that was found, '' for none."""
    return match.ticket.key if match.ticket else ""


def marker(key: str) -> str:
    """Our signed marker, as it stands in a quoted body."""
    return RING.body_marker(Token(TokenKind.TICKET, key))


def with_evidence(named: dict[Rule, str]) -> Match:
    """A mail that shows on each of these rungs the ticket of that key."""
    more: dict[str, Any] = {"text": "Yes.", "subject": "Re: it", "in_reply_to": (), "references": ()}
    rcpt = DESK
    for rule, key in named.items():
        match rule:
            case Rule.PLUS_ADDRESS:
                rcpt = ticket_address(key)
            case Rule.SIGNED_MESSAGE_ID:
                more["in_reply_to"] += (our_id(key),)
            case Rule.BODY_MARKER:
                more["text"] += f"\n> {marker(key)}"
            case Rule.STORED_MESSAGE_ID:
                more["references"] += (STORED[key],)
            case _:
                more["subject"] += f" {subject_tag(key)}"
    return found(mail(**more), rcpt)


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(RUNGS, 2)))
def test_each_rung_wins_over_the_ones_below_it_and_the_other_ticket_is_recorded(
    stronger: Rule, weaker: Rule
) -> None:
    """DESIGN §3's order. An agent who wonders reads in `explain` what else the mail named."""
    match = with_evidence({weaker: KEY_2, stronger: KEY})
    assert (match.rule, key_of(match)) == (stronger, KEY)
    (other,) = match.dismissed
    assert (other.rule, other.why) == (weaker, f"stronger evidence names {KEY}")


def test_weaker_evidence_of_the_same_ticket_is_no_contradiction() -> None:
    """The ordinary reply shows the same ticket five times."""
    match = with_evidence(dict.fromkeys(RUNGS, KEY))
    assert (match.rule, key_of(match), match.dismissed) == (Rule.PLUS_ADDRESS, KEY, ())


def test_a_reply_is_looked_at_before_references_and_those_from_last_to_first() -> None:
    """The last reference is the nearest ancestor; we also put our own id there for Gmail and SES."""
    both = mail(in_reply_to=(our_id(KEY),), references=(our_id(KEY_2),))
    assert key_of(found(both)) == KEY
    chain = mail(
        references=(our_id(KEY_2), our_id(KEY_3), "<theirs@x.example>", our_id(KEY), "<y@x.example>")
    )
    match = found(chain)
    assert (key_of(match), match.evidence and match.evidence.header) == (KEY, "References")
    stored = mail(references=(STORED[KEY_2], STORED[KEY]))
    assert key_of(found(stored)) == KEY


def test_a_signed_id_deep_in_references_beats_a_stored_one_in_the_reply() -> None:
    """What we signed is proof; a Message-ID may be anybody's invention."""
    assert key_of(found(mail(in_reply_to=(STORED[KEY_2],), references=(our_id(KEY), "<x@y.example>")))) == KEY


def test_where_a_mail_was_delivered_counts_before_where_it_was_written_to() -> None:
    """Envelope, then Delivered-To and X-Original-To, then To, then Cc."""
    places = {
        "envelope recipient": ticket_address(KEY),
        "Delivered-To": ticket_address(KEY_2),
        "To": ticket_address(KEY_3),
    }
    headers = [("Delivered-To", f"<{places['Delivered-To']}>"), ("X-Original-To", places["Delivered-To"])]
    message = mail(headers=headers, to=(places["To"],), cc=(ticket_address(KEY),))

    def won(match: Match) -> str:
        return match.evidence.header if match.evidence else ""

    assert won(found(message, ticket_address(KEY))) == "envelope recipient"
    assert won(found(message, DESK)) == "Delivered-To"
    assert won(found(mail(headers=headers[1:], to=(places["To"],)), DESK)) == "X-Original-To"
    assert won(found(mail(to=(places["To"],), cc=(ticket_address(KEY),)), DESK)) == "To"
    assert won(found(mail(cc=(ticket_address(KEY),)), DESK)) == "Cc"


def test_a_plus_address_counts_on_our_own_mailboxes_only() -> None:
    """Someone else's address that happens to carry our token is not ours to read."""
    elsewhere = ticket_address(mailbox="support@other.example")
    assert found(mail(to=(elsewhere,)), elsewhere).ticket is None
    assert key_of(found(mail(), ticket_address(mailbox="Sales@DESK.example").upper())) == KEY


@pytest.mark.parametrize("who", [ANNE, CRIS, Address("", "ANNE@Customer.Example")])
def test_every_participant_may_write_whatever_the_case_of_their_address(who: Address) -> None:
    """Requester and collaborators alike."""
    assert key_of(found(mail(from_=who), ticket_address(), sender=who)) == KEY


@pytest.mark.parametrize("rule", RUNGS)
def test_a_stranger_joins_on_no_rung_and_claims_only_by_a_token(rule: Rule) -> None:
    """Forwarded mail, a leaked thread, a guess: a ticket of their own, never a word on another's."""
    named = {rule: KEY}
    message_of = with_evidence(named)
    assert key_of(message_of) == KEY  # the evidence itself is good
    more: dict[Rule, tuple[ParsedMail, str]] = {
        Rule.PLUS_ADDRESS: (mail(), ticket_address()),
        Rule.SIGNED_MESSAGE_ID: (mail(in_reply_to=(our_id(),)), DESK),
        Rule.BODY_MARKER: (mail(text=marker(KEY)), DESK),
        Rule.STORED_MESSAGE_ID: (mail(in_reply_to=(STORED[KEY],)), DESK),
        Rule.SUBJECT_TAG: (mail(subject=subject_tag(KEY)), DESK),
    }
    message, rcpt = more[rule]
    match = found(message, rcpt, sender=EVE)
    assert (match.ticket, match.rule) == (None, Rule.NONE)
    assert [d.why for d in match.dismissed] == ["the sender is not a participant of that ticket"]
    signed = rule in (Rule.PLUS_ADDRESS, Rule.SIGNED_MESSAGE_ID, Rule.BODY_MARKER)
    assert (match.claims.key if match.claims else "") == (KEY if signed else "")


def test_a_mail_without_identity_joins_nothing() -> None:
    """No clean From: nobody can be a participant, nor claim."""
    match = found(mail(), ticket_address(), sender=None)
    assert (match.ticket, match.claims) == (None, None)
    assert [d.why for d in match.dismissed] == ["the mail has no clean From"]


def test_words_of_a_subject_are_never_evidence() -> None:
    """Many customers write 'Re: The printer burns'; only a whole tag is looked at."""
    for subject in ("Re: The printer burns", KEY, f"#{KEY}", f"[{KEY}]", "[#7K3M9]", "Ticket 1", "[#1]"):
        assert keys_of(mail(subject=subject)).evidence == ()
    assert key_of(found(mail(subject=f"AW: {subject_tag(KEY).lower()} the printer"))) == KEY


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (agent_address(), "a token for an agent does not join a ticket"),
        (bounce_address(), "a token for bounces does not join a ticket"),
    ],
)
def test_a_token_of_another_kind_does_not_join(address: str, why: str) -> None:
    """A customer who got hold of an agent's address, or writes to the envelope sender, proves nothing by it."""
    match = found(mail(), address)
    assert match.ticket is None
    assert [d.why for d in match.dismissed] == [why]


def test_a_token_is_good_only_where_it_was_put() -> None:
    """An address's token as a marker, a marker's as an address: each signature has its one purpose."""
    tag = ticket_address().partition("+")[2].partition("@")[0]
    in_body = keys_of(mail(text=f"[ref:{tag}]"))
    assert (in_body.evidence, in_body.forged) == ((), 1)
    as_address = keys_of(mail(), with_tag(DESK, marker(KEY)[5:-1]))
    assert (as_address.evidence, as_address.forged) == ((), 1)


def test_forged_tokens_are_counted_named_and_passed_over() -> None:
    """Agents are warned; the real evidence still counts."""
    message = mail(
        text=OTHER_RING.body_marker(Token(TokenKind.TICKET, KEY)),
        in_reply_to=(our_id(ring=OTHER_RING),),
        references=(our_id(KEY),),
    )
    keys = keys_of(message, ticket_address(ring=OTHER_RING))
    assert keys.forged == 3
    assert [d.rule for d in keys.dismissed] == RUNGS[:3]
    assert all(d.why == "forged: the signature is wrong" for d in keys.dismissed)
    match = resolve(keys, KNOWN, ANNE.key)
    assert (match.rule, key_of(match)) == (Rule.SIGNED_MESSAGE_ID, KEY)


def test_a_retired_key_still_verifies_and_a_dropped_one_does_not() -> None:
    """A reply to a mail of last year finds its ticket after a rotation."""
    retired = ticket_address(ring=type(RING)(RING.retired[0]))
    assert key_of(found(mail(), retired)) == KEY
    dropped = match_keys(mail(), (retired,), POLICY.own, type(RING)(RING.current))
    assert [d.why for d in dropped.dismissed] == ["forged: no key '1' in the ring"]


def test_evidence_for_a_ticket_that_is_not_there_goes_on_to_the_next_rung() -> None:
    """Erased, or restored from an older backup."""
    known = facts(ticket(PENDING, number=2, key=KEY_2))
    match = found(mail(subject=subject_tag(KEY_2)), ticket_address(KEY), known=known)
    assert (key_of(match), [d.why for d in match.dismissed]) == (KEY_2, ["no such ticket"])


def test_the_ladder_stops_at_the_merged_ticket_whose_participant_writes() -> None:
    """The machine redirects from there; participants of the survivor alone do not come in by this address."""
    source = ticket(merged(2))
    survivor = ticket(PENDING, number=2, key=KEY_2)
    assert key_of(found(mail(), ticket_address(), known=facts(source, survivor))) == KEY
    assert found(mail(), ticket_address(), known=facts(source, survivor), sender=EVE).ticket is None


def test_every_piece_of_evidence_either_decides_agrees_or_has_its_reason() -> None:
    """`explain` leaves nothing out."""
    message = mail(
        subject=f"{subject_tag(KEY_3)} {subject_tag(KEY)}",
        text=f"{marker(KEY_2)} {OTHER_RING.body_marker(Token(TokenKind.TICKET, KEY))}",
        in_reply_to=(our_id(KEY), "<nobody@x.example>"),
        references=(STORED[KEY_2],),
    )
    keys = keys_of(message, agent_address())
    match = resolve(keys, KNOWN, ANNE.key)
    assert key_of(match) == KEY
    told = {(d.rule, d.value) for d in match.dismissed}
    silent = [e for e in keys.evidence if (e.rule, e.value) not in told and e is not match.evidence]
    # Only what names the same ticket, or nothing after the decision, goes without a word.
    assert [(e.rule, e.value) for e in silent] == [
        (Rule.STORED_MESSAGE_ID, "<nobody@x.example>"),
        (Rule.SUBJECT_TAG, KEY),
    ]
    assert all(d.why for d in match.dismissed)


def test_ten_thousand_guesses_join_nothing() -> None:
    """Random signatures, single letters changed, signatures moved to another ticket: not one is taken."""
    chance = random.Random(2)
    good = ticket_address().partition("+")[2].partition("@")[0]
    moved = good.replace(KEY, KEY_2)
    letters = string.ascii_lowercase + "234567"
    for number in range(10_000):
        if number % 3 == 0:
            tag = f"t2-{KEY}" + "".join(chance.choices(letters, k=26))
        elif number % 3 == 1:
            at = chance.randrange(len(good))
            tag = good[:at] + chance.choice(letters + "-.0189") + good[at + 1 :]
        else:
            at = chance.randrange(13, len(moved))
            tag = moved[:at] + chance.choice(letters) + moved[at + 1 :]
        if tag == good:
            continue
        assert not isinstance(RING.read(tag), Token), tag
    keys = keys_of(mail(), *(with_tag(DESK, f"t2-{KEY}" + "a" * 25 + c) for c in letters[:20]))
    assert resolve(keys, KNOWN, ANNE.key).ticket is None
    assert keys.forged == 20
    assert isinstance(RING.read(moved), Forged)


def test_a_flood_of_evidence_is_looked_at_within_bounds() -> None:
    """A thousand references or tags cost the look-ups of thirty."""
    flood = mail(
        references=tuple(f"<{n}@x.example>" for n in range(100)),
        in_reply_to=tuple(f"<r{n}@x.example>" for n in range(100)),
        subject=" ".join(["[#11111-11111]"] * 1000),
        text=" ".join([marker(KEY)] * 1000),
    )
    keys = keys_of(flood)
    assert len(keys.message_ids) <= 35
    assert len(keys.evidence) <= 40
    assert "<99@x.example>" in keys.message_ids
