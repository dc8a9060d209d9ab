"""Takes mail in: one durable commit of bytes, envelope and source, whatever the door.

The SMTP listener and `mailbridge inject` both enter here. Nothing is parsed: a bug of our parser can never
refuse a customer's mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from mailbridge.core.canonical import dedupe_key
from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from mailbridge.core.ports import Clock
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.store import inbound
from mailbridge.store.engine import Connection, Database

_LARGE = 256 << 10  # bytes; hashing more than this would hold up the event loop


class UnknownMailboxError(Exception):
    """No recipient of the envelope is an address of ours."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One mailbox's copy of an accepted mail."""

    id: int
    mailbox: str
    duplicate: bool


class Reception:
    """The door behind all doors. Safe to use from any thread."""

    def __init__(
        self,
        database: Database,
        mailboxes: Mailboxes,
        clock: Clock,
        *,
        duplicate_window: timedelta,
        busy: Callable[[], str | None] = lambda: None,
        on_accepted: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._database = database
        self._mailboxes = mailboxes
        self._clock = clock
        self._window = duplicate_window
        self._busy = busy
        self._on_accepted = on_accepted

    def mailbox_for(self, address: str) -> str | None:
        """Our mailbox for a recipient address, matched exactly after splitting the plus-tag, or None."""
        return self._mailboxes.mailbox_for(address)

    def busy(self) -> str | None:
        """Why new mail should be put off now, or None."""
        return self._busy()

    def take(self, envelope: Envelope, raw: bytes, source: str) -> Future[list[Taken]]:
        """Store a mail for each mailbox of ours among its recipients; durable when the future resolves.

        Each mailbox has its own row and its own duplicate check. Raises UnknownMailboxError at once;
        StoreUnavailable through the future.
        """
        by_mailbox: dict[str, list[str]] = {}
        for address in envelope.rcpt_to:
            mailbox = self._mailboxes.mailbox_for(address)
            if mailbox is not None:
                by_mailbox.setdefault(mailbox, []).append(address)
        if not by_mailbox:
            raise UnknownMailboxError(", ".join(envelope.rcpt_to))
        keys = {box: dedupe_key(box, envelope.mail_from, raw) for box in by_mailbox}
        now = self._clock.now()

        def store(conn: Connection) -> list[Taken]:
            taken = []
            for mailbox, addresses in by_mailbox.items():
                number, duplicate = inbound.accept(
                    conn,
                    mailbox=mailbox,
                    envelope=Envelope(envelope.mail_from, tuple(addresses)),
                    raw=raw,
                    source=source,
                    dedupe_key=keys[mailbox],
                    now=now,
                    window=self._window,
                )
                taken.append(Taken(number, mailbox, duplicate))
            return taken

        return self._database.submit(store, size_hint=len(raw) * len(by_mailbox))

    async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
        """`take`, awaited, for the SMTP listener. Raises as it does."""
        if len(raw) > _LARGE:
            future = await asyncio.to_thread(self.take, envelope, raw, source)
        else:
            future = self.take(envelope, raw, source)
        taken = await asyncio.wrap_future(future)
        fresh = sum(not item.duplicate for item in taken)
        if fresh:
            self._on_accepted(fresh)
        return Accepted("-".join(str(item.id) for item in taken), duplicate=not fresh)
