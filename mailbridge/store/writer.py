"""The one thread that writes: it drains a queue, commits what waits as one transaction, then answers.

Group commit without a timer: while one batch is flushed the next collects, so the batch follows the load.
A future is resolved after the COMMIT that holds its work, never before. Each unit of a batch runs once, in a
savepoint of its own: its exception undoes only itself. A failed flush is never repeated behind the caller's
back: what it held is answered `StoreUnavailable`, the connection is dropped, the next batch opens another.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from mailbridge.logs import get_logger
from mailbridge.store.backends import LOCK_SLICE, Backend
from mailbridge.store.errors import StoreUnavailable, is_away, is_locked, unavailable

T = TypeVar("T")

MAX_BYTES: Final = 64 << 20
SLOW: Final = 1.0
"""Seconds after which a transaction is reported: every other writer waits for it."""


@dataclass(slots=True, eq=False)
class _Unit:
    fn: Callable[[Connection], Any]
    future: Future[Any]
    size: int
    since: float

    @property
    def name(self) -> str:
        # Of a partial, only the function's: its arguments are people's mail, and long.
        inner = getattr(self.fn, "func", self.fn)
        return str(getattr(inner, "__qualname__", type(inner).__name__))

    def start(self) -> bool:
        """Whether it may run; from here on its caller can no longer cancel it."""
        return self.future.set_running_or_notify_cancel()

    def refuse(self, error: BaseException) -> None:
        """Answer with an error, unless its caller has gone."""
        if self.future.running() or self.start():
            self.future.set_exception(error)


class _BatchLostError(Exception):
    """The whole transaction is gone, or may be."""


class _Transaction:
    """How long the present transaction takes, and because of whom. Written by the writer, read by all."""

    __slots__ = ("_began", "_ended", "_longest", "_since", "_unit", "reported")

    def __init__(self, began: float | None) -> None:
        self._began = began
        self._ended: float | None = None
        self._unit: _Unit | None = None
        self._since = began or 0.0
        self._longest = (0.0, "commit")
        self.reported = False

    def running(self, unit: _Unit | None) -> None:
        now = time.monotonic()
        if self._unit is not None and now - self._since > self._longest[0]:
            self._longest = (now - self._since, self._unit.name)
        self._unit, self._since = unit, now

    def ended(self) -> None:
        self.running(None)
        self._ended = time.monotonic()

    def seconds(self) -> float:
        return 0.0 if self._began is None else (self._ended or time.monotonic()) - self._began

    def slowest(self) -> str:
        unit = self._unit
        if unit is not None and time.monotonic() - self._since > self._longest[0]:
            return unit.name
        return self._longest[1]


class Writer:
    """Runs units of work, one after the other, in few transactions.

    A unit is a function of the connection. It must not commit, roll back, wait for anything outside the
    database, or swallow a failed statement (a savepoint of its own, `conn.begin_nested()`, is fine).
    """

    def __init__(
        self,
        backend: Backend,
        *,
        busy_timeout: float,
        max_units: int | None = None,
        max_bytes: int = MAX_BYTES,
        slow: float = SLOW,
    ) -> None:
        self._backend = backend
        self._busy_timeout = busy_timeout
        self._max_units = max_units or backend.max_units
        self._max_bytes = max_bytes
        self._slow = slow
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._transaction = _Transaction(None)
        self._log = get_logger(__name__)
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many units wait to be begun, about."""
        return self._queue.qsize()

    def submit(self, fn: Callable[[Connection], T], size_hint: int = 0) -> Future[T]:
        """Queue a unit. The future resolves once it is committed, or has failed. Never blocks.

        `size_hint`: bytes it will write, if many. Cancelling the future before its turn skips the unit.
        Fails with StoreUnavailable when the store is away or closed, with the unit's own exception otherwise.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a unit of work submits another and would wait for itself")
        future: Future[T] = Future()
        with self._lock:  # so that nothing is queued behind the closing mark
            if self._closed:
                future.set_exception(StoreUnavailable("the store is closed"))
                return future
            if self._thread.ident is None:
                self._thread.start()
            self._queue.put(_Unit(fn, future, size_hint, time.monotonic()))
        self._watch()
        return future

    def close(self, timeout: float) -> bool:
        """Finish what is queued, at most `timeout` seconds, and end the thread. True if all was finished.

        What could not be begun in time is answered StoreUnavailable.
        """
        with self._lock:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(None)
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        self._refuse_waiting(StoreUnavailable("the store is closing"))
        return False

    def _work(self) -> None:
        while batch := self._collect():
            try:
                self._run(batch)
            except BaseException as error:  # nothing may end this thread: every caller waits for it
                self._log.exception("store_writer_failed")
                for unit in batch:
                    if not unit.future.done():
                        unit.refuse(error)
            batch.clear()  # or what it wrote, large mails perhaps, would stay in memory until there is more

    def _collect(self) -> list[_Unit]:
        """What waits, within the limits; at least one unit. Empty when the writer is to end."""
        batch: list[_Unit] = []
        size = 0
        try:
            unit = self._queue.get()
            while unit is not None:
                batch.append(unit)
                size += unit.size
                if len(batch) >= self._max_units or size >= self._max_bytes:
                    return batch
                unit = self._queue.get_nowait()
        except queue.Empty:
            return batch
        if batch:
            self._queue.put(None)  # the closing mark: nothing can be queued after it, so it stays last
        return batch

    def _run(self, batch: list[_Unit]) -> None:
        conn = self._begin(batch)
        if conn is None:
            return
        done: list[tuple[_Unit, Any]] = []
        failed: list[tuple[_Unit, BaseException]] = []
        try:
            with conn:
                try:
                    self._run_units(conn, batch, done, failed)
                    self._commit(conn, wanted=bool(done))
                except BaseException:
                    conn.invalidate()
                    raise
        except _BatchLostError as lost:
            why = lost.__cause__ or lost
            self._log.error("store_batch_lost", error=str(unavailable(why)), units=len(batch))
            for unit in batch:
                if not unit.future.done():
                    unit.refuse(unavailable(why))
            return
        for unit, result in done:
            unit.future.set_result(result)
        for unit, error in failed:
            unit.future.set_exception(unavailable(error) if is_away(error) else error)

    def _begin(self, batch: list[_Unit]) -> Connection | None:
        """A connection with a transaction that may write; None when nobody of the batch is left.

        Another process may hold SQLite's lock: each unit waits for it no longer than busy_timeout since it
        was queued. For any other failure the batch and all who wait behind it are told at once.
        """
        while True:
            tried = time.monotonic()
            try:
                conn = self._backend.writer.connect()
                try:
                    conn.begin()
                except BaseException:
                    conn.close()
                    raise
                self._transaction = _Transaction(time.monotonic())
                return conn
            except Exception as error:
                if not is_locked(error):
                    if not is_away(error):
                        self._log.exception("store_begin_failed")
                    self._refuse(batch, error)
                    self._refuse_waiting(error)
                    return None
                now = time.monotonic()
                old = [unit for unit in batch if now - unit.since >= self._busy_timeout]
                self._refuse(old, error)
                batch[:] = [unit for unit in batch if unit not in old and not unit.future.cancelled()]
                if not batch:
                    return None
                if now - tried < LOCK_SLICE / 2:  # a kind of lock for which SQLite itself does not wait
                    time.sleep(LOCK_SLICE / 2)

    def _run_units(
        self,
        conn: Connection,
        batch: list[_Unit],
        done: list[tuple[_Unit, Any]],
        failed: list[tuple[_Unit, BaseException]],
    ) -> None:
        """Run each unit once, in a savepoint; alone, the transaction itself is its savepoint."""
        driver = conn.connection.driver_connection
        alone = len(batch) == 1
        if not alone:
            try:
                self._backend.first_savepoint(driver)
            except Exception as error:  # no unit has begun: the server went away since the BEGIN
                raise _BatchLostError from error
        for unit in batch:
            if not unit.start():
                continue
            self._transaction.running(unit)
            try:
                result = unit.fn(conn)
                if (
                    not conn.in_transaction()
                    or conn.in_nested_transaction()
                    or not self._backend.intact(conn)
                ):
                    raise RuntimeError(f"{unit.name} ended or spoilt the transaction it was given")
                if not alone:
                    self._backend.next_savepoint(driver)
                done.append((unit, result))
            except BaseException as error:
                if not self._undo(conn, error, alone=alone):
                    raise _BatchLostError from error
                failed.append((unit, error))
        self._transaction.running(None)

    def _undo(self, conn: Connection, error: BaseException, *, alone: bool) -> bool:
        """Take back the failed unit only; False when the whole transaction has gone with it."""
        if self._backend.dialect == "sqlite" and is_away(error):
            return False  # disk full, I/O: SQLite may have rolled back, and asks to be rolled back
        if conn.invalidated:
            return False
        if alone:
            return True  # nothing else is in the transaction, which will be rolled back
        try:
            while nested := conn.get_nested_transaction():
                nested.rollback()
            self._backend.undo_savepoint(conn.connection.driver_connection)
        except Exception:
            return False
        return self._backend.intact(conn)

    def _commit(self, conn: Connection, *, wanted: bool) -> None:
        try:
            if not wanted:
                conn.rollback()
                return
            conn.commit()
        except Exception as error:
            raise _BatchLostError from error
        finally:
            self._transaction.ended()
            self._watch()
        if not self._backend.in_place(conn):
            raise _BatchLostError("the database file was moved or removed")

    def _refuse(self, units: list[_Unit], error: BaseException) -> None:
        for unit in units:
            unit.refuse(unavailable(error))

    def _refuse_waiting(self, error: BaseException) -> None:
        """Answer all who wait now; those who come later are served."""
        try:
            for _ in range(self._queue.qsize()):
                unit = self._queue.get_nowait()
                if unit is None:
                    self._queue.put(None)
                    return
                unit.refuse(unavailable(error))
        except queue.Empty:
            return

    def _watch(self) -> None:
        """Report a transaction that takes too long, once, while it does: the next submitter notices."""
        transaction = self._transaction
        if (seconds := transaction.seconds()) > self._slow and not transaction.reported:
            transaction.reported = True
            self._log.warning(
                "store_transaction_slow",
                seconds=round(seconds, 3),
                unit=transaction.slowest(),
                waiting=self.waiting,
            )
