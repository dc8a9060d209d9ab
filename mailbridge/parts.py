"""Puts the services together from the settings, for the daemon and for the command line alike.

`daemon.py` adds the edges. Nothing here runs by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

from mailbridge.clock import SystemClock, SystemIds
from mailbridge.config import Settings
from mailbridge.core.ports import Clock, Ids
from mailbridge.core.retry import RetryPolicy
from mailbridge.edge.templates import DEFAULT_DIR, load_templates
from mailbridge.service.desk import Desk
from mailbridge.service.intake import Intake
from mailbridge.service.keys import KeyFile
from mailbridge.service.mailboxes import Mailboxes
from mailbridge.service.mailer import Mailer
from mailbridge.service.reception import Reception
from mailbridge.service.sending import Sending
from mailbridge.store import migrate
from mailbridge.store.engine import Database
from mailbridge.store.outbox import CapLimits

# Longer than any submission may take: four recipients' worth of time-outs and the data phase.
_SEND_LEASE = timedelta(minutes=15)


class SchemaOldError(Exception):
    """The database has an older schema than this version needs."""


class Parts:
    """Everything behind the doors, built when first asked for. `close` lets go of the database."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.ids: Ids = ids or SystemIds()

    @cached_property
    def database(self) -> Database:
        """The database, connected on first use."""
        store = self.settings.store
        url = store.url or f"sqlite:///{self.settings.server.data_dir / 'mailbridge.db'}"
        password = self.settings.store_password
        return Database.open(
            url,
            password=password.get_secret_value() if password else None,
            readers=store.readers,
            busy_timeout=store.busy_timeout.total_seconds(),
        )

    @cached_property
    def mailboxes(self) -> Mailboxes:
        """Our addresses."""
        return Mailboxes(self.settings)

    @cached_property
    def keys(self) -> KeyFile:
        """The key ring's file."""
        return KeyFile(self.settings.server.data_dir / "keys.json")

    @cached_property
    def mailer(self) -> Mailer:
        """Makes mails from the templates."""
        return Mailer(load_templates(DEFAULT_DIR, self.settings.tickets.templates_dir), self.ids)

    @cached_property
    def caps(self) -> CapLimits:
        """The caps on automatic mail."""
        caps = self.settings.caps
        return CapLimits(caps.per_recipient, caps.per_mailbox, caps.per_ticket, caps.per_domain, caps.total)

    @cached_property
    def desk(self) -> Desk:
        """What people do to tickets."""
        return Desk(
            self.database, self.mailboxes, self.keys, self.mailer, self.caps, clock=self.clock, ids=self.ids
        )

    @cached_property
    def intake(self) -> Intake:
        """Decides and commits incoming mail."""
        return Intake(
            self.database, self.mailboxes, self.keys, self.mailer, self.caps, clock=self.clock, ids=self.ids
        )

    @cached_property
    def sending(self) -> Sending:
        """Claims and records outgoing mail."""
        delivery = self.settings.delivery
        policy = RetryPolicy(delivery.retry_first, delivery.retry_longest, delivery.give_up_after)
        return Sending(
            self.database, self.mailboxes, self.keys, self.mailer, policy, clock=self.clock, lease=_SEND_LEASE
        )

    def reception(
        self,
        *,
        busy: Callable[[], str | None] = lambda: None,
        on_accepted: Callable[[int], None] = lambda _count: None,
    ) -> Reception:
        """The door behind all doors."""
        return Reception(
            self.database,
            self.mailboxes,
            self.clock,
            duplicate_window=self.settings.intake.duplicate_window,
            busy=busy,
            on_accepted=on_accepted,
        )

    def ready(self) -> Parts:
        """These parts, with the schema as this version needs it: an empty database is made, an old one refused.

        Raises SchemaOldError, migrate.SchemaTooNewError or StoreUnavailable.
        """
        if migrate.current(self.database) is None:
            migrate.upgrade(self.database)
        elif waiting := migrate.pending(self.database):
            raise SchemaOldError(
                f"the database needs {len(waiting)} migration(s): run `mailbridge db upgrade`, or start the daemon"
            )
        return self

    def close(self) -> None:
        """Commit what is queued and let go."""
        if "database" in self.__dict__:
            self.database.close()
