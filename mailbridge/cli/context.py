"""What every command needs: the settings file, the parts made from it, and errors turned into words."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailbridge.cli import exits

if TYPE_CHECKING:
    from mailbridge.config import Settings
    from mailbridge.parts import Parts

DEFAULT_FILES = (Path("config/mailbridge.toml"), Path("/etc/mailbridge/mailbridge.toml"))

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The settings file. Default: $MAILBRIDGE_CONFIG, config/mailbridge.toml here, "
        "/etc/mailbridge/mailbridge.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")]
AgentOption = Annotated[
    str, typer.Option("--agent", help="Act as this agent (address). Default: the mailbox itself.")
]


def fail(text: str, code: int = exits.USAGE) -> typer.Exit:
    """Say what was wrong on stderr; raise what this returns."""
    from mailbridge.cli.output import safe

    sys.stderr.write(f"mailbridge: {safe(text)}\n")
    return typer.Exit(code)


def find_config(given: Path | None) -> Path | None:
    """The settings file that is meant; None when there is none anywhere."""
    if given is not None:
        return given
    named = os.environ.get("MAILBRIDGE_CONFIG")
    if named:
        return Path(named)
    return next((path for path in DEFAULT_FILES if path.exists()), None)


def settings_of(given: Path | None, *, sending: bool = False) -> Settings:
    """The settings, or exit 78 with every problem named. Only who is `sending` needs the mail password."""
    from mailbridge.config import ConfigError
    from mailbridge.config_load import load

    try:
        return load(find_config(given), sending=sending)
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"mailbridge: {problem}\n")
        raise typer.Exit(exits.CONFIG) from None


@contextlib.contextmanager
def parts_of(given: Path | None) -> Iterator[Parts]:
    """The services, closed at the end; known troubles become words and sysexits."""
    settings = settings_of(given)
    from mailbridge import logs
    from mailbridge.core.render import TemplateError
    from mailbridge.parts import Parts, SchemaOldError
    from mailbridge.service.desk import NotPossibleError
    from mailbridge.service.keys import KeyFileError
    from mailbridge.store.engine import StoreSettingsError, StoreUnavailable
    from mailbridge.store.migrate import SchemaTooNewError

    logs.configure("text", "warning", sys.stderr)
    parts = Parts(settings)
    try:
        yield parts.ready()
    except NotPossibleError as error:
        raise fail(str(error), exits.USAGE) from None
    except (SchemaOldError, SchemaTooNewError, StoreSettingsError, KeyFileError, TemplateError) as error:
        raise fail(str(error), exits.CONFIG) from None
    except StoreUnavailable as error:
        raise fail(f"the database cannot be used now: {error}", exits.TEMPORARY) from None
    finally:
        parts.close()


def operator() -> str:
    """Who runs this command, for the history: 'cli:NAME'."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def read_text(text: str | None, file: Path | None) -> str:
    """Words from an argument, a file, or ('-') standard input. They are UTF-8, whatever the locale."""
    if text is not None:
        return text
    from_stdin = file is None or str(file) == "-"
    try:
        raw = sys.stdin.buffer.read() if from_stdin else Path(str(file)).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise fail(f"{file}: {error.strerror}", exits.NO_INPUT) from None
    except UnicodeDecodeError:
        raise fail(f"{'standard input' if from_stdin else file} is not UTF-8 text", exits.DATA) from None
