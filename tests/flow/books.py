"""Comparing the books: what the load was promised, what the database holds, and what came out.

    audit(url, load.ledger, sink.mails, repeats=kills * 4)

Every mail with a 250 is one row, decided once, one entry on the ticket of its conversation; every cause has
made one mail, sent with the same bytes each time, and no more often than the kills explain.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from typing import Any

from sqlalchemy import func, select, update

from mailbridge.store.engine import Connection, Database
from mailbridge.store.tables import decision, entry, inbound, inbound_raw, outbox, outbox_data, ticket
from tests.edge.smtp_sink import Received
from tests.flow.load import Load, Offered
from tests.postgres import PASSWORD

UNSENT = ("queued", "sending", "retry", "unknown", "held", "failed")


@dataclass(frozen=True, slots=True)
class Books:
    """What an audit has counted."""

    mails: int
    tickets: int
    duplicates: int
    """Times that a mail came again and was known."""
    sent: int
    repeats: int
    """Mails of ours that came out once more."""


class Ledgers:
    """The database of a daemon, read from outside. A context manager."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url, password=PASSWORD, readers=1)

    def __enter__(self) -> Ledgers:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def unfinished(self) -> dict[str, int]:
        """What still waits: mails in, and mails out by state."""

        def read(conn: Connection) -> dict[str, int]:
            waiting = conn.execute(
                select(func.count()).select_from(inbound).where(inbound.c.state == "received")
            ).scalar_one()
            states = conn.execute(
                select(outbox.c.state, func.count())
                .where(outbox.c.state.in_(UNSENT))
                .group_by(outbox.c.state)
            )
            found = {str(state): int(count) for state, count in states}
            return found | ({"received": int(waiting)} if waiting else {})

        return self.database.read(read)

    def lapse(self) -> None:
        """Let the time pass that a dead daemon's claims last. Only while none is alive."""
        now = datetime.now(UTC)

        def write(conn: Connection) -> None:
            conn.execute(update(inbound).where(inbound.c.lease_until.is_not(None)).values(lease_until=now))
            conn.execute(update(outbox).where(outbox.c.state == "sending").values(lease_until=now))

        self.database.write(write)

    def rows(self, query: Any) -> Sequence[Any]:
        """The rows of a query."""
        return self.database.read(lambda conn: conn.execute(query).all())

    def raw_of(self, message_id: str) -> list[bytes]:
        """The bytes of each stored mail that holds this Message-ID; also before anybody has read it."""
        needle = message_id.encode()
        return [row.data for row in self.rows(select(inbound_raw.c.data)) if needle in row.data]

    def audit(
        self, offered: Mapping[str, Offered], came: Sequence[Received], *, repeats: int, lost_answers: int
    ) -> Books:
        """Compare everything, when nothing is under way any more. Fails on the first difference.

        `repeats`: how often at most a mail of ours may have gone out again; `lost_answers`: how often at most
        a mail of theirs may have come again.
        """
        rows = self._incoming(offered)
        self._entries(offered, rows)
        sent = self._outgoing(offered, rows, came, repeats)
        duplicates = sum(row.duplicates for row in rows.values())
        assert duplicates <= lost_answers, f"{duplicates} duplicates, {lost_answers} lost answers"
        tickets = len(self.rows(select(ticket.c.id)))
        letters = sum(1 for mail in offered.values() if mail.kind == "letter")
        assert tickets == letters, f"{letters} letters made {tickets} tickets"
        return Books(len(rows), tickets, duplicates, len(sent), len(came) - len(sent))

    def _incoming(self, offered: Mapping[str, Offered]) -> dict[str, Any]:
        """Each mail with a 250 is one row, and nothing else is."""
        rows = self.rows(select(inbound).order_by(inbound.c.id))
        apart = [(r.message_id, r.state, r.reason, r.detail) for r in rows if r.state != "done"]
        assert apart == [], f"not done: {apart[:5]}"
        times = Counter(row.message_id for row in rows)
        lost = [m.message_id for m in offered.values() if m.accepted and not times[m.message_id]]
        assert lost == [], f"{len(lost)} mails were lost: {lost[:5]}"
        doubled = [message_id for message_id, count in times.items() if count > 1]
        assert doubled == [], f"{len(doubled)} mails were doubled: {doubled[:5]}"
        strange = set(times) - set(offered)
        assert strange == set(), f"nobody wrote these: {sorted(strange)[:5]}"
        records = self.rows(select(decision.c.inbound_id))
        assert sorted(r.inbound_id for r in records) == [row.id for row in rows], "one decision a mail"
        return {row.message_id: row for row in rows}

    def _entries(self, offered: Mapping[str, Offered], rows: Mapping[str, Any]) -> None:
        """Each mail is one entry, on the ticket that its conversation has."""
        by_mail: dict[int, list[int]] = defaultdict(list)
        for row in self.rows(
            select(entry.c.inbound_id, entry.c.ticket_id).where(entry.c.inbound_id.is_not(None))
        ):
            by_mail[row.inbound_id].append(row.ticket_id)
        for message_id, row in rows.items():
            home = rows[offered[message_id].thread].ticket_id
            assert by_mail[row.id] == [home], f"{message_id}: on {by_mail[row.id]}, belongs to {home}"

    def _outgoing(
        self,
        offered: Mapping[str, Offered],
        rows: Mapping[str, Any],
        came: Sequence[Received],
        repeats: int,
    ) -> dict[str, bytes]:
        """Each cause has made one mail; it came out, with the same bytes each time."""
        made = self.rows(
            select(outbox.c.cause_key, outbox.c.message_id, outbox.c.state, outbox_data.c.data).select_from(
                outbox.join(outbox_data)
            )
        )
        unsent = [(m.cause_key, m.state) for m in made if m.state != "sent"]
        assert unsent == [], f"not sent: {unsent[:5]}"
        wanted = set()
        for message_id, row in rows.items():
            cause = f"inbound:{row.id}"
            match offered[message_id].kind:
                case "letter":
                    wanted |= {f"ack:{cause}", f"notify:{cause}:1"}
                case "reply":
                    wanted |= {f"notify:{cause}:1"}
                case "answer":
                    wanted |= {f"answer:{cause}"}
        causes = {m.cause_key for m in made}
        assert causes == wanted, (
            f"missing {sorted(wanted - causes)[:5]}, not caused {sorted(causes - wanted)[:5]}"
        )
        final = {m.message_id: bytes(m.data) for m in made}
        times: Counter[str] = Counter()
        for mail in came:
            message_id = _message_id(mail.data)
            times[message_id] += 1
            assert message_id in final, f"{message_id} went out and is not in the outbox"
            assert mail.data == final[message_id], f"{message_id} went out with other bytes"
        never = [message_id for message_id in final if not times[message_id]]
        assert never == [], f"marked as sent and never came: {never[:5]}"
        again = sum(times.values()) - len(times)
        assert again <= repeats, f"{again} mails went out again, {repeats} are explained by the faults"
        return final


def idle(books: Ledgers, load: Load, patience: float) -> None:
    """Return once nothing waits anywhere, and the customers have nothing to add."""
    deadline = time.monotonic() + patience
    quiet = 0
    left: dict[str, int] = {}
    while quiet < 5:  # looks in a row: a mail may be on its way from the sink to a customer's reply
        assert time.monotonic() < deadline, f"still waiting after {patience:g} s: {left}"
        left = books.unfinished()
        quiet = quiet + 1 if not left and not load.waiting else 0
        time.sleep(0.05)


def _message_id(data: bytes) -> str:
    head = BytesHeaderParser().parsebytes(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    return str(head["Message-ID"]).strip()
