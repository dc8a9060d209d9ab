"""How to connect: the recipes for SQLite and PostgreSQL, each as one writer and one reader engine.

SQLite: WAL with synchronous=FULL (what was committed survives a power cut), BEGIN IMMEDIATE for writers (the
driver's own deferred BEGIN loses updates without an error), foreign keys on. PostgreSQL: psycopg 3, UTC,
synchronous commit, bounded waits; readers see one snapshot (REPEATABLE READ, read only).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mailbridge.logs import get_logger
from mailbridge.store.errors import StoreSettingsError, StoreUnavailable, is_locked

LOCK_SLICE: Final = 0.1
"""Seconds SQLite itself waits for a lock of another process; the writer repeats it up to busy_timeout."""

_PRAGMAS: Final = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    # An I/O error under mmap is a SIGBUS that ends the daemon; as a read it is an error code.
    "mmap_size = 0",
    f"journal_size_limit = {64 << 20}",
)

_log = get_logger(__name__)


class Backend(Protocol):
    """One database, as the `Database` and its writer use it."""

    @property
    def dialect(self) -> str:
        """'sqlite' or 'postgresql'."""
        ...

    @property
    def writer(self) -> Engine:
        """For the one writing thread: a single connection, begun ready to write."""
        ...

    @property
    def reader(self) -> Engine:
        """For reading: as many connections as readers; a write through it fails."""
        ...

    @property
    def max_units(self) -> int:
        """How many units of work to put into one transaction at most."""
        ...

    def first_savepoint(self, driver: Any) -> None:
        """Open the savepoint that the first unit of a batch runs in (on the driver's own connection)."""
        ...

    def next_savepoint(self, driver: Any) -> None:
        """Keep what the last unit did and open the savepoint of the next."""
        ...

    def undo_savepoint(self, driver: Any) -> None:
        """Take back what the last unit did; its savepoint now serves the next."""
        ...

    def intact(self, conn: Connection) -> bool:
        """Whether the transaction still stands: not rolled back or spoilt by a statement that failed."""
        ...

    def in_place(self, conn: Connection) -> bool:
        """Whether what this connection commits lands where the next start will look for it."""
        ...


class SqliteBackend:
    """A SQLite file. It is created here, once; later connections never make a new one in its place."""

    dialect: Final = "sqlite"
    max_units: Final = 200

    def __init__(self, path: Path, *, readers: int, busy_timeout: float) -> None:
        self.path = path
        _create_private(path)
        self.writer = self._engine(
            "BEGIN IMMEDIATE", 1, busy_timeout, "cache_size = -16000", lock_wait=LOCK_SLICE
        )
        self.reader = self._engine(
            "BEGIN", readers, busy_timeout, "cache_size = -4000", "query_only = ON", lock_wait=busy_timeout
        )

    # Savepoints go to the driver itself: 5% of a unit's time, against 20% as SQLAlchemy statements.
    def first_savepoint(self, driver: Any) -> None:
        """One statement."""
        driver.execute("SAVEPOINT unit")

    def next_savepoint(self, driver: Any) -> None:
        """Two statements, without a round trip to anywhere."""
        driver.execute("RELEASE unit")
        driver.execute("SAVEPOINT unit")

    def undo_savepoint(self, driver: Any) -> None:
        """Fails if SQLite rolled the whole transaction back."""
        driver.execute("ROLLBACK TO unit")

    def intact(self, conn: Connection) -> bool:
        """False once SQLite has rolled back by itself, as it may on a full disk."""
        return bool(_driver(conn).in_transaction)

    def in_place(self, conn: Connection) -> bool:
        """False when the file was renamed or removed: in WAL mode SQLite would go on writing to it."""
        return self._file_id() == conn.info.get("file_id")

    def _engine(self, begin: str, size: int, busy_timeout: float, *pragmas: str, lock_wait: float) -> Engine:
        # mode=rw, not rwc: when the folder went away an empty database must not take its place.
        uri = f"file:{quote(str(self.path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            conn = sqlite3.connect(
                uri,
                uri=True,
                isolation_level=None,  # no hidden BEGIN: ours is sent by the engine's begin event
                check_same_thread=False,  # the pool hands a connection to one thread at a time
                timeout=lock_wait,
                cached_statements=256,
            )
            try:
                _enter_wal(conn, lock_wait)
                for pragma in (*_PRAGMAS, *pragmas):
                    conn.execute(f"PRAGMA {pragma}")
            except BaseException:
                conn.close()
                raise
            return conn

        engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=busy_timeout,
            hide_parameters=True,  # parameters are people's mail; errors end up in logs
        )

        @event.listens_for(engine, "connect")
        def remember_file(dbapi: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
            record.info["file_id"] = self._file_id()

        @event.listens_for(engine, "checkout")
        def same_file(dbapi: sqlite3.Connection, record: ConnectionPoolEntry, proxy: Any) -> None:
            if record.info.get("file_id") != self._file_id():
                raise exc.DisconnectionError("the database file was replaced")  # the pool connects anew

        @event.listens_for(engine, "begin")
        def begin_transaction(conn: Connection) -> None:
            _driver(conn).execute(begin)

        return engine

    def _file_id(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class PostgresBackend:
    """A PostgreSQL database, through psycopg 3 (the extra `mailbridge[postgres]`)."""

    dialect: Final = "postgresql"
    max_units: Final = 50
    """The gain ends at about 10; from 64 savepoints on the server slows down every other session."""

    def __init__(self, url: URL, *, readers: int, busy_timeout: float) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise StoreSettingsError(
                "store.url names PostgreSQL, whose driver is not installed; install mailbridge[postgres]"
            )
        self.url = url.set(drivername="postgresql+psycopg")
        self.writer = self._engine(1, busy_timeout)
        self.reader = self._engine(readers, busy_timeout)
        event.listen(self.writer, "connect", _demand_durability)
        event.listen(self.reader, "connect", _snapshot_reads)

    def first_savepoint(self, driver: Any) -> None:
        """One round trip."""
        driver.execute("SAVEPOINT unit")

    def next_savepoint(self, driver: Any) -> None:
        """One round trip for both."""
        driver.execute("RELEASE SAVEPOINT unit; SAVEPOINT unit")

    def undo_savepoint(self, driver: Any) -> None:
        """Also brings a transaction back that a failed statement has spoilt."""
        driver.execute("ROLLBACK TO SAVEPOINT unit")

    def intact(self, conn: Connection) -> bool:
        """False after a failed statement: PostgreSQL would answer COMMIT with a ROLLBACK and no error."""
        # IDLE is a transaction in which nothing was sent yet: psycopg begins with the first statement.
        return _driver(conn).info.transaction_status.name in {"INTRANS", "IDLE"}

    def in_place(self, conn: Connection) -> bool:
        """Always: the server owns its files."""
        return True

    def _engine(self, size: int, busy_timeout: float) -> Engine:
        wait_ms = max(1, int(busy_timeout * 1000))
        return create_engine(
            self.url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=busy_timeout,
            pool_pre_ping=True,  # after a restart of the server the old connections are dead
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, int(busy_timeout)),
                "application_name": "mailbridge",
                # A silent network: give up rather than hold every waiting mail for the kernel's 15 minutes.
                "tcp_user_timeout": wait_ms,
                "keepalives_idle": 30,
                "options": f"-c timezone=UTC -c lock_timeout={wait_ms}",
            },
        )


def backend_for(url: str, *, password: str | None, readers: int, busy_timeout: float) -> Backend:
    """The backend that `url` names: `sqlite:///PATH` or `postgresql://...`; StoreSettingsError otherwise."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise StoreSettingsError(
            "store.url is not a URL; allowed is sqlite:///PATH or postgresql://..."
        ) from error
    match parsed.drivername:
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise StoreSettingsError("store.url names no file; allowed is sqlite:///PATH")
            return SqliteBackend(Path(parsed.database).absolute(), readers=readers, busy_timeout=busy_timeout)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            if password is not None:
                parsed = parsed.set(password=password)
            return PostgresBackend(parsed, readers=readers, busy_timeout=busy_timeout)
        case other:
            raise StoreSettingsError(
                f"store.url begins with {other!r}; allowed is sqlite:///PATH or postgresql://..."
            )


def _create_private(path: Path) -> None:
    """The folder (0700) and the file (0600), unless they are there. SQLite gives -wal and -shm its mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never opened when it is there: closing any descriptor of the file would drop the POSIX locks that
        # SQLite holds on it in this process (sqlite.org/howtocorrupt, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreUnavailable(f"cannot open the database {path}: {error.strerror}") from error


def _enter_wal(conn: sqlite3.Connection, patience: float) -> None:
    """Turn WAL on (it stays on in the file), waiting for others who do the same: SQLite itself does not."""
    deadline = time.monotonic() + patience
    while True:
        try:
            conn.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)


def _demand_durability(dbapi: Any, record: ConnectionPoolEntry) -> None:
    """Turn synchronous commit on for this session; say so loudly when the whole server does not flush."""
    try:
        commit, fsync = dbapi.execute(
            "SELECT current_setting('synchronous_commit'), current_setting('fsync')"
        ).fetchone()
        if commit == "off":
            dbapi.execute("SET SESSION synchronous_commit = on")
        dbapi.commit()
    except BaseException:
        dbapi.close()  # the pool would forget it open
        raise
    if fsync == "off":
        _log.warning("postgresql_fsync_off", consequence="accepted mail is lost if the server loses power")


def _snapshot_reads(dbapi: Any, record: ConnectionPoolEntry) -> None:
    from psycopg import IsolationLevel  # an optional dependency, present once a connection exists

    dbapi.isolation_level = IsolationLevel.REPEATABLE_READ
    dbapi.read_only = True


def _driver(conn: Connection) -> Any:
    return conn.connection.driver_connection
