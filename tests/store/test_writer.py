"""The writer: what it commits together, whom it answers, and that it outlives the database's troubles."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, ProgrammingError

from mailbridge.store.engine import Database, StoreUnavailable
from mailbridge.store.writer import Writer
from tests.postgres import PASSWORD, PostgresServer

metadata = MetaData()
note = Table("note", metadata, Column("name", String(50), primary_key=True), Column("data", LargeBinary))
counter = Table("counter", metadata, Column("id", Integer, primary_key=True), Column("n", Integer))


@pytest.fixture
def db(database: Database) -> Database:
    """A database of each kind with the tables of this file."""
    database.write(metadata.create_all)
    return database


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """A SQLite file in a folder of its own, with the tables of this file."""
    path = tmp_path / "store" / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1)
    db.write(metadata.create_all)
    assert db.close()
    return path


def add(name: str, data: bytes = b"") -> Callable[[Connection], str]:
    """A unit of work that stores one row."""

    def unit(conn: Connection) -> str:
        conn.execute(insert(note), {"name": name, "data": data})
        return name

    return unit


def names(conn: Connection) -> set[str]:
    """The names of all rows."""
    return set(conn.execute(select(note.c.name)).scalars())


@contextmanager
def writer_held(db: Database) -> Iterator[None]:
    """Keep the writer busy, so that what is submitted meanwhile waits and makes one batch."""
    begun, release = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        begun.set()
        assert release.wait(20)

    held = db.submit(hold)
    assert begun.wait(5)
    try:
        yield
    finally:
        release.set()
    held.result(10)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return once the condition holds; fail if it does not within the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def works(db: Database, unit: Callable[[Connection], Any]) -> bool:
    """Whether a unit is committed just now."""
    try:
        db.write(unit)
    except StoreUnavailable:
        return False
    return True


# Batches and their answers


def test_twenty_threads_counting_up_lose_no_update(db: Database) -> None:
    """With SQLite's own deferred BEGIN, 90 of 100 read-modify-writes were lost without an error."""
    db.write(lambda conn: conn.execute(insert(counter), {"id": 1, "n": 0}))

    def count(conn: Connection) -> None:
        n = conn.execute(select(counter.c.n)).scalar_one()
        conn.execute(update(counter).values(n=n + 1))

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: db.write(count), range(200)))

    assert db.read(lambda conn: conn.execute(select(counter.c.n)).scalar_one()) == 200


def test_units_that_wait_are_committed_in_one_transaction(db: Database) -> None:
    """Group commit: one flush for all who wait is what makes the store fast."""
    with writer_held(db):
        futures = [db.submit(lambda conn: id(conn.get_transaction())) for _ in range(10)]
    assert len({future.result(5) for future in futures}) == 1


def test_a_batch_ends_at_its_limit_of_bytes(db: Database) -> None:
    """Twenty mails of 25 MB in one transaction would hold every other writer up for seconds."""
    unit = lambda conn: conn.exec_driver_sql("SELECT 1") and conn.get_transaction()  # noqa: E731 - one line, used once
    with writer_held(db):
        futures = [db.submit(unit, size_hint=40 << 20) for _ in range(4)]
    first, second, third, fourth = (future.result(5) for future in futures)
    assert first is second
    assert third is fourth
    assert first is not third


def test_a_unit_that_fails_undoes_only_its_own_work(db: Database) -> None:
    """One poisonous mail must not take the mails that were committed with it along."""

    def half(conn: Connection) -> None:
        add("half")(conn)
        raise KeyError("a bug")

    with writer_held(db):
        before, failing, after = db.submit(add("before")), db.submit(half), db.submit(add("after"))

    assert (before.result(5), after.result(5)) == ("before", "after")
    with pytest.raises(KeyError, match="a bug"):
        failing.result(5)
    assert db.read(names) == {"before", "after"}


def test_a_unit_that_fails_alone_leaves_nothing(db: Database) -> None:
    """Alone in its batch a unit has no savepoint: the transaction itself is rolled back."""

    def half(conn: Connection) -> None:
        add("half")(conn)
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        db.write(half)
    assert db.write(names) == set()


def test_a_repeated_unique_key_reaches_the_one_who_repeated_it(db: Database) -> None:
    """Unique keys are how a repeat is made harmless, so their error must arrive unchanged."""
    with writer_held(db):
        first, repeat, other = db.submit(add("a")), db.submit(add("a")), db.submit(add("b"))
    assert first.result(5) == "a"
    with pytest.raises(IntegrityError):
        repeat.result(5)
    assert other.result(5) == "b"
    with pytest.raises(IntegrityError):
        db.write(add("a"))


def test_a_wrong_query_is_not_taken_for_trouble_of_the_database(db: Database) -> None:
    """A bug answered as a temporary failure would be tried again for ever."""
    with pytest.raises(Exception, match="no_such_table") as caught:
        db.write(lambda conn: conn.execute(text("SELECT * FROM no_such_table")))
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_unit_may_try_in_a_savepoint_of_its_own(db: Database) -> None:
    """The plain way to say 'insert, or find what is there' on both databases."""

    def unit(conn: Connection) -> str:
        try:
            with conn.begin_nested():
                add("a")(conn)
        except IntegrityError:
            return "was there"
        return "new"

    with writer_held(db):
        futures = [db.submit(unit) for _ in range(3)]
    assert [future.result(5) for future in futures] == ["new", "was there", "was there"]


@pytest.mark.parametrize("company", [0, 1], ids=["alone", "in a batch"])
def test_a_unit_that_hides_a_failed_statement_is_found_out(db: Database, company: int) -> None:
    """PostgreSQL answers the COMMIT of a spoilt transaction with a ROLLBACK and no error: lost, unnoticed."""

    def unit(conn: Connection) -> str:
        add("hidden")(conn)
        try:
            conn.execute(text("SELECT * FROM no_such_table"))
        except Exception:
            return "all well"
        return "impossible"

    with writer_held(db):
        others = [db.submit(add(f"other{n}")) for n in range(company)]
        hiding = db.submit(unit)
    for other in others:
        other.result(5)
    if db.dialect == "postgresql":
        with pytest.raises(RuntimeError, match="spoilt"):
            hiding.result(5)
    else:  # SQLite undoes the statement alone: what came before stands
        assert hiding.result(5) == "all well"
    assert ("hidden" in db.read(names)) is (db.dialect == "sqlite")


def test_a_unit_that_commits_by_itself_is_told_that_it_must_not(db: Database) -> None:
    """Its batch would be answered as stored at two different moments."""

    def unit(conn: Connection) -> None:
        conn.commit()

    with pytest.raises(RuntimeError, match="ended or spoilt the transaction"):
        db.write(unit)
    assert db.write(add("next")) == "next"


def test_a_unit_that_ends_the_transaction_of_a_batch_fails_the_batch_and_not_the_writer(db: Database) -> None:
    """Nobody of that batch may be told that it is stored, and the next batch must find a clean connection."""
    with writer_held(db):
        innocent, guilty = db.submit(add("a")), db.submit(lambda conn: conn.rollback())
    for future in (innocent, guilty):
        with pytest.raises(StoreUnavailable):
            future.result(5)
    assert db.write(names) == set()


def test_a_future_resolves_only_after_its_commit(db: Database, database_url: str) -> None:
    """'250' follows the future: at that moment another connection must find the mail."""
    other = Database.open(database_url, password=PASSWORD, readers=1)
    seen: list[set[str]] = []
    running, go_on = threading.Event(), threading.Event()

    def unit(conn: Connection) -> None:
        add("mail")(conn)
        running.set()
        assert go_on.wait(10)

    future = db.submit(unit)
    future.add_done_callback(lambda _: seen.append(other.read(names)))  # called as it resolves
    assert running.wait(5)
    assert other.read(names) == set()
    assert not future.done()
    go_on.set()
    future.result(5)
    eventually(lambda: bool(seen))
    assert seen == [{"mail"}]
    other.close()


def test_a_unit_cancelled_before_its_turn_is_skipped(db: Database) -> None:
    """The client has gone and was told nothing: it will come again, and need not be found stored twice."""
    with writer_held(db):
        wanted, unwanted = db.submit(add("wanted")), db.submit(add("unwanted"))
        assert unwanted.cancel()
    wanted.result(5)
    with pytest.raises(CancelledError):
        unwanted.result(5)
    assert db.read(names) == {"wanted"}


def test_a_unit_that_writes_through_the_store_again_is_refused(db: Database) -> None:
    """It would wait for itself, and everybody else with it."""
    with pytest.raises(RuntimeError, match="wait for itself"):
        db.write(lambda conn: db.write(add("inner")))


def test_a_slow_transaction_is_reported_while_it_is_still_running(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator sees who holds everybody up, even if it never ends."""
    writer = Writer(db.backend, busy_timeout=5, slow=0.1)
    begun, release = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        begun.set()
        assert release.wait(20)

    def slow() -> list[str]:
        return [str(r.msg) for r in caplog.records if "store_transaction_slow" in str(r.msg)]

    writer.submit(hold)
    assert begun.wait(5)
    assert slow() == []
    time.sleep(0.15)
    writer.submit(add("a"))
    writer.submit(add("b"))
    assert len(slow()) == 1, "said while it is still running"
    release.set()
    assert writer.close(10)
    (line,) = slow()  # once
    assert "hold" in line


def test_closing_commits_what_is_queued(database_url: str) -> None:
    """A drained daemon has stored everything it took on."""
    db = Database.open(database_url, password=PASSWORD, readers=1)
    db.write(metadata.create_all)
    futures = [db.submit(add(str(n))) for n in range(450)]
    assert db.close(20)
    assert [future.result(0) for future in futures] == [str(n) for n in range(450)]
    with pytest.raises(StoreUnavailable, match="closed"):
        db.write(add("late"))
    assert db.close()


def test_closing_answers_those_it_cannot_wait_for(database_url: str) -> None:
    """A stop has a deadline; whoever still waits is told rather than left hanging."""
    db = Database.open(database_url, password=PASSWORD, readers=1)
    db.write(metadata.create_all)
    with writer_held(db):
        waiting = db.submit(add("waiting"))
        assert not db.close(0.1)
        with pytest.raises(StoreUnavailable, match="closing"):
            waiting.result(0)
    assert db.close(10)


# Trouble of SQLite

_HOLD_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE" if len(sys.argv) > 2 else "BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[Callable[[], None]]:
    """Hold SQLite's write lock in another process; yields what lets it go."""
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"locked\n"
    try:

        def unlock() -> None:
            child.communicate()

        yield unlock
    finally:
        if child.stdin is not None and not child.stdin.closed:
            child.communicate()


def test_a_lock_held_by_another_process_is_answered_in_time_and_outlived(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """451 must come before the client gives up, for the first who waits and for those who come later."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=0.6)
    with locked_by_another_process(sqlite_file) as unlock:
        waits: list[float] = []

        def submit(name: str) -> Future[str]:
            since = time.monotonic()
            future = db.submit(add(name))
            future.add_done_callback(lambda _: waits.append(time.monotonic() - since))
            return future

        early = submit("early")
        assert not wait([early], 0.3).done
        late = submit("late")
        for future in (early, late):
            with pytest.raises(StoreUnavailable, match="locked"):
                future.result(5)
        eventually(lambda: len(waits) == 2)
        assert all(0.55 < waited < 1.2 for waited in waits)
        assert db.read(names) == set()  # readers do not notice
        unlock()
    assert db.write(add("after")) == "after"
    assert db.write(names) == {"after"}


def test_a_short_lock_of_another_process_is_waited_for(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """A command at the console writes for a moment; no client needs to hear of it."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=10)
    with locked_by_another_process(sqlite_file) as unlock:
        future = db.submit(add("patient"))
        assert not wait([future], 0.3).done
        unlock()
        assert future.result(10) == "patient"


def test_a_full_disk_is_answered_and_outlived(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """The real SQLITE_FULL, from a limit on the file's pages that is lifted later: nothing half is left."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=1)
    full = [True]

    @event.listens_for(db.backend.writer, "connect")
    def limit(dbapi: sqlite3.Connection, record: object) -> None:
        dbapi.execute(f"PRAGMA max_page_count = {20 if full[0] else 1_000_000}")

    big = os.urandom(200_000)
    with writer_held(db):
        small, large, after = db.submit(add("small")), db.submit(add("large", big)), db.submit(add("after"))
    for future in (small, large, after):
        with pytest.raises(StoreUnavailable, match="full"):
            future.result(5)
    with pytest.raises(StoreUnavailable, match="full"):
        db.write(add("large", big))
    assert db.write(add("fits")) == "fits"

    full[0] = False
    eventually(lambda: works(db, add("large", big)))
    assert db.read(names) == {"fits", "large"}


def test_an_io_error_of_the_flush_is_answered_and_outlived(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """The kernel refuses a write during COMMIT: nobody of that batch may be told that it is stored."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=1)
    db.write(add("before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(StoreUnavailable):
            db.write(add("refused", os.urandom(400_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert db.write(add("after", os.urandom(400_000))) == "after"
    assert db.read(names) == {"before", "after"}
    assert db.check() == []


def test_a_folder_that_is_renamed_stops_the_store_until_it_is_back(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """In WAL mode SQLite goes on writing to the renamed file without a word, where no restart would look."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=1)
    db.write(add("before"))
    away = sqlite_file.parent.with_name("away")
    sqlite_file.parent.rename(away)
    with pytest.raises(StoreUnavailable):
        db.write(add("lost"))
    with pytest.raises(StoreUnavailable):
        db.read(names)
    assert not sqlite_file.parent.exists()  # nothing empty was put in its place

    away.rename(sqlite_file.parent)
    assert db.write(add("after")) == "after"
    assert db.read(names) == {"before", "after"}


def test_a_file_that_vanishes_during_a_transaction_is_noticed_before_the_answer(
    sqlite_file: Path, open_database: Callable[..., Database]
) -> None:
    """Committed to a deleted file means gone with the process: it must not be answered with 250."""
    db = open_database(f"sqlite:///{sqlite_file}", busy_timeout=1)

    def unit(conn: Connection) -> None:
        add("gone")(conn)
        for file in sqlite_file.parent.iterdir():
            file.unlink()

    with pytest.raises(StoreUnavailable, match="moved or removed"):
        db.write(unit)
    with pytest.raises(StoreUnavailable):
        db.write(add("still gone"))


_WRITE_FOR_EVER = """
import sys, threading
from sqlalchemy import text
from mailbridge.store.engine import Database
db = Database.open(sys.argv[1])
lock = threading.Lock()
def work(start):
    for n in range(start, 10**9, 8):
        db.write(lambda conn: conn.execute(text("INSERT INTO note (name) VALUES (:n)"), {"n": str(n)}))
        with lock:
            sys.stdout.write(f"{n}\\n")
            sys.stdout.flush()
for start in range(8):
    threading.Thread(target=work, args=(start,)).start()
"""


def test_a_process_killed_at_any_instant_has_lost_nothing_it_answered(sqlite_file: Path) -> None:
    """Promise 1, at the store: what was resolved is there after SIGKILL, and the file opens as it is."""
    answered: set[str] = set()
    for answers in (40, 170):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOR_EVER, f"sqlite:///{sqlite_file}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(answers)]
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate(timeout=10)
        told = "".join(lines) + rest
        answered |= {line for line in told.splitlines(keepends=True) if line.endswith("\n")}
        db = Database.open(f"sqlite:///{sqlite_file}", readers=1)
        assert {line.strip() for line in answered} <= db.read(names)
        assert db.check() == []
        db.write(lambda conn: conn.execute(note.delete()))
        answered.clear()
        db.close()


# Trouble of PostgreSQL


@pytest.fixture
def pg_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def test_a_connection_cut_between_two_batches_is_not_noticed(
    pg_url: str, postgres: PostgresServer, open_database: Callable[..., Database]
) -> None:
    """Firewalls and restarts cut idle connections; nothing was lost, so nobody needs an error."""
    db = open_database(pg_url)
    db.write(metadata.create_all)
    assert db.read(names) == set()
    pid = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailbridge'"
    assert postgres.execute(pid)
    assert db.write(add("after")) == "after"
    assert db.read(names) == {"after"}


def test_a_connection_cut_inside_a_batch_fails_that_batch_only(
    pg_url: str, postgres: PostgresServer, open_database: Callable[..., Database]
) -> None:
    """What was not committed is answered as not stored, by all of the batch; the next finds the server."""
    db = open_database(pg_url)
    db.write(metadata.create_all)

    def cut(conn: Connection) -> None:
        pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        postgres.execute(f"SELECT pg_terminate_backend({pid})")
        conn.execute(text("SELECT 1"))

    with writer_held(db):
        futures: list[Future[Any]] = [db.submit(add("a")), db.submit(cut), db.submit(add("b"))]
    for future in futures:
        with pytest.raises(StoreUnavailable):
            future.result(5)
    with pytest.raises(StoreUnavailable):
        db.write(cut)
    assert db.write(add("after")) == "after"
    assert db.read(names) == {"after"}


def test_a_lock_on_a_row_is_waited_for_only_so_long(
    pg_url: str, postgres: PostgresServer, open_database: Callable[..., Database]
) -> None:
    """Another node holds a row: the unit that needs it is answered, its batch is committed."""
    db = open_database(pg_url, busy_timeout=0.3)
    other = open_database(pg_url)
    db.write(metadata.create_all)
    db.write(lambda conn: conn.execute(insert(counter), {"id": 1, "n": 0}))

    def count(conn: Connection) -> None:
        conn.execute(update(counter).values(n=counter.c.n + 1))

    held, release = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        count(conn)
        held.set()
        assert release.wait(10)

    holding = other.submit(hold)
    assert held.wait(5)
    with writer_held(db):
        blocked, free = db.submit(count), db.submit(add("free"))
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        blocked.result(5)
    assert free.result(5) == "free"
    release.set()
    holding.result(5)
    db.write(count)
    assert db.read(lambda conn: conn.execute(select(counter.c.n)).scalar_one()) == 2


def test_a_stopped_server_is_answered_at_once_and_outlived(
    pg_url: str, postgres: PostgresServer, open_database: Callable[..., Database]
) -> None:
    """A restart of the server for an upgrade: 451 meanwhile, and no restart of ours afterwards."""
    db = open_database(pg_url, busy_timeout=2)
    db.write(metadata.create_all)
    postgres.stop()
    try:
        since = time.monotonic()
        with pytest.raises(StoreUnavailable):
            db.write(add("lost"))
        with pytest.raises(StoreUnavailable):
            db.read(names)
        assert time.monotonic() - since < 2
    finally:
        postgres.start()
    assert db.write(add("after")) == "after"
    assert db.read(names) == {"after"}


def test_a_missing_table_on_postgresql_is_a_bug_and_not_trouble(
    pg_url: str, open_database: Callable[..., Database]
) -> None:
    """psycopg gives it a class of its own; it must pass unchanged."""
    with pytest.raises(ProgrammingError):
        open_database(pg_url).write(names)
