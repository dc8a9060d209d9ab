"""Which enhanced status code a refusal in words means.

A stated code wins. Without one the words decide the subject and detail, and the SMTP reply (or the action)
the class. What no row knows gives the class alone (`5.0.0`) if a reply code was seen, else None: a wrong
status would mark a good address as dead.

Standards: RFC 3463 (enhanced codes), RFC 5248 (registry), RFC 5321 4.2.1 (reply codes).
"""

from __future__ import annotations

import re

# Not a piece of an IP address or a version: no digit or dot touches it, three digits at most a number.
_ENHANCED = r"[245]\.\d{1,3}\.\d{1,3}(?!\d|\.\d)"
_CODE = re.compile(rf"(?<![\d.])({_ENHANCED})")
_FAILURE_CODE = re.compile(r"(?<![\d.A-Za-z/])(?:#)?([45]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)")
# "550 5.1.1 ...", "550-5.1.1", "550: 5.1.1", "550 #5.1.1", "550 550 5.1.1", and Zoho's
# "ERROR_CODE :550, ERROR_CODE :5.1.1"
_REPLY_AND_CODE = re.compile(
    r"(?<![\d.])[45]\d\d(?:[ :;,#-]|ERROR_CODE|\r?\n[ \t]+){1,6}(?:[45]\d\d[ -])?"
    r"([45]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)"
)
_REPLY = re.compile(r"(?<![\d.:/])([45])([0-5]\d)(?=[ \-:;,\])]|$)(?!-\d)", re.MULTILINE)
_VERSION_WORDS = re.compile(r"(?i)(?:version|exim|postfix|sendmail|qmail|v)[ /]?$")

# (phrases, subject.detail, source). First hit decides: specific words stand above general ones.
_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    # RFC 3463 3.3 X.2.2 mailbox full. Above "unknown": "mailbox full ... user unknown to accept".
    (
        (
            "mailbox full", "mailbox is full", "mailfolder is full", "over quota", "overquota",
            "over-quota", "quota exceeded", "exceeded quota", "quota exceed", "exceeding their quota",
            "exceeds allowed size", "exceeded the local limit", "disk quota", "storage quota",
            "exceeded storage", "mailbox size limit", "insufficient disk space", "not enough storage",
            "account is full", "inbox is full", "boite pleine", "postfach voll", "casella piena",
            "buzón lleno", "ящик переполнен", "容量", "いっぱい", "邮箱已满",
        ),
        "2.2",
    ),
    # RFC 3463 3.4 X.3.4 too big (X.2.3 is the mailbox's own limit; notices do not tell them apart).
    (
        (
            "too large", "too big", "message size exceeds", "exceeds the maximum",
            "maximum incoming message size", "exceeds size limit", "size limit",
            "exceeded maximum incoming message size",
        ),
        "3.4",
    ),
    # RFC 3463 3.3 X.2.1 mailbox disabled.
    (
        (
            "account is disabled", "account disabled", "account has been disabled", "mailbox disabled",
            "mailbox is disabled", "account inactive", "account is inactive", "is inactive",
            "currently suspended", "account suspended", "account is suspended", "account is locked",
            "account expired", "has been deactivated", "discontinued", "mailbox is inactive",
            "mailbox unavailable or access denied",
        ),
        "2.1",
    ),
    # RFC 3463 3.2 X.1.1 no such mailbox.
    (
        (
            "user unknown", "unknown user", "no such user", "unknown recipient", "recipient unknown",
            "unknown or illegal alias", "no mailbox here", "does not exist", "doesn't exist", "not exist",
            "not listed in", "user not found", "recipient not found", "not found in", "invalid recipient",
            "invalid user", "invalid address", "invalid mailbox", "bad destination mailbox",
            "unknown local", "no such mailbox", "no such recipient", "mailbox not found",
            "mailbox unavailable", "addressee unknown", "address unknown", "unknown address",
            "is not recognized", "no such account", "not a valid user", "doesn't have a", "unknown account",
            "userid", "no such address", "recipient rejected", "possibly incorrect", "n'existe pas",
            "non esiste", "no existe", "unbekannt", "не существует", "見つかりません", "存在しない",
            "存在しません", "不存在", "リストにありません",
        ),
        "1.1",
    ),
    # RFC 3463 3.2 X.1.2 bad destination system.
    (
        (
            "host unknown", "unknown host", "host not found", "domain not found", "domain does not exist",
            "no such domain", "unknown domain", "name service error", "host or domain name not found",
            "unrouteable", "unroutable", "name or service not known", "couldn't find any host",
            "couldn't find a mail exchanger", "could not find a gateway", "dns lookup failure", "nxdomain",
        ),
        "1.2",
    ),
    # RFC 3463 3.5 X.4.6 routing loop.
    (
        (
            "too many hops", "hop count", "mail loop", "routing loop", "loops back", "loop detected",
            "duplicated message-id",
        ),
        "4.6",
    ),
    # RFC 3463 3.8 X.7.1 not authorised: relaying, spam, policy, authentication of the sender.
    (
        (
            "relay", "spam", "blacklist", "blocked", "block list", "blocklist", "spamhaus", "policy",
            "access denied", "not authorized", "not permitted", "not accepting mail", "dmarc",
            "reverse dns", "no ptr", "banned", "content rejected", "virus", "prohibited", "authentication",
            "sender was rejected", "not allowed",
        ),
        "7.1",
    ),
    # RFC 3463 3.5 X.4.1 no answer from host.
    (
        (
            "connection timed out", "connection refused", "operation timed out", "timed out",
            "not responding", "no answer", "unable to connect", "can't connect", "connect to",
            "establish an smtp connection", "did not accept our requests to connect",
            "connection to mail exchanger failed", "connection reset", "socket error",
            "unavailable or busy", "service unavailable", "network is unreachable",
        ),
        "4.1",
    ),
    # RFC 3463 3.5 X.4.7 delivery time expired. Last: it says that trying ended, not why.
    (
        (
            "retry timeout exceeded", "message expired", "in the queue too long", "too long in queue",
            "retry time not reached", "delivery time expired", "maximum delivery attempts",
            "was aborted after", "could not be delivered for more than", "has been delayed",
            "not yet been delivered", "was not delivered within",
        ),
        "4.7",
    ),
)  # fmt: skip


def first_code(text: str) -> str | None:
    """The first enhanced status code in a field value such as `Status: 5.1.1 (bad address)`, else None."""
    found = _CODE.search(text)
    return found[1] if found else None


def stated_code(text: str) -> str | None:
    """The enhanced failure code that a notice states, else None.

    One behind an SMTP reply code is the far server's own and wins; so does one that says more than x.0.0
    (undefined) or x.4.7 (we stopped trying), which only wrap it.
    """
    found = [m[1] for m in _REPLY_AND_CODE.finditer(text)]
    found += [m[1] for m in _FAILURE_CODE.finditer(text) if not _VERSION_WORDS.search(text, 0, m.start(1))]
    telling = [code for code in found if code[1:] not in {".0.0", ".4.7"}]
    return next(iter(telling or found), None)


def derived_code(text: str, *, action: str) -> str | None:
    """The enhanced code that words and SMTP replies mean, None when nothing is known.

    The class is 4 for a delay and for a text whose only replies are 4yz, else 5.
    """
    replies = {m[1] for m in _REPLY.finditer(text)}
    kind = "4" if action == "delayed" or (replies == {"4"} and action != "failed") else "5"
    lowered = text.casefold()
    for phrases, detail in _WORDS:
        if any(phrase in lowered for phrase in phrases):
            return f"{kind}.{detail}"
    return f"{kind}.0.0" if replies else None
