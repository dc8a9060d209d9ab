"""The main job, through real SMTP both ways: mails become tickets, answers go out, replies find their way back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.flow.letters import ANNE, BART, CRIS, DESK, EVE, SALES, Mail, bare, bounce, letter, reply, unique
from tests.flow.world import Talk, World
from tests.postgres import PASSWORD, PostgresServer


@pytest.fixture(params=["smtp", "maildir", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon on each way out and each database."""
    if request.param == "smtp":
        yield request.getfixturevalue("world")
        return
    folder = tmp_path_factory.mktemp("stage")
    if request.param == "maildir":
        with World(folder, maildir=True) as made:
            yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    with World(folder, url=server.url(name), password=PASSWORD) as made:
        yield made
    server.drop(name)


def pending(world: World, *, cc: tuple[str, ...] = ()) -> tuple[Talk, Mail]:
    """A ticket that Bart has answered, and his answer as Anne got it."""
    talk = world.talk(letter(ANNE, DESK, unique("The press stops"), cc=cc))
    world.send(reply(BART, talk.to(BART), "Which firmware does it show?\n"))
    talk.awaits("pending")
    return talk, answer_to(talk, ANNE)


def answer_to(talk: Talk, address: str, number: int = 1) -> Mail:
    """The n-th mail with an agent's words (neither acknowledgement nor notice) about it to an address."""
    world = talk.world

    def found() -> Mail | None:
        come = [m for m in world.mails(address, talk.key) if not m.header("Auto-Submitted")]
        return come[number - 1] if len(come) >= number else None

    return world.until(found, f"answer {number} should come for {address}")


def status_changes(ticket: dict[str, object]) -> list[tuple[str, str]]:
    """From, to: of each change of status in a ticket's history."""
    entries = ticket["entries"]
    assert isinstance(entries, list)
    return [(e["data"]["from"], e["data"]["to"]) for e in entries if e["event"] == "status"]


# ---------------------------------------------------------------- the story


def test_a_request_is_answered_solved_and_reopened_by_mail_alone(stage: World) -> None:
    """The promise of the whole program, on every way out and every database."""
    talk = stage.talk(subject="The press stops")
    acknowledgement, notice = talk.to(ANNE), talk.to(BART)
    assert acknowledgement.header("Auto-Submitted") == "auto-replied"
    assert acknowledgement.header("In-Reply-To") == talk.first_id
    assert "error 7" in notice.text
    assert talk.ticket["status"] == "open"

    record = stage.deliver(reply(BART, notice, "Which firmware does it show?\n"))
    assert record["decision"]["reason"] == "agent-answer"
    talk.awaits("pending")
    answer = answer_to(talk, ANNE)
    assert "Which firmware" in answer.words
    assert "bart@desk.example" not in answer.data.decode()
    assert not answer.header("Auto-Submitted")

    record = stage.deliver(reply(ANNE, answer, "It says 2.4.1.\n"))
    assert (record["decision"]["reason"], record["decision"]["rule"]) == ("customer-reply", "plus-address")
    assert record["decision"]["header"] == "envelope recipient"
    talk.awaits("open")
    notice = talk.to(BART, 2)
    assert "It says 2.4.1." in notice.text

    stage.send(reply(BART, notice, "#solved agreed\n\nVersion 2.4.2 mends it.\n"))
    ticket = talk.awaits("solved")
    assert ticket["solved_reason"] == "agreed"
    solved = answer_to(talk, ANNE, 2)
    assert "Version 2.4.2 mends it." in solved.words
    assert "#solved" not in solved.text
    assert "#solved agreed" in talk.to(BART, 3).text

    record = stage.deliver(reply(ANNE, solved, "It stopped again this morning.\n"))
    assert record["decision"]["reason"] == "reopened"
    ticket = talk.awaits("open")
    assert status_changes(ticket) == [
        ("open", "pending"),
        ("pending", "open"),
        ("open", "solved"),
        ("solved", "open"),
    ]
    assert "Reopened" in talk.to(BART, 4).text
    said = [e["text"] for e in ticket["entries"] if e["kind"] in ("mail", "reply")]
    assert [words.partition("\n")[0] for words in said] == [
        "Hello,",
        "Which firmware does it show?",
        "It says 2.4.1.",
        "Version 2.4.2 mends it.",
        "It stopped again this morning.",
    ]


def test_every_mail_of_ours_carries_the_thread_with_our_id_last(world: World) -> None:
    """Whatever field a mail program threads by, the conversation stays together; our id is always at hand."""
    talk, answer = pending(world)
    for mail in (talk.to(ANNE), answer):
        assert mail.header("In-Reply-To") == talk.first_id
        assert mail.references[0] == talk.first_id
        # Providers that replace Message-ID leave References alone.
        assert mail.references[-1] == mail.message_id
        assert mail.message_id.startswith("<mb.")
        assert re.fullmatch(r"support\+[a-z0-9.-]+@desk\.example", bare(mail.header("Reply-To")))
        assert re.fullmatch(r"support\+b[a-z0-9.-]+@desk\.example", mail.sender)
        assert bare(mail.header("From")) == DESK
    assert talk.to(BART).references[-1] == talk.to(BART).message_id


def test_references_stay_bounded_in_a_long_conversation(world: World) -> None:
    """A thread of many mails does not grow its header for ever, and keeps its first and its latest ids."""
    talk, answer = pending(world)
    for number in range(2, 10):
        world.deliver(reply(ANNE, answer, f"Anne says {number}.\n"))
        world.deliver(reply(BART, talk.to(BART, number), f"Bart says {number}.\n"))
        answer = answer_to(talk, ANNE, number)
    assert answer.references[0] == talk.first_id
    assert answer.references[-1] == answer.message_id
    assert answer.header("In-Reply-To") in answer.references
    assert len(answer.references) <= 12
    raw = answer.data.partition(b"\r\n\r\n")[0]
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


# ---------------------------------------------------------------- collaborators


def test_those_in_cc_get_the_answers_and_may_reply(world: World) -> None:
    """A colleague whom the customer has put in Cc takes part, as in any mail conversation."""
    talk, _ = pending(world, cc=(CRIS, DESK))
    assert talk.ticket["collaborators"] == ["Cris Dahl <cris@customer.example>"]
    answer = answer_to(talk, CRIS)
    assert bare(answer.header("Cc")) == bare(CRIS)
    record = world.deliver(reply(CRIS, answer, "I have the number: 2.4.1.\n"))
    assert record["decision"]["reason"] == "customer-reply"
    ticket = talk.awaits("open")
    assert ticket["entries"][-2]["author"] == bare(CRIS) or ticket["entries"][-1]["author"] == bare(CRIS)
    assert talk.count(CRIS) == 1  # no acknowledgement, no notices


def test_the_requester_brings_in_a_colleague_by_putting_them_in_cc_of_a_reply(world: World) -> None:
    """From then on they get the answers; a stranger could not do that."""
    talk, answer = pending(world)
    world.deliver(reply(ANNE, answer, "Cris knows more.\n", cc=(CRIS,)))
    talk.awaits("open")
    assert talk.ticket["collaborators"] == ["Cris Dahl <cris@customer.example>"]
    world.deliver(reply(BART, talk.to(BART, 2), "Cris, which one is it?\n"))
    assert "which one" in answer_to(talk, CRIS).words


# ---------------------------------------------------------------- what clients and providers lose


def test_a_client_that_drops_reply_to_threads_by_our_signed_message_id(world: World) -> None:
    """Some mail programs answer From; In-Reply-To then names a mail that only we can have signed."""
    talk, answer = pending(world)
    decision = world.deliver(reply(ANNE, answer, "Here it is.\n", address=answer.header("From")))["decision"]
    assert (decision["rule"], decision["header"]) == ("signed-message-id", "In-Reply-To")
    assert decision["ticket"] == talk.key
    talk.awaits("open")


def test_a_provider_that_rewrites_our_message_id_leaves_our_id_last_in_references(world: World) -> None:
    """Gmail and SES put their own id on what we send: the customer's reply then names theirs."""
    talk, answer = pending(world)
    theirs = "<010f0187-rewritten@eu-west-1.provider.example>"
    mail = reply(ANNE, answer, "Here it is.\n", address=DESK, threading=False)
    mail["In-Reply-To"] = theirs
    mail["References"] = " ".join([*answer.references, theirs])
    decision = world.deliver(mail)["decision"]
    assert (decision["rule"], decision["header"]) == ("signed-message-id", "References")
    assert decision["value"] == answer.message_id
    assert decision["ticket"] == talk.key


def test_a_reply_that_lost_all_headers_threads_by_the_marker_in_its_quote(world: World) -> None:
    """A web form that forwards as new mail keeps nothing but the quoted text."""
    talk, answer = pending(world)
    mail = reply(ANNE, answer, "Here it is.\n", address=DESK, threading=False, subject="no subject")
    decision = world.deliver(mail)["decision"]
    assert (decision["rule"], decision["header"]) == ("body-marker", "body")
    assert decision["ticket"] == talk.key


def test_a_participant_threads_by_an_earlier_mail_or_by_the_subject_tag(world: World) -> None:
    """Weaker evidence counts for those who take part already."""
    talk, answer = pending(world)
    by_id = letter(ANNE, DESK, "I forgot", headers={"In-Reply-To": talk.first_id})
    decision = world.deliver(by_id)["decision"]
    assert (decision["rule"], decision["ticket"]) == ("stored-message-id", talk.key)
    by_tag = letter(ANNE, DESK, f"Re: [#{talk.key}] once more")
    decision = world.deliver(by_tag)["decision"]
    assert (decision["rule"], decision["header"], decision["ticket"]) == ("subject-tag", "Subject", talk.key)
    assert answer.header("Subject").count(f"[#{talk.key}]") == 1


def test_words_of_a_subject_alone_never_join_a_ticket(world: World) -> None:
    """Two requests called 'Question' are two requests, even from the same person."""
    first = world.talk(letter(ANNE, DESK, "Re: Question"))
    second = world.talk(letter(ANNE, DESK, "Re: Question", "Another thing.\n"))
    assert first.key != second.key


# ---------------------------------------------------------------- automatic mail


def test_an_automatic_reply_to_our_answer_is_noted_and_the_ticket_stays_pending(world: World) -> None:
    """Out of office is not an answer: nobody is asked to look, no timer starts anew."""
    talk, answer = pending(world)
    since = talk.ticket["pending_since"]
    mail = reply(ANNE, answer, "I am on leave until Monday.\n", headers={"Auto-Submitted": "auto-replied"})
    decision = world.deliver(mail, sender="")["decision"]
    assert (decision["reason"], decision["kind"]) == ("automatic-noted", "auto_reply")
    assert decision["kind_header"] == "Auto-Submitted"
    ticket = talk.ticket
    assert (ticket["status"], ticket["pending_since"]) == ("pending", since)
    assert ticket["entries"][-1]["kind"] == "automatic"
    world.sent()
    assert talk.count(ANNE) == 2  # the acknowledgement and the answer: automatic mail is never answered


def test_an_automatic_reply_does_not_reopen_a_solved_ticket(world: World) -> None:
    """A vacation responder must not undo the work of the day."""
    talk, answer = pending(world)
    world.cli("ticket", "set", talk.key, "--status", "solved", "--reason", "agreed", "--quiet")
    mail = reply(ANNE, answer, "I am on leave.\n", headers={"Auto-Submitted": "auto-replied"})
    assert world.deliver(mail, sender="")["decision"]["reason"] == "automatic-noted"
    assert talk.ticket["status"] == "solved"


def test_automatic_mail_that_belongs_to_no_ticket_is_kept_apart(world: World) -> None:
    """Newsletters and notices make no tickets, and can be found."""
    mail = letter(
        EVE, DESK, "Our news", headers={"List-Id": "<news.elsewhere.example>", "Precedence": "list"}
    )
    record = world.deliver(mail)
    assert record["quarantine"]["reason"] == "automatic"
    assert record["decision"]["kind"] == "mailing_list"


def test_a_bounce_of_our_answer_flags_the_ticket_and_tells_the_agents(world: World) -> None:
    """The customer never read the question: waiting for their answer would be waiting for ever."""
    talk, answer = pending(world)
    record = world.deliver(bounce(answer, bare(ANNE)), sender="", to=[answer.sender])
    assert record["decision"]["reason"] == "question-bounced"
    assert record["decision"]["header"] == "envelope recipient"
    ticket = talk.ticket
    assert (ticket["status"], ticket["pending_since"]) == ("pending", None)
    assert "anne@customer.example" in ticket["flag"]
    assert talk.key in [row["ticket"] for row in world.rows("ticket", "list", "--flagged")]
    failed = [
        r for r in world.rows("outbox", "list", "--all") if r["ticket"] == talk.key and r["state"] == "failed"
    ]
    assert [(r["kind"], r["recipient"]) for r in failed] == [("answer", bare(ANNE))]
    assert "5.1.1" in failed[0]["last_reply"]
    assert "did not reach anne@customer.example" in talk.to(BART, 2).text
    # The agent has looked: the clock runs again.
    world.deliver(reply(BART, talk.to(BART, 2), "#unflag\n"))
    ticket = talk.ticket
    assert ticket["flag"] == ""
    assert ticket["pending_since"] is not None


def test_a_bounce_of_an_acknowledgement_is_noted_only(world: World) -> None:
    """Nothing was asked yet, so nothing waits."""
    talk = world.talk()
    acknowledgement = talk.to(ANNE)
    record = world.deliver(bounce(acknowledgement, bare(ANNE)), sender="", to=[acknowledgement.sender])
    assert record["decision"]["reason"] == "bounce-noted"
    assert (talk.ticket["status"], talk.ticket["flag"]) == ("open", "")


def test_a_forged_bounce_changes_nothing(world: World) -> None:
    """Only a report that reaches the signed return address of that very mail counts."""
    talk, answer = pending(world)
    local, _, domain = answer.sender.partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    record = world.deliver(
        bounce(Mail(forged, (), b"Subject: something\r\n\r\n"), bare(ANNE)), sender="", to=[forged]
    )
    assert record["quarantine"]["reason"] == "automatic"
    assert "forged" in record["decision"]["rejected"][0]["why"]
    assert talk.ticket["flag"] == ""


# ---------------------------------------------------------------- those who may not


def test_a_stranger_with_a_leaked_reply_address_gets_a_ticket_of_their_own(world: World) -> None:
    """A forwarded mail gives nobody a voice, or a look, in someone else's ticket; nor is the mail lost."""
    talk, answer = pending(world)
    before = talk.ticket
    record = world.deliver(reply(EVE, answer, "Please tell me more.\n"))
    decision = record["decision"]
    assert decision["reason"] == "claims-to-belong"
    assert decision["ticket"] != talk.key
    assert decision["rejected"][0]["why"] == "the sender is not a participant of that ticket"
    assert world.ticket(decision["ticket"])["claims_to_belong_to"] == talk.key
    assert talk.ticket == before
    theirs = world.await_mail(EVE, decision["ticket"])
    for secret in ("Which firmware", "anne@customer.example", talk.key):
        assert secret not in theirs.data.decode()
    notice = world.await_mail(BART, decision["ticket"])
    assert "is no participant" in notice.text


def test_a_forged_token_is_no_evidence(world: World) -> None:
    """Guessing at our addresses opens a ticket of one's own, and `explain` says what was tried."""
    talk, answer = pending(world)
    local, _, domain = bare(answer.header("Reply-To")).partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    mail = reply(ANNE, answer, "Hm.\n", address=forged, threading=False, quote=False, subject="Hm")
    decision = world.deliver(mail)["decision"]
    assert (decision["rule"], decision["reason"]) == ("none", "new-request")
    assert decision["rejected"][0]["why"].startswith("forged")
    assert talk.ticket["status"] == "pending"


def test_an_agents_address_without_their_token_changes_nothing(world: World) -> None:
    """Anyone can write an agent's address into From."""
    talk, answer = pending(world)
    before = talk.ticket
    for mail in (
        reply(BART, answer, "#solved agreed\n\nDone.\n"),  # with the customer's token
        letter(BART, DESK, f"Re: [#{talk.key}]", "#solved agreed\n"),
        letter(BART, DESK, unique("Out of nothing")),
    ):
        record = world.deliver(mail)
        assert record["quarantine"]["reason"] == "agent-unverified"
        assert record["id"] in [r["id"] for r in world.rows("quarantine", "list")]
    assert talk.ticket == before


def test_an_agents_token_in_other_hands_changes_nothing(world: World) -> None:
    """A notice that was forwarded to a customer does not make an agent of them."""
    talk, _ = pending(world)
    before = talk.ticket
    record = world.deliver(reply(EVE, talk.to(BART), "#solved agreed\n"))
    assert record["quarantine"]["reason"] == "agent-unverified"
    assert talk.ticket == before


def test_a_mail_from_ourselves_is_kept_apart(world: World) -> None:
    """Our own mail that comes back would answer itself for ever."""
    talk, answer = pending(world)
    before = talk.ticket
    record = world.deliver(answer.data, sender=answer.sender, to=[bare(answer.header("Reply-To"))])
    assert record["quarantine"]["reason"] == "loop"
    # Also when a list in between has replaced its Message-ID and From.
    changed = answer.data.replace(b"From: ", b"X-From: ", 1).replace(b"Message-ID: ", b"X-Id: ", 1)
    assert changed.count(b"X-From: ") == changed.count(b"X-Id: ") == 1
    changed = b"From: someone@elsewhere.example\r\n" + changed
    record = world.deliver(changed, sender="list@elsewhere.example", to=[bare(answer.header("Reply-To"))])
    assert record["quarantine"]["reason"] == "loop"
    record = world.deliver(letter("Support <help@desk.example>", DESK, "Hello"))
    assert record["quarantine"]["reason"] == "loop"
    assert talk.ticket == before


# ---------------------------------------------------------------- agents' commands


def test_commands_that_cannot_be_done_are_all_refused_with_a_receipt(world: World) -> None:
    """All or nothing: half of what an agent asked for would be worse than none of it."""
    talk = world.talk()
    before = talk.ticket
    words = "#priority S1 down\n#solved perhaps\n#frobnicate\n\nIt should work now.\n"
    record = world.deliver(reply(BART, talk.to(BART), words))
    assert record["decision"]["reason"] == "commands-rejected"
    receipt = talk.to(BART, 2)
    assert "Nothing was changed" in receipt.text
    assert "Line 2: #solved perhaps" in receipt.text
    assert "Line 3: #frobnicate" in receipt.text
    assert "> It should work now." in receipt.text
    assert talk.ticket == before
    assert talk.count(ANNE) == 1
    # The receipt can be answered with the mail mended.
    world.deliver(reply(BART, receipt, "#priority S1 down\n#solved agreed\n\nIt should work now.\n"))
    ticket = talk.awaits("solved")
    assert (ticket["priority"], ticket["solved_reason"]) == ("S1", "agreed")


def test_a_note_stays_inside(world: World) -> None:
    """The customer never learns of it: no mail, no change."""
    talk = world.talk()
    record = world.deliver(reply(BART, talk.to(BART), "#note\nThey never pay.\n"))
    assert record["decision"]["reason"] == "agent-note"
    ticket = talk.ticket
    assert (ticket["status"], ticket["entries"][-1]["kind"]) == ("open", "note")
    assert ticket["entries"][-1]["text"] == "They never pay."
    world.sent()
    world.deliver(reply(BART, talk.to(BART), "We look into it.\n"))
    for mail in [*world.mails(ANNE, talk.key), answer_to(talk, ANNE)]:
        assert "never pay" not in mail.data.decode()


def test_a_bug_is_filed_with_its_fields(world: World) -> None:
    """The requester is told of the report although the agent wrote no words."""
    talk = world.talk()
    world.deliver(reply(BART, talk.to(BART), "#bug_filed PRESS-77 S2 next spring\n"))
    ticket = talk.awaits("solved")
    assert ticket["solved_reason"] == "bug_filed"
    assert [ticket[f"bug_{name}"] for name in ("reference", "priority", "timeline")] == [
        "PRESS-77",
        "S2",
        "next spring",
    ]
    told = talk.to(ANNE, 2)
    assert "PRESS-77" in told.text
    assert told.header("Auto-Submitted") == "auto-generated"
    assert world.deliver(reply(ANNE, told, "Thank you. But when?\n"))["decision"]["reason"] == "reopened"


def test_a_ticket_on_hold_opens_when_the_customer_writes(world: World) -> None:
    """On hold says whom we wait for; the customer's words always come first."""
    talk, answer = pending(world)
    world.deliver(reply(BART, talk.to(BART), "#hold engineering reproduces it\n"))
    ticket = talk.awaits("on_hold")
    assert ticket["hold_reason"] == "engineering reproduces it"
    world.deliver(reply(ANNE, answer, "Any news?\n"))
    assert talk.awaits("open")["hold_reason"] == ""


# ---------------------------------------------------------------- merged tickets


def test_a_reply_to_a_merged_ticket_lands_on_the_survivor_and_stays_private(world: World) -> None:
    """Both customers are served in one place, and neither ever sees the other's words or address."""
    survivor = world.talk()
    merged = world.talk(letter(EVE, DESK, unique("It stops as well"), "We have it too.\n"))
    world.row("ticket", "merge", merged.key, survivor.key)
    assert merged.ticket["merged_into"] == survivor.key
    assert (merged.ticket["status"], merged.ticket["solved_reason"]) == ("solved", "merged")
    record = world.deliver(reply(EVE, merged.to(EVE), "It is getting worse.\n"))
    assert record["decision"]["ticket"] == survivor.key
    entry = survivor.ticket["entries"][-1]
    assert (entry["text"], entry["author"]) == ("It is getting worse.", bare(EVE))
    assert merged.ticket["status"] == "solved"
    notice = survivor.to(BART, 2)
    assert "It is getting worse." in notice.text
    world.deliver(reply(BART, notice, "We are at it.\n"))
    for_anne = answer_to(survivor, ANNE)
    for secret in ("getting worse", bare(EVE), "We have it too"):
        assert secret not in for_anne.data.decode()
    assert survivor.count(EVE) == 0


# ---------------------------------------------------------------- addresses


def test_a_mail_to_two_mailboxes_opens_a_ticket_in_each(world: World) -> None:
    """Each mailbox works on its own; each answer comes from the address that was written to."""
    mail = letter(ANNE, f"{DESK}, {SALES}", unique("A question to both"))
    numbers = world.send(mail, to=[DESK, SALES])
    assert len(numbers) == 2
    keys = {}
    for number in numbers:
        record = world.decided(number)
        keys[record["mailbox"]] = record["decision"]["ticket"]
    assert set(keys) == {DESK, SALES}
    for mailbox, key in keys.items():
        assert world.ticket(key)["mailbox"] == mailbox
        assert world.ticket(key)["collaborators"] == []
        assert bare(world.await_mail(ANNE, key).header("From")) == mailbox


def test_an_alias_and_a_plus_tag_reach_the_mailbox(world: World) -> None:
    """A tag of the customer's own means nothing to us, and loses no mail."""
    for address in ("help@desk.example", "support+webform@desk.example", "SUPPORT@DESK.example"):
        talk = world.talk(letter(ANNE, address, unique("By another way")))
        assert talk.ticket["mailbox"] == DESK
        assert bare(talk.to(ANNE).header("From")) == DESK


def test_no_acknowledgement_goes_to_an_address_that_may_be_forged(world: World) -> None:
    """An answer to a forged From is backscatter; the request is served all the same."""
    for mail, sender, why in (
        (letter(ANNE, DESK, unique("From elsewhere")), "someone@spam.example", "do not agree"),
        (letter("noreply@shop.example", DESK, unique("Your order")), None, "a robot"),
    ):
        record = world.deliver(mail, sender=sender)
        assert record["decision"]["reason"] == "new-request"
        (withheld,) = [d for d in record["decision"]["rejected"] if d["value"] == "outgoing"]
        assert why in withheld["why"]
        world.await_mail(BART, record["decision"]["ticket"])
        assert world.mails(str(mail["From"]), record["decision"]["ticket"]) == []


def test_explain_tells_a_person_what_won_and_what_was_passed_over(world: World) -> None:
    """The one place to look when somebody asks why their mail went where it did."""
    talk, answer = pending(world)
    other = world.talk()
    mail = reply(ANNE, answer, "Which is it?\n", subject=f"Re: [#{other.key}]")
    record = world.deliver(mail)
    assert record["decision"]["ticket"] == talk.key
    text = world.cli("explain", str(mail["Message-ID"])).out
    assert "decided   append: customer-reply" in text
    assert "matched   plus-address, by envelope recipient" in text
    assert "passed over  subject-tag: Subject" in text
    assert "stronger evidence names" in text
