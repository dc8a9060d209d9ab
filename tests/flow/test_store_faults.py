"""The database goes away under load, in every way that databases do: mail is put off, and goes on by itself.

Each test offers mail before, during and after the fault, as mail servers do, and in the end compares the books:
nothing with a 250 is lost, nothing is there twice, and the daemon is the one that was started at the beginning.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.books import Books, Ledgers, idle
from tests.flow.letters import ANNE, DESK, letter
from tests.flow.load import Load, until
from tests.flow.mortal import Mortal, fill, free, say, small_disk
from tests.postgres import PASSWORD, PostgresServer

WITHIN = 10.0
"""Seconds for the 451: a client must not have to wait longer."""
HANDS = 4
FAULTS = ("store_batch_lost",)
"""What may be logged as an error while the database is away."""
_POLITE = re.compile(r"45[12] 4\.\d\.\d [a-z ,]+")
pytestmark = pytest.mark.timeout(120)
SETTINGS = {"delivery": {"timeout": '"20s"'}}


@contextlib.contextmanager
def running(world: Mortal) -> Iterator[tuple[Mortal, Load]]:
    """The daemon under load, with some mail worked off. It must be the same process at the end, and stop well."""
    assert world.smtp is not None
    with world:
        pid = world.pid
        with Load(world.port, sink=world.smtp.sink, seed=1) as load:
            load.letters(20)
            load.settle(20)
            yield world, load
        assert world.pid == pid


def put_off(load: Load, count: int = 1) -> None:
    """Wait until `count` mails more were put off; none may have had to wait too long for that."""
    before = load.put_off
    until(lambda: load.put_off >= before + count, "mail should be put off", WITHIN + 5)
    waits = [mail.worst_wait for mail in load.ledger.values()]
    assert max(waits) <= WITHIN, sorted(waits)[-5:]


def press(load: Load, count: int) -> None:
    """Offer large mails until `count` were put off: what has room in the database's files is still taken."""
    before = load.put_off
    deadline = time.monotonic() + WITHIN
    while load.put_off < before + count and time.monotonic() < deadline:
        load.letters(5, size=50_000)
        time.sleep(0.1)
    put_off(load)


def recovered(world: Mortal, load: Load, url: str, *, repeats: int = 0) -> Books:
    """Wait until all is well again, and compare the books."""
    load.letters(5)
    load.settle(30)
    with Ledgers(url) as books:
        idle(books, load, 45)
        said = {answer for mail in load.ledger.values() for answer in mail.put_off}
        for answer in said:
            assert _POLITE.fullmatch(answer), answer
        assert not [m for m in load.ledger.values() if m.refused]
        lost = sum(m.lost_after_dot + len(m.put_off) for m in load.ledger.values())
        assert world.smtp is not None
        found = books.audit(load.ledger, world.smtp.sink.mails, repeats=repeats, lost_answers=lost)
        say(f"{found}, answers: {said}")
        return found


def database_of(world: Mortal) -> str:
    """The SQLite file of a daemon, as a URL."""
    return f"sqlite:///{world.data / 'mailbridge.db'}"


@contextlib.contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Nothing is free on the disk of `folder`."""
    ballast = folder / "ballast"
    fill(ballast, 0)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _no_growth(world: Mortal) -> Iterator[None]:
    """No file of the daemon may become larger than its database is now (EFBIG)."""
    size = max(file.stat().st_size for file in (*world.data.glob("mailbridge.db*"), world.log))
    before = resource.prlimit(world.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(world.pid, resource.RLIMIT_FSIZE, before)


def test_mail_is_put_off_while_another_program_has_locked_the_database(tmp_path: Path) -> None:
    """Somebody's backup script holds the lock: 451 before the client loses patience, 75 for a pipe, and when
    the lock is gone all goes on without anybody's doing."""
    with running(Mortal(tmp_path, settings=SETTINGS, expected=FAULTS)) as (world, load):
        other = sqlite3.connect(world.data / "mailbridge.db", isolation_level=None, timeout=10)
        other.execute("BEGIN EXCLUSIVE")
        load.letters(6)
        piped = letter(ANNE, DESK, "by a pipe").as_bytes()
        assert world.cli("inject", "-", stdin=piped).code == 75
        put_off(load)
        other.execute("ROLLBACK")
        other.close()
        recovered(world, load, database_of(world))


def test_mail_is_put_off_while_the_disk_is_full(tmp_path: Path) -> None:
    """Not a byte is left, for the log neither: 451 or 452, nothing half-written, and the daemon stays up. With
    room again it goes on. Where no file system may be mounted, files that may not grow stand for it."""
    world = Mortal(tmp_path / "world", settings=SETTINGS, expected=FAULTS)
    with small_disk(world.data, 96 << 20) as mounted:
        say("a file system of 96 MiB" if mounted else "not allowed to mount: a limit on the size of files")
        if mounted:
            world.log, world.torn = world.data / "daemon.log", True
        with running(world) as (_, load):
            for _ in range(2):
                with _full(world.data) if mounted else _no_growth(world):
                    press(load, 12)
                load.settle(30)
            recovered(world, load, database_of(world))


def test_mail_is_put_off_while_files_cannot_grow(tmp_path: Path) -> None:
    """An I/O error in the middle of a write, by the kernel's limit on the size of files: the log's too."""
    with running(Mortal(tmp_path, settings=SETTINGS, expected=FAULTS)) as (world, load):
        with _no_growth(world):
            press(load, 12)
        recovered(world, load, database_of(world))


def test_mail_is_put_off_while_the_folder_of_the_database_is_away(tmp_path: Path) -> None:
    """A file system that comes and goes. What was written to a file that nobody will find again was not
    accepted, and mail that was in work meanwhile is not blamed for it."""
    with running(Mortal(tmp_path, settings=SETTINGS, expected=FAULTS)) as (world, load):
        away = world.folder / "away"
        for _ in range(5):
            load.letters(20)
            time.sleep(0.05)
            world.data.rename(away)
            put_off(load)
            away.rename(world.data)
        recovered(world, load, database_of(world), repeats=5 * HANDS)


def test_mail_is_put_off_while_postgresql_is_stopped(tmp_path: Path) -> None:
    """An update of the database server is no reason to lose or to bounce a mail, nor to restart the daemon."""
    server = PostgresServer()
    try:
        server.start()
        url = server.url("postgres")
        world = Mortal(tmp_path, settings=SETTINGS, url=url, password=PASSWORD, expected=FAULTS)
        with running(world) as (_, load):
            for _ in range(2):
                load.letters(20)
                server.stop()
                load.letters(6)
                put_off(load)
                server.start()
            recovered(world, load, url, repeats=2 * HANDS)
    finally:
        server.remove()


def test_mail_is_put_off_before_the_disk_is_full(tmp_path: Path) -> None:
    """smtp.min_free_disk keeps room for the work on what is already accepted."""
    data = tmp_path / "world" / "data"
    with small_disk(data, 64 << 20) as mounted:
        spare = 16 << 20 if mounted else 256 << 20
        least = (free(data) - spare) >> 20
        settings = SETTINGS | {"smtp": {"min_free_disk": f'"{least} MiB"'}}
        with running(Mortal(tmp_path / "world", settings=settings)) as (world, load):
            ballast = data / "ballast"
            fill(ballast, (least << 20) - spare // 2)
            deadline = time.monotonic() + 5  # it looks once a second
            while not load.put_off and time.monotonic() < deadline:
                load.letters(1)
                time.sleep(0.1)
            put_off(load)
            with Ledgers(database_of(world)) as books:
                until(lambda: not books.unfinished(), "what was accepted should be worked off meanwhile", 20)
            ballast.unlink()
            recovered(world, load, database_of(world))


def test_more_unread_mail_than_allowed_is_put_off_and_worked_off(tmp_path: Path) -> None:
    """smtp.max_unprocessed: a flood waits at its senders, not on our disk. Here the readers are stopped."""
    limit, connections = 20, 6
    settings = SETTINGS | {"smtp": {"max_unprocessed": str(limit)}}
    with running(Mortal(tmp_path, settings=settings)) as (world, load):
        with Ledgers(database_of(world)) as books:
            idle(books, load, 20)
        stopped = world.workers()
        assert stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            mails = load.letters(60)
            until(lambda: sum(1 for m in mails if m.put_off) >= connections, "mail should be put off", 10)
            taken = sum(m.accepted for m in mails)
            assert limit < taken <= limit + connections, taken
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        recovered(world, load, database_of(world))
