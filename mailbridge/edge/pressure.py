"""How much we have on our hands, so that the doors can put new mail off in time.

`busy()` is asked at every MAIL: it looks only at numbers kept here. `watch` brings them up to date.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from mailbridge.store import inbound
from mailbridge.store.engine import Database, StoreUnavailable

INTERVAL = 1.0
MAX_LAG = 1.0  # seconds the event loop may run late before new mail is put off


class Pressure:
    """Counts unprocessed mail, free disk and the event loop's lag."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        max_unprocessed: int,
        min_free_disk: int,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._database = database
        self._folder = folder
        self._max_unprocessed = max_unprocessed
        self._min_free_disk = min_free_disk
        self._log = log
        self.unprocessed = 0
        self.free_disk = min_free_disk
        self.lag = 0.0
        self._said = ""

    def accepted(self, count: int) -> None:
        """Mail came in."""
        self.unprocessed += count

    def processed(self, count: int) -> None:
        """Mail was worked off."""
        self.unprocessed -= count

    def busy(self) -> str | None:
        """Why new mail should come later, or None."""
        if self.unprocessed > self._max_unprocessed:
            return f"{self.unprocessed} mails wait to be processed"
        if self.free_disk < self._min_free_disk:
            return f"only {self.free_disk >> 20} MiB of disk are free"
        if self.lag > MAX_LAG:
            return f"the event loop runs {self.lag:.1f} s late"
        return None

    async def watch(self) -> None:
        """Look once a second, for ever. The count is corrected from the database, which is the truth."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.unprocessed = await self._database.aread(inbound.unprocessed)
            except StoreUnavailable as error:
                self._log.warning("store.unavailable", why=str(error))
            self.free_disk = await asyncio.to_thread(_free, self._folder)
            why = self.busy() or ""
            if bool(why) != bool(self._said):
                self._log.warning("intake.busy" if why else "intake.free_again", why=why)
            self._said = why
            before = loop.time()
            await asyncio.sleep(INTERVAL)
            self.lag = max(0.0, loop.time() - before - INTERVAL)


def _free(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
