"""Fixtures for all tests: a migrated database of each kind, and a clock and identifiers to hold in hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailbridge.store.engine import Database
from mailbridge.store.migrate import upgrade
from tests.fakes import FakeClock, FakeIds
from tests.postgres import PASSWORD, PostgresServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden`: write what is read now into the sidecars of the golden mails."""
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite fixtures/emails/**/*.expected.json"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture
def ids() -> FakeIds:
    """The same tokens in each run."""
    return FakeIds()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for the run, started when the first test asks for it."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the present schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "mailbridge.db"
    db = Database.open(f"sqlite:///{path}", readers=1)
    upgrade(db)
    assert db.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a PostgreSQL database with the present schema, to be used as a template."""
    name = postgres.create()
    db = Database.open(postgres.url(name), password=PASSWORD, readers=1)
    upgrade(db)
    assert db.close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, on SQLite and on PostgreSQL (password: `tests.postgres.PASSWORD`)."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of its own, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "mailbridge.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(request.getfixturevalue("migrated_postgres"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def open_database() -> Iterator[Callable[..., Database]]:
    """Open databases as `Database.open` does; they are closed after the test."""
    opened: list[Database] = []

    def opener(url: str, *, readers: int = 4, busy_timeout: float = 5.0) -> Database:
        db = Database.open(url, password=PASSWORD, readers=readers, busy_timeout=busy_timeout)
        opened.append(db)
        return db

    yield opener
    for db in opened:
        db.close(5)


@pytest.fixture
def database(database_url: str, open_database: Callable[..., Database]) -> Database:
    """A migrated database: each test that asks for it runs on SQLite and on PostgreSQL."""
    return open_database(database_url)
