"""What the watchdog goes by: tasks and database, both real."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mailbridge.edge.health import Health
from mailbridge.edge.supervisor import Supervisor
from mailbridge.logs import get_logger
from mailbridge.store.engine import Database, StoreUnavailable


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """A supervisor whose tasks end with the test."""
    made = Supervisor(get_logger("test"))
    yield made
    await made.cancel("work")


async def forever() -> None:
    await asyncio.Event().wait()


async def until_known(health: Health) -> str:
    """The trouble, once there is some."""
    async with asyncio.timeout(10):
        while True:
            if (why := await health.trouble()) is not None:
                return why
            await asyncio.sleep(0.01)


async def test_all_is_well_while_tasks_run_and_the_database_answers(
    database: Database, supervisor: Supervisor
) -> None:
    """A false alarm costs every open connection."""
    supervisor.start("work", forever)
    assert await Health(database, supervisor).trouble() is None


async def test_a_task_that_fails_is_trouble_until_it_has_run_for_a_while(
    database: Database, supervisor: Supervisor
) -> None:
    """The supervisor starts it again; one that fails each time does no work, however often it is started."""
    failed, runs_again = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        if not failed.is_set():
            failed.set()
            raise KeyError("nonsense")
        runs_again.set()
        await forever()

    supervisor.start("work", work)
    health = Health(database, supervisor)
    assert await until_known(health) == "task work: KeyError: 'nonsense'"
    async with asyncio.timeout(10):
        await runs_again.wait()
    assert await health.trouble() is not None


async def test_a_task_that_has_ended_is_trouble(database: Database, supervisor: Supervisor) -> None:
    """The daemon's tasks end only when they are told to; by then the watchdog is off."""

    async def work() -> None:
        return

    supervisor.start("work", work)
    assert await until_known(Health(database, supervisor)) == "task work ended"


async def test_a_database_that_hangs_is_trouble_and_is_asked_once(
    tmp_path: Path, migrated_sqlite: Path, open_database: Callable[..., Database], supervisor: Supervisor
) -> None:
    """Threads that wait for it cannot be cancelled; one more at each look would use them up."""
    path = shutil.copy(migrated_sqlite, tmp_path / "desk.db")
    database = open_database(f"sqlite:///{path}", busy_timeout=20.0)
    health = Health(database, supervisor, patience=0.1)
    assert await health.trouble() is None
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    try:
        assert await health.trouble() == "the database did not answer within 0.1 s"
        threads = threading.active_count()
        for _ in range(5):
            assert await health.trouble() is not None
        assert threading.active_count() == threads
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    async with asyncio.timeout(20):
        while await health.trouble() is not None:
            continue


async def test_a_sqlite_file_that_cannot_be_used_is_trouble(
    tmp_path: Path, open_database: Callable[..., Database], supervisor: Supervisor
) -> None:
    """It is ours alone: a new process opens it anew, or fails where everybody sees it."""
    path = tmp_path / "desk.db"
    database = open_database(f"sqlite:///{path}")
    path.write_bytes(b"no database at all" * 100)
    assert (await until_known(Health(database, supervisor))).startswith("database: ")


async def test_a_database_server_that_is_away_is_no_reason_to_restart(
    open_database: Callable[..., Database], supervisor: Supervisor
) -> None:
    """We put mail off with a 451 meanwhile and go on by ourselves; a new process could not even start."""
    database = open_database("postgresql://desk@127.0.0.1:1/desk", busy_timeout=1.0)

    tried = asyncio.Event()

    async def work() -> None:
        tried.set()
        raise StoreUnavailable("connection refused")

    supervisor.start("work", work)
    async with asyncio.timeout(10):
        await tried.wait()
    await asyncio.sleep(0)
    assert list(supervisor.failing()) == ["work"]
    assert await Health(database, supervisor).trouble() is None
