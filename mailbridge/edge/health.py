"""Whether this process does its work: what the watchdog asks before it says that we live.

The event loop needs no check of its own: a loop that stands still does not ask.
"""

from __future__ import annotations

import asyncio

from mailbridge.edge.supervisor import Supervisor
from mailbridge.store.engine import Database, StoreUnavailable

PATIENCE = 5.0
"""Seconds that the database has for an answer."""


class Health:
    """Looks at the tasks and at the database. One instance for each daemon, used from its loop."""

    def __init__(self, database: Database, supervisor: Supervisor, *, patience: float = PATIENCE) -> None:
        self._database = database
        self._supervisor = supervisor
        self._patience = patience
        self._ping: asyncio.Task[None] | None = None

    async def trouble(self) -> str | None:
        """Why a restart is called for, or None. Takes at most `patience` seconds."""
        for name, error in self._supervisor.failing().items():
            if not self._is_elsewhere(error):
                return f"task {name}: {type(error).__name__}: {error}" if error else f"task {name} ended"
        return await self._database_trouble()

    async def _database_trouble(self) -> str | None:
        # One ping at a time: a thread cannot be cancelled, and those that hang must not pile up.
        ping = self._ping
        if ping is None or ping.done():
            ping = self._ping = asyncio.create_task(asyncio.to_thread(self._database.ping))
        await asyncio.wait({ping}, timeout=self._patience)
        if not ping.done():
            return f"the database did not answer within {self._patience:g} s"
        error = ping.exception()
        if error is None or self._is_elsewhere(error):
            return None
        return f"database: {error}"

    def _is_elsewhere(self, error: BaseException | None) -> bool:
        """Whether a restart cannot help: a database server that is away. While we run, mail is put off with
        a 451; a new process could not even start. A SQLite file that fails is in our own hands."""
        return isinstance(error, StoreUnavailable) and self._database.dialect != "sqlite"
