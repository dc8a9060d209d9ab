"""`db` and `keys`: the database and the signing keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailbridge.cli import exits
from mailbridge.cli.context import ConfigOption, fail, parts_of, settings_of

db_app = typer.Typer(no_args_is_help=True, help="The database.")
keys_app = typer.Typer(no_args_is_help=True, help="The keys that sign our addresses and Message-IDs.")


@db_app.command()
def upgrade(config: ConfigOption = None) -> None:
    """Bring the database to the schema of this version. The daemon does it by itself at its start."""
    settings = settings_of(config)
    from mailbridge.parts import Parts
    from mailbridge.store import migrate
    from mailbridge.store.engine import StoreSettingsError, StoreUnavailable

    parts = Parts(settings)
    try:
        applied = migrate.upgrade(parts.database)
    except (StoreSettingsError, migrate.SchemaTooNewError) as error:
        raise fail(str(error), exits.CONFIG) from None
    except StoreUnavailable as error:
        raise fail(f"the database cannot be used now: {error}", exits.TEMPORARY) from None
    finally:
        parts.close()
    print(f"applied {', '.join(applied)}" if applied else "up to date")


@db_app.command("check")
def check_db(config: ConfigOption = None) -> None:
    """Does the database answer, is its schema current, and is its file sound (SQLite)?"""
    from mailbridge.store import migrate

    with parts_of(config) as parts:
        parts.database.ping()
        problems = parts.database.check()
        version = migrate.current(parts.database)
    if problems:
        raise fail("the file is damaged: " + "; ".join(problems[:5]), exits.DATA)
    print(f"the database answers; schema {version}; nothing wrong was found")


@db_app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
    config: ConfigOption = None,
) -> None:
    """Copy the SQLite database while the daemon runs. Keep keys.json of the data folder with it."""
    from mailbridge.store.backup import BackupRefusedError
    from mailbridge.store.backup import backup as copy

    with parts_of(config) as parts:
        try:
            copy(parts.database, target)
        except BackupRefusedError as error:
            raise fail(str(error), exits.OS_FILE) from None
        except OSError as error:
            raise fail(f"{target}: {error.strerror}", exits.OS_FILE) from None
        folder = parts.settings.server.data_dir
    print(f"copied to {target}; the signing keys are in {folder / 'keys.json'}: keep them too")


@db_app.command()
def export(config: ConfigOption = None) -> None:
    """Every ticket with its entries, one JSON object a line."""
    from functools import partial

    from mailbridge.cli.output import print_json
    from mailbridge.cli.tickets import ticket_record
    from mailbridge.store import views

    with parts_of(config) as parts:
        for number in parts.database.read(views.all_numbers):
            print_json(parts.database.read(partial(ticket_record, number=number)))


@keys_app.command()
def rotate(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Forget all older keys: only after a theft. Old tokens die.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Sign with a new key from now on; what older keys signed is still known."""
    with parts_of(config) as parts:
        ring = parts.keys.rotate(keep=0) if drop_old else parts.keys.rotate()
    print(f"new mail is signed with key {ring.current.id}; {len(ring.retired)} older key(s) still verify")


@keys_app.command("list")
def list_keys(config: ConfigOption = None) -> None:
    """The ids of the keys; never the secrets."""
    with parts_of(config) as parts:
        ring = parts.keys.load()
    print(f"{ring.current.id}  current")
    for key in ring.retired:
        print(f"{key.id}  retired (still verifies)")
