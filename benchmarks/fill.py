"""Fills a desk's SQLite file with a past: tickets with their people, mails, decisions and acknowledgements.

Straight through the driver, one executemany a table: a million tickets take a minute and a half.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import mailgen
from mailbridge.core.tokens import KeyRing, Token, TokenKind, new_ticket_key

_HOUR = 3_600_000_000
_CHUNK = 20_000
_STATUS = (("open", ""), ("pending", ""), ("solved", "agreed"), ("solved", "agreed"))


def key_of(number: int) -> str:
    """The public key of the ticket of that number."""
    return new_ticket_key((number * 0x9E3779B97F4A7C15 % 2**56).to_bytes(7, "big"))


def stored_id(number: int) -> str:
    """The Message-ID of the mail that opened it."""
    return mailgen.message_id(number, "old")


def reply_to(number: int, size: int, ring: KeyRing, series: str) -> tuple[str, str, bytes]:
    """The requester's reply to the ticket of that number: sender, signed recipient, bytes."""
    local, _, domain = mailgen.DESK.partition("@")
    back = f"{local}+{ring.sign(Token(TokenKind.TICKET, key_of(number)))}@{domain}"
    return mailgen.sender(number), back, mailgen.reply(number, size, back, stored_id(number), series)


def fill(path: Path, count: int) -> None:
    """Write `count` tickets, the last one two hours ago, one every ten seconds. The schema is there already."""
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA synchronous = OFF")
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("PRAGMA cache_size = -200000")
    last = int(time.time() * 1_000_000) - 2 * _HOUR
    for first in range(1, count + 1, _CHUNK):
        numbers = range(first, min(first + _CHUNK, count + 1))
        conn.execute("BEGIN")
        for statement, rows in _tables(numbers, last - count * 10_000_000):
            conn.executemany(statement, rows)
        conn.execute("COMMIT")
    conn.execute("ANALYZE")
    conn.close()


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * len(columns.split(",")))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


def _tables(numbers: range, begin: int) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    """Statements with their rows. Ticket, entry, inbound and outbox of one number have that number as id."""

    def at(number: int) -> int:
        return begin + number * 10_000_000

    def contact(number: int) -> int:
        return number // mailgen.SENDERS + 1

    words = "The printer on the second floor shows a blank screen and then nothing. " * 6
    yield (
        _insert("contact", "id, key, address, name, role, created_at").replace("INSERT", "INSERT OR IGNORE"),
        (
            (contact(n), mailgen.sender(n), mailgen.sender(n), f"Person {contact(n)}", "contact", at(n))
            for n in numbers
        ),
    )
    yield (
        _insert(
            "ticket",
            "id, key, mailbox, subject, requester_id, priority, status, solved_reason, solved_at,"
            " pending_since, created_at, updated_at, version",
        ),
        (
            (
                n,
                key_of(n),
                mailgen.DESK,
                f"Blank screen {n}",
                contact(n),
                "S3",
                *_STATUS[n % 4],
                at(n) if n % 4 > 1 else None,
                at(n) if n % 4 == 1 else None,
                at(n),
                at(n),
                1,
            )
            for n in numbers
        ),
    )
    yield (
        _insert("participant", "ticket_id, contact_id, role, added_at"),
        ((n, contact(n), "requester", at(n)) for n in numbers),
    )
    yield (
        _insert(
            "inbound",
            "id, mailbox, envelope_from, rcpt_to, source, received_at, size, state, attempts, message_id,"
            " ticket_id, processed_at",
        ),
        (
            (
                n,
                mailgen.DESK,
                mailgen.sender(n),
                mailgen.DESK,
                "smtp:192.0.2.1",
                at(n),
                4000,
                "done",
                1,
                stored_id(n),
                n,
                at(n),
            )
            for n in numbers
        ),
    )
    yield _insert("inbound_raw", "inbound_id, data"), ((n, b"Subject: old\r\n\r\n") for n in numbers)
    yield (
        _insert("inbound_seen", "dedupe_key, inbound_id, seen_at"),
        (((n * 0x9E3779B97F4A7C15 % 2**256).to_bytes(32, "big"), n, at(n)) for n in numbers),
    )
    yield (
        _insert(
            "decision",
            "inbound_id, action, reason, rule, header, value, kind, kind_header, kind_value, trust, rejected,"
            " ticket_id, decided_at, milliseconds",
        ),
        (
            (n, "open", "new-request", "none", "", "", "human", "", "", "unverified", "[]", n, at(n), 1)
            for n in numbers
        ),
    )
    yield (
        _insert(
            "entry",
            "id, ticket_id, kind, channel, contact_id, at, subject, text, reply, message_id, inbound_id, data",
        ),
        (
            (
                n,
                n,
                "mail",
                "smtp",
                contact(n),
                at(n),
                f"Blank screen {n}",
                words,
                words,
                stored_id(n),
                n,
                "{}",
            )
            for n in numbers
        ),
    )
    yield (
        _insert(
            "outbox",
            "id, cause_key, kind, automatic, mailbox, ticket_id, entry_id, reference, envelope_from,"
            " message_id, subject, state, attempts, created_at, next_attempt_at",
        ),
        (
            (
                n,
                f"ack:old:{n}",
                "acknowledgement",
                1,
                mailgen.DESK,
                n,
                n,
                f"old{n}",
                mailgen.DESK,
                f"<old.{n}@desk.example>",
                "We have it",
                "sent",
                1,
                at(n),
                at(n),
            )
            for n in numbers
        ),
    )
    yield _insert("outbox_data", "outbox_id, data"), ((n, b"Subject: old\r\n\r\n") for n in numbers)
    yield (
        _insert(
            "outbox_recipient",
            "outbox_id, address, folded, domain, state, attempts, capped, created_at, updated_at",
        ),
        (
            (
                n,
                mailgen.sender(n),
                mailgen.sender(n),
                mailgen.sender(n).partition("@")[2],
                "sent",
                1,
                1,
                at(n),
                at(n),
            )
            for n in numbers
        ),
    )
