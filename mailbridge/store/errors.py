"""Which database errors mean "the store is away just now", told apart from a query's own fault.

A locked, absent or read-only database, a full disk, an I/O error or a lost connection is nobody's mail's
fault: it becomes `StoreUnavailable`, which edges answer as a temporary failure. All else passes unchanged.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

# Primary result codes (https://www.sqlite.org/rescode.html). CORRUPT and NOTADB are here, although they
# do not pass by themselves: blaming the mail being handled, for ever, would be worse.
_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)
_SQLITE_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

# SQLSTATE classes (PostgreSQL manual, appendix A): connection, transaction rollback (deadlock),
# insufficient resources (disk full), operator intervention (shutdown, timeout), system error, corruption.
_POSTGRES_AWAY_CLASSES = frozenset({"08", "40", "53", "57", "58", "XX"})
# lock_not_available; read_only_sql_transaction (we reached a standby); idle or transaction timeout.
_POSTGRES_AWAY = frozenset({"55P03", "25006", "25P03", "25P04"})


class StoreUnavailable(Exception):
    """The database cannot be used at this moment; nothing is known to be stored. Trying later is right.

    When a COMMIT itself failed the work may have been stored after all: callers repeat it with the same
    unique keys.
    """

    temporary = True


class StoreSettingsError(ValueError):
    """The database is configured in a way that cannot work; the message says what to change."""


def is_away(error: BaseException) -> bool:
    """Whether a driver's or SQLAlchemy's error says that the store is away, rather than the query wrong."""
    if isinstance(error, exc.TimeoutError):  # no connection of the pool came free in time
        return True
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _sqlite_code(original) in _SQLITE_AWAY
    state = getattr(original, "sqlstate", None)
    if state is None:  # psycopg: refused, timed out, closed. A refused value (NUL in text) is DataError.
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return state[:2] in _POSTGRES_AWAY_CLASSES or state in _POSTGRES_AWAY


def is_locked(error: BaseException) -> bool:
    """Whether another connection holds SQLite's write lock: waiting a little may be enough."""
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    return isinstance(original, sqlite3.Error) and _sqlite_code(original) in _SQLITE_LOCKED


def is_refused_write(error: BaseException) -> bool:
    """Whether a connection for reading refused a write: a fault of the function that was given to `read`."""
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY  # no extended code
    return getattr(original, "sqlstate", None) == "25006"


def is_damaged(error: BaseException) -> bool:
    """Whether SQLite says that its file is damaged, or no database at all."""
    while error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, sqlite3.Error) and _sqlite_code(error) in _SQLITE_DAMAGED


def unavailable(error: BaseException) -> StoreUnavailable:
    """A `StoreUnavailable` that says in a line what the driver said (never a query or its values)."""
    original = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    text = str(original).strip() or type(original).__name__
    away = StoreUnavailable(text.splitlines()[0])
    away.__cause__ = error
    return away


def _sqlite_code(error: sqlite3.Error) -> int:
    # The low byte is the primary code, the rest says more. Errors of the module itself carry none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
