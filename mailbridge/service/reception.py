"""Takes mail in: one durable commit of bytes, envelope and source, whatever the door.

The SMTP listener and `mailbridge inject` both enter here. Nothing is parsed: a bug of our parser can never
refuse a customer's mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from mailbridge.core.canonical import dedupe_key
from mailbridge.core.mail import Envelope
from mailbridge.core.outcomes import Accepted
from mailbridge.core.ports import Clock
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.store import inbound
from mailbridge.store.engine import Connection, Database, StoreUnavailable
from mailbridge.store.inbound import NewMail

_LARGE = 256 << 10  # bytes; hashing more than this would hold up the event loop
_TOGETHER = 100  # mails in one unit of work; with their size bounded, so is what it holds


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
        self._lock = threading.Lock()
        self._open: _Group | None = None

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
        mails = self._mails(envelope, raw, source)
        return self._database.submit(partial(self._store, mails), size_hint=len(raw) * len(mails))

    async def accept(self, envelope: Envelope, raw: bytes, source: str) -> Accepted:
        """`take`, awaited, for the SMTP listener: small mails that come together are stored together.

        Raises as `take` does. Cancelled, it may still have stored the mail: who sends it again makes a
        duplicate, which is known as one.
        """
        if len(raw) > _LARGE:
            future = await asyncio.to_thread(self.take, envelope, raw, source)
            taken = await asyncio.wrap_future(future)
        else:
            try:
                taken = await self._join(self._mails(envelope, raw, source))
            except StoreUnavailable:
                raise
            except Exception:  # one of those that came together is at fault: each for itself
                taken = await asyncio.wrap_future(self.take(envelope, raw, source))
        fresh = sum(not item.duplicate for item in taken)
        if fresh:
            self._on_accepted(fresh)
        return Accepted("-".join(str(item.id) for item in taken), duplicate=not fresh)

    def _mails(self, envelope: Envelope, raw: bytes, source: str) -> list[NewMail]:
        """One for each mailbox of ours. Raises UnknownMailboxError."""
        by_mailbox: dict[str, list[str]] = {}
        for address in envelope.rcpt_to:
            mailbox = self._mailboxes.mailbox_for(address)
            if mailbox is not None:
                by_mailbox.setdefault(mailbox, []).append(address)
        if not by_mailbox:
            raise UnknownMailboxError(", ".join(envelope.rcpt_to))
        now, sender = self._clock.now(), envelope.mail_from
        return [
            NewMail(box, Envelope(sender, tuple(to)), source, dedupe_key(box, sender, raw), now, raw)
            for box, to in by_mailbox.items()
        ]

    def _store(self, mails: Sequence[NewMail], conn: Connection) -> list[Taken]:
        answers = inbound.accept(conn, mails, self._window)
        return [
            Taken(number, mail.mailbox, duplicate)
            for mail, (number, duplicate) in zip(mails, answers, strict=True)
        ]

    def _join(self, mails: list[NewMail]) -> asyncio.Future[list[Taken]]:
        """Have mails stored with those that wait for the writer already, or be the first to wait."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Taken]] = loop.create_future()
        with self._lock:
            group = self._open
            if group is not None and group.loop is loop and len(group.parties) < _TOGETHER:
                group.parties.append((mails, done))
                return done
            group = self._open = _Group(loop, [(mails, done)])
        stored = self._database.submit(partial(self._store_group, group), size_hint=_LARGE)
        stored.add_done_callback(partial(self._group_ended, group))
        return done

    def _store_group(self, group: _Group, conn: Connection) -> list[Taken]:
        self._shut(group)
        return self._store([mail for party, _ in group.parties for mail in party], conn)

    def _shut(self, group: _Group) -> None:
        """Who comes from now on is stored with the next ones."""
        with self._lock:
            if self._open is group:
                self._open = None

    def _group_ended(self, group: _Group, stored: Future[list[Taken]]) -> None:
        """Tell everyone, in their loop: they are stored, or why not."""
        self._shut(group)  # if the writer never began it
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            group.loop.call_soon_threadsafe(group.tell, stored)


@dataclass(slots=True, eq=False)
class _Group:
    """Small mails that the writer takes as one unit of work, and who waits for each."""

    loop: asyncio.AbstractEventLoop
    parties: list[tuple[list[NewMail], asyncio.Future[list[Taken]]]]

    def tell(self, stored: Future[list[Taken]]) -> None:
        """Answer each with its part of what was stored, or with the common failure."""
        error = stored.exception()
        taken = iter(() if error is not None else stored.result())
        for mails, done in self.parties:
            mine = list(islice(taken, len(mails)))
            if done.done():  # cancelled
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(mine)
