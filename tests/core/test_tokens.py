"""Signed tokens: they survive mail systems, and nobody but us can make one."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.address import is_valid, split_tag, with_tag
from mailbridge.core.tokens import (
    MAX_MAILBOX_LOCAL,
    MAX_SUBJECT,
    MAX_TAG,
    Forged,
    Key,
    KeyRing,
    Token,
    TokenKind,
    display_key,
    find_subject_tags,
    new_ticket_key,
    parse_key,
    subject_numbers,
    subject_of,
    subject_tag,
)

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
OLD, NEW, OTHER = Key("1", b"o" * 32), Key("2", b"n" * 32), Key("1", b"x" * 32)
RING = KeyRing(NEW, (OLD,))
TICKET = Token(TokenKind.TICKET, "7k3m9qx2vd")
AGENT = Token(TokenKind.AGENT, "7k3m9qx2vd", "c.3mv")
DOMAIN = "desk.example"

keys = st.text(CROCKFORD, min_size=10, max_size=10)
subjects = st.from_regex(r"[a-z0-9]{1,4}(\.[a-z0-9]{1,5})?", fullmatch=True)
tokens = st.one_of(
    st.builds(Token, st.just(TokenKind.TICKET), keys),
    st.builds(Token, st.sampled_from([TokenKind.AGENT, TokenKind.BOUNCE]), keys, subjects),
)
nonces = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=32)
characters = st.one_of(st.sampled_from(string.printable), st.characters())


def cased(text: str, seed: int) -> str:
    chooser = random.Random(seed)
    return "".join(chooser.choice((c.upper(), c.lower())) for c in text)


def with_one_changed(text: str, position: int, character: str) -> str:
    position %= len(text)
    return text[:position] + character + text[position + 1 :]


@given(tokens, nonces, st.integers())
def test_a_token_is_read_back_from_address_message_id_and_body_in_any_case(
    token: Token, nonce: str, seed: int
) -> None:
    """Mail systems fold the case of addresses, some of Message-IDs too: replies must still find tickets."""
    assert RING.read(cased(RING.sign(token), seed)) == token
    assert RING.read_message_id(cased(RING.message_id(token, nonce, DOMAIN), seed)) == token
    marker = cased(RING.body_marker(token), seed)
    assert RING.find_body_markers(f"> quoted {marker}\n> more") == [token]


@given(tokens, st.integers(0, 10_000), characters)
def test_one_changed_character_of_an_address_token_is_never_accepted(
    token: Token, position: int, character: str
) -> None:
    """Not even in the two idle bits of the last letter, nor a character that lower() folds to ours."""
    text = RING.sign(token)
    changed = with_one_changed(text, position, character)
    if changed == text or (changed.isascii() and changed.lower() == text):
        return
    assert not isinstance(RING.read(changed), Token)


@given(tokens, nonces, st.integers(0, 10_000), characters)
def test_one_changed_character_of_a_message_id_is_never_accepted(
    token: Token, nonce: str, position: int, character: str
) -> None:
    """Nonce and domain are signed as well: no second Message-ID can be made out of one."""
    text = RING.message_id(token, nonce, DOMAIN)
    changed = with_one_changed(text, position, character)
    if changed == text or (changed.isascii() and changed.lower() == text):
        return
    assert not isinstance(RING.read_message_id(changed), Token)


@pytest.mark.parametrize("position", range(len(RING.sign(TICKET))))
def test_every_position_of_a_token_is_guarded(position: int) -> None:
    """The systematic companion of the property above: all letters and digits at every place."""
    text = RING.sign(TICKET)
    for character in string.ascii_lowercase + string.digits:
        if character != text[position]:
            assert not isinstance(RING.read(with_one_changed(text, position, character)), Token)


def test_ten_thousand_random_tokens_are_all_refused() -> None:
    """Well-formed guesses under a key id in use: each must be told as forged, none taken."""
    chooser = random.Random(20)
    base32 = string.ascii_lowercase + "234567"
    accepted = 0
    for _ in range(10_000):
        ticket = "".join(chooser.choices(CROCKFORD, k=10))
        signature = "".join(chooser.choices(base32, k=20))
        answer = RING.read(f"{chooser.choice('tab')}2-{ticket}{signature}")
        accepted += isinstance(answer, Token)
        assert isinstance(answer, Forged)
    assert accepted == 0


def test_a_retired_key_still_verifies_and_a_dropped_one_does_not() -> None:
    """Rotation must not orphan open tickets; dropping a stolen key must."""
    text, marker = KeyRing(OLD).sign(TICKET), KeyRing(OLD).body_marker(TICKET)
    message_id = KeyRing(OLD).message_id(TICKET, "n1", DOMAIN)
    assert RING.read(text) == RING.read_message_id(message_id) == TICKET
    assert RING.find_body_markers(marker) == [TICKET]
    dropped = KeyRing(NEW)
    for answer in (
        dropped.read(text),
        dropped.read_message_id(message_id),
        *dropped.find_body_markers(marker),
    ):
        assert isinstance(answer, Forged)
        assert answer.why == "no key '1' in the ring"


def test_another_installation_with_the_same_key_id_is_not_believed() -> None:
    """Every installation begins with key 1; only the secret counts."""
    answer = RING.read(KeyRing(OTHER).sign(TICKET))
    assert answer == Forged(KeyRing(OTHER).sign(TICKET), "the signature is wrong")


def test_a_key_id_does_not_choose_the_key_for_another_signature() -> None:
    """A signature of the retired key relabelled as the current one's must fail."""
    text = KeyRing(OLD).sign(TICKET)
    assert isinstance(RING.read(text.replace("t1-", "t2-", 1)), Forged)


@given(tokens, nonces)
def test_a_signature_is_good_for_its_own_purpose_only(token: Token, nonce: str) -> None:
    """Whoever sees a marker in a quoted body must not get an address, or a Message-ID, from it."""
    marker = RING.body_marker(token).removeprefix("[ref:").removesuffix("]")
    assert isinstance(RING.read(marker), Forged)
    assert all(isinstance(found, Forged) for found in RING.find_body_markers(f"[ref:{RING.sign(token)}]"))
    signature = RING.sign(token)[-20:]
    made_up = f"<mb.{token.kind}2-{token.ticket}-{token.subject}-{nonce}-{signature}@{DOMAIN}>"
    assert isinstance(RING.read_message_id(made_up), Forged)


@pytest.mark.parametrize("kind", list(TokenKind))
def test_a_token_of_one_kind_never_verifies_as_another(kind: TokenKind) -> None:
    """Every server on the way sees the envelope sender; it must not let anyone write into the ticket."""
    bounce = RING.sign(Token(TokenKind.BOUNCE, "7k3m9qx2vd", "42"))
    text = kind + bounce[1:]
    assert isinstance(RING.read(text), Token if kind is TokenKind.BOUNCE else Forged)


def test_ticket_and_subject_cannot_be_shifted_into_each_other() -> None:
    """Text fields stand side by side without a separator; the signature must still tell them apart."""
    one = RING.sign(Token(TokenKind.AGENT, "7k3m9qx2vd", "a.b"))
    assert isinstance(RING.read(one.replace("a.b", "ab", 1)), Forged)
    assert isinstance(RING.read(one.replace("2vda.b", "2vad.b", 1)), Forged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t1",
        "invoice-2026",
        "t1-7k3m9qx2vd",
        "x1-7k3m9qx2vd" + "a" * 20,
        "t1-7k3m9qx2vu" + "a" * 20,
        "t12345-7k3m9qx2vd" + "a" * 20,
        "t1-7k3m9qx2vd" + "a" * 25 + "1",
        "a1-7k3m9qx2vd." + "a" * 20,
        "t1-7k3m9qx2vd" + "a" * 10_000,
        "\u212a" * 39,
        "t1-7\u212a3m9qx2vd" + "a" * 20,
        " " + RING.sign(TICKET),
        RING.sign(TICKET) + "\n",
    ],
)
def test_a_tag_that_is_not_in_our_shape_is_nobodys(text: str) -> None:
    """People use plus-tags too: those are not forgeries. Neither is anything with a stray character."""
    assert RING.read(text) is None


@pytest.mark.parametrize(
    "message_id",
    [
        "",
        "<>",
        "<abc@customer.example>",
        "mb.t2-7k3m9qx2vd--n1-" + "a" * 20 + "@desk.example",
        "<mb.t2-7k3m9qx2vd--n1-" + "a" * 20 + ">",
        "<mb.t2-7k3m9qx2vd--n1-" + "a" * 20 + "@de..sk>",
        "<mb." + "a" * 100_000 + "@desk.example>",
    ],
)
def test_a_foreign_message_id_is_nobodys(message_id: str) -> None:
    """References are full of other people's ids, and of nonsense."""
    assert RING.read_message_id(message_id) is None


def test_at_most_twenty_body_markers_are_tried() -> None:
    """A body with a million markers must cost no more than twenty signatures."""
    forged = f"[ref:t2-7k3m9qx2vd{'a' * 20}]"
    found = RING.find_body_markers(forged * 20 + RING.body_marker(TICKET))
    assert len(found) == 20
    assert all(isinstance(each, Forged) for each in found)
    assert RING.find_body_markers(forged * 19 + RING.body_marker(TICKET))[-1] == TICKET


@given(tokens)
def test_every_tag_fits_into_a_valid_address(token: Token) -> None:
    """64 octets of local part (RFC 5321 4.5.3.1.1), for the longest mailbox that the settings allow."""
    tag = RING.sign(token)
    assert len(tag) <= MAX_TAG
    for local in ("support", "x" * MAX_MAILBOX_LOCAL):
        address = with_tag(f"{local}@{DOMAIN}", tag)
        assert is_valid(address)
        assert (found := split_tag(address)) is not None
        assert RING.read(found.tag) == token


def test_the_longest_tag_is_as_long_as_promised() -> None:
    """MAX_TAG decides which mailboxes are refused, so it must be exact."""
    assert len(RING.sign(Token(TokenKind.AGENT, "7k3m9qx2vd", "z" * MAX_SUBJECT))) == MAX_TAG
    assert len("support") <= MAX_MAILBOX_LOCAL


@pytest.mark.parametrize(
    ("kind", "ticket", "subject"),
    [
        (TokenKind.TICKET, "7k3m9qx2v", ""),
        (TokenKind.TICKET, "7K3M9QX2VD", ""),
        (TokenKind.TICKET, "7k3m9qx2vl", ""),
        (TokenKind.TICKET, "7k3m9qx2vd", "1"),
        (TokenKind.AGENT, "7k3m9qx2vd", ""),
        (TokenKind.AGENT, "7k3m9qx2vd", ".1"),
        (TokenKind.AGENT, "7k3m9qx2vd", "a..b"),
        (TokenKind.BOUNCE, "7k3m9qx2vd", "1" * (MAX_SUBJECT + 1)),
        (TokenKind.BOUNCE, "7k3m9qx2vd", "a-b"),
    ],
)
def test_a_token_that_could_not_be_read_back_cannot_be_made(
    kind: TokenKind, ticket: str, subject: str
) -> None:
    """A bug of a caller must show when the mail is made, not when the customer's answer gets lost."""
    with pytest.raises(ValueError, match=r"not a t|cannot have"):
        Token(kind, ticket, subject)


@pytest.mark.parametrize(
    ("nonce", "domain"),
    [("", DOMAIN), ("a-b", DOMAIN), ("a" * 33, DOMAIN), ("n1", ""), ("n1", "a>b"), ("n1", "é.example")],
)
def test_an_unfit_message_id_cannot_be_made(nonce: str, domain: str) -> None:
    """The same, for what goes into a header."""
    with pytest.raises(ValueError, match=r"unfit|ascii"):
        RING.message_id(TICKET, nonce, domain)


def test_a_key_ring_refuses_weak_keys_and_double_ids() -> None:
    """A short secret, a strange id or two keys of one id is a damaged key file."""
    with pytest.raises(ValueError, match="shorter"):
        Key("1", b"short")
    with pytest.raises(ValueError, match="key id"):
        Key("K1", b"x" * 32)
    with pytest.raises(ValueError, match="two keys"):
        KeyRing(OLD, (OTHER,))


def test_no_secret_is_printed() -> None:
    """A ring ends up in a traceback or a log line sooner or later."""
    assert "nnnn" not in repr(RING)
    assert "oooo" not in repr(RING)


@given(st.integers(0, 36**4 - 1), st.integers(0, 2**24 - 1))
def test_subject_numbers_gives_back_what_subject_of_was_given(agent: int, nonce: int) -> None:
    """An agent's number must come back as it was, and the pair must fit for a million agents."""
    subject = subject_of(agent, nonce)
    assert subject_numbers(subject) == (agent, nonce)
    assert Token(TokenKind.AGENT, "7k3m9qx2vd", subject).subject == subject


def test_numbers_that_do_not_fit_are_refused() -> None:
    """Cutting a number would name another agent."""
    with pytest.raises(ValueError, match="fit"):
        subject_of(36**5, 36**5)
    with pytest.raises(ValueError, match="negative"):
        subject_of(-1)


@given(st.binary(min_size=7, max_size=16))
def test_a_ticket_key_is_read_back_however_people_write_it(random_bytes: bytes) -> None:
    """Read out on the telephone, typed in capitals, with or without the dash."""
    key = new_ticket_key(random_bytes)
    assert len(key) == 10
    assert set(key) <= set(CROCKFORD)
    shown = display_key(key)
    mistyped = shown.replace("0", "O").replace("1", "I")
    for text in (
        key,
        shown,
        shown.lower(),
        f" #{shown} ",
        shown.replace("-", " "),
        mistyped,
        mistyped.lower(),
    ):
        assert parse_key(text) == key
    assert parse_key(shown.replace("1", "l").replace("-", "\u2011")) == key
    assert find_subject_tags(f"Re: {subject_tag(key)} printer") == (key,)


def test_ticket_keys_have_fifty_random_bits() -> None:
    """Every bit of the fifty must matter, and no key may be likelier than another."""
    made = {new_ticket_key((1 << bit).to_bytes(7, "big")) for bit in range(56)}
    assert len(made) == 51  # fifty different ones, and the zero of the six bits that are not used
    with pytest.raises(ValueError, match="7 random bytes"):
        new_ticket_key(b"123456")


def test_a_key_is_shown_in_two_groups_of_capitals() -> None:
    """The form that is in subjects and on screens; others rely on it."""
    assert display_key("7k3m9qx2vd") == "7K3M9-QX2VD"
    assert subject_tag("7k3m9qx2vd") == "[#7K3M9-QX2VD]"


@pytest.mark.parametrize(
    "text", ["", "7K3M9", "7K3M9-QX2VU", "7K3M9--QX2VD", "7K3M9-QX2VD1", "7K3M9-QX2V\u00e9", "١٢٣٤٥-١٢٣٤٥"]
)
def test_a_text_that_is_no_ticket_key_is_told_as_such(text: str) -> None:
    """U is in no key, and digits of other scripts are not ours."""
    assert parse_key(text) is None


def test_subject_tags_are_found_once_each_in_their_order() -> None:
    """Mail programs repeat, fold and translate around the tag."""
    subject = "AW: [#7K3M9-QX2VD] WG: [#aaaaa-bbbbb] [#7k3m9qx2vd] [Ticket 5] [#12] [#UUUUU-UUUUU]"
    assert find_subject_tags(subject) == ("7k3m9qx2vd", "aaaaabbbbb")
    assert find_subject_tags("[#aaaaa-bbbbb" * 50_000) == ()


@settings(max_examples=30)
@given(st.text(max_size=300))
def test_no_text_makes_the_readers_fail(text: str) -> None:
    """Whatever a mail holds, reading answers; it never raises."""
    RING.read(text)
    RING.read_message_id(text)
    RING.find_body_markers(text)
    find_subject_tags(text)
    parse_key(text)
