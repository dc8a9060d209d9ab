"""The statements of every mail find their rows by an index: what one costs must not grow with how many there are.

Each function of the hot path is called; the statements it really sends are then explained by the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from mailbridge.core.mail import Address, Attachment, Envelope
from mailbridge.core.ticket import Change, Priority, Status, TicketState
from mailbridge.store import inbound, outbox, people, tickets
from mailbridge.store.engine import Database
from mailbridge.store.inbound import Finish, NewMail
from mailbridge.store.outbox import CapLimits, NewOutgoing, Outcome, Queued
from mailbridge.store.tickets import NewEntry, NewTicket

NOW = datetime(2026, 6, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
LEASE = timedelta(minutes=2)
CAPS = CapLimits(5, 10, 10, 60, 1000)
ANNE = Address("Anne", "anne@customer.example")
CRIS = Address("Cris", "cris@customer.example")
STATE = TicketState(Status.OPEN, Priority.S3)
SMALL = {"agent", "organisation", "organisation_domain", "daemon_state", "sqlite_master"}
"""Tables that hold a handful of rows, which may be read whole."""

Statement = tuple[str, Any]


def mail(number: int) -> NewMail:
    """A mail as it is accepted."""
    return NewMail(
        "support@desk.example",
        Envelope(ANNE.address, ("support@desk.example",)),
        "smtp:192.0.2.1",
        number.to_bytes(32, "big"),
        NOW,
        b"Subject: x\r\n\r\nx\r\n",
    )


def outgoing(number: int) -> NewOutgoing:
    """A mail of ours."""
    return NewOutgoing(
        f"ack:{number}",
        "acknowledgement",
        True,
        True,
        "support@desk.example",
        f"ref{number}",
        "support@desk.example",
        f"<{number}@desk.example>",
        "We have it",
        (ANNE.address, CRIS.address),
        b"Subject: We have it\r\n\r\n",
    )


class Listening:
    """Notes the statements of a connection that read or change rows."""

    def __init__(self, conn: Connection) -> None:
        self.heard: list[Statement] = []
        self._on = True
        event.listen(conn, "before_cursor_execute", self._hear)

    def _hear(self, _conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, many: bool) -> None:
        if self._on and not statement.startswith(("INSERT", "SAVEPOINT", "RELEASE")):
            self.heard.append((statement, params[0] if many else params))

    def explain(self, conn: Connection) -> dict[str, list[str]]:
        """For each statement that reads a large table without an index: what the database says it does."""
        self._on = False
        assert self.heard
        walks = _sqlite_walks if conn.dialect.name == "sqlite" else _postgres_walks
        if conn.dialect.name == "postgresql":
            conn.execute(
                text("SET LOCAL enable_seqscan = off")
            )  # the tables are small; the plans are not to be
        found = {statement: walks(conn, statement, params) for statement, params in self.heard}
        return {statement: plan for statement, plan in found.items() if plan}


def _sqlite_walks(conn: Connection, statement: str, params: Any) -> list[str]:
    plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", params)]
    # SCAN goes through all of a table or of an index, SEARCH to a place in one; anon_1 is a bounded sub-query.
    scanned = [(step, step.split()[1]) for step in plan if step.startswith("SCAN ")]
    return [step for step, name in scanned if name not in SMALL and not name.startswith(("anon_", "("))]


def _postgres_walks(conn: Connection, statement: str, params: Any) -> list[str]:
    answer = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", params).scalar_one()
    found: list[str] = []

    def visit(node: dict[str, Any]) -> None:
        kind = node["Node Type"]
        walks = kind == "Seq Scan" or ("Index" in kind and "Index Cond" not in node)
        if walks and node.get("Relation Name", "") not in SMALL and kind != "BitmapAnd":
            found.append(json.dumps({k: v for k, v in node.items() if k != "Plans"}))
        for below in node.get("Plans", ()):
            visit(below)

    visit((json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"])
    return found


def accept(conn: Connection) -> None:
    """A new mail, one that came before, and one that came long before."""
    inbound.accept(conn, [mail(1), mail(2)], timedelta(days=30))
    inbound.accept(conn, [mail(1), mail(3)], timedelta(days=30))
    inbound.accept(conn, [mail(2)], timedelta(0))


def claim(conn: Connection) -> None:
    """Mail to work on, and what the pressure gauge and a start ask of the same table."""
    inbound.accept(conn, [mail(4)], timedelta(days=30))
    claimed = inbound.claim(conn, now=NOW, lease=LEASE, limit=50, max_bytes=1 << 20)
    assert claimed
    inbound.unclaim(conn, [claimed[0].id])
    inbound.unprocessed(conn)
    inbound.release_leases(conn)
    inbound.ids_by_message_id(conn, "<1@customer.example>")


def write(conn: Connection) -> None:
    """What the commit of a decision does: people, ticket, entries, mails under their caps, the record."""
    inbound.accept(conn, [mail(5), mail(6)], timedelta(days=30))
    claimed = inbound.claim(conn, now=NOW, lease=LEASE, limit=50, max_bytes=1 << 20)
    known = people.ensure_contacts(conn, [Address("", ANNE.address)], NOW)
    known |= people.ensure_contacts(conn, [ANNE, CRIS], NOW)
    new = NewTicket("7k3m9qx2vd", "support@desk.example", "x", STATE, known[ANNE.key], (), NOW)
    (number,) = tickets.insert_tickets(conn, [new])
    file = Attachment("a.txt", "text/plain", 1, False, "", "0" * 64, b"x")
    entry = NewEntry("mail", "smtp", NOW, message_id="<1@customer.example>", attachments=(file,))
    (entry_id, _) = tickets.insert_entries(conn, [(number, entry), (number, entry)])
    tickets.add_collaborators(conn, number, [known[CRIS.key]], NOW)
    tickets.insert_events(conn, number, [Change("status", "open", "pending", "")], channel="smtp", now=NOW)
    tickets.update_ticket(conn, tickets.by_id(conn, number), STATE, NOW)
    outbox.add_many(conn, [Queued(outgoing(n), number, entry_id, NOW) for n in (1, 2)], CAPS)
    outbox.bounced(conn, 1, ANNE.address, "no such user", NOW)
    inbound.finish(
        conn, [(Finish(m.id, m.attempt, "done", "<1@x>", number, record=RECORD), NOW) for m in claimed]
    )


RECORD = dict.fromkeys(
    ("rule", "header", "value", "kind", "kind_header", "kind_value", "trust", "rejected", "action", "reason"),
    "",
) | {"milliseconds": 1}


def facts(conn: Connection) -> None:
    """What a decision needs to know."""
    write(conn)
    people.persons(conn, [ANNE.key])
    people.organisations_by_domain(conn, ["customer.example"])
    people.agents(conn)
    by_message_id = tickets.keys_by_message_id(conn, ["<1@customer.example>", "<2@desk.example>"])
    assert len(by_message_id) == 2
    assert tickets.load(conn, set(by_message_id.values()))[1]
    assert outbox.sent_by_reference(conn, ["ref1", "ref2"])
    assert outbox.ours_among(conn, ["<1@desk.example>"])


def send(conn: Connection) -> None:
    """A mail's way out: due, claimed, recorded, put back, and when the next one is due."""
    write(conn)
    claimed = outbox.claim(conn, now=LATER, lease=LEASE, limit=32)
    assert len(claimed) == 2
    assert outbox.record(conn, claimed[0], [Outcome(ANNE.address, "retry", "later")], LATER, NOW)
    outbox.put_back(conn, claimed[1:], "away", LATER, NOW)
    assert outbox.next_due(conn) == LATER
    outbox.release_leases(conn, NOW)


@pytest.mark.parametrize("hot", [accept, claim, write, facts, send], ids=lambda hot: str(hot.__name__))
def test_no_statement_of_the_hot_path_walks_through_a_table(
    database: Database, hot: Callable[[Connection], None]
) -> None:
    """Peers grew 1.6 to 3.6 times slower with 100,000 tickets for want of one index; ours must stay flat."""

    def unit(conn: Connection) -> dict[str, list[str]]:
        listening = Listening(conn)
        hot(conn)
        return listening.explain(conn)

    assert database.write(unit) == {}


def test_a_walk_through_a_table_would_be_noticed(database: Database) -> None:
    """Or the test above could not fail."""

    def unit(conn: Connection) -> dict[str, list[str]]:
        listening = Listening(conn)
        conn.execute(text("SELECT id FROM entry WHERE subject = 'x'")).all()
        conn.execute(text("SELECT id FROM entry WHERE ticket_id = 1")).all()
        return listening.explain(conn)

    assert list(database.write(unit)) == ["SELECT id FROM entry WHERE subject = 'x'"]
