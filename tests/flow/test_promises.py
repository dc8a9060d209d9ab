"""The promises of the design that do not need a crash under load (those are in test_kill.py)."""

from __future__ import annotations

import smtplib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from tests.edge.smtp_client import Desk, open_door
from tests.flow.letters import letter, unique
from tests.flow.world import World

ANNE = "anne@customer.example"
MALLORY = "mallory@elsewhere.example"
DESK = "support@desk.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon of its own: it is killed here, and its database locked."""
    expected = ("smtp.store_failed", "task.failed", "outbox.record_failed")
    with World(tmp_path_factory.mktemp("promises"), expected=expected) as made:
        yield made


def offer(world: World, text: str) -> tuple[int, bytes]:
    """Offer a mail; the final reply."""
    with smtplib.SMTP("127.0.0.1", world.port, timeout=30) as client:
        client.ehlo("client.example")
        client.mail(ANNE)
        client.rcpt(DESK)
        return client.data(letter(ANNE, DESK, unique("offered"), text).as_bytes())


def test_promise_1_a_250_means_that_the_mail_is_on_disk(world: World) -> None:
    """Killed right after the 250, the file has it; the writer flushes each commit (WAL, FULL)."""
    (number,) = world.send(letter(ANNE, DESK, unique("durable"), "remember me"))
    world.kill()
    with sqlite3.connect(world.data / "mailbridge.db") as conn:
        (raw,) = conn.execute("SELECT data FROM inbound_raw WHERE inbound_id = ?", (number,)).fetchone()
    assert b"remember me" in raw
    world.start()
    assert world.decided(number)["decision"]["reason"] == "new-request"
    pragmas = world.database.write(
        lambda conn: [conn.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]


def test_promise_2_a_locked_database_is_a_451_and_heals_by_itself(world: World) -> None:
    """Another process holds the lock: the client is asked to try later, within 10 s, and then succeeds."""
    conn = sqlite3.connect(world.data / "mailbridge.db", isolation_level=None)
    conn.execute("BEGIN EXCLUSIVE")
    try:
        began = time.monotonic()
        code, said = offer(world, "locked out")
        assert time.monotonic() - began < 10.5
    finally:
        conn.execute("ROLLBACK")
        conn.close()
    assert code == 451, said
    assert b"sqlite" not in said.lower()
    assert world.deliver(letter(ANNE, DESK, unique("healed")))["decision"]["reason"] == "new-request"


def test_promise_2_an_absent_database_is_a_451_and_heals_by_itself(world: World) -> None:
    """The disk was not mounted, say: nothing is accepted that would be lost."""
    files = sorted(world.data.glob("mailbridge.db*"))
    away = [file.rename(file.with_name(f"away-{file.name}")) for file in files]
    try:
        code, said = offer(world, "nowhere to put it")
    finally:
        for file in away:
            Path(file).rename(world.data / file.name.removeprefix("away-"))
    assert code == 451, said
    assert world.deliver(letter(ANNE, DESK, unique("back")))["decision"]["reason"] == "new-request"


async def test_promise_2_a_bug_of_ours_is_a_451_without_internals() -> None:
    """Never a bounce, never an exception's text."""

    class Broken(Desk):
        async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
            raise RuntimeError("db password=hunter2 is down")

    async with open_door(Broken()) as door:
        client = await door.client()
        reply = await client.mail(b"Subject: x\r\n\r\nhi\r\n", ANNE, DESK)
    assert reply.startswith("451 4.3.0")
    assert "hunter2" not in reply


def test_promise_3_a_duplicate_is_sender_mailbox_and_content(world: World) -> None:
    """The same bytes from another sender, or to another mailbox, are another mail."""
    raw = letter(ANNE, DESK, unique("same"), "same words").as_bytes()
    first = world.send(raw, ANNE)
    assert world.send(raw, ANNE) == first
    assert world.send(raw, "cris@customer.example") != first
    assert world.send(raw, ANNE, ["sales@desk.example"]) != first


def test_promise_7_not_yours_and_not_there_look_the_same(world: World) -> None:
    """A stranger learns nothing from how a mail with a token, real or made up, is answered."""
    key = world.deliver(letter(ANNE, DESK, unique("private"), "secret words"))["decision"]["ticket"]
    token = world.await_mail(ANNE, key).header("Reply-To").rpartition("<")[2].rstrip(">")
    local, _, domain = token.partition("@")
    made_up = f"{local[:-4]}aaaa@{domain}"
    replies = []
    for number, address in enumerate((token, made_up)):
        mail = letter(MALLORY, address, unique("probe"), f"what is this? {number}")
        own = world.deliver(mail)["decision"]["ticket"]
        assert own != key
        ack = world.await_mail(MALLORY, own)
        assert key not in ack.data.decode()
        assert "secret words" not in ack.data.decode()
        replies.append(ack.text.replace(own, "KEY").partition("[ref:")[0])
    assert replies[0] == replies[1]
    assert len(world.row("ticket", "show", key)["entries"]) == 1
