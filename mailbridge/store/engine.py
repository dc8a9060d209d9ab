"""The database as the rest of the program holds it: functions of a connection, run for reading or writing.

`read` runs on a small pool, on one consistent snapshot. Writes go through one thread that commits what waits
together (`mailbridge.store.writer`). No await, network, parsing or rendering belongs inside such a function:
it holds a connection, and a writing one holds up every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TypeVar

from sqlalchemy import Connection, text

from mailbridge.store.backends import Backend, SqliteBackend, backend_for
from mailbridge.store.errors import (
    StoreSettingsError,
    StoreUnavailable,
    is_away,
    is_damaged,
    is_refused_write,
    unavailable,
)
from mailbridge.store.writer import Writer

__all__ = ["Connection", "Database", "StoreSettingsError", "StoreUnavailable"]

T = TypeVar("T")


class Database:
    """One SQLite file or PostgreSQL database. Safe to use from any thread and from any event loop.

    Every method raises `StoreUnavailable` when the database is locked, absent, full or cut off, and works
    again by itself when that is over. Other exceptions are those of the function that was given, among them
    `sqlalchemy.exc.IntegrityError`.
    """

    def __init__(self, backend: Backend, *, readers: int, busy_timeout: float) -> None:
        self.backend = backend
        self.busy_timeout = busy_timeout
        self._writer = Writer(backend, busy_timeout=busy_timeout)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")

    @classmethod
    def open(
        cls, url: str, *, password: str | None = None, readers: int = 4, busy_timeout: float = 5.0
    ) -> Self:
        """The database that `url` names: `sqlite:///PATH` or `postgresql://...`.

        Creates a SQLite file that is missing (0600, its folder 0700), empty: see `mailbridge.store.migrate`.
        Connects to nothing yet. `busy_timeout` (seconds) bounds each wait for a lock, a free reader or a
        connection. Raises StoreSettingsError for a URL that cannot work, StoreUnavailable if the file cannot
        be made.
        """
        backend = backend_for(url, password=password, readers=readers, busy_timeout=busy_timeout)
        return cls(backend, readers=readers, busy_timeout=busy_timeout)

    @property
    def dialect(self) -> str:
        """'sqlite' or 'postgresql'."""
        return self.backend.dialect

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn, about: a sign of overload."""
        return self._writer.waiting

    def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a read-only transaction on one snapshot; blocks. It returns plain values."""
        try:
            with self.backend.reader.connect() as conn, conn.begin():
                return fn(conn)
        except Exception as error:
            if is_away(error) and not is_refused_write(error):
                raise unavailable(error) from error
            raise

    def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction and return once it is committed; blocks (not for an event loop)."""
        return self.submit(fn).result()

    def submit(self, fn: Callable[[Connection], T], *, size_hint: int = 0) -> Future[T]:
        """Queue `fn` for the writer; the future resolves after the commit that holds it. Never blocks.

        `fn` runs once, in a savepoint: its exception undoes only its own work and goes to its future. It must
        not commit, roll back, or swallow a failed statement. `size_hint` says how many bytes it writes, if
        many. A future cancelled before its turn is skipped.
        """
        return self._writer.submit(fn, size_hint)

    async def aread(self, fn: Callable[[Connection], T]) -> T:
        """`read`, in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read, fn)

    async def awrite(self, fn: Callable[[Connection], T], *, size_hint: int = 0) -> T:
        """`submit`, awaited. Cancelling the caller skips work not yet begun; work begun is committed."""
        return await asyncio.wrap_future(self.submit(fn, size_hint=size_hint))

    def ping(self) -> None:
        """Return if the database answers a reader and lets the writer begin and end a transaction."""
        self.read(lambda conn: conn.execute(text("SELECT 1")).scalar_one())
        self.write(lambda conn: conn.execute(text("SELECT 1")).scalar_one())

    def check(self) -> list[str]:
        """What SQLite finds wrong in its file (`PRAGMA quick_check`); empty when nothing. Reads it all."""
        if not isinstance(self.backend, SqliteBackend):
            return []
        try:
            found = self.read(
                lambda conn: [str(row[0]) for row in conn.exec_driver_sql("PRAGMA quick_check")]
            )
        except StoreUnavailable as error:  # too damaged to be checked
            if not is_damaged(error):
                raise
            return [str(error)]
        return [] if found == ["ok"] else found

    def close(self, timeout: float = 10.0) -> bool:
        """Commit what is queued, at most `timeout` seconds, and let go of every connection.

        True if all was committed; what was not is answered StoreUnavailable. Closing twice is harmless.
        """
        finished = self._writer.close(timeout)
        self._readers.shutdown(wait=finished, cancel_futures=True)
        self.backend.reader.dispose()
        if finished:
            self.backend.writer.dispose()
        return finished
