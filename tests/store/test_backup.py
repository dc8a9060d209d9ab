"""A backup is whole, is one file, and never costs another file its life."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from mailbridge.store.backup import BackupRefusedError, backup
from mailbridge.store.engine import Database, StoreUnavailable
from mailbridge.store.migrate import pending
from tests.postgres import PASSWORD


@pytest.fixture
def db(tmp_path: Path, open_database: Callable[..., Database]) -> Database:
    """A SQLite database with a table of numbered rows; a row's number is also in its neighbour."""
    db = open_database(f"sqlite:///{tmp_path / 'store' / 'mailbridge.db'}")
    db.write(lambda conn: conn.execute(text("CREATE TABLE pair (n INTEGER, side TEXT, data BLOB)")))
    return db


def add_pair(n: int) -> Callable[[Connection], None]:
    """Two rows in one transaction: a copy that holds one of them only is torn."""

    def unit(conn: Connection) -> None:
        for side in ("left", "right"):
            conn.execute(
                text("INSERT INTO pair VALUES (:n, :side, :data)"),
                {"n": n, "side": side, "data": os.urandom(5000)},
            )

    return unit


def pairs(path: Path) -> dict[int, int]:
    """How many rows there are of each number, read as a stranger would: from the one file, read only."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as conn:
        return dict(conn.execute("SELECT n, count(*) FROM pair GROUP BY n").fetchall())


def test_a_backup_holds_what_was_committed_before_it_even_if_only_in_the_log(
    db: Database, tmp_path: Path
) -> None:
    """`cp mailbridge.db` would miss the write-ahead log, where the newest mail is."""
    for n in range(20):
        db.write(add_pair(n))
    target = tmp_path / "backup.db"
    backup(db, target)
    assert pairs(target) == dict.fromkeys(range(20), 2)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "backup.db",
        "store",
    ]  # nothing left lying about


def test_a_backup_under_load_is_one_moment_and_holds_nobody_up(db: Database, tmp_path: Path) -> None:
    """Taken while mail comes in, as it will be every night."""
    for n in range(200):
        db.submit(add_pair(n))
    db.write(lambda conn: None)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            n = 1000 + len(written)
            db.write(add_pair(n))
            written.append(n)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for attempt in range(3):
            before = len(written)
            target = tmp_path / f"backup{attempt}.db"
            backup(db, target)
            held = pairs(target)
            assert set(held.values()) == {2}
            assert set(range(200)) | set(written[:before]) <= set(held)
    finally:
        stop.set()
        writing.join(10)
    assert written


def test_a_backup_can_be_used_as_the_database(database_url: str, tmp_path: Path) -> None:
    """Restoring is putting the file in place: schema and all."""
    db = Database.open(database_url, password=PASSWORD, readers=1)
    target = tmp_path / "backup.db"
    if db.dialect == "postgresql":
        with pytest.raises(BackupRefusedError, match="pg_dump --format=custom") as caught:
            backup(db, target)
        assert PASSWORD not in str(caught.value)
        assert not target.exists()
        db.close()
        return
    backup(db, target)
    db.close()
    restored = Database.open(f"sqlite:///{target}", readers=1)
    assert pending(restored) == []
    restored.ping()
    restored.close()


def test_an_existing_file_is_never_overwritten(db: Database, tmp_path: Path) -> None:
    """The file in the way may be the only good backup; a dangling link may lead anywhere."""
    target = tmp_path / "backup.db"
    target.write_text("the only good one")
    with pytest.raises(BackupRefusedError, match=r"backup.db exists"):
        backup(db, target)
    assert target.read_text() == "the only good one"
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(BackupRefusedError, match=r"link.db exists"):
        backup(db, link)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_database_that_is_away_leaves_no_empty_backup(db: Database, tmp_path: Path) -> None:
    """An empty file that is called a backup is worse than none."""
    (tmp_path / "store").rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable):
        backup(db, tmp_path / "backup.db")
    (tmp_path / "away").rename(tmp_path / "store")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store"]


def test_a_damaged_database_is_not_passed_on_as_a_backup(tmp_path: Path) -> None:
    """The day a backup is needed is the wrong day to learn that it copied the damage."""
    path = tmp_path / "store" / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1)
    db.write(lambda conn: conn.execute(text("CREATE TABLE pair (n INTEGER, side TEXT, data BLOB)")))
    for n in range(30):
        db.write(add_pair(n))
    assert db.close()
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xa5" * 12288
    path.write_bytes(content)

    db = Database.open(f"sqlite:///{path}", readers=1)
    with pytest.raises((BackupRefusedError, StoreUnavailable), match=r"damaged|malformed"):
        backup(db, tmp_path / "backup.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store"]
    db.close()
