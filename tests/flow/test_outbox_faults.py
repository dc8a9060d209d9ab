"""A smarthost that fails: nothing is lost, nothing is doubled, and the ticket tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.letters import letter, unique
from tests.flow.world import Row, SmtpPost, World

ANNE = "anne@customer.example"
CRIS = "cris@customer.example"
DESK = "support@desk.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon whose smarthost will fail: that it says so in its log is right."""
    with World(tmp_path_factory.mktemp("faults"), expected=("outbox.smarthost_down",)) as made:
        yield made


def smarthost(world: World) -> SmtpPost:
    """The server that takes our mail."""
    assert world.smtp is not None
    return world.smtp


def rows(world: World, key: str, kind: str = "answer") -> list[Row]:
    """The lines of `outbox list` about the mails of one kind on a ticket."""
    listed = world.rows("outbox", "list", "--all", "--limit", "500")
    return [r for r in listed if r["ticket"] == key and r["kind"] == kind]


def new_ticket(world: World, cc: tuple[str, ...] = ()) -> str:
    """A ticket whose first mails are out."""
    key = str(world.deliver(letter(ANNE, DESK, unique("fault"), cc=cc))["decision"]["ticket"])
    world.sent()
    return key


def answer(world: World, key: str, text: str = "Try again?") -> None:
    """The agent's words, by the command line."""
    assert world.cli("ticket", "reply", key, "--text", text).code == 0


def test_a_smarthost_that_is_away_costs_a_mail_nothing_but_time(world: World) -> None:
    """Connect failures hold all mail together and count against none."""
    key = new_ticket(world)
    smarthost(world).shut()
    answer(world, key)
    world.until(lambda: rows(world, key)[0]["state"] == "retry", "it should wait")
    smarthost(world).open()
    assert "Try again?" in world.await_mail(ANNE, key, 2).text
    world.sent()
    (row,) = rows(world, key)
    assert (row["state"], row["attempts"]) == ("sent", 1)


def test_a_temporary_refusal_is_tried_again_with_the_same_bytes(world: World) -> None:
    """Promise 4: one Message-ID, the same bytes on every try."""
    key = new_ticket(world)
    smarthost(world).faults.data = "451 4.3.0 not now"
    answer(world, key)
    world.until(lambda: rows(world, key)[0]["last_reply"].startswith("451"), "it should be put off")
    smarthost(world).faults.data = ""
    mail = world.await_mail(ANNE, key, 2)
    world.sent()
    (row,) = rows(world, key)
    assert row["state"] == "sent"
    assert row["attempts"] >= 2
    assert mail.message_id == row["message_id"]


def test_each_recipient_has_a_result_of_their_own_and_a_lost_answer_flags_the_ticket(world: World) -> None:
    """Cris is refused for good; Anne gets it, once; the agents are told and the ticket is flagged."""
    key = new_ticket(world, cc=(CRIS,))
    smarthost(world).faults.rcpt[CRIS] = "550 5.1.1 no such user"
    answer(world, key)
    world.await_mail(ANNE, key, 2)
    world.sent()
    smarthost(world).faults.rcpt.clear()
    by_recipient = {r["recipient"]: r for r in rows(world, key)}
    assert by_recipient[ANNE]["state"] == "sent"
    assert by_recipient[CRIS]["state"] == "failed"
    assert "5.1.1" in by_recipient[CRIS]["last_reply"]
    assert by_recipient[CRIS]["attempts"] == 1
    ticket = world.row("ticket", "show", key)
    assert CRIS in ticket["flag"]
    assert ticket["pending_since"] is None
    assert any(e["kind"] == "bounce" for e in ticket["entries"])
    assert any("could not be delivered" in m.text for m in world.mails("bart@desk.example", key))


def test_hold_stops_all_sending_and_release_lets_it_go(world: World) -> None:
    """The operator's emergency brake."""
    key = new_ticket(world)
    assert world.cli("outbox", "hold", "--why", "storm").code == 0
    answer(world, key)
    assert world.row("status")["outbox_hold"].startswith("storm")
    assert rows(world, key)[0]["state"] == "queued"
    assert len(world.mails(ANNE, key)) == 1
    assert world.cli("outbox", "release").code == 0
    world.await_mail(ANNE, key, 2)


def test_what_was_sent_is_not_sent_again_after_a_restart(world: World) -> None:
    """SIGTERM, start: nothing goes out twice."""
    key = new_ticket(world)
    answer(world, key)
    world.await_mail(ANNE, key, 2)
    world.sent()
    assert world.stop() == 0
    world.start()
    new_ticket(world)
    assert len(world.mails(ANNE, key)) == 2
