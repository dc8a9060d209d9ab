"""Copy a live SQLite database to one file that is whole, checked and on disk before it has its name.

SQLite's online backup reads one snapshot in one step: the daemon goes on writing meanwhile. A copy with `cp`
would miss what is still in the write-ahead log.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from mailbridge.store.backends import PostgresBackend, SqliteBackend
from mailbridge.store.engine import Database
from mailbridge.store.errors import is_away, unavailable


class BackupRefusedError(Exception):
    """No backup was made, and nothing was overwritten; the message says what to do."""


def backup(db: Database, target: Path) -> None:
    """Write a copy of the database to `target`, a single file (0600) that opens without any other.

    `target` appears only when the copy is complete, has passed SQLite's quick check and is flushed. An
    existing `target` is never overwritten. Raises BackupRefusedError (also on PostgreSQL, naming pg_dump),
    StoreUnavailable if the database cannot be read, OSError if the copy cannot be written.
    """
    match db.backend:
        case SqliteBackend(path=path):
            _copy(path, target, db.busy_timeout)
        case PostgresBackend(url=url):
            raise BackupRefusedError(
                "PostgreSQL makes its own backups: pg_dump --format=custom "
                f"--file={target} '{url.set(drivername='postgresql', password=None)}'"
            )
        case _:
            raise BackupRefusedError(f"no way is known to back up {db.dialect}")


def _copy(source: Path, target: Path, busy_timeout: float) -> None:
    if os.path.lexists(target):
        raise BackupRefusedError(f"{target} exists; backups overwrite nothing")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _copy_pages(source, partial, busy_timeout)
            _flush(partial)
            os.link(partial, target)  # unlike a rename it fails when the name has been taken meanwhile
        finally:
            partial.unlink()
        _flush(target.parent)
    except FileExistsError as error:
        raise BackupRefusedError(
            f"{error.filename2 or error.filename} exists; backups overwrite nothing"
        ) from error


def _copy_pages(source: Path, partial: Path, busy_timeout: float) -> None:
    try:
        reading = sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=busy_timeout)
        with closing(reading), closing(sqlite3.connect(partial)) as writing:
            reading.execute("PRAGMA query_only = ON")
            # In one step (-1): in several, each write of the daemon would start the copy over.
            reading.backup(writing, pages=-1)
            # The copied header says WAL, which needs files beside it; a backup is one file.
            writing.execute("PRAGMA journal_mode = DELETE")
            found = [row[0] for row in writing.execute("PRAGMA quick_check")]
    except sqlite3.Error as error:
        with suppress(FileNotFoundError):
            partial.with_name(partial.name + "-journal").unlink()
        if not is_away(error):
            raise
        raise unavailable(error) from error
    if found != ["ok"]:
        raise BackupRefusedError(f"the database is damaged: {'; '.join(map(str, found[:3]))}")


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
