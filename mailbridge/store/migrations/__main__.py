"""Write a revision from the difference between the migrations and `tables.py`, for developers.

    python -m mailbridge.store.migrations "what changes"
    python -m mailbridge.store.migrations --first "initial schema"     (until the first release: 0001 anew)

Then format and read what it wrote, and set `migrate.HEAD`.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from mailbridge.store.engine import Database
from mailbridge.store.migrate import MIGRATIONS


def main() -> None:
    """Bring a throw-away SQLite database to the present head and let Alembic compare."""
    parser = argparse.ArgumentParser(prog="python -m mailbridge.store.migrations", description=__doc__)
    parser.add_argument("message")
    parser.add_argument("--first", action="store_true", help="delete all revisions and write the first anew")
    arguments = parser.parse_args()
    versions = MIGRATIONS / "versions"
    if arguments.first:
        for old in versions.glob("[0-9]*.py"):
            old.unlink()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    scripts = ScriptDirectory.from_config(config)
    revision = f"{len(list(scripts.walk_revisions())) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        db = Database.open(f"sqlite:///{Path(folder) / 'empty.db'}", readers=1)
        with db.backend.writer.begin() as conn:
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
            command.revision(config, arguments.message, autogenerate=True, rev_id=revision)
        db.close()
    for written in versions.glob(f"{revision}_*.py"):
        _tidy(written)


def _tidy(path: Path) -> None:
    """Drop Alembic's notes to the developer; the formatter does the rest."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not re.match(r"\s*# ### ", line)]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


main()
