"""The commands and their names (DESIGN §4). Each imports what it needs when it runs: `--help` stays quick."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mailbridge.cli import agents, exits, mail, outbox, quarantine, store, tickets
from mailbridge.cli.context import ConfigOption, JsonOption, fail, find_config, parts_of, settings_of

app = typer.Typer(
    name="mailbridge",
    help="A support desk that lives in mail.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(tickets.app, name="ticket")
app.add_typer(mail.app, name="message")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(outbox.app, name="outbox")
app.add_typer(agents.agent_app, name="agent")
app.add_typer(agents.contact_app, name="contact")
app.add_typer(agents.organisation_app, name="org")
app.add_typer(store.db_app, name="db")
app.add_typer(store.keys_app, name="keys")
app.command("inject")(mail.inject)
app.command("explain")(mail.explain)


def _print_version(wanted: bool) -> None:
    if wanted:
        from mailbridge import __version__

        print(f"mailbridge {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """A support desk that lives in mail."""


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    settings = settings_of(config, sending=True)
    from mailbridge.edge import manager, parse_server

    told = manager.take(os.environ)
    parse_server.start_early()  # before the imports below, which take about as long as its own
    from mailbridge import daemon, logs
    from mailbridge.core.render import TemplateError
    from mailbridge.edge.listen_fds import ListenFdsError
    from mailbridge.service.keys import KeyFileError
    from mailbridge.store.engine import StoreSettingsError, StoreUnavailable
    from mailbridge.store.migrate import SchemaTooNewError

    logs.configure(settings.server.log_format, settings.server.log_level, sys.stderr)
    try:
        daemon.serve(settings, manager=told, on_ready=_greet if sys.stderr.isatty() else None)
    except daemon.AlreadyRunningError as error:
        raise fail(str(error), exits.TEMPORARY) from None
    except (StoreSettingsError, SchemaTooNewError, KeyFileError, TemplateError, ListenFdsError) as error:
        raise fail(str(error), exits.CONFIG) from None
    except StoreUnavailable as error:
        raise fail(f"the database cannot be used: {error}", exits.TEMPORARY) from None
    except OSError as error:
        raise fail(str(error), exits.UNAVAILABLE) from None


def _greet(daemon: object) -> None:
    from mailbridge.daemon import Daemon

    assert isinstance(daemon, Daemon)
    settings = daemon.settings
    doors = ", ".join(f"{host}:{port}" if port else host for host, port in daemon.addresses) or "none"
    out = settings.delivery
    leaves = f"Maildir {out.maildir}" if out.method == "maildir" else f"SMTP {out.host}:{out.port}"
    sys.stderr.write(
        f"\n  mail in    SMTP {doors} for {', '.join(b.address for b in settings.mailbox)}\n"
        f"  mail out   {leaves}\n"
        f"  data       {settings.server.data_dir}\n"
        "  stop with Ctrl-C; in another terminal try: mailbridge status\n\n"
    )


@app.command()
def check(config: ConfigOption = None) -> None:
    """Prove the settings file without starting anything. Exit 78 when it is bad."""
    from mailbridge.config_check import check as check_file

    code, text = check_file(find_config(config))
    (sys.stderr if code else sys.stdout).write(text.rstrip("\n") + "\n")
    raise typer.Exit(code)


@app.command()
def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """What is going on: mails, tickets, outbox, quarantine, database."""
    from mailbridge.cli.status import show

    with parts_of(config) as parts:
        show(parts, as_json=json)


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="Mail files.", show_default=False)],
    json: JsonOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each kind and each cut.")] = False,
) -> None:
    """Show how mail files are read: kind, sender, new words, attachments. Stores nothing."""
    from mailbridge.cli.inspect import inspect as inspect_files

    raise typer.Exit(inspect_files(files, as_json=json, out=sys.stdout, explain=explain))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder and say where.")] = False,
    maildir: Annotated[bool, typer.Option("--maildir", help="Deliver to a Maildir instead of SMTP.")] = False,
) -> None:
    """Play the whole story on a temporary folder: request, answer, reply, solved, reopened."""
    from mailbridge.cli.demo import play

    raise typer.Exit(play(keep=keep, maildir=maildir))


@functools.cache
def _commands() -> Callable[..., object]:
    """All commands, put together once: that takes longer than most of them."""
    return typer.main.get_command(app)


def run_args(args: list[str]) -> int:
    """Run one command line. The exit code."""
    for argument in args:
        if any("\ud800" <= char <= "\udfff" for char in argument):  # bytes of another charset, to Python
            return int(fail(f"the argument {argument!r} is not UTF-8 text").exit_code)
    try:
        result = _commands()(args, standalone_mode=False, prog_name="mailbridge")
    except typer.Exit as done:
        return int(done.exit_code)
    except typer.Abort:
        sys.stderr.write("mailbridge: stopped\n")
        return exits.TEMPORARY
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        return exits.USAGE
    return result if isinstance(result, int) else exits.OK


def run_main(args: list[str]) -> int:
    """`run_args`, for a process: a closed pipe or Ctrl-C ends it quietly."""
    try:
        code = run_args(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except SystemExit as done:
        if isinstance(done.__context__, BrokenPipeError):  # the same, noticed by click
            return exits.OK
        raise
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return exits.SOFTWARE
