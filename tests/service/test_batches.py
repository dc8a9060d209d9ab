"""Mails that come or are worked on together share a commit, and nothing else: not each other's faults."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import DBAPIError

from mailbridge.config_load import load
from mailbridge.core import decision as d
from mailbridge.core.case import Case
from mailbridge.core.intake import decide
from mailbridge.core.mail import Envelope
from mailbridge.core.parse import parse_mail
from mailbridge.core.tokens import Token, TokenKind
from mailbridge.parts import Parts
from mailbridge.service.commit import Receipt
from mailbridge.service.intake import Intake
from mailbridge.store import inbound, outbox_control
from mailbridge.store.engine import StoreUnavailable
from mailbridge.store.inbound import StoredMail
from mailbridge.store.tables import attachment, blob, entry, ticket
from tests.fakes import FakeClock, FakeIds
from tests.postgres import PASSWORD

DESK = "support@desk.example"
ANNE = "anne@customer.example"
LEASE = timedelta(minutes=2)


def make_parts(folder: Path, url: str, clock: FakeClock, ids: FakeIds) -> Parts:
    """The services on that database."""
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    path = folder / "mailbridge.toml"
    path.write_text(
        f'[server]\ndata_dir = "data"\n[store]\nurl = "{url}"\npassword_file = "password"\nbusy_timeout = "1s"\n'
        f'[[mailbox]]\naddress = "{DESK}"\n'
    )
    return Parts(load(path), clock=clock, ids=ids)


@pytest.fixture
def parts(database_url: str, tmp_path: Path, clock: FakeClock, ids: FakeIds) -> Iterator[Parts]:
    """The services on a database of each kind."""
    made = make_parts(tmp_path, database_url, clock, ids)
    yield made
    made.close()


def letter(name: str, *, words: str = "It is broken.", fields: str = "", to: str = DESK) -> bytes:
    """A mail of Anne's whose Message-ID is <name@customer.example>."""
    return (
        f"From: Anne <{ANNE}>\r\nTo: {to}\r\nSubject: The printer\r\nDate: Tue, 2 Jun 2026 09:00:00 +0000\r\n"
        f"Message-ID: <{name}@customer.example>\r\n{fields}\r\n{words}\r\n"
    ).encode()


def take(parts: Parts, *mails: bytes, to: str = DESK) -> list[StoredMail]:
    """Accept mails and claim them."""
    reception = parts.reception()
    for raw in mails:
        reception.take(Envelope(ANNE, (to,)), raw, "smtp:192.0.2.1").result()
    now = parts.clock.now()
    return parts.database.write(
        lambda conn: inbound.claim(conn, now=now, lease=LEASE, limit=50, max_bytes=32 << 20)
    )


def process(parts: Parts, claimed: list[StoredMail], intake: Intake | None = None) -> list[Receipt]:
    """Read, decide and commit as one batch."""
    return list((intake or parts.intake).process([(mail, parse_mail(mail.raw)) for mail in claimed]))


def entries(conn: Connection) -> list[tuple[int, str]]:
    """Ticket and words of every mail kept, in the order written."""
    query = select(entry.c.ticket_id, entry.c.reply).where(entry.c.kind == "mail").order_by(entry.c.id)
    return [(row[0], row[1].strip()) for row in conn.execute(query)]


def a_ticket(parts: Parts) -> str:
    """Anne's ticket; the signed address that replies to it go to."""
    (receipt,) = process(parts, take(parts, letter("first")))
    local, _, domain = DESK.partition("@")
    return f"{local}+{parts.keys.load().sign(Token(TokenKind.TICKET, receipt.ticket_key))}@{domain}"


def refuse(parts: Parts, table: str, column: str, value: str) -> None:
    """Have the database refuse rows of a table that hold that value."""
    condition = f"NEW.{column} = '{value}'"

    def make(conn: Connection) -> None:
        if conn.dialect.name == "sqlite":
            body = f"SELECT RAISE(ABORT, 'refused') WHERE {condition}; END"
            conn.execute(text(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN {body}"))
            return
        conn.execute(
            text(
                f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN"
                " RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
            )
        )
        conn.execute(
            text(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
        )

    parts.database.write(make)


async def test_mails_that_come_at_once_are_all_stored_and_a_copy_among_them_is_one(parts: Parts) -> None:
    """They share a commit: each still gets its own id, and the duplicate check holds inside the batch."""
    reception = parts.reception()
    envelope = Envelope(ANNE, (DESK,))
    mails = [letter(f"m{n % 30}") for n in range(40)]
    answers = await asyncio.gather(*(reception.accept(envelope, raw, "smtp:192.0.2.1") for raw in mails))
    assert [answer.duplicate for answer in answers] == [False] * 30 + [True] * 10
    assert [answer.id for answer in answers[30:]] == [answer.id for answer in answers[:10]]
    assert len({answer.id for answer in answers}) == 30
    stored = parts.database.read(lambda conn: {str(row.id): row.duplicates for row in inbound.listed(conn)})
    assert [stored[answer.id] for answer in answers[:30]] == [1] * 10 + [0] * 20


async def test_a_mail_that_cannot_be_stored_fails_alone(parts: Parts) -> None:
    """Those that came at the same moment are none of its business, and get their 250."""
    refuse(parts, "inbound", "envelope_from", "evil@elsewhere.example")
    reception = parts.reception()
    senders = [ANNE, "evil@elsewhere.example", ANNE]
    answers = await asyncio.gather(
        *(
            reception.accept(Envelope(who, (DESK,)), letter(f"m{n}"), "smtp:192.0.2.1")
            for n, who in enumerate(senders)
        ),
        return_exceptions=True,
    )
    assert [isinstance(answer, DBAPIError) for answer in answers] == [False, True, False]
    assert parts.database.read(inbound.unprocessed) == 2


async def test_a_locked_database_is_told_to_all_who_wait_and_the_next_mail_is_stored(
    tmp_path: Path, clock: FakeClock, ids: FakeIds
) -> None:
    """The writer never began that group: it must not swallow those who come after."""
    parts = make_parts(tmp_path, f"sqlite:///{tmp_path / 'desk.db'}", clock, ids)
    parts.ready()
    reception = parts.reception()
    envelope = Envelope(ANNE, (DESK,))
    other = sqlite3.connect(tmp_path / "desk.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        failed = await asyncio.gather(
            *(reception.accept(envelope, letter(f"m{n}"), "smtp:192.0.2.1") for n in range(3)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in failed] == [StoreUnavailable] * 3
        other.execute("ROLLBACK")
        answer = await reception.accept(envelope, letter("m0"), "smtp:192.0.2.1")
        assert not answer.duplicate
    finally:
        other.close()
        parts.close()


def test_a_reply_in_the_same_batch_finds_the_ticket_that_the_batch_opens(parts: Parts) -> None:
    """Mail piles up while we are down: question and second thoughts are then read together."""
    second = letter("second", words="And loud.", fields="In-Reply-To: <first@customer.example>\r\n")
    receipts = process(parts, take(parts, letter("first"), second))
    assert [r.action for r in receipts] == ["open", "append"]
    assert receipts[0].ticket_key == receipts[1].ticket_key
    assert parts.database.read(entries) == [(1, "It is broken."), (1, "And loud.")]


def test_replies_to_one_ticket_in_a_batch_are_kept_in_their_order(parts: Parts) -> None:
    """Each is decided by what the one before has left."""
    address = a_ticket(parts)
    replies = [letter(f"r{n}", words=f"Number {n}.", to=address) for n in range(5)]
    receipts = process(parts, take(parts, *replies, to=address))
    assert [r.action for r in receipts] == ["append"] * 5
    assert [words for _, words in parts.database.read(entries)[1:]] == [f"Number {n}." for n in range(5)]


def test_a_ticket_that_changes_before_the_commit_is_decided_on_anew(parts: Parts) -> None:
    """The version guards the facts; the others of the batch are committed all the same."""
    address = a_ticket(parts)
    changes = iter((True, False))

    def meddle(case: Case) -> d.Decision:
        decision = decide(case)
        if isinstance(decision, d.Append) and next(changes):
            parts.database.write(
                lambda conn: conn.execute(update(ticket).values(version=ticket.c.version + 1, flag="seen"))
            )
        return decision

    intake = Intake(
        parts.database,
        parts.mailboxes,
        parts.keys,
        parts.mailer,
        parts.caps,
        clock=parts.clock,
        ids=parts.ids,
        decide=meddle,
    )
    reply = take(parts, letter("r1", words="Well?", to=address), to=address)
    receipts = process(parts, [*reply, *take(parts, letter("other"))], intake)
    assert sorted(r.action for r in receipts) == ["append", "open"]
    assert parts.database.read(lambda conn: conn.execute(select(ticket.c.flag)).scalars().first()) == "seen"
    assert next(changes, None) is None


def test_a_mail_that_cannot_be_written_is_kept_apart_and_its_batch_is_not(parts: Parts) -> None:
    """Our own fault with one mail is named, replayable, and nobody else's trouble."""
    refuse(parts, "entry", "message_id", "<evil@customer.example>")
    receipts = process(parts, take(parts, letter("one"), letter("evil"), letter("two")))
    assert [(r.action, r.reason) for r in receipts] == [
        ("open", "new-request"),
        ("quarantine", "internal"),
        ("open", "new-request"),
    ]
    assert parts.database.read(outbox_control.counts) == {"queued": 2}


def test_a_mail_claimed_by_another_in_the_meantime_is_left_to_it(parts: Parts, clock: FakeClock) -> None:
    """Its lease lapsed while we worked: what we decided is dropped, the rest of the batch stands."""
    claimed = take(parts, letter("one"), letter("two"))
    now = clock.advance(LEASE * 2)
    parts.database.write(lambda conn: inbound.claim(conn, now=now, lease=LEASE, limit=1, max_bytes=1))
    receipts = process(parts, claimed)
    assert [r.inbound_id for r in receipts] == [claimed[1].id]
    assert parts.database.read(inbound.unprocessed) == 1


def test_large_mails_and_files_come_out_as_they_went_in(parts: Parts) -> None:
    """They go to SQLite in pieces, so that one of 25 MB is not held in memory three times over."""
    data = bytes(range(256)) * 14_000  # not a whole number of pieces
    boundary = b"--b\r\n"
    mail = (
        letter("large", fields='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n')
        + boundary
        + b'Content-Type: application/x-log; name="a.log"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        + (data_lines := b"\r\n".join([b"x" * 500] * 8_000))
        + b"\r\n--b--\r\n"
    )
    claimed = take(parts, mail + data)
    assert claimed[0].raw.endswith(data)
    assert claimed[0].raw == mail + data
    (receipt,) = process(parts, claimed)
    assert receipt.action == "open"

    def stored(conn: Connection) -> tuple[bytes, int]:
        row = conn.execute(select(blob.c.data, blob.c.size)).one()
        return row[0], row[1]

    content, size = parts.database.read(stored)
    assert (len(content), content[:500]) == (size, data_lines[:500])
    assert size >= len(data_lines)
    assert (
        parts.database.read(lambda conn: conn.execute(select(func.count()).select_from(attachment)).scalar())
        == 1
    )
