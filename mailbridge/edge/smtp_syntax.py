"""What a client may write after MAIL and RCPT, and the trace header we write for it. Pure text, no I/O.

Standards: RFC 5321 4.1.2 (paths), 4.1.1.11 (parameters), 4.4 (trace), 6.3 (loops); RFC 1870 (SIZE);
RFC 6152 (8BITMIME); RFC 6531 (SMTPUTF8); RFC 3461 (DSN parameters); RFC 3848 (transmission types).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from mailbridge.core.address import is_valid

MAX_HOPS = 50
"""Received fields that a mail may bring: with more it is going in circles (RFC 5321 6.3)."""

_PATH = re.compile(r"(FROM|TO):[ \t]*<([^<>\x00-\x20\x7f]*)>(?:[ \t]+(.*))?", re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?")
_IGNORED = {"FROM": frozenset({"RET", "ENVID"}), "TO": frozenset({"NOTIFY", "ORCPT"})}
"""DSN parameters: not announced, but a client that sends them all the same is not refused."""
_RELAY = re.compile(r"[%!@:\"\[]")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_HEADERS_LOOKED_AT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Refused:
    """The reply to a command that cannot be obeyed."""

    reply: str


@dataclass(frozen=True, slots=True)
class Sender:
    """A valid MAIL command. `address` is None for `<>`; `size` is 0 when not declared."""

    address: str | None
    size: int
    utf8: bool


def parse_mail(arg: str, *, extended: bool) -> Sender | Refused:
    """What `MAIL` asks for. `extended`: the client said EHLO, so parameters are allowed."""
    split = _split(arg, "FROM", extended)
    if isinstance(split, Refused):
        return split
    path, parameters = split
    size, utf8 = 0, False
    for name, value in parameters.items():
        match name, value:
            case "SIZE", str() if value.isascii() and value.isdigit() and len(value) <= 20:
                size = int(value)
            case "BODY", str() if value.upper() in ("7BIT", "8BITMIME"):
                pass
            case "SMTPUTF8", None:
                utf8 = True
            case "SIZE" | "BODY" | "SMTPUTF8", _:
                return Refused(f"501 5.5.4 bad value for {name}")
            case _:
                return Refused("555 5.5.4 MAIL parameter not known")
    if not path:
        return Sender(None, size, utf8)
    if not is_valid(path):
        return Refused("553 5.1.7 sender address not valid")
    if not utf8 and not path.isascii():
        return Refused("553 5.6.7 this sender address needs SMTPUTF8")
    return Sender(path, size, utf8)


def parse_rcpt(arg: str, *, extended: bool, utf8: bool) -> str | Refused:
    """The address that `RCPT` names. Relay forms (source route, percent, bang) are refused (RFC 5321 3.6.1).

    'postmaster' without a domain is returned as it is (RFC 5321 4.5.1).
    """
    split = _split(arg, "TO", extended)
    if isinstance(split, Refused):
        return split
    path, parameters = split
    if parameters:
        return Refused("555 5.5.4 RCPT parameter not known")
    if path.casefold() == "postmaster":
        return path
    local, _, domain = path.rpartition("@")
    if _RELAY.search(local) or domain.startswith("["):
        return Refused("550 5.7.1 relaying denied")
    if not is_valid(path):
        return Refused("553 5.1.3 recipient address not valid")
    if not utf8 and not path.isascii():
        return Refused("553 5.6.7 this recipient address needs SMTPUTF8")
    return path


def _split(arg: str, keyword: str, extended: bool) -> tuple[str, dict[str, str | None]] | Refused:
    """The path without its brackets, and the parameters without those that we may ignore."""
    found = _PATH.fullmatch(arg)
    if found is None or found[1].upper() != keyword:
        return Refused(f"501 5.5.4 syntax: {keyword}:<address>")
    parameters: dict[str, str | None] = {}
    for word in (found[3] or "").split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None or parameter[1].upper() in parameters:
            return Refused("501 5.5.4 bad parameter")
        parameters[parameter[1].upper()] = parameter[2]
    if parameters and not extended:
        return Refused("555 5.5.4 parameters need EHLO")
    for name in _IGNORED[keyword]:
        parameters.pop(name, None)
    return found[2], parameters


@dataclass(frozen=True, slots=True)
class Hop:
    """How a mail reached us, for its trace header. `peer` is an IP address or 'local'."""

    helo: str
    peer: str
    by: str
    extended: bool
    tls: bool
    utf8: bool


def trace_header(hop: Hop, now: datetime) -> bytes:
    """The Received field, CRLF at its end (RFC 5321 4.4). Whatever the client named itself stays one word."""
    helo = _NOT_IN_NAME.sub("?", hop.helo)[:255] or "unknown"
    if not hop.extended:
        protocol = "SMTP"
    else:
        protocol = ("UTF8SMTP" if hop.utf8 else "ESMTP") + ("S" if hop.tls else "")
    return (
        f"Received: from {helo} ({_literal(hop.peer)})\r\n"
        f"\tby {hop.by} with {protocol};\r\n\t{format_datetime(now)}\r\n"
    ).encode("ascii", "replace")


def _literal(peer: str) -> str:
    if ":" in peer:
        return f"[IPv6:{peer}]"
    return f"[{peer}]" if peer[:1].isdigit() else peer


def hops(raw: bytes, start: int = 0) -> int:
    """How many Received fields the header section that begins at `start` has."""
    head = raw[start : start + _HEADERS_LOOKED_AT]
    ends = [end for end in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if end >= 0]
    return (b"\n" + head[: min(ends, default=len(head))].lower()).count(b"\nreceived:")
