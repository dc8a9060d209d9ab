"""Agents by mail: who may act, what goes out, and what never leaves the house."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from mailbridge.core import decision as d
from mailbridge.core.agent_words import for_the_customer, sendable
from mailbridge.core.decision import News, QuarantineReason, Reason, Trust
from mailbridge.core.facts import AgentFacts, Facts
from mailbridge.core.intake import decide
from mailbridge.core.mail import Address, Kind, ParsedMail
from mailbridge.core.match import Rule
from mailbridge.core.reply import REPLY_MARKER, new_words, split_reply
from mailbridge.core.ticket import Priority, SolvedReason, Status, TicketState
from mailbridge.core.tokens import Token, TokenKind
from tests.core.cases import (
    ANNE,
    BART,
    BART_FACTS,
    CRIS,
    DESK,
    DORA,
    EVE,
    KEY,
    KEY_2,
    NOW,
    ON_HOLD,
    OPEN,
    OTHER_RING,
    PENDING,
    RING,
    ZOE,
    ZOE_FACTS,
    agent_address,
    attachment,
    case,
    facts,
    mail,
    merged,
    our_id,
    solved,
    ticket,
    ticket_address,
)

SMOKE = "Smoke everywhere.\n\nIt also beeps, and the paper comes out black on both sides since Monday."
TOKEN = agent_address().partition("+")[2].partition("@")[0]


def bart_writes(text: str = "Did you pour water on it?", **more: Any) -> ParsedMail:
    """A mail of Bart's as the parser gives it: `reply` is what his words are when quotes are judged."""
    return mail(from_=BART, text=text, reply=new_words(text, ""), **more)


def decided(
    text: str = "Did you pour water on it?",
    state: TicketState = OPEN,
    *,
    known: Facts | None = None,
    rcpt: str = "",
    **more: Any,
) -> d.Decision:
    """What becomes of a mail of Bart's to the address that was given to him."""
    known = known or facts(ticket(state, last_customer_text=SMOKE), agents=(BART_FACTS, ZOE_FACTS))
    return decide(case(bart_writes(text, **more), known, rcpt=(rcpt or agent_address(),)))


def appended(decision: d.Decision) -> d.Append:
    """The decision, which must be an entry on a ticket."""
    assert isinstance(decision, d.Append), decision
    return decision


def rejected(decision: d.Decision) -> d.Receipt:
    """The receipt of a decision, which must have changed nothing."""
    assert isinstance(decision, d.Reject), decision
    (receipt,) = decision.drafts
    assert isinstance(receipt, d.Receipt)
    return receipt


def kept_apart(decision: d.Decision) -> d.Quarantine:
    """The decision, which must keep the mail apart."""
    assert isinstance(decision, d.Quarantine), decision
    return decision


def answer_of(decision: d.Decision) -> str:
    """The words that go to the customer."""
    (answer,) = [draft for draft in appended(decision).drafts if isinstance(draft, d.Answer)]
    assert answer.text == appended(decision).words
    return answer.text


# ---------------------------------------------------------------- who may act


def test_an_agents_answer_is_verified_goes_out_and_is_told_to_the_other_agents() -> None:
    """Never to its own author."""
    found = appended(decided())
    assert (found.verdict.reason, found.verdict.trust) == (Reason.AGENT_ANSWER, Trust.VERIFIED)
    assert (found.entry_kind, found.agent, found.state.status) == ("reply", BART_FACTS, Status.PENDING)
    assert found.verdict.match.rule is Rule.PLUS_ADDRESS
    notices = [draft for draft in found.drafts if isinstance(draft, d.Notify)]
    assert [(n.agent, n.news, n.by) for n in notices] == [(ZOE_FACTS, News.ANSWERED, "Bart")]


@pytest.mark.parametrize(
    ("sender", "rcpt"),
    [
        (BART, DESK),
        (BART, ticket_address()),
        (BART, agent_address(ring=OTHER_RING)),
        (BART, agent_address(agent=2)),
        (BART, agent_address(agent=99)),
        (BART, agent_address(key=KEY_2)),
        (ZOE, agent_address()),
        (ANNE, agent_address()),
        (EVE, agent_address()),
    ],
)
def test_without_their_own_token_from_their_own_address_nobody_acts(sender: Address, rcpt: str) -> None:
    """No token, the customer's, a forged one, a colleague's, one for a ticket that is not there, another sender."""
    known = facts(ticket(OPEN), agents=(BART_FACTS, ZOE_FACTS))
    message = mail(from_=sender, text="#solved agreed", in_reply_to=(our_id(),))
    assert kept_apart(decide(case(message, known, rcpt=(rcpt,)))).why is QuarantineReason.AGENT_UNVERIFIED


def test_an_agent_who_has_left_is_no_agent_any_more() -> None:
    """The facts hold active agents only: the old token no longer opens anything."""
    found = kept_apart(decide(case(bart_writes(), facts(ticket(OPEN), agents=()), rcpt=(agent_address(),))))
    assert found.why is QuarantineReason.AGENT_UNVERIFIED


def test_an_agents_token_is_taken_in_their_message_id_too() -> None:
    """Some clients answer to the plain address and keep only In-Reply-To."""
    message_id = RING.message_id(Token(TokenKind.AGENT, KEY, "1.3mv"), "n1", "desk.example")
    found = appended(decided(rcpt=DESK, in_reply_to=(message_id,)))
    assert (found.verdict.reason, found.verdict.match.rule) == (Reason.AGENT_ANSWER, Rule.SIGNED_MESSAGE_ID)


@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.HUMAN])
def test_automatic_mail_of_an_agent_never_reaches_a_customer(kind: Kind) -> None:
    """'I am on holiday until June' would go out with the desk's name on it, and set the ticket pending."""
    message = replace(bart_writes("I am away"), classification=replace(mail().classification, kind=kind))
    found = kept_apart(decide(case(message, facts(ticket(OPEN)), rcpt=(agent_address(),))))
    assert found.why is QuarantineReason.AUTOMATIC


# ---------------------------------------------------------------- words, notes, commands


@pytest.mark.parametrize("state", [ON_HOLD, solved()])
def test_an_answer_leaves_a_held_or_solved_ticket_as_it_is(state: TicketState) -> None:
    """Until an agent says otherwise."""
    assert appended(decided(state=state)).state == state


def test_an_answer_with_commands_is_sent_and_receipted() -> None:
    """The receipt names each line."""
    found = appended(decided("#priority S2 it smokes\n#solved agreed\n\nGlad it works."))
    assert (found.state.status, found.state.priority) == (Status.SOLVED, Priority.S2)
    kinds = [type(draft) for draft in found.drafts]
    assert kinds == [d.Answer, d.Receipt, d.Notify]
    receipt = found.drafts[1]
    assert isinstance(receipt, d.Receipt)
    assert receipt.applied == ("#priority S2 it smokes", "#solved agreed")


def test_commands_alone_tell_the_customer_only_when_the_ticket_becomes_solved() -> None:
    """Else nothing goes out but the receipt."""
    done = appended(decided("#solved handed_over"))
    assert done.verdict.reason is Reason.AGENT_COMMANDS
    assert [type(draft) for draft in done.drafts] == [d.TellSolved, d.Receipt]
    assert [x.reason for x in done.drafts if isinstance(x, d.TellSolved)] == [SolvedReason.HANDED_OVER]
    held = appended(decided("#hold engineering"))
    assert [type(draft) for draft in held.drafts] == [d.Receipt]


def test_a_priority_set_on_a_solved_ticket_does_not_tell_the_customer_again() -> None:
    """They were told when it was solved."""
    found = appended(decided("#priority S4 was only a question", solved()))
    assert [type(draft) for draft in found.drafts] == [d.Receipt]


def test_a_note_is_told_to_agents_and_to_nobody_else() -> None:
    """Even with commands that would tell the customer, the words stay inside."""
    found = appended(decided("#solved agreed\n#note\nHe shouted at me."))
    assert (found.verdict.reason, found.entry_kind, found.words) == (
        Reason.AGENT_NOTE,
        "note",
        "He shouted at me.",
    )
    assert [type(draft) for draft in found.drafts] == [d.TellSolved, d.Receipt, d.Notify]


def test_a_file_without_words_is_an_answer() -> None:
    """'Here is the manual' is often only the manual."""
    assert answer_of(decided("", attachments=(attachment(),))) == "(see the attachment)"


@pytest.mark.parametrize(
    ("text", "state", "why"),
    [
        ("", OPEN, "neither words nor commands"),
        ("#solved", OPEN, "needs a reason"),
        ("#solved unresponsive\n\nBye.", PENDING, "at least one reminder"),
        ("#solved agreed\n#frob\n\nDone.", OPEN, "unknown command"),
        ("#bug_filed BUG-1 high\n\nFiled.", OPEN, "agreed timeline"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_gives_the_words_back(
    text: str, state: TicketState, why: str
) -> None:
    """All or nothing: no mail to the customer, no status, no note."""
    receipt = rejected(decided(text, state))
    assert receipt.applied == ()
    assert any(why in line.why for line in receipt.rejected)
    assert receipt.text == (text.rpartition("\n\n")[2] if "\n\n" in text else "")


def test_an_agent_answers_where_a_merged_ticket_goes_on() -> None:
    """The merged one is shown as solved; its conversation is the survivor's."""
    survivor = ticket(PENDING, number=2, key=KEY_2)
    known = facts(ticket(merged(2)), survivor)
    found = appended(decided(known=known))
    assert (found.ticket.key, found.via and found.via.key) == (KEY_2, KEY)
    assert found.state.pending_epoch == PENDING.pending_epoch + 1


def test_unflagging_starts_the_clock_again() -> None:
    """The agent has corrected the address and says so."""
    flagged = replace(PENDING, pending_since=None, flag="bounced")
    found = appended(decided("#unflag", flagged))
    assert (found.state.flag, found.state.pending_since) == ("", NOW)


# ---------------------------------------------------------------- what never leaves the house


def notification(words: str = SMOKE, *, warning: str = "") -> str:
    """The text of a notification, as `templates/notification.txt` makes it."""
    return f"""{REPLY_MARKER}

Reply by Anne <anne@customer.example>: The printer burns

From:     Anne <anne@customer.example>
With:     Dora <dora@other.example>
Ticket:   #1 [#7K3M9-QX2VD]
Priority: S3 Tolerable
Status:   open
{warning}
{words}

Reply to this mail to answer. Lines at the very top that begin with # are commands:
#solved agreed · #note
"""


def quoted(text: str) -> str:
    """As a mail program quotes it."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


INLINE = (
    quoted(
        notification(
            warning="\nWarning: the sender showed a valid token of ticket 2222222222, but is no participant"
        )
        + f"\nReply-To: Support <{agent_address()}>\nMessage-ID: {our_id()}"
    ).replace("> It also beeps", "Did you pour water on it?\n\n> It also beeps")
    + "\n\nThen change the toner, please.\n"
)


def test_an_answer_between_the_lines_sends_the_customers_lines_and_none_of_ours() -> None:
    """The quoted notification holds other people, warnings, other tickets and the agent's token."""
    sent = answer_of(decided(f"On Tue, 2 Jun 2026 at 10:00, Support <{agent_address()}> wrote:\n\n{INLINE}"))
    assert sent == (
        "> Smoke everywhere.\n"
        "Did you pour water on it?\n"
        "\n"
        "> It also beeps, and the paper comes out black on both sides since Monday.\n"
        "\n"
        "Then change the toner, please."
    )


def test_words_above_and_between_the_quoted_lines_are_not_sent_by_halves() -> None:
    """'See below' would go out, and what is below would be lost without anybody knowing."""
    split = split_reply(f"Hi, see below.\n\n{INLINE}", "")
    assert split.reply == "Hi, see below."
    message = mail(from_=BART, text="whole", reply=split.reply, cut=split.cut)
    receipt = rejected(decide(case(message, facts(ticket()), rcpt=(agent_address(),))))
    assert "between the quoted lines" in receipt.rejected[0].why
    assert receipt.text == "Hi, see below."


@pytest.mark.parametrize("below", ["", "\n-- \nBart\nDesk Ltd.", "\n\nSent from my phone"])
def test_a_signature_below_the_quoted_notification_is_no_answer(below: str) -> None:
    """The ordinary reply: words above, everything else below."""
    split = split_reply(
        f"Hello.\n\nOn Tue, 2 Jun 2026 at 10:00, Support wrote:\n{quoted(notification())}{below}", ""
    )
    message = mail(from_=BART, text="whole", reply=split.reply, cut=split.cut)
    assert answer_of(decide(case(message, facts(ticket()), rcpt=(agent_address(),)))) == "Hello."


def test_the_ends_of_quoted_lines_that_a_mail_program_wrapped_are_no_answers() -> None:
    """Some break long quoted lines without a mark: an ordinary reply must not be refused for it."""
    wrapped = quoted(notification()).replace("begin with # are commands:", "begin with # are\ncommands:")
    split = split_reply(f"Hello.\n\nOn Tue, 2 Jun 2026 at 10:00, Support wrote:\n{wrapped}", "")
    message = mail(from_=BART, text="whole", reply=split.reply, cut=split.cut)
    assert answer_of(decide(case(message, facts(ticket()), rcpt=(agent_address(),)))) == "Hello."


def test_quoted_lines_that_were_wrapped_anew_are_still_the_customers() -> None:
    """Mail programs break long lines when they quote."""
    wrapped = (
        f"> {REPLY_MARKER}\n> Ticket: #1\n"
        "> It also beeps, and the paper comes out\n> black on both sides since Monday.\n\nChange the toner.\n"
    )
    sent = for_the_customer(wrapped, SMOKE, (), DESK)
    assert "> black on both sides" in sent
    assert "Ticket" not in sent


@pytest.mark.parametrize(
    "words",
    [
        f"See {agent_address()}.",
        f"mailto:{agent_address().replace('+', '%2B').replace('@', '%40')}",
        f"<{RING.message_id(Token(TokenKind.AGENT, KEY, 'c.3mv'), 'n1', 'desk.example')}>",
        f"the tag is {TOKEN}",
        f"the tag is {TOKEN.upper()}",
        f"{RING.body_marker(Token(TokenKind.AGENT, KEY, 'c.3mv'))}",
        f"{RING.body_marker(Token(TokenKind.TICKET, KEY_2))} {ticket_address(KEY_2)}",
    ],
)
def test_no_signed_name_goes_out_in_an_answer(words: str) -> None:
    """With the agent's token and their address in From, anybody could write as the agent."""
    sent = answer_of(decided(f"Hello.\n\n{words}"))
    assert sent.startswith("Hello.")
    for secret in (TOKEN, TOKEN[-20:], our_id()[-36:], "[ref:"):
        assert secret.lower() not in sent.lower()


def test_agents_addresses_are_written_as_the_mailboxs() -> None:
    """The answer is to come to the desk; people's own addresses are not for customers."""
    sent = answer_of(decided("Write to Bart@Desk.example or zoe@desk.example, not to xbart@desk.example.org"))
    assert sent == f"Write to {DESK} or {DESK}, not to xbart@desk.example.org"


def test_an_agents_words_with_quotes_of_their_own_stay_whole() -> None:
    """Only what quotes our notification is judged: a log line behind '>' is the agent's."""
    text = "Please type\n\n> ls -l\n\nand send me what it says, with <tags> & all."
    assert answer_of(decided(text)) == text


@pytest.mark.parametrize("author", [ANNE, CRIS, DORA])
def test_a_mail_that_is_nothing_but_our_notification_is_refused(author: Address) -> None:
    """An agent who presses 'send' by accident sends the customer nothing."""
    text = notification(f"{author} wrote")
    receipt = rejected(
        decide(case(mail(from_=BART, text=text, reply=text), facts(ticket()), rcpt=(agent_address(),)))
    )
    assert "only our notification" in receipt.rejected[0].why


def test_a_notification_below_the_words_is_cut_even_where_nothing_marks_it_as_quoted() -> None:
    """Outlook quotes without a mark; our own first line tells."""
    assert for_the_customer(f"Hello.\n\n{notification()}", SMOKE, (), DESK) == "Hello."


def test_an_internal_note_that_was_quoted_stays_inside() -> None:
    """A colleague's note came by the same kind of notification as a customer's mail."""
    text = quoted(notification("He has not paid since March.")) + "\n\nWe are looking into it.\n"
    assert answer_of(decided(text)) == "We are looking into it."


def test_our_notification_attached_whole_is_not_sent_on() -> None:
    """'Forward as attachment' would carry the token in a header; other files go out."""
    notice = f"From: Support <{DESK}>\r\nReply-To: <{agent_address()}>\r\n\r\nhello".encode()
    files = (
        attachment(notice, "message/rfc822", "notice.eml"),
        attachment(notice, "text/plain", "notice.txt"),
        attachment(b"Reply-To: <support@desk.example>", "message/rfc822", "other.eml"),
        attachment(),
    )
    assert [a.filename for a in sendable(files)] == ["other.eml", "a.pdf"]


@pytest.mark.parametrize(
    "unit", ["a1-", "a1-0123456789", "a", "> ", "mb.a1-", "[ref:", "x@", "a1-7k3m9qx2vd.a"]
)
def test_hostile_words_are_scrubbed_in_linear_time(unit: str) -> None:
    """A megabyte of beginnings of tokens holds nothing up."""
    began = time.process_time()
    for_the_customer(unit * ((1 << 20) // len(unit)), SMOKE, (BART.address, ZOE.address), DESK)
    assert time.process_time() - began < 3


def test_a_note_keeps_every_word_and_name() -> None:
    """What stays inside is not scrubbed: agents write addresses and tickets to each other."""
    text = f"#note\nAsk zoe@desk.example about {ticket_address(KEY_2)}"
    assert appended(decided(text)).words == text.removeprefix("#note\n")


def test_agents_of_other_mailboxes_hear_nothing() -> None:
    """Each agent is told of the mailboxes that they serve."""
    elsewhere = AgentFacts(3, Address("Yan", "yan@desk.example"), frozenset(("sales@desk.example",)))
    here = AgentFacts(4, Address("Xia", "xia@desk.example"), frozenset((DESK,)))
    known = facts(ticket(OPEN), agents=(BART_FACTS, elsewhere, here))
    found = appended(decided(known=known))
    assert [n.agent.id for n in found.drafts if isinstance(n, d.Notify)] == [4]
