"""The table of signs: what in a mail says that no person wrote it, or that a list sent it. Data only.

Order is the rule: the first sign that holds decides. From the top:

1. feedback reports: the most specific form there is, a media type of its own;
2. challenges: they come dressed as bounces (Boxbe sends a delivery report), so they stand above them;
3. bounces: by media type, by header, by writer and words. Above automatic replies, because most bounces say
   `Auto-Submitted: auto-replied` too;
4. automatic replies and notifications: RFC 3834, then vendors' headers;
5. lists and bulk mail: below automatic mail, because a list's robot is a robot; a list may carry a person;
6. the weakest evidence, for systems that mark nothing: words of the subject, the null reverse-path.

A test names a header in lower case or, with a colon, what `classify` derives: `:from` (raw and decoded),
`:subject` and `:opening` (start of the text), all case folded; `:null` the null reverse-path; `:report` the
Content-Type in lower case if it speaks of a report; `:part` the media type of a part; `:returned` the start
of an attached message.

Not in the table on purpose: `X-Auto-Response-Suppress` without more (it asks for silence, and mail programs
put it on people's mail), `List-Unsubscribe` without more (customer systems put it on people's mail),
`Auto-Submitted: no` (RFC 3834 5: a person), `Precedence: first-class`, and what the sender's provider adds.

Standards: RFC 3834, RFC 3464, RFC 6522, RFC 5965, RFC 8098, RFC 2919, RFC 2369, RFC 8058.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbridge.core.mail import Kind
from mailbridge.core.signs_words import (
    AUTO_REPLY_SUBJECTS,
    BOUNCE_OPENINGS,
    BOUNCE_SUBJECTS,
    CHALLENGE_DOMAINS,
    CHALLENGE_OPENINGS,
    DAEMONS,
    MACHINE_OPENINGS,
    OFFICES,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """Some value of `where` is not blank and satisfies `pattern`, `starts` or `phrases`, if one is given."""

    where: str
    pattern: re.Pattern[str] | None = None
    starts: tuple[str, ...] = ()
    """The value begins with one of these."""
    phrases: tuple[str, ...] = ()
    """One of these stands in the value: for long texts, where they are cheaper than a pattern."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A row: the kind that holds when all conditions do. The first condition is the evidence shown."""

    kind: Kind
    why: str
    conditions: tuple[Condition, ...]


def _has(where: str, pattern: str = "") -> Condition:
    return Condition(where, re.compile(pattern, re.IGNORECASE) if pattern else None)


def _says(where: str, *phrases: str) -> Condition:
    return Condition(where, phrases=phrases)


def _starts(where: str, *starts: str) -> Condition:
    return Condition(where, starts=starts)


def _report(*conditions: Condition, why: str) -> Sign:
    return Sign(Kind.FEEDBACK_REPORT, why, conditions)


def _challenge(*conditions: Condition, why: str = "a challenge of a sender-verification system") -> Sign:
    return Sign(Kind.CHALLENGE, why, conditions)


def _bounce(*conditions: Condition, why: str) -> Sign:
    return Sign(Kind.BOUNCE, why, conditions)


def _auto(*conditions: Condition, why: str = "an autoresponder's header") -> Sign:
    return Sign(Kind.AUTO_REPLY, why, conditions)


def _list(*conditions: Condition, why: str = "it came through a mailing list") -> Sign:
    return Sign(Kind.MAILING_LIST, why, conditions)


_DAEMON = _says(":from", *DAEMONS)
_OFFICE = _says(":from", *OFFICES)
_NULL = _has(":null")
_BOUNCE_SUBJECT = _starts(":subject", *BOUNCE_SUBJECTS)
_BOUNCE_OPENING = _says(":opening", *BOUNCE_OPENINGS)
_MACHINE_OPENING = _starts(":opening", *MACHINE_OPENINGS)
_CHALLENGE_OPENING = _says(":opening", *CHALLENGE_OPENINGS)
_AUTO_SUBJECT = _starts(":subject", *AUTO_REPLY_SUBJECTS)
# Alone, the words must be the whole subject or be followed by what they answer: "Automatic reply: Invoice" is
# one, "Automatic reply does not work" is a customer.
_AUTO_SUBJECT_ALONE = _has(
    ":subject",
    rf"^(?:{'|'.join(map(re.escape, AUTO_REPLY_SUBJECTS))})\s{{0,9}}(?:[:：\]】|–—]|\s-\s|[.!]?\s{{0,9}}$)",
)
_FAILED = "a mail system writes that a mail was not delivered"
_POSTMASTER = "a postmaster writes that a mail was not delivered"
_NULL_FAILED = "a null reverse-path and words of a failed delivery"

SIGNS: tuple[Sign, ...] = (
    # ---------------------------------------------------------------- 1. feedback reports
    # RFC 5965 2: multipart/report; report-type=feedback-report, with a part message/feedback-report.
    _report(
        _has(":report", r"report-type\s{0,9}=\s{0,9}\"?feedback-report"),
        why="a complaint report of a provider (RFC 5965)",
    ),
    _report(_starts(":part", "message/feedback-report"), why="a complaint report of a provider (RFC 5965)"),
    # Outlook.com's JMRP: the mail complained of is attached, its header names the recipient.
    _report(
        _says(":returned", "X-HmXmrOriginalRecipient", "x-hmxmroriginalrecipient"),
        why="a complaint of Microsoft's junk mail programme",
    ),
    _report(
        _starts(":subject", "complaint about message from"),
        _starts(":part", "message/rfc822"),
        why="a complaint of Microsoft's junk mail programme",
    ),
    # Validity (Return Path) marks the reports of the loops that it runs for providers.
    _report(_has("x-rp-fbl", r"type=arf"), why="a complaint report of a feedback loop"),
    # RFC 7489 7.2.1.1 prescribes this subject and a compressed XML attachment.
    _report(
        _starts(":subject", "report domain:"),
        _starts(
            ":part",
            "application/zip",
            "application/gzip",
            "application/x-zip",
            "application/x-gzip",
            "text/xml",
        ),
        why="a DMARC aggregate report (RFC 7489 7.2)",
    ),
    # ---------------------------------------------------------------- 2. challenges
    _challenge(
        _has("x-delivery-agent", r"^\s{0,9}tmda\b"), _says(":subject", "confirm"), why="a challenge of TMDA"
    ),
    *(
        _challenge(_has(header))  # TMDA, ASK, ChoiceMail, Spam Arrest: each by its own header
        for header in (
            "x-tmda-confirm",
            "x-askversion",
            "x-choicemail-registration-request",
            "x-spamarrest-noauth",
        )
    ),
    _challenge(_says(":from", *(f"{lead}{domain}" for domain in CHALLENGE_DOMAINS for lead in "@."))),
    _challenge(_says(":from", "antispamuol@", "antispambol@", "@antispam.", "challenge-response@")),
    _challenge(
        _has("auto-submitted", r"^\s{0,9}auto-"),
        _CHALLENGE_OPENING,
        why="it asks the sender to prove to be a person",
    ),
    _challenge(_NULL, _CHALLENGE_OPENING, why="it asks the sender to prove to be a person"),
    # ---------------------------------------------------------------- 3. bounces
    # RFC 3464 2 and RFC 6522 3; RFC 6533 for the global form; MDaemon has a type of its own.
    _bounce(
        _has(":report", r"report-type\s{0,9}=\s{0,9}\"?(?:delivery|global-delivery)-status"),
        why="a delivery report (RFC 3464)",
    ),
    _bounce(
        _starts(
            ":part", "message/delivery-status", "message/global-delivery-status", "message/xdelivery-status"
        ),
        why="it has a delivery status part (RFC 3464)",
    ),
    # RFC 8098 2: a read receipt is a multipart/report too, but it tells of a reader.
    _auto(
        _has(":report", r"report-type\s{0,9}=\s{0,9}\"?disposition-notification"),
        why="a read receipt (RFC 8098)",
    ),
    _auto(
        _starts(":part", "message/disposition-notification", "message/global-disposition-notification"),
        why="a read receipt (RFC 8098)",
    ),
    # Exim, Gmail, Mail.Ru.
    _bounce(_has("x-failed-recipients", r"@"), why="it names failed recipients"),
    # Amazon SES developer guide, "Amazon SNS notification contents": JSON in the text.
    _bounce(
        _has("x-amz-sns-message-id"),
        _says(":opening", '"notificationtype":"bounce"', '"eventtype":"bounce"'),
        why="a bounce notice of Amazon SES",
    ),
    # A mail system writes in words, or sends a report without a type.
    _bounce(_DAEMON, _BOUNCE_SUBJECT, why=_FAILED),
    _bounce(_DAEMON, _BOUNCE_OPENING, why=_FAILED),
    _bounce(_DAEMON, _starts(":report", "multipart/report"), why="a mail system sends a report"),
    # A postmaster may be a person: words are needed, and for words in the text alone something more.
    _bounce(_OFFICE, _BOUNCE_SUBJECT, why=_POSTMASTER),
    _bounce(_OFFICE, _BOUNCE_OPENING, _starts(":part", "message/"), why=_POSTMASTER),
    _bounce(
        _OFFICE,
        _says(":opening", "error message below", "invalid user address", "not listed in"),
        why=_POSTMASTER,
    ),
    # RFC 5321 4.5.5: the null reverse-path is for notifications; with words of failure it is this one.
    _bounce(_NULL, _BOUNCE_SUBJECT, why=_NULL_FAILED),
    _bounce(_NULL, _BOUNCE_OPENING, why=_NULL_FAILED),
    # Gateways under any name: the subject says it and the text opens with a machine's own sentence.
    _bounce(_BOUNCE_SUBJECT, _MACHINE_OPENING, why="subject and text are those of a failure notice"),
    # fml's list manager: loops and refused articles, written by <list>-admin.
    _bounce(
        _has("x-mlserver", r"^\s{0,9}fml\b"),
        _starts(":subject", "loop alert", "ignored not member", "reject mail", "system error"),
        why="a refusal of the list manager fml",
    ),
    # Whatever it says: nobody else uses the name (RFC 5321 4.5.5 and all of practice).
    _bounce(
        _says(":from", "mailer-daemon@", "mailer_daemon@", "mailerdaemon@", "mailer-daemon <>"),
        why="a mail system writes",
    ),
    # ---------------------------------------------------------------- 4. automatic replies and notifications
    # RFC 3834 5: any keyword but `no`; comments and parameters may follow. Each of repeated fields counts.
    _auto(
        _has("auto-submitted", r"^(?:\s|\([^)]{0,99}\)){0,9}\"?(?!no\b)\w"),
        why="it says that it was sent automatically (RFC 3834)",
    ),
    # Vendors' headers, by the peers that read them: RT, osTicket, FreeScout, GitLab, Discourse, Zammad.
    _auto(_has("x-autoreply", r"^\s{0,9}(?!no\b|false\b|0\b)\S")),
    _auto(_has("x-fc-machinegenerated", r"true|yes|1")),  # FirstClass
    *(
        _auto(_has(header))
        for header in (
            "x-autorespond",
            "x-autoresponder",
            "x-autoresponse",
            "x-auto-response",
            "x-autoreply-from",
            "x-mail-autoreply",
            "x-pmx-autoreply",
            "x-kmail-autoreply",
            "x-php-autoresponder",
            "x-away-message",
            "x-vacation",
            "x-autogenerated",
            "x-auto-generated",
        )
    ),
    _auto(_has("delivered-to", r"^\s{0,9}autoresponder"), why="delivered to an autoresponder"),
    _auto(_has("x-amazon-mail-relay-type", r"^\s{0,9}notification"), why="a notification of Amazon's relay"),
    _auto(_has("precedence", r"auto[-_]?reply"), why="its precedence says automatic reply"),
    _auto(_has("x-precedence", r"auto[-_]?reply"), why="its precedence says automatic reply"),
    # Exchange's out-of-office has both, with "All" (so Zammad). A person's mail that a rule forwards has the
    # first alone, or with a shorter list; so has X-MS-Exchange-Generated-Message-Source, which is no row.
    _auto(
        _has("x-ms-exchange-inbox-rules-loop"),
        _has("x-auto-response-suppress", r"\ball\b"),
        why="Exchange's out-of-office",
    ),
    _auto(
        _has("x-auto-response-suppress"),
        _AUTO_SUBJECT,
        why="it suppresses answers and has an automatic reply's subject",
    ),
    # Loop marks that desks put on what they send by themselves: RT, ours.
    _auto(_has("x-rt-loop-prevention"), _has("precedence", r"bulk"), why="another desk's automatic mail"),
    _auto(_has("x-mailbridge-loop"), why="another desk's automatic mail"),
    _auto(_has("x-loop", r"vacation|autoreply|autorespond"), why="a vacation reply"),
    # vacation(1) and its heirs.
    _auto(
        _has("precedence", r"bulk|junk|list"),
        _AUTO_SUBJECT,
        why="bulk mail with an automatic reply's subject",
    ),
    # ---------------------------------------------------------------- 5. lists and bulk mail
    _list(_has("list-id"), why="it came through a mailing list (RFC 2919)"),
    _list(_has("list-post", r"<|@"), why="it came through a mailing list (RFC 2369)"),  # "NO" is not a list
    _list(_has("precedence", r"\b(?:list|bulk|junk)\b"), why="its precedence says list or bulk"),
    _list(_has("x-precedence", r"\b(?:list|bulk|junk)\b"), why="its precedence says list or bulk"),
    _list(_has("mailing-list", r"@")),  # ezmlm, Yahoo and Google groups
    # vger and Majordomo, Mailman, fml, ListServ and others.
    *(
        _list(_has(header))
        for header in ("x-mailing-list", "x-mailman-version", "x-ml-name", "x-listserver", "x-list-id")
    ),
    _list(_has("x-beenthere", r"@"), _has("list-unsubscribe")),
    _list(_has("list-subscribe"), _has("list-unsubscribe")),
    _list(_has("sender", r"^\s{0,9}<?(?:owner-|[\w.+-]{1,64}-(?:owner|request)@)")),
    # RFC 8058 3.1: one-click unsubscribing is for mail sent in bulk.
    _list(
        _has("list-unsubscribe-post", r"one-click"), why="bulk mail with one-click unsubscribing (RFC 8058)"
    ),
    _list(_has("feedback-id"), _has("list-unsubscribe"), why="a sending service's bulk mail"),
    # ---------------------------------------------------------------- 6. the weakest evidence
    # Notes: "AUTO: Anne Customer is out of the office (returning 10.11.2025)".
    _auto(
        _has(":subject", r"^(?:auto: ?)?[^:]{2,60} is (?:out of the office|ooo) ?\((?:returning|return)\b"),
        why="the out-of-office subject of Notes",
    ),
    _auto(_AUTO_SUBJECT_ALONE, why="its subject is an automatic reply's"),
    _auto(_NULL, why="a null reverse-path: a notification that wants no answer (RFC 5321 4.5.5)"),
)
