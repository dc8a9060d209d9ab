"""The database as a whole: how it is opened, what readers see and may do, what it refuses."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from mailbridge.store.engine import Database, StoreSettingsError, StoreUnavailable
from tests.postgres import PostgresServer

metadata = MetaData()
note = Table("note", metadata, Column("name", String(50), primary_key=True))


def add(name: str) -> Callable[[Connection], None]:
    """A unit of work that stores one row."""

    def unit(conn: Connection) -> None:
        conn.execute(insert(note), {"name": name})

    return unit


def names(conn: Connection) -> list[str]:
    """The names of all rows, sorted."""
    return list(conn.execute(select(note.c.name).order_by(note.c.name)).scalars())


@pytest.fixture
def db(database: Database) -> Database:
    """A database of each kind with the table of this file."""
    database.write(metadata.create_all)
    return database


# Opening


def test_a_missing_sqlite_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """It holds people's mail: other users of the machine must not read it, nor its log."""
    path = tmp_path / "new" / "folder" / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1)
    db.write(metadata.create_all)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"mailbridge.db": 0o600, "mailbridge.db-wal": 0o600, "mailbridge.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert db.close()
    assert [file.name for file in path.parent.iterdir()] == ["mailbridge.db"]  # one whole file at rest


def test_every_sqlite_connection_follows_the_recipe(tmp_path: Path) -> None:
    """FULL, or the last mails answered with 250 are lost with the power; foreign keys are off by default."""
    db = Database.open(f"sqlite:///{tmp_path / 'a name with % and ?.db'}", readers=2)

    def pragmas(conn: Connection) -> dict[str, object]:
        asked = ("journal_mode", "synchronous", "foreign_keys", "temp_store", "mmap_size", "query_only")
        return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked}

    same = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "temp_store": 2, "mmap_size": 0}
    assert db.write(pragmas) == {**same, "query_only": 0}
    assert db.read(pragmas) == {**same, "query_only": 1}
    db.close()


def test_a_folder_that_cannot_be_made_is_reported_as_such(tmp_path: Path) -> None:
    """The operator reads which path and why, rather than 'unable to open database file'."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"cannot open the database .*file/mailbridge\.db: "):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'mailbridge.db'}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://localhost/desk", "begins with 'mysql'; allowed is sqlite:///PATH or postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mailbridge.db", "is not a URL; allowed is"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_what_can(url: str, said: str) -> None:
    """A bad configuration is said before anything starts."""
    with pytest.raises(StoreSettingsError, match=said):
        Database.open(url)


def test_postgresql_without_its_driver_names_the_extra_to_install() -> None:
    """psycopg is optional; 'No module named psycopg' would leave the operator to guess."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from mailbridge.store.engine import Database\n"
        "Database.open('postgresql://localhost/desk')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "install mailbridge[postgres]" in done.stderr.splitlines()[-1]


def test_a_postgresql_that_does_not_flush_is_put_right_or_reported(
    postgres: PostgresServer, open_database: Callable[..., Database], caplog: pytest.LogCaptureFixture
) -> None:
    """With synchronous_commit=off a COMMIT returns before it is on disk; the session turns it on again."""
    name = postgres.create()
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    db = open_database(postgres.url(name))
    set_to = db.write(lambda conn: conn.execute(text("SHOW synchronous_commit")).scalar_one())
    assert set_to == "on"
    said = [r.levelname for r in caplog.records if "postgresql_fsync_off" in str(r.msg)]
    assert "WARNING" in said


# Reading


def test_a_reader_sees_one_snapshot(db: Database) -> None:
    """A page made of two queries must not show a ticket in the one and not in the other."""
    db.write(add("first"))

    def twice(conn: Connection) -> tuple[list[str], list[str]]:
        before = names(conn)
        writer = threading.Thread(target=db.write, args=(add("second"),))
        writer.start()
        writer.join(10)
        assert not writer.is_alive()
        return before, names(conn)

    assert db.read(twice) == (["first"], ["first"])
    assert db.read(names) == ["first", "second"]


def test_a_reader_cannot_write(db: Database) -> None:
    """A write outside the writer would wait for its lock, and undo the order of things. It is a bug."""
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        db.read(add("sneaked in"))
    assert db.read(names) == []


def test_more_readers_than_connections_wait_their_turn(
    database_url: str, open_database: Callable[..., Database]
) -> None:
    """Pages come in bursts; the pool is small on purpose."""
    db = open_database(database_url, readers=2)
    threads = [
        threading.Thread(target=db.read, args=(lambda conn: conn.execute(text("SELECT 1")),))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_reader_that_finds_no_free_connection_in_time_is_told(
    database_url: str, open_database: Callable[..., Database]
) -> None:
    """Overload is answered, not waited out."""
    db = open_database(database_url, readers=1, busy_timeout=0.2)
    with pytest.raises(StoreUnavailable):
        db.read(lambda conn: db.read(lambda inner: inner.execute(text("SELECT 1"))))


# From an event loop


async def test_an_event_loop_reads_and_writes_without_waiting_for_others(db: Database) -> None:
    """The loop goes on serving while threads wait for the database."""
    await asyncio.gather(*(db.awrite(add(f"{n:02}")) for n in range(30)))
    assert await db.aread(names) == [f"{n:02}" for n in range(30)]
    with pytest.raises(IntegrityError):
        await db.awrite(add("00"))


async def test_a_cancelled_write_that_has_begun_is_committed_and_one_that_waits_is_not(db: Database) -> None:
    """A dropped connection cancels its task; what it leaves is whole either way."""
    begun, release = threading.Event(), threading.Event()

    def slow(conn: Connection) -> None:
        add("begun")(conn)
        begun.set()
        assert release.wait(10)

    running = asyncio.ensure_future(db.awrite(slow))
    assert await asyncio.to_thread(begun.wait, 5)
    waiting = asyncio.ensure_future(db.awrite(add("waiting")))
    await asyncio.sleep(0)
    for task in (running, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    release.set()
    await db.awrite(add("next"))
    assert await db.aread(names) == ["begun", "next"]


# Health


def test_ping_tells_a_working_database_from_one_that_is_away(tmp_path: Path) -> None:
    """What a watchdog asks."""
    path = tmp_path / "store" / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1, busy_timeout=0.5)
    db.ping()
    path.parent.rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable):
        db.ping()
    (tmp_path / "away").rename(path.parent)
    db.ping()
    db.close()


def test_a_damaged_file_is_found_and_is_nobodys_mails_fault(tmp_path: Path) -> None:
    """Mail that meets a damaged database is kept by its sender, not quarantined as poison."""
    path = tmp_path / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1)
    db.write(metadata.create_all)
    for n in range(500):
        db.submit(add(f"{n}" * 10))
    assert db.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)

    db = Database.open(f"sqlite:///{path}", readers=1)
    with pytest.raises(StoreUnavailable, match="malformed"):
        db.read(names)
    with pytest.raises(StoreUnavailable, match="malformed"):
        db.write(add("new"))
    assert db.check()
    db.close()


def test_an_error_never_shows_what_was_to_be_stored(db: Database) -> None:
    """Errors end up in logs and the values are people's mail."""
    db.write(add("anne's secret"))
    with pytest.raises(IntegrityError) as caught:
        db.write(add("anne's secret"))
    shown = str(caught.value) if db.dialect == "sqlite" else str(caught.value).split("DETAIL")[0]
    assert "secret" not in shown
