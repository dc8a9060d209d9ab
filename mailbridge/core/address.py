"""Addresses: is one valid for us, what is its mailbox, how is it compared.

Only the plain dot-atom form of RFC 5321 4.1.2 (UTF-8 by RFC 6531) is taken; quoted local parts, source
routes and literals are refused, since nothing we serve needs them and each has been a hole somewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\ud7ff\ue000-\U0010ffff-"
_LOCAL = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*")
_ALNUM = r"A-Za-z0-9\u00a1-\ud7ff\ue000-\U0010ffff"
_LABEL = rf"[{_ALNUM}](?:[{_ALNUM}_-]*[{_ALNUM}])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_valid(address: str) -> bool:
    """Whether this is one plain addr-spec: dot-atom local part of at most 64 octets, domain of at most 255."""
    local, at, domain = address.rpartition("@")
    if address.isascii():  # nearly all: octets are characters, and what is not printable fits no pattern
        short = len(local) <= 64 and len(domain) <= 255
    else:
        short = (
            address.isprintable()  # no bidi marks or other invisible characters
            and len(local.encode("utf-8", "replace")) <= 64
            and len(domain.encode("utf-8", "replace")) <= 255
        )
    return bool(at and short and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain))


@dataclass(frozen=True, slots=True)
class Tagged:
    """An address split at the first plus of its local part: mailbox (case folded) and tag ('' if none)."""

    mailbox: str
    tag: str


def split_tag(address: str) -> Tagged | None:
    """The mailbox and plus-tag of an address, or None when it is invalid or its tag is not [A-Za-z0-9._-]{1,64}."""
    if not is_valid(address):
        return None
    local, _, domain = address.rpartition("@")
    base, plus, tag = local.partition("+")
    if not base or (plus and not _TAG.fullmatch(tag)):
        return None
    return Tagged(f"{base}@{domain}".casefold(), tag)


def with_tag(mailbox: str, tag: str) -> str:
    """`mailbox` with a plus-tag: support@example.org, t1-x -> support+t1-x@example.org."""
    local, _, domain = mailbox.rpartition("@")
    return f"{local}+{tag}@{domain}"


def domain_of(address: str) -> str:
    """The domain, case folded; '' when there is none."""
    return address.rpartition("@")[2].casefold()
