"""The promises of the design, each by name: 1, 2, 3, 4, 6 and 7 (5 is about reminders).

What they are worth under load and when things break is shown by test_kill.py and test_store_faults.py.
"""

from __future__ import annotations

import re
import smtplib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from tests.core.bombs import BOMBS
from tests.edge.smtp_client import Desk, open_door
from tests.flow.letters import ANNE, BART, CRIS, DESK, EVE, SALES, Mail, bare, letter, reply, unique
from tests.flow.load import Load, until
from tests.flow.mortal import Mortal, resident, say

FAULTS = ("smtp.store_failed", "store_batch_lost")
_INTERNALS = re.compile(rb"sqlite|database|trigger|hunter2|error|exception|traceback|\.py|/", re.IGNORECASE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    """A daemon of its own: it is killed here, and its database broken."""
    with Mortal(tmp_path_factory.mktemp("promises"), expected=FAULTS) as made:
        yield made


def offer(world: Mortal, raw: bytes) -> tuple[int, bytes, float]:
    """Offer a mail of Anne's; the final reply and the seconds it took."""
    with smtplib.SMTP("127.0.0.1", world.port, timeout=30) as client:
        client.ehlo("client.example")
        client.mail(bare(ANNE))
        client.rcpt(DESK)
        began = time.monotonic()
        code, said = client.data(raw)
        return code, said, time.monotonic() - began


def put_off_politely(world: Mortal) -> None:
    """A mail offered now must meet a temporary refusal in time that tells nothing of us."""
    code, said, took = offer(world, letter(ANNE, DESK, unique("offered")).as_bytes())
    assert code // 100 == 4, said
    assert not _INTERNALS.search(said), said
    assert took <= 10.0  # after which servers give up waiting


def file_of(world: Mortal) -> sqlite3.Connection:
    """The database's file, by a connection of our own."""
    return sqlite3.connect(world.data / "mailbridge.db", isolation_level=None, timeout=10)


# ---------------------------------------------------------------- 1


def test_promise_1_a_250_means_the_mail_is_on_disk(world: Mortal) -> None:
    """SIGKILL as soon as the 250 is here, and the file has the mail, byte for byte. A kill does not show whether
    it was flushed: that is the work of WAL with synchronous=FULL, which the writer's connection must have."""
    for number in range(2):
        raw = letter(ANNE, DESK, unique("durable"), f"remember me {number}").as_bytes()
        raw = raw.replace(b"\n", b"\r\n")
        client = smtplib.SMTP("127.0.0.1", world.port, timeout=30)
        client.ehlo("client.example")
        client.mail(bare(ANNE))
        client.rcpt(DESK)
        code, said = client.data(raw)
        world.kill()
        client.close()
        assert code == 250, said
        accepted = int(said.rpartition(b" ")[2])
        query = "SELECT data, envelope_from, rcpt_to FROM inbound JOIN inbound_raw ON id = inbound_id WHERE id = ?"
        conn = file_of(world)
        stored, sender, recipients = conn.execute(query, (accepted,)).fetchone()
        conn.close()
        assert stored.endswith(raw)
        assert stored.startswith(b"Received: ")
        assert (sender, recipients) == (bare(ANNE), DESK)
        world.start()
        assert world.decided(accepted)["decision"]["reason"] == "new-request"
    pragmas = world.database.write(
        lambda conn: [conn.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]


def test_promise_1_a_mail_without_its_dot_is_not_stored(world: Mortal) -> None:
    """What was not accepted must not be there either: the client will send it again, perhaps with more."""
    before = len(world.rows("message", "list", "--limit", "1000"))
    with smtplib.SMTP("127.0.0.1", world.port, timeout=30) as client:
        client.ehlo("client.example")
        client.mail(bare(ANNE))
        client.rcpt(DESK)
        client.docmd("DATA")
        client.send(letter(ANNE, DESK, unique("no dot")).as_bytes())
        client.close()
    world.deliver(letter(ANNE, DESK, unique("after that")))
    assert len(world.rows("message", "list", "--limit", "1000")) == before + 1


# ---------------------------------------------------------------- 2


def test_promise_2_our_own_trouble_is_a_4xx_without_internals(world: Mortal) -> None:
    """A fault that nobody foresaw, whose message holds a password: the client learns nothing, and tries again."""
    conn = file_of(world)
    conn.execute(
        "CREATE TRIGGER fault BEFORE INSERT ON inbound "
        "BEGIN SELECT RAISE(ABORT, 'db password=hunter2 is down'); END"
    )
    try:
        put_off_politely(world)
    finally:
        conn.execute("DROP TRIGGER fault")
        conn.close()
    world.deliver(letter(ANNE, DESK, unique("healed")))


def test_promise_2_a_locked_database_is_a_4xx_and_heals_by_itself(world: Mortal) -> None:
    """Another process holds the lock: the client is asked to try later, within 10 s, and then succeeds."""
    conn = file_of(world)
    conn.execute("BEGIN EXCLUSIVE")
    try:
        put_off_politely(world)
    finally:
        conn.execute("ROLLBACK")
        conn.close()
    world.deliver(letter(ANNE, DESK, unique("unlocked")))


def test_promise_2_an_absent_database_is_a_4xx_and_heals_by_itself(world: Mortal) -> None:
    """The disk was not mounted, say: nothing is accepted that would be lost."""
    away = world.folder / "away"
    world.data.rename(away)
    try:
        put_off_politely(world)
    finally:
        away.rename(world.data)
    world.deliver(letter(ANNE, DESK, unique("back")))


async def test_promise_2_a_bug_in_our_handler_is_a_4xx_without_internals() -> None:
    """Never a bounce, never an exception's text."""

    class Broken(Desk):
        async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
            raise RuntimeError("db password=hunter2 is down")

    async with open_door(Broken()) as door:
        client = await door.client()
        said = await client.mail(b"Subject: x\r\n\r\nhi\r\n", bare(ANNE), DESK)
    assert said.startswith("451 4.3.0")
    assert not _INTERNALS.search(said.encode())


def test_promise_2_an_unexpected_failure_is_quarantined_named_and_replayable(world: Mortal) -> None:
    """What fails after the 250 must neither bounce nor vanish: it is kept apart with the failure's name, others
    go on, and once the fault is mended the mail is worked on as if it had just come."""
    conn = file_of(world)
    conn.execute(
        "CREATE TRIGGER fault BEFORE INSERT ON ticket WHEN new.subject LIKE 'unlucky%' "
        "BEGIN SELECT RAISE(ABORT, 'a bug of ours'); END"
    )
    try:
        record = world.deliver(letter(ANNE, DESK, unique("unlucky"), "do not lose these words"))
        other = world.deliver(letter(CRIS, DESK, unique("lucky")))
    finally:
        conn.execute("DROP TRIGGER fault")
        conn.close()
    assert record["state"] == "quarantined"
    assert record["quarantine"]["reason"] == "internal"
    assert "IntegrityError" in record["quarantine"]["detail"]
    assert other["state"] == "done"
    (row,) = [r for r in world.rows("quarantine", "list") if r["id"] == record["id"]]
    assert row["reason"] == "internal"
    assert world.cli("quarantine", "replay", str(record["id"])).code == 0
    world.until(lambda: world.row("explain", str(record["id"]))["state"] == "done", "it should be worked on")
    record = world.decided(record["id"])
    assert record["decision"]["reason"] == "new-request"
    assert [h["action"] for h in record["history"]] == ["quarantine"]
    assert "do not lose these words" in world.ticket(record["decision"]["ticket"])["entries"][0]["text"]


# ---------------------------------------------------------------- 3


def test_promise_3_a_duplicate_is_sender_mailbox_and_content_never_the_message_id(world: Mortal) -> None:
    """A server that got no answer sends the same mail again, perhaps over another relay: known, and answered
    250. The same Message-ID with other words, or the same words from another sender or to another mailbox,
    is another mail. A restart forgets nothing."""
    message = letter(ANNE, DESK, unique("same"), "same words")
    raw = message.as_bytes()
    first = world.send(raw, bare(ANNE))
    assert world.send(raw, bare(ANNE)) == first
    relayed = b"Received: from relay.example by mx.example; Tue, 24 Nov 2026 09:12:00 +0000\n" + raw
    assert world.send(relayed, bare(ANNE)) == first
    world.kill()
    world.start()
    assert world.send(raw, bare(ANNE)) == first

    reused = letter(ANNE, DESK, str(message["Subject"]), "other words")
    del reused["Message-ID"]
    reused["Message-ID"] = message["Message-ID"]
    others = [
        world.send(reused.as_bytes(), bare(ANNE)),
        world.send(raw, bare(CRIS)),
        world.send(raw, bare(ANNE), [SALES]),
    ]
    assert len({*map(tuple, others), tuple(first)}) == 4
    for (number,) in (first, *others):
        assert world.decided(number)["state"] == "done"
    assert world.row("explain", str(first[0]))["duplicates"] == 3
    same_id = world.rows("explain", str(message["Message-ID"]))
    assert [r["id"] for r in same_id] == sorted(number for (number,) in (first, *others))


# ---------------------------------------------------------------- 4


def test_promise_4_every_retry_sends_the_same_bytes(world: Mortal) -> None:
    """Put off, and killed while the smarthost had the mail and had not answered: each time the same bytes under
    the same Message-ID went out, so that whoever gets two has one. One cause makes one mail."""
    assert world.smtp is not None
    world.sent()
    world.smtp.faults.dot = "451 4.7.1 come again"
    (number,) = world.send(letter(ANNE, DESK, unique("once only")))
    key = world.decided(number)["decision"]["ticket"]

    def copies(address: str) -> list[Mail]:
        return world.mails(address, key)

    world.until(lambda: copies(ANNE) and copies(BART), "both mails should have been tried")
    world.smtp.faults.hang = {"dot"}
    world.until(lambda: len(copies(ANNE)) > 1 and len(copies(BART)) > 1, "they should be tried again")
    world.kill()
    world.smtp.faults.hang, world.smtp.faults.dot = set(), ""
    world.start()
    world.sent()
    for address in (ANNE, BART):
        tries = copies(address)
        assert len(tries) >= 3
        assert len({mail.data for mail in tries}) == 1
        assert len({(mail.sender, mail.recipients) for mail in tries}) == 1
    rows = [r for r in world.rows("outbox", "list", "--all") if r["ticket"] == key]
    assert sorted((r["recipient"], r["state"]) for r in rows) == [(bare(ANNE), "sent"), (bare(BART), "sent")]


# ---------------------------------------------------------------- 6


@pytest.mark.timeout(150)
def test_promise_6_a_polite_client_waits_at_most_5_s_while_bombs_are_parsed(tmp_path: Path) -> None:
    """Every mail that we know to exhaust a parser, four at a time, and one customer who writes as people do. Hers
    are all answered in time, and every bomb is accounted for; the daemon grows by no more than 256 MB."""
    settings = {"delivery": {"timeout": '"20s"'}}
    with Mortal(tmp_path, settings=settings) as world, Load(world.port, connections=1, seed=6) as polite:
        world.deliver(letter(ANNE, DESK, unique("first")))
        before = most = resident(world.pid)
        with Load(world.port, connections=4, seed=7) as hostile:
            for name, make in BOMBS.items():
                data = make()
                hostile.offer(name, data if data.endswith(b"\r\n") else data + b"\r\n", bare(EVE))
            while hostile.waiting or len(hostile.ledger) < len(BOMBS) or _unread(world):
                if not polite.waiting:
                    polite.letters(1)
                most = max(most, resident(world.pid))
                time.sleep(0.25)
            refused = {mail.message_id: mail.refused for mail in hostile.ledger.values() if mail.refused}
        polite.settle(10)
        until(lambda: not _unread(world), "all should be read", 20)
        turns = sorted(mail.worst_turn for mail in polite.ledger.values())
        grown = most - before
        say(f"{len(BOMBS)} bombs, {len(turns)} polite mails, slowest {turns[-3:]}, grew by {grown >> 20} MiB")
        assert turns[-1] <= 5.0
        assert grown <= 256 << 20
        assert refused == {}
        conn = file_of(world)
        query = "SELECT envelope_from = ?, state, reason FROM inbound"
        rows = conn.execute(query, (bare(EVE),)).fetchall()
        conn.close()
        of_eve = [(state, reason) for hers, state, reason in rows if hers]
        assert len(of_eve) == len(BOMBS)
        assert {state for state, _ in of_eve} <= {"done", "quarantined"}
        assert not [reason for _, reason in of_eve if reason in ("internal", "crashes-parser")]
        assert {state for hers, state, _ in rows if not hers} == {"done"}


def _unread(world: Mortal) -> int:
    conn = file_of(world)
    found = conn.execute("SELECT count(*) FROM inbound WHERE state = 'received'").fetchone()
    conn.close()
    return int(found[0])


# ---------------------------------------------------------------- 7


def test_promise_7_not_yours_and_not_there_look_the_same(world: Mortal) -> None:
    """Eve has got hold of Anne's reply address, or of one that nobody was ever given; of Anne's ticket's key in
    a subject, or of one that does not exist; of the id of a mail to Anne, real or spoilt. All that she sees of
    us in the mail that comes back is the same; Anne's ticket does not change, and nobody writes to Anne."""
    talk = world.talk(letter(ANNE, DESK, unique("private"), "secret words"))
    acknowledgement = talk.to(ANNE)
    talk.to(BART)
    before, count = talk.ticket, talk.count(ANNE)
    real = bare(acknowledgement.header("Reply-To"))
    local, _, domain = real.partition("@")
    made_up = f"{local[:-8]}aaaaaaaa@{domain}"
    no_key = talk.key.translate(str.maketrans("0123456789ABCDEFGHJK", "123456789ABCDEFGHJK0"))
    spoilt = acknowledgement.message_id.replace("-", "-z", 1).encode()
    assert made_up != real
    assert no_key != talk.key
    by_address = [letter(EVE, address, unique("probe")) for address in (real, made_up)]
    by_thread = [
        reply(EVE, Mail("", (), data), "hello?", address=DESK, quote=False, subject=unique("probe"))
        for data in (
            acknowledgement.data,
            acknowledgement.data.replace(acknowledgement.message_id.encode(), spoilt),
        )
    ]
    by_subject = [letter(EVE, DESK, unique(f"[#{key}] probe")) for key in (talk.key, no_key)]
    for probes in (by_address, by_thread, by_subject):
        seen = set()
        for probe in probes:
            own = world.deliver(probe)["decision"]["ticket"]
            assert own != talk.key
            answer = world.await_mail(EVE, own)
            assert talk.key not in answer.text
            assert "secret words" not in answer.data.decode()
            words = re.sub(r"\[ref:\S+\]", "[ref]", answer.text.replace(own, "KEY"))
            seen.add((tuple(answer.message.keys()), words, answer.header("Subject").replace(own, "KEY")))
        assert len(seen) == 1, seen
    world.sent()
    assert talk.ticket == before
    assert talk.count(ANNE) == count


def test_promise_7_the_door_says_the_same_about_any_token(world: Mortal) -> None:
    """Whoever could tell a live token from a dead one at RCPT would not need to send a mail."""
    talk = world.talk()
    real = bare(talk.to(ANNE).header("Reply-To"))
    local, _, domain = real.partition("@")
    said = set()
    for address in (real, f"{local[:-8]}aaaaaaaa@{domain}", f"support+x@{domain}"):
        with smtplib.SMTP("127.0.0.1", world.port, timeout=30) as client:
            client.ehlo("client.example")
            client.mail(bare(EVE))
            said.add(client.rcpt(address))
    assert {code for code, _ in said} == {250}
    assert len(said) == 1
