"""A smarthost that fails in every way: nothing is lost, nothing is doubled, and the ticket tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.smtp_sink import Faults, Stage
from tests.flow.letters import ANNE, BART, CRIS, DESK, Mail, bare, letter, reply, unique
from tests.flow.world import Row, Settings, SmtpPost, Talk, World


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon whose smarthost will fail: that it says so in its log is right."""
    with World(tmp_path_factory.mktemp("faults"), expected=("outbox.smarthost_down",)) as made:
        yield made


@pytest.fixture
def world(daemon: World) -> Iterator[World]:
    """That daemon, with a smarthost in good health before the test and after it."""
    smarthost(daemon).sink.faults = Faults()
    yield daemon
    smarthost(daemon).sink.faults = Faults()
    daemon.sent()


def smarthost(world: World) -> SmtpPost:
    """The server that takes our mail."""
    assert world.smtp is not None
    return world.smtp


def rows(talk: Talk, kind: str = "answer") -> list[Row]:
    """The lines of `outbox list` about the mails of one kind on a ticket."""
    listed = talk.world.rows("outbox", "list", "--all", "--limit", "500")
    return [r for r in listed if r["ticket"] == talk.key and r["kind"] == kind]


def states(talk: Talk, kind: str = "answer") -> dict[str, str]:
    """The state of each recipient."""
    return {r["recipient"]: r["state"] for r in rows(talk, kind)}


def new_talk(world: World, cc: tuple[str, ...] = ()) -> tuple[Talk, Mail]:
    """A ticket whose first mails are out, and Bart's notice of it."""
    talk = world.talk(letter(ANNE, DESK, unique("fault"), cc=cc))
    notice = talk.to(BART)
    world.sent()
    return talk, notice


def answers(talk: Talk, to: str = ANNE) -> list[Mail]:
    """The agents' answers that arrived for someone: every copy."""
    return [m for m in talk.world.mails(to, talk.key) if not m.header("Auto-Submitted")]


def await_state(talk: Talk, state: str, to: str = ANNE) -> Row:
    """The line of the answer to someone, once it has that state."""

    def found() -> Row | None:
        return next((r for r in rows(talk) if (r["recipient"], r["state"]) == (bare(to), state)), None)

    return talk.world.until(found, f"the answer to {to} should be {state}")


# ---------------------------------------------------------------- the whole server


def test_a_smarthost_that_is_away_costs_a_mail_nothing_but_time(world: World) -> None:
    """Connect failures hold all mail together and count against none."""
    talk, notice = new_talk(world)
    smarthost(world).shut()
    world.send(reply(BART, notice, "Try again?\n"))
    waiting = await_state(talk, "retry")
    assert waiting["attempts"] == 0
    assert waiting["last_reply"] != ""
    other = world.talk()  # mail goes on being taken in
    smarthost(world).open()
    other.to(ANNE)
    world.sent()
    assert [m.words.splitlines()[0] for m in answers(talk)] == ["Try again?"]
    (row,) = rows(talk)
    assert (row["state"], row["attempts"]) == ("sent", 1)


# ---------------------------------------------------------------- one mail


def test_a_temporary_refusal_is_tried_again_with_the_same_bytes(world: World) -> None:
    """Promise 4: one Message-ID, the same bytes on every try."""
    talk, notice = new_talk(world)
    smarthost(world).faults.dot = "451 4.3.0 not now"  # after it was heard out, so that each copy is seen
    world.send(reply(BART, notice, "Try again?\n"))
    assert await_state(talk, "retry")["last_reply"].startswith("451 ")
    assert talk.awaits("pending")["flag"] == ""
    smarthost(world).faults.dot = ""
    row = await_state(talk, "sent")
    assert row["attempts"] >= 2
    heard = answers(talk)
    assert len(heard) == row["attempts"]
    assert len({m.data for m in heard}) == 1
    assert heard[0].message_id == row["message_id"]


def test_each_recipient_has_a_result_of_their_own_and_a_lost_answer_flags_the_ticket(world: World) -> None:
    """Cris is refused for good; Anne gets it, once; the agents are told and the ticket is flagged."""
    talk, notice = new_talk(world, cc=(CRIS,))
    smarthost(world).faults.rcpt[bare(CRIS)] = "550 5.1.1 no such user"
    world.send(reply(BART, notice, "Which version?\n"))
    lost = await_state(talk, "failed", CRIS)
    assert "5.1.1 no such user" in lost["last_reply"]
    assert lost["attempts"] == 1
    assert states(talk) == {bare(ANNE): "sent", bare(CRIS): "failed"}
    assert len(answers(talk)) == 1
    assert answers(talk)[0].recipients == (bare(ANNE),)
    ticket = talk.ticket
    assert bare(CRIS) in ticket["flag"]
    assert ticket["pending_since"] is None
    assert next(e["text"] for e in ticket["entries"] if e["kind"] == "bounce").endswith("no such user")
    assert talk.key in [r["ticket"] for r in world.rows("ticket", "list", "--flagged")]
    told = talk.to(BART, 2)
    assert "could not be delivered" in told.text
    assert "5.1.1 no such user" in told.text


def test_one_recipient_is_put_off_while_the_other_is_served(world: World) -> None:
    """The one who has it does not get it again when the other's turn comes."""
    talk, notice = new_talk(world, cc=(CRIS,))
    smarthost(world).faults.rcpt[bare(CRIS)] = "450 4.2.0 greylisted"
    world.send(reply(BART, notice, "Which version?\n"))
    await_state(talk, "retry", CRIS)
    assert states(talk)[bare(ANNE)] == "sent"
    smarthost(world).faults.rcpt.clear()
    await_state(talk, "sent", CRIS)
    assert (len(answers(talk)), len(answers(talk, CRIS))) == (1, 1)
    assert answers(talk)[0].data == answers(talk, CRIS)[0].data


def test_a_refused_answer_can_be_sent_again_by_an_operator(world: World) -> None:
    """A 5xx is final for us; a person who knows better says `outbox retry`."""
    talk, notice = new_talk(world)
    smarthost(world).faults.dot = "554 5.7.1 looks like spam"
    world.send(reply(BART, notice, "Which version?\n"))
    lost = await_state(talk, "failed")
    assert "554 5.7.1 looks like spam" in lost["last_reply"]
    status = world.cli("status").out
    assert "not reached: mailbridge outbox list" in status
    assert "flagged ticket" in status
    smarthost(world).faults.dot = ""
    assert world.cli("outbox", "retry", str(lost["id"])).out == "1 mail(s) will be tried again\n"
    await_state(talk, "sent")
    heard = answers(talk)
    assert len(heard) == 2  # the refused one was heard out as well
    assert heard[0].data == heard[1].data


def test_a_lost_notification_makes_no_further_notifications(world: World) -> None:
    """Bart's own mailbox is full: telling Bart about it would go on for ever. The ticket has it."""
    smarthost(world).faults.rcpt[bare(BART)] = "552 5.2.2 mailbox full"
    talk = world.talk()
    world.until(lambda: "failed" in states(talk, "notification").values(), "the notice should be lost")
    talk.to(ANNE)
    world.sent()
    assert len(rows(talk, "notification")) == 1
    assert any("mailbox full" in e["text"] for e in talk.ticket["entries"] if e["kind"] == "bounce")
    assert talk.ticket["status"] == "open"


def test_a_mail_that_hangs_holds_up_no_other(world: World) -> None:
    """A smarthost that stalls on one mail (a scanner, say) must not stop the desk."""
    first, notice_of_first = new_talk(world)
    second, notice_of_second = new_talk(world)
    faults = smarthost(world).faults
    faults.hang, faults.once = {"dot"}, True
    world.send(reply(BART, notice_of_first, "This one hangs.\n"))
    world.until(lambda: answers(first), "the first should be heard out")
    world.send(reply(BART, notice_of_second, "This one passes.\n"))
    world.until(lambda: answers(second), "the second should pass")
    # The first is tried again only long after its time: the second did not wait for that.
    assert len(answers(first)) == 1
    await_state(second, "sent")
    assert len(answers(second)) == 1


def test_a_connection_lost_after_the_dot_is_unknown_and_tried_once_more(world: World) -> None:
    """Nobody can know whether it was taken: shown as such, and repeated with the same Message-ID and bytes."""
    talk, notice = new_talk(world)
    faults = smarthost(world).faults
    faults.drop, faults.once = {"dot"}, True
    world.send(reply(BART, notice, "Which version?\n"))
    row = await_state(talk, "unknown")
    assert row["last_reply"].startswith("outcome unknown")
    assert row["next_attempt_at"] is not None
    assert talk.ticket["flag"] == ""
    row = await_state(talk, "sent")
    assert row["attempts"] == 2
    heard = answers(talk)
    assert len(heard) == 2
    assert heard[0].data == heard[1].data


def test_a_connection_lost_before_the_mail_was_handed_over_is_only_a_delay(world: World) -> None:
    """Dropped at DATA, or in the middle of the body: it was not taken, and goes again without a doubt."""
    stages: tuple[Stage, ...] = ("data", "body")
    for stage in stages:
        talk, notice = new_talk(world)
        faults = smarthost(world).faults
        faults.drop, faults.once = {stage}, True
        world.send(reply(BART, notice, "Which version?\n"))
        await_state(talk, "sent")
        assert len(answers(talk)) == 1, stage


# ---------------------------------------------------------------- operators


def test_hold_stops_all_sending_and_release_lets_it_go(world: World) -> None:
    """The operator's emergency brake."""
    talk, notice = new_talk(world)
    assert world.cli("outbox", "hold", "--why", "storm").code == 0
    world.send(reply(BART, notice, "Which version?\n"))
    talk.awaits("pending")
    other = world.talk()
    assert world.row("status")["outbox_hold"].startswith("storm (cli:")
    assert "sending is on hold: storm" in world.cli("status").out
    assert "sending is on hold: storm" in world.cli("outbox", "list").out
    assert states(talk) == {bare(ANNE): "queued"}
    assert (len(answers(talk)), other.count(ANNE)) == (0, 0)
    assert world.cli("outbox", "release").code == 0
    other.to(ANNE)
    await_state(talk, "sent")
    assert world.row("status")["outbox_hold"] is None


# ---------------------------------------------------------------- stop and start


def test_a_stop_waits_for_the_mail_under_way_and_what_became_of_it_is_kept(world: World) -> None:
    """SIGTERM while the smarthost thinks about a mail: its answer (here, none in time) is written down."""
    talk, notice = new_talk(world)
    smarthost(world).faults.hang = {"dot"}
    world.send(reply(BART, notice, "Which version?\n"))
    world.until(lambda: answers(talk), "it should be heard out")
    began = time.monotonic()
    assert world.stop() == 0
    assert time.monotonic() - began < 12  # drain_timeout is 10 s, and the machine may be busy
    assert states(talk) == {bare(ANNE): "unknown"}
    smarthost(world).sink.faults = Faults()
    world.start()
    await_state(talk, "sent")
    assert len(answers(talk)) == 2  # the doubtful one, and one repetition: the same bytes
    assert answers(talk)[0].data == answers(talk)[1].data


def test_a_stop_does_not_wait_for_ever_for_a_smarthost_that_says_nothing(tmp_path: Path) -> None:
    """`drain_timeout` bounds it; exit 0 all the same, and the mail is taken up after the start."""
    settings: dict[str, Settings] = {"server": {"drain_timeout": "1s"}, "delivery": {"timeout": "60s"}}
    with World(tmp_path, settings=settings) as world:
        talk, notice = new_talk(world)
        smarthost(world).faults.hang = {"dot"}
        world.send(reply(BART, notice, "Which version?\n"))
        world.until(lambda: answers(talk), "it should be heard out")
        began = time.monotonic()
        assert world.stop() == 0
        assert time.monotonic() - began < 10
        smarthost(world).sink.faults = Faults()
        world.start()
        await_state(talk, "sent")
        assert [m.data for m in answers(talk)] == [answers(talk)[0].data] * 2


def test_what_was_sent_is_not_sent_again_after_a_restart(world: World) -> None:
    """SIGTERM in the middle of many mails, start: each arrives, none twice."""
    talks = [new_talk(world) for _ in range(4)]
    before = len(world.post.mails())
    stopper = threading.Thread(target=world.stop)
    for _, notice in talks[:3]:
        world.send(reply(BART, notice, "Which version?\n"))
    stopper.start()
    stopper.join()
    world.start()
    world.send(reply(BART, talks[3][1], "Which version?\n"))
    for talk, _ in talks:
        await_state(talk, "sent")
    world.sent()
    assert [len(answers(talk)) for talk, _ in talks] == [1, 1, 1, 1]
    ids = [m.message_id for m in world.post.mails()[before:]]
    assert len(ids) == len(set(ids))
