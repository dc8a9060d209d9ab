"""Migrations: they make the tables the code expects, on both databases, all at once or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from mailbridge.store import migrate
from mailbridge.store.engine import Database, StoreUnavailable
from mailbridge.store.migrate import SchemaTooNewError, current, pending, upgrade
from mailbridge.store.tables import metadata

_REVISION = '''
"""A revision of a test."""
import sqlalchemy as sa
from alembic import op
revision = {revision!r}
down_revision = {down!r}
def upgrade() -> None:
    {body}
'''


@pytest.fixture
def db(empty_url: str, open_database: Callable[..., Database]) -> Database:
    """An empty database of each kind."""
    return open_database(empty_url)


@pytest.fixture
def migrations(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of migrations from the bodies of their functions, numbered 0001, 0002, ..."""

    def make(*bodies: str) -> Path:
        folder = tmp_path / "migrations"
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text((migrate.MIGRATIONS / "env.py").read_text())
        for n, body in enumerate(bodies, 1):
            down = f"{n - 1:04}" if n > 1 else None
            content = _REVISION.format(revision=f"{n:04}", down=down, body=body.replace("\n", "\n    "))
            (folder / "versions" / f"{n:04}_test.py").write_text(content)
        return folder

    return make


def tables(db: Database) -> set[str]:
    """The names of all tables."""
    return db.read(lambda conn: set(inspect(conn).get_table_names()))


def test_an_empty_database_gets_the_schema_of_the_code(db: Database) -> None:
    """Alembic compares what the migrations made with `tables.py`: a forgotten revision shows here."""
    assert current(db) is None
    every = pending(db)
    assert upgrade(db) == every
    assert current(db) == migrate.HEAD == every[-1]

    def difference(conn: Connection) -> list[object]:
        # On SQLite Alembic takes '' for a changed default; the next test compares the words instead.
        options = {"compare_type": True, "compare_server_default": db.dialect == "postgresql"}
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    assert db.read(difference) == []
    assert upgrade(db) == pending(db) == []


def test_constraints_are_those_of_the_code_too(
    tmp_path: Path, open_database: Callable[..., Database]
) -> None:
    """Alembic does not compare CHECK constraints; the words of the two schemas are compared instead."""
    migrated = open_database(f"sqlite:///{tmp_path / 'migrated.db'}")
    upgrade(migrated)
    made = open_database(f"sqlite:///{tmp_path / 'made.db'}")
    made.write(metadata.create_all)

    def schema(conn: Connection) -> dict[str, list[str]]:
        found = conn.execute(text("SELECT name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"))
        return {name: sorted(line.strip(" ,\t") for line in (sql or "").splitlines()) for name, sql in found}

    assert migrated.read(schema) == made.read(schema)


def test_the_head_in_the_code_is_the_newest_revision() -> None:
    """The code looks at this constant at start, so as not to load Alembic for nothing."""
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


def test_a_migration_that_fails_takes_the_whole_upgrade_back(
    db: Database, migrations: Callable[..., Path]
) -> None:
    """Half a schema fits no version of the code. With the driver's own BEGIN, SQLite kept that half."""
    folder = migrations(
        "op.create_table('one', sa.Column('id', sa.Integer, primary_key=True))",
        "op.create_table('two', sa.Column('id', sa.Integer, primary_key=True))\nraise KeyError('a bug')",
    )
    with pytest.raises(KeyError, match="a bug"):
        upgrade(db, migrations=folder, head="0002")
    assert tables(db) == set()
    assert current(db) is None
    assert upgrade(db)  # and nothing is in the way of a right one


def test_rebuilding_a_table_leaves_the_rows_that_refer_to_it(
    db: Database, migrations: Callable[..., Path]
) -> None:
    """SQLite alters by dropping and renaming; with foreign keys on, the drop deletes the referring rows."""
    folder = migrations(
        "op.create_table('parent', sa.Column('id', sa.Integer, primary_key=True),\n"
        "    sa.Column('a', sa.String(5)))\n"
        "op.create_table('child', sa.Column('id', sa.Integer, primary_key=True),\n"
        "    sa.Column('parent_id', sa.Integer, sa.ForeignKey('parent.id', ondelete='CASCADE')))\n"
        "op.execute(\"INSERT INTO parent VALUES (1, 'x')\")\n"
        "op.execute('INSERT INTO child VALUES (1, 1)')",
        "with op.batch_alter_table('parent', recreate='auto') as batch:\n"
        "    batch.alter_column('a', type_=sa.String(50), nullable=False, existing_type=sa.String(5))",
    )
    assert upgrade(db, migrations=folder, head="0002") == ["0001", "0002"]
    assert db.read(lambda conn: conn.execute(text("SELECT count(*) FROM child")).scalar_one()) == 1
    if db.dialect == "sqlite":
        assert db.write(lambda conn: conn.exec_driver_sql("PRAGMA foreign_keys").scalar_one()) == 1


def test_a_migration_that_leaves_rows_referring_to_nothing_is_taken_back(
    tmp_path: Path, open_database: Callable[..., Database], migrations: Callable[..., Path]
) -> None:
    """Foreign keys are not enforced while SQLite migrates, so they are checked before the commit."""
    db = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    folder = migrations(
        "op.create_table('parent', sa.Column('id', sa.Integer, primary_key=True))\n"
        "op.create_table('child', sa.Column('parent_id', sa.Integer, sa.ForeignKey('parent.id')))\n"
        "op.execute('INSERT INTO child VALUES (1)')",
    )
    with pytest.raises(RuntimeError, match=r"1 rows that refer to nothing, in \['child'\]"):
        upgrade(db, migrations=folder, head="0001")
    assert tables(db) == set()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(db: Database) -> None:
    """After a downgrade of the program: say what to do rather than fail at the first unknown column."""
    upgrade(db)
    db.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for ask in (upgrade, pending):
        with pytest.raises(SchemaTooNewError, match=r"at schema 9999, which this version .* does not know"):
            ask(db)
    assert current(db) == "9999"


def test_two_nodes_that_start_together_migrate_once(
    empty_url: str, open_database: Callable[..., Database]
) -> None:
    """Both find an empty database; the second waits for the first and then finds nothing to do."""
    nodes = [open_database(empty_url, busy_timeout=20) for _ in range(2)]
    applied: list[list[str]] = []
    barrier = threading.Barrier(2)

    def start(db: Database) -> None:
        barrier.wait(5)
        applied.append(upgrade(db))

    # Alembic keeps its context in module globals: one process each would be the true picture, but one lock
    # taken before Alembic runs is what keeps the two apart here as there.
    threads = [threading.Thread(target=start, args=(db,)) for db in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(applied) == [[], ["0001"]]


def test_a_locked_database_is_not_migrated_and_not_waited_for_without_end(
    tmp_path: Path, open_database: Callable[..., Database]
) -> None:
    """Another process is at it, or a console has an open transaction."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    db, other = open_database(url, busy_timeout=0.3), open_database(url)
    held, release = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        held.set()
        assert release.wait(10)

    holding = other.submit(hold)
    assert held.wait(5)
    with pytest.raises(StoreUnavailable, match="locked"):
        upgrade(db)
    release.set()
    holding.result(5)
    assert upgrade(db)


def test_a_database_that_is_up_to_date_is_opened_without_loading_alembic(database_url: str) -> None:
    """Loading it costs a fifth of a second and several megabytes that the daemon would keep for ever."""
    program = (
        "import sys\n"
        "from mailbridge.store.engine import Database\n"
        "from mailbridge.store.migrate import pending, upgrade\n"
        "from tests.postgres import PASSWORD\n"
        f"db = Database.open({database_url!r}, password=PASSWORD)\n"
        "assert upgrade(db) == pending(db) == []\n"
        "assert db.close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
