"""A desk for tests of the services: real database, real key file, real templates; clock and ids in hand.

office.accept(letter(ANNE, "The printer burns"))      # at the door
office.work()                                         # claimed, read, decided, committed
office.sent("acknowledgement")                        # what waits in the outbox, as a mail
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from mailbridge.config_load import load
from mailbridge.core.mail import Address, Envelope
from mailbridge.core.parse import parse_mail
from mailbridge.parts import Parts
from mailbridge.service.commit import Receipt
from mailbridge.service.intake import Intake
from mailbridge.service.reception import Taken
from mailbridge.store import inbound, people
from mailbridge.store.inbound import StoredMail
from mailbridge.store.rows import AnyRow
from mailbridge.store.tables import entry, metadata, outbox, outbox_data, ticket
from tests.fakes import FakeClock, FakeIds
from tests.postgres import PASSWORD

DESK, SALES = "support@desk.example", "sales@desk.example"
ANNE, BART = "anne@customer.example", "bart@desk.example"
CRIS, DORA = "cris@customer.example", "dora@other.example"
LEASE = timedelta(minutes=2)


def letter(
    sender: str = ANNE,
    subject: str = "The printer burns",
    *,
    words: str = "Smoke everywhere.",
    name: str = "Anne",
    to: str = DESK,
    message_id: str = "<m1@customer.example>",
    fields: str = "",
) -> bytes:
    """A plain mail. `fields`: further header lines, each with its CRLF."""
    return (
        f"From: {name} <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n"
        f"Date: Tue, 02 Jun 2026 09:00:00 +0000\r\n{fields}\r\n{words}\r\n"
    ).encode()


@dataclass(slots=True)
class Office:
    """The services on one database."""

    parts: Parts
    clock: FakeClock

    @classmethod
    def open(cls, url: str, folder: Path, clock: FakeClock, ids: FakeIds, more: str = "") -> Office:
        """An office on the database of that (migrated) URL. `more`: further lines of the settings."""
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o600)
        path = folder / "mailbridge.toml"
        path.write_text(
            f'[server]\ndata_dir = "data"\n[store]\nurl = "{url}"\npassword_file = "password"\n'
            f'[[mailbox]]\naddress = "{DESK}"\nname = "Support"\n'
            f'[[mailbox]]\naddress = "{SALES}"\nname = "Sales"\naliases = ["shop@desk.example"]\n{more}'
        )
        return cls(Parts(load(path), clock=clock, ids=ids), clock)

    def agent(self, address: str = BART, name: str = "Bart") -> int:
        """An agent who is told of everything. Their number."""
        now = self.clock.now()
        return self.parts.database.write(
            lambda conn: people.save_agent(conn, Address(name, address), (), "cli", now)
        )

    # ------------------------------------------------------------ mail in

    def accept(self, raw: bytes, *rcpt: str, mail_from: str | None = ANNE) -> list[Taken]:
        """A mail at the door."""
        envelope = Envelope(mail_from, rcpt or (DESK,))
        return self.parts.reception().take(envelope, raw, "smtp:192.0.2.1").result(10)

    def claim(self) -> list[StoredMail]:
        """All mails that wait."""
        now = self.clock.now()
        return self.parts.database.write(
            lambda conn: inbound.claim(conn, now=now, lease=LEASE, limit=50, max_bytes=32 << 20)
        )

    def work(self, intake: Intake | None = None) -> list[Receipt]:
        """Work off all mails that wait, as one batch."""
        claimed = self.claim()
        read = [(mail, parse_mail(mail.raw, null_sender=mail.envelope.mail_from is None)) for mail in claimed]
        return list((intake or self.parts.intake).process(read))

    def receive(self, raw: bytes, *rcpt: str, mail_from: str | None = ANNE) -> Receipt:
        """Accept one mail and work it off."""
        self.accept(raw, *rcpt, mail_from=mail_from)
        (receipt,) = self.work()
        return receipt

    # ------------------------------------------------------------ what became of it

    def rows(self, table: str) -> Sequence[AnyRow]:
        """Every row of a table, in order."""
        found = metadata.tables[table]
        query = select(found).order_by(*found.primary_key.columns)
        return self.parts.database.read(lambda conn: conn.execute(query).all())

    def ticket(self, number: int = 1) -> AnyRow:
        """One ticket."""
        query = select(ticket).where(ticket.c.id == number)
        return self.parts.database.read(lambda conn: conn.execute(query).one())

    def entries(self, number: int = 1, kind: str = "mail") -> list[str]:
        """The words of a ticket's entries of one kind."""
        query = select(entry.c.reply).where(entry.c.ticket_id == number, entry.c.kind == kind)
        query = query.order_by(entry.c.id)
        return self.parts.database.read(lambda conn: list(conn.execute(query).scalars()))

    def decision(self, inbound_id: int) -> AnyRow:
        """The one decision about a mail."""
        found = self.parts.database.read(lambda conn: inbound.decision_of(conn, inbound_id))
        assert found is not None
        return found

    def outgoing(self, kind: str) -> list[tuple[AnyRow, EmailMessage]]:
        """The mails of one kind in the outbox, with their rows."""
        query = (
            select(outbox, outbox_data.c.data)
            .select_from(outbox.join(outbox_data))
            .where(outbox.c.kind == kind)
            .order_by(outbox.c.id)
        )
        rows = self.parts.database.read(lambda conn: conn.execute(query).all())
        return [(row, read(row.data)) for row in rows]

    def sent(self, kind: str) -> EmailMessage:
        """The last mail of that kind."""
        return self.outgoing(kind)[-1][1]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is in the database."""
        return {name: [tuple(row) for row in self.rows(name)] for name in sorted(metadata.tables)}

    def refuse(self, table: str) -> None:
        """Have the database refuse every new row of a table, whoever writes it."""
        self.parts.database.write(
            lambda conn: conn.execute(
                text(
                    f"CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
                    if conn.dialect.name == "sqlite"
                    else f"ALTER TABLE {table} ADD CONSTRAINT refuse CHECK (false) NOT VALID"
                )
            )
        )

    def allow(self, table: str) -> None:
        """Take `refuse` back."""
        self.parts.database.write(
            lambda conn: conn.execute(
                text(
                    "DROP TRIGGER refuse"
                    if conn.dialect.name == "sqlite"
                    else f"ALTER TABLE {table} DROP CONSTRAINT refuse"
                )
            )
        )


def read(data: bytes) -> EmailMessage:
    """A mail of ours, as its recipient's program reads it."""
    return message_from_bytes(data, policy=policy.default)


def text_of(mail: EmailMessage) -> str:
    """The words of its plain part."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def reply_address(mail: EmailMessage) -> str:
    """Where an answer to it goes."""
    return str(mail["Reply-To"].addresses[0].addr_spec)
