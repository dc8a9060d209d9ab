"""The fields of a delivery report, wherever they stand: in their own part, or pasted into the notice.

Standards: RFC 3464 2 (fields and groups), RFC 6533 (internationalised), RFC 3461 4.2 and 5 (xtext, ORCPT).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailbridge.core.dsn_status import first_code

MAX_RECIPIENTS = 200
"""How many recipients of one report are looked at; a real notice names a handful."""

_ACTIONS = {
    "failed": "failed",
    "delayed": "delayed",
    "delivered": "delivered",
    "relayed": "relayed",
    "expanded": "expanded",
    # Seen in the world for what RFC 3464 2.3.3 calls failed and delayed.
    "failure": "failed",
    "fail": "failed",
    "hard-fail": "failed",
    "expired": "failed",
    "error": "failed",
    "bounced": "failed",
    "denied": "failed",
    "delay": "delayed",
    "deferred": "delayed",
}
_WANTED = frozenset(
    {
        "original-recipient",
        "final-recipient",
        "x-actual-recipient",
        "action",
        "status",
        "diagnostic-code",
        "remote-recipient",
        "original-envelope-id",
        "x-original-message-id",
        "original-message-id",
        "reporting-mta",
        "arrival-date",
        "remote-mta",
        "last-attempt-date",
        "x-supplementary-info",
    }
)
_FIELD = re.compile(r"[ \t]{0,8}([A-Za-z][A-Za-z-]{2,30})[ \t]*:[ \t]*(.*)")
_ADDRESS = re.compile(r"[^\s<>\"'(),;\[\]@]{1,128}@[^\s<>\"'(),;@]{1,255}")
_ROUTE = re.compile(r"^@[^\s:<>]{1,255}:")  # source route, RFC 5321 4.1.1.3: to be ignored
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


@dataclass(frozen=True, slots=True)
class Report:
    """One per-recipient group (RFC 3464 2.3), as stated. Addresses are '' when not usable."""

    final: str
    original: str
    action: str | None
    status: str | None
    diagnostic: str

    def address(self, *, shared: frozenset[str]) -> str:
        """The recipient to blame: the address that we wrote to, so that it can be found again.

        An alias that was expanded into several failed addresses (it is in `shared`, case folded) names none
        of them; then the final one stands.
        """
        if self.original and self.original.casefold() not in shared:
            return self.original
        return self.final or self.original


def read_reports(text: str) -> tuple[Report, ...]:
    """The per-recipient groups of a delivery-status text, at most MAX_RECIPIENTS.

    Groups are parted by blank lines, but many writers forget them or put them between two fields of one
    group, so a new group starts where a field comes again that the open group already has.
    """
    reports: list[Report] = []
    group: dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        if len(reports) >= MAX_RECIPIENTS:
            return tuple(reports)
        if last and line[:1] in {" ", "\t"} and line.strip() and not _known(line):
            group[last] = f"{group[last]} {line.strip()[:500]}"[:2000]  # folded, RFC 5322 2.2.3
            continue
        found = _FIELD.match(line[:2000])
        name = found[1].lower() if found else ""
        if not found or name not in _WANTED:
            last = ""
            continue
        if name in group:
            _close(group, reports)
            group = {}
        group[name] = found[2].strip()
        last = name
    _close(group, reports)
    return tuple(reports[:MAX_RECIPIENTS])


def original_message_id(text: str) -> str:
    """The Message-ID of the returned mail where the report's fields carry it (beyond RFC 3464), else ''."""
    found = re.search(r"(?im)^(?:X-)?Original-Message-ID:[ \t]*(<[^<>\s]{1,900}>)", text)
    return found[1] if found else ""


def _known(line: str) -> bool:
    found = _FIELD.match(line[:200])
    return found is not None and found[1].lower() in _WANTED


def _close(group: Mapping[str, str], reports: list[Report]) -> None:
    final = plain_address(group.get("final-recipient", ""))
    original = plain_address(group.get("original-recipient", ""))
    if not final and not original:
        final = plain_address(group.get("x-actual-recipient", "") or group.get("remote-recipient", ""))
    if not {"action", "status", "diagnostic-code"} & group.keys() and not final and not original:
        return  # the group of the whole message (RFC 3464 2.2)
    words = group.get("action", "").replace("(", " ").replace(";", " ").lower().split()
    diagnostic = group.get("diagnostic-code", "")
    reports.append(
        Report(
            final=final,
            original=original,
            action=_ACTIONS.get(words[0].strip(".,")) if words else None,
            status=first_code(group.get("status", "")),
            diagnostic=re.sub(r"\s+", " ", diagnostic)[:500],
        )
    )


def plain_address(value: str) -> str:
    """The mailbox in `rfc822; <anne@customer.example>` and its relatives, '' if there is none.

    The type before the semicolon may be missing, wrong or repeated. xtext (RFC 3461 4) and the `\\x{}` form
    of RFC 6533 3 are undone only for a type that says so: a plus sign is common in real addresses.
    """
    kind, semicolon, rest = value.rpartition(";")
    address = rest if semicolon else value
    lowered = kind.strip().lower()
    if lowered == "utf-8":
        address = _UNICODE.sub(lambda m: _char(int(m[1], 16)), address)
    elif lowered.startswith("xtext") or (lowered == "rfc822" and "+40" in address and "@" not in address):
        address = _XTEXT.sub(lambda m: chr(int(m[1], 16)), address)
    address = _ROUTE.sub("", address.strip().lstrip("<")[:1000])
    found = _ADDRESS.search(address)
    return found[0].strip(".").rstrip(":>") if found else ""


def _char(code: int) -> str:
    return chr(code) if 0x20 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else ""


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient and what was stated about it, after the groups of one report were put together."""

    address: str
    report: Report


def failures(reports: Sequence[Report]) -> tuple[Failure, ...]:
    """One failure an address (a list of retries repeats its recipient; the first that states a status stays).

    Groups without a usable address are left out.
    """
    finals: dict[str, set[str]] = {}
    for report in reports:
        if report.original and report.final:
            finals.setdefault(report.original.casefold(), set()).add(report.final.casefold())
    shared = frozenset(original for original, several in finals.items() if len(several) > 1)
    best: dict[str, Failure] = {}
    for report in reports:
        address = report.address(shared=shared)
        held = best.get(address.casefold())
        if address and (held is None or (held.report.status is None and report.status is not None)):
            best[address.casefold()] = Failure(address, report)
    return tuple(best.values())
