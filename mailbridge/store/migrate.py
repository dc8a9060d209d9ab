"""Bring the database to the schema of this version, all at once or not at all.

All pending revisions run in one transaction on our own connection, begun for writing on SQLite and under an
advisory lock on PostgreSQL: a failure leaves the schema as it was, and of two processes that start together
one waits and then finds nothing to do. Alembic is imported only when there is something to do.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from mailbridge.store.engine import Database
from mailbridge.store.errors import is_away, unavailable

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

HEAD: Final = "0001"
"""The newest revision. A test holds it equal to what `migrations/versions` says."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_ADVISORY_LOCK: Final = 0x6D61696C6272  # 'mailbr': the same in every process of ours, in nobody else's


class SchemaTooNewError(Exception):
    """The database was made by a newer version of mailbridge, which this one must not touch."""


def current(db: Database) -> str | None:
    """The revision the database is at; None for an empty one. Raises StoreUnavailable."""
    return db.read(_version)


def pending(db: Database) -> list[str]:
    """The revisions `upgrade` would apply, in order. Raises SchemaTooNewError and StoreUnavailable."""
    version = current(db)
    return [] if version == HEAD else _missing(_scripts(_config(MIGRATIONS)), version)


def upgrade(db: Database, *, migrations: Path = MIGRATIONS, head: str = HEAD) -> list[str]:
    """Apply all pending revisions in one transaction and return them, in order; [] when up to date.

    Raises SchemaTooNewError, StoreUnavailable (also when another process is at it for longer than
    busy_timeout on SQLite), or what a revision raised, after everything was rolled back.
    """
    if current(db) == head:
        return []
    from alembic import command

    config = _config(migrations)
    scripts = _scripts(config)
    try:
        with _transaction(db) as conn:
            missing = _missing(scripts, _version(conn))  # looked at again: now nobody else can migrate
            if missing:
                config.attributes["connection"] = conn
                command.upgrade(config, head)
                if conn.dialect.name == "sqlite":
                    _check_foreign_keys(conn)
            return missing
    except Exception as error:
        if is_away(error):
            raise unavailable(error) from error
        raise


def _version(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    version: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return version


@contextmanager
def _transaction(db: Database) -> Iterator[Connection]:
    """A transaction in which nobody else migrates, committed at the end unless an exception leaves it."""
    with db.backend.writer.connect() as conn:
        sqlite = conn.dialect.name == "sqlite"
        driver = conn.connection.driver_connection
        assert driver is not None
        if sqlite:
            # A change that rebuilds a table drops the old one: with foreign keys on, that deletes what
            # refers to it. Ignored inside a transaction, hence before it; checked again at its end.
            driver.execute("PRAGMA foreign_keys = OFF")
            driver.execute(f"PRAGMA busy_timeout = {int(db.busy_timeout * 1000)}")
        try:
            with conn.begin():
                if not sqlite:
                    conn.execute(text("SET LOCAL lock_timeout = 0"))  # another node may take its time
                    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                yield conn
        finally:
            conn.invalidate()  # the next user gets a connection with its settings, and a fresh schema


def _check_foreign_keys(conn: Connection) -> None:
    broken = conn.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        tables = sorted({str(row[0]) for row in broken})
        raise RuntimeError(f"the migration would leave {len(broken)} rows that refer to nothing, in {tables}")


def _config(migrations: Path) -> Config:
    from alembic.config import Config

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


def _scripts(config: Config) -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config)


def _missing(scripts: ScriptDirectory, version: str | None) -> list[str]:
    order = [script.revision for script in scripts.walk_revisions()][::-1]
    if version is None:
        return order
    if version not in order:
        raise SchemaTooNewError(
            f"the database is at schema {version}, which this version of mailbridge (schema {order[-1]}) "
            "does not know: install the version that made it, or a newer one, or restore a backup"
        )
    return order[order.index(version) + 1 :]
