"""What an agent's mail does: words to the customer, commands, notes. Pure.

An agent acts only with the token of a notification that was sent to them, from their own address. Commands
are all or nothing, and a receipt names each line.
"""

from __future__ import annotations

from mailbridge.core import decision as d
from mailbridge.core.agent_words import for_the_customer, left_below
from mailbridge.core.case import AUTOMATIC, Case, apply_event, notify, quarantine
from mailbridge.core.commands import Rejected, read_block
from mailbridge.core.decision import News, QuarantineReason, Reason, Trust, Verdict
from mailbridge.core.facts import AgentFacts, TicketFacts
from mailbridge.core.match import Match
from mailbridge.core.ticket import AgentAnswered, AgentCommanded, Applied, Refused, Status
from mailbridge.core.tokens import TokenKind, subject_numbers

_ONLY_OURS = "the mail holds only our notification, which is not for customers: write above its first line"
_BELOW = (
    "there are words of yours between the quoted lines, and others above them: only one of both can be sent;"
    " put all above the first quoted line, or all between them"
)


def agent_speaks(case: Case) -> d.Decision | None:
    """Agents act only with the token of a notification that was sent to them."""
    sender = case.sender
    speaker = case.facts.agent_by_address(sender.key) if sender is not None else None
    if case.kind in AUTOMATIC and speaker is not None:
        return quarantine(case, QuarantineReason.AUTOMATIC, "automatic mail from an agent's address")
    for evidence, token in case.keys.tokens(TokenKind.AGENT):
        owner = case.facts.agent_by_id(subject_numbers(token.subject)[0])
        ticket = case.facts.tickets.get(token.ticket)
        if speaker is None or owner is None or owner.id != speaker.id:
            detail = f"an agent's token, but the mail is from {sender.address if sender else 'nobody'}"
            return quarantine(case, QuarantineReason.AGENT_UNVERIFIED, detail, ticket)
        if ticket is not None:
            return _act(case, speaker, ticket, Match(ticket, evidence, case.keys.dismissed))
    if speaker is None:
        return None
    detail = f"{speaker.address.address} is an agent, but the mail has no token that was given to them"
    return quarantine(case, QuarantineReason.AGENT_UNVERIFIED, detail, case.match.claims)


def _act(case: Case, agent: AgentFacts, ticket: TicketFacts, match: Match) -> d.Decision:
    block = read_block(case.mail.reply)
    words = block.text
    if not block.lines and not words.strip() and case.mail.attachments:
        words = "(see the attachment)"
    answered = bool(words.strip()) and not block.note
    unsent = words
    event = AgentAnswered(block.commands) if answered else AgentCommanded(block.commands)
    target, answer = apply_event(case, ticket, event)
    rejected = block.rejected
    if isinstance(answer, Refused) and not rejected:
        rejected = (_refused_line(block.lines, answer.why),)
    if not block.lines and not words.strip() and not rejected:
        rejected = (_refused_line((), "the mail holds neither words nor commands"),)
    if answered:
        private = [a.address.address for a in case.facts.agents]
        words = for_the_customer(words, target.last_customer_text, private, target.mailbox)
        if not words:
            rejected = (*rejected, _refused_line((), _ONLY_OURS))
        elif left_below(case.mail.cut):
            rejected = (*rejected, _refused_line((), _BELOW))
    verdict = Verdict(Reason.COMMANDS_REJECTED, match, Trust.VERIFIED)
    if rejected or not isinstance(answer, Applied):
        return d.Reject(verdict, target, (d.Receipt(agent, (), rejected, unsent),))
    kind = "reply" if answered else "note"
    drafts: list[d.Draft] = []
    if answered:
        verdict = Verdict(Reason.AGENT_ANSWER, match, Trust.VERIFIED)
        drafts.append(d.Answer(agent, words))
    else:
        verdict = Verdict(Reason.AGENT_NOTE if block.note else Reason.AGENT_COMMANDS, match, Trust.VERIFIED)
        solution = answer.state.solution
        if answer.newly_solved and answer.state.status is Status.SOLVED and solution is not None:
            drafts.append(d.TellSolved(solution.reason))
    if block.lines:
        drafts.append(d.Receipt(agent, block.lines, ()))
    if words.strip():
        news = News.ANSWERED if answered else News.NOTE
        drafts += notify(case, target, news, agent.address.name or agent.address.address, but=agent.id)
    return d.Append(
        verdict,
        target,
        ticket if target is not ticket else None,
        kind,
        agent,
        words,
        answer.state,
        answer.changes,
        (),
        tuple(drafts),
    )


def _refused_line(lines: tuple[str, ...], why: str) -> Rejected:
    return Rejected(1, lines[0] if lines else "", why)
