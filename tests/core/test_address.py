"""Which addresses are taken for one, and how their plus-tags are split off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.address import Tagged, domain_of, is_valid, split_tag, with_tag

LONG = "a" * 64


@pytest.mark.parametrize(
    "address",
    [
        "anne@customer.example",
        "a@b",
        "anne.o'hara+x=y@customer.example",
        f"{LONG}@customer.example",
        "änne@kunde.example",
        "用户@例子.测试",
        "a_b@c-d.example",
    ],
)
def test_plain_addresses_of_all_scripts_are_taken(address: str) -> None:
    """RFC 5321 4.1.2's dot-atom and its UTF-8 form of RFC 6531: what people have."""
    assert is_valid(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "anne",
        "anne@",
        "@customer.example",
        ".anne@customer.example",
        "anne.@customer.example",
        "an..ne@customer.example",
        '"anne smith"@customer.example',
        "<anne@customer.example>",
        "anne smith@customer.example",
        "anne@customer.example\n",
        "anne@customer.example\r\nBcc: x@y.example",
        "anne\0@customer.example",
        "anne@customer..example",
        "anne@-customer.example",
        "anne@customer-.example",
        "anne@[192.0.2.1]",
        "@relay.example:anne@customer.example",
        "anne@customer.example,bart@desk.example",
        "anne@relay@customer.example",
        f"{LONG}a@customer.example",
        f"{'ä' * 33}@customer.example",
        f"anne@{'a.' * 127}example",
        "anne\u202egro@customer.example",
        "anne\u200b@customer.example",
        "anne\ud800@customer.example",
        "-oQ/tmp@customer.example:25",
    ],
)
def test_all_else_is_refused(address: str) -> None:
    """Quoted forms, routes, literals, lists, line ends, invisible letters: each has been a hole somewhere."""
    assert not is_valid(address)
    assert split_tag(address) is None


@pytest.mark.parametrize(
    ("address", "mailbox", "tag"),
    [
        ("Support@Desk.Example", "support@desk.example", ""),
        ("support+t1-x@desk.example", "support@desk.example", "t1-x"),
        ("support+T1-X@desk.example", "support@desk.example", "T1-X"),
    ],
)
def test_the_mailbox_is_compared_without_case_and_the_tag_is_kept_as_written(
    address: str, mailbox: str, tag: str
) -> None:
    """Many systems fold addresses; the token's reader folds its own letters."""
    assert split_tag(address) == Tagged(mailbox, tag)


@pytest.mark.parametrize("local", ["support+", "support+a+b", "support+a!b", f"support+{'a' * 65}", "+tag"])
def test_a_tag_in_no_shape_of_ours_makes_the_address_unknown(local: str) -> None:
    """Matching is exact: neither ours by accident nor a second spelling of ours."""
    assert split_tag(f"{local}@desk.example") is None


@given(st.from_regex(r"[A-Za-z0-9._-]{1,50}", fullmatch=True))
def test_a_tag_that_was_put_on_is_read_back(tag: str) -> None:
    """What we sign into an address must come out of it again."""
    address = with_tag("support@desk.example", tag)
    if is_valid(address):
        assert split_tag(address) == Tagged("support@desk.example", tag)
    else:  # a dot at the edge or two in a row: no address, so never a wrong one
        assert tag.endswith(".") or ".." in tag


@given(st.text(max_size=80))
def test_no_text_at_all_makes_it_raise(text: str) -> None:
    """It is the first to read what strangers send."""
    assert is_valid(text) in (True, False)
    split_tag(text)
    domain_of(text)


def test_only_the_domain_is_after_the_last_at_sign() -> None:
    """The relation of From and envelope sender hangs on it."""
    assert domain_of("a@b@Customer.Example") == "customer.example"
    assert domain_of("") == ""
