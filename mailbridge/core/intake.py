"""What becomes of one incoming mail: the rules, in order, first answer wins. Pure.

    own_mail         it came back to us: a loop
    bounce           it names a mail of ours by a signed address or id
    agent            an agent speaks: only with the token that was given to them
    no_identity      no clean From: nobody to answer
    automatic        no person wrote it: noted where it belongs, else kept apart
    reply            a person, on a ticket of theirs
    blank            nothing in it
    new_request      everything else opens a ticket

The order is the policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mailbridge.core import decision as d
from mailbridge.core.address import domain_of, split_tag
from mailbridge.core.agent_mail import agent_speaks
from mailbridge.core.case import AUTOMATIC, Case, apply_event, notify, quarantine, trust_in
from mailbridge.core.decision import News, QuarantineReason, Reason, Trust, Verdict
from mailbridge.core.facts import TicketFacts
from mailbridge.core.mail import Address, Kind
from mailbridge.core.match import SIGNED, Match
from mailbridge.core.ticket import Applied, AutomaticMail, CustomerSpoke, FollowUp, MailBounced, Priority
from mailbridge.core.tokens import TokenKind

_ROBOT = re.compile(
    r"(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|mailer-daemon|postmaster|bounces?|auto-?reply|listserv|majordomo)"
    r"(?:[-_.+].*)?",
    re.IGNORECASE,
)
_MAX_COLLABORATORS = 20  # a Cc list longer than this is a mailing, not a conversation


def decide(case: Case) -> d.Decision:
    """The one decision about this mail. Never raises on hostile content."""
    for rule in RULES:
        found = rule(case)
        if found is not None:
            return found
    return _new_request(case)


# ---------------------------------------------------------------- the rules


def _own_mail(case: Case) -> d.Decision | None:
    mail = case.mail
    detail = ""
    if mail.message_id and mail.message_id in case.facts.own_message_ids:
        detail = "our own mail came back: its Message-ID is ours"
    elif any(value.strip() in case.policy.loop_marks for value in mail.all_headers("X-Mailbridge-Loop")):
        detail = "our own mail came back: it carries our loop mark"
    elif case.sender is not None:
        tagged = split_tag(case.sender.address)
        if tagged is not None and tagged.mailbox in case.policy.own:
            detail = f"it says it is from {case.sender.address}, which is our own address"
    return quarantine(case, QuarantineReason.LOOP, detail) if detail else None


def _bounce(case: Case) -> d.Decision | None:
    """A bounce counts only with a signed address or id of ours: anything else may be forged."""
    report = case.mail.bounce
    if case.kind is not Kind.BOUNCE or report is None:
        return None
    for evidence, token in case.keys.tokens(TokenKind.BOUNCE):
        sent = case.facts.sent.get(token.subject)
        ticket = case.facts.tickets.get(token.ticket)
        if sent is None or ticket is None:
            continue
        failed = [r for r in report.recipients if (r.action or "failed") == "failed"]
        permanent = bool(failed) or not report.recipients
        late = [r for r in report.recipients if r.action == "delayed"]
        named = failed or late
        address = named[0].address if named else ", ".join(sent.recipients)
        event = MailBounced(address, question=sent.kind == "answer", permanent=permanent)
        target, answer = apply_event(case, ticket, event)
        state, changes = (answer.state, answer.changes) if isinstance(answer, Applied) else (target.state, ())
        stopped = any(c.what == "flag" for c in changes)
        warning = f"did not reach {address}" + (": the timers are stopped" if stopped else "")
        reason = Reason.QUESTION_BOUNCED if stopped else Reason.BOUNCE_NOTED
        return d.Append(
            Verdict(reason, Match(ticket, evidence, case.keys.dismissed), Trust.VERIFIED),
            target,
            ticket if target is not ticket else None,
            "bounce",
            None,
            case.mail.reply,
            state,
            changes,
            (),
            notify(case, target, News.BOUNCE, "the mail system", warnings=(warning,)) if permanent else (),
            sent,
            report,
        )
    return quarantine(case, QuarantineReason.AUTOMATIC, "a bounce that names no mail of ours")


def _no_identity(case: Case) -> d.Decision | None:
    if case.sender is not None:
        return None
    fields = case.mail.from_fields
    detail = (
        "no From" if fields == 0 else f"{fields} From fields" if fields > 1 else "the From is not one address"
    )
    return quarantine(case, QuarantineReason.NO_IDENTITY, detail)


def _automatic(case: Case) -> d.Decision | None:
    kind = case.kind
    match = case.match
    if kind not in AUTOMATIC:
        return None
    if match.ticket is None:
        return quarantine(case, QuarantineReason.AUTOMATIC, f"{kind} that belongs to no ticket")
    target, answer = apply_event(case, match.ticket, AutomaticMail())
    assert isinstance(answer, Applied)  # the machine notes automatic mail in every state
    return d.Append(
        Verdict(Reason.AUTOMATIC_NOTED, match, trust_in(match)),
        target,
        match.ticket if target is not match.ticket else None,
        "automatic",
        None,
        case.mail.reply,
        answer.state,
        answer.changes,
        (),
        (),
    )


def _reply(case: Case) -> d.Decision | None:
    match = case.match
    if match.ticket is None or case.sender is None:
        return None
    target, answer = apply_event(case, match.ticket, CustomerSpoke())
    if isinstance(answer, FollowUp):
        return _new_request(case, follow_up_of=target)
    assert isinstance(answer, Applied)  # customers' words are never refused
    news = News.REOPENED if answer.reopened else News.REPLY
    via = match.ticket if target is not match.ticket else None
    reason = Reason.REOPENED if answer.reopened else Reason.CUSTOMER_REPLY
    return d.Append(
        Verdict(reason, match, trust_in(match)),
        target,
        via,
        "mail",
        None,
        case.mail.reply,
        answer.state,
        answer.changes,
        _new_collaborators(case, target) if via is None else (),
        notify(case, target, news, str(case.sender), warnings=_warnings(case, match)),
    )


def _blank(case: Case) -> d.Decision | None:
    mail = case.mail
    if mail.text.strip() or mail.html.strip() or mail.attachments or mail.subject.strip():
        return None
    return quarantine(case, QuarantineReason.BLANK, "no subject, no words, no attachment")


def _new_request(case: Case, follow_up_of: TicketFacts | None = None) -> d.Decision:
    sender, match = case.sender, case.match
    if sender is None:
        return quarantine(case, QuarantineReason.NO_IDENTITY, "nobody to answer")
    priority, rule = _priority(case)
    withheld = _withhold_acknowledgement(case)
    drafts: tuple[d.Draft, ...] = ()
    if case.policy.acknowledge and not withheld:
        drafts = (d.Acknowledge(sender),)
    reason = Reason.NEW_REQUEST
    if follow_up_of is not None:
        reason = Reason.FOLLOW_UP
    elif match.claims is not None:
        reason = Reason.CLAIMS_TO_BELONG
    drafts += notify(case, None, News.NEW, str(sender), warnings=_warnings(case, match))
    return d.OpenTicket(
        Verdict(reason, match, trust_in(match)),
        sender,
        _collaborators(case, exclude={sender.key}),
        priority,
        rule,
        match.claims,
        follow_up_of,
        drafts,
        withheld if case.policy.acknowledge else "",
    )


RULES: tuple[Callable[[Case], d.Decision | None], ...] = (
    _own_mail,
    _bounce,
    agent_speaks,
    _no_identity,
    _automatic,
    _reply,
    _blank,
)


# ---------------------------------------------------------------- parts of the rules


def _priority(case: Case) -> tuple[Priority, str]:
    subject = case.mail.subject.casefold()
    sender = case.sender
    for rule in case.policy.rules:
        if rule.subject_tags and not any(f"[{tag.casefold()}]" in subject for tag in rule.subject_tags):
            continue
        if rule.senders and (
            sender is None or not {sender.key, "@" + domain_of(sender.key)} & set(rule.senders)
        ):
            continue
        if rule.organisations and case.facts.organisation not in rule.organisations:
            continue
        if rule.mailboxes and case.mailbox not in rule.mailboxes:
            continue
        return rule.priority, f"rule {rule.name}".strip()
    return case.policy.default_priority, ""


def _withhold_acknowledgement(case: Case) -> str:
    """Why an automatic answer must not go out; '' when it may (RFC 3834 2, reliability of the identity)."""
    sender, envelope = case.sender, case.envelope
    if sender is None:
        return "no identity"
    if envelope.mail_from is None:
        return "null envelope sender"
    if _ROBOT.fullmatch(sender.address.rpartition("@")[0]):
        return "the sender is a robot"
    theirs, sent_by = domain_of(sender.address), domain_of(envelope.mail_from)
    related = theirs == sent_by or theirs.endswith("." + sent_by) or sent_by.endswith("." + theirs)
    if not related:
        return f"From ({theirs}) and envelope sender ({sent_by}) do not agree"
    if case.kind is not Kind.HUMAN:
        return "automatic mail"
    ours = case.mail.classification.kind is Kind.MAILING_LIST  # and yet HUMAN: it came through our own list
    if not ours and any(case.mail.header(name) for name in ("List-Id", "List-Unsubscribe", "List-Post")):
        return "list mail"
    precedence = case.mail.header("Precedence").strip().lower()
    if precedence in ("bulk", "junk", "list"):
        return f"Precedence: {precedence}"
    suppress = case.mail.header("X-Auto-Response-Suppress").lower()
    if any(word in suppress for word in ("all", "autoreply")):
        return "X-Auto-Response-Suppress"
    return ""


def _collaborators(case: Case, exclude: set[str]) -> tuple[Address, ...]:
    """Those in To and Cc who are neither we, nor agents, nor in `exclude`; none when there are too many."""
    found: dict[str, Address] = {}
    for item in case.mail.to + case.mail.cc:
        tagged = split_tag(item.address)
        if tagged is None or item.key in exclude or tagged.mailbox in case.policy.own:
            continue
        local = item.address.rpartition("@")[0]
        if case.facts.agent_by_address(item.key) is None and not _ROBOT.fullmatch(local):
            found.setdefault(item.key, item)
    return tuple(found.values()) if len(found) <= _MAX_COLLABORATORS else ()


def _new_collaborators(case: Case, ticket: TicketFacts) -> tuple[Address, ...]:
    """Only the requester, with our token in hand, brings others in."""
    sender = case.sender
    if sender is None or sender.key != ticket.requester.address.key or case.match.rule not in SIGNED:
        return ()
    room = _MAX_COLLABORATORS - len(ticket.collaborators)
    known = {ticket.requester.address.key} | {c.address.key for c in ticket.collaborators}
    return _collaborators(case, exclude=known)[: max(0, room)]


def _warnings(case: Case, match: Match) -> tuple[str, ...]:
    found = []
    if match.claims is not None:
        found.append(
            f"the sender showed a valid token of ticket {match.claims.key}, but is no participant of it"
        )
    if case.keys.forged:
        found.append(f"{case.keys.forged} forged token(s)")
    if case.mail.reply_to and case.sender and case.mail.reply_to[0].key != case.sender.key:
        found.append(f"Reply-To names another address: {case.mail.reply_to[0].address}")
    return tuple(found)
