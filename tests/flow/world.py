"""A whole mailbridge for tests: the real daemon in a process of its own, a real server that takes its mail.

    with World(tmp_path) as world:
        talk = world.talk()                    # Anne writes; the ticket is there
        notice = talk.to(BART)                 # what Bart gets
        world.send(reply(BART, notice, "Which version?"))
        talk.awaits("pending")

Everything goes in by SMTP or the command line, and is proved by the command line or by the mail that came out.
Nothing sleeps for luck: each wait has a deadline and fails with the daemon's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import functools
import io
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from mailbridge.cli.app import run_args
from mailbridge.config_load import load
from mailbridge.core.tokens import parse_key
from mailbridge.parts import Parts
from mailbridge.store import inbound, outbox_control, views
from mailbridge.store.engine import Database
from tests.edge.smtp_sink import Faults, Sink
from tests.flow.letters import ANNE, DESK, Mail, bare, letter, unique

PATIENCE = 20.0
"""Seconds for what must happen; only a broken test takes them."""
Row = dict[str, Any]
Settings = Mapping[str, object]
T = TypeVar("T")


class Post(Protocol):
    """Takes what mailbridge sends."""

    settings: Settings
    """The keys of [delivery] that lead here."""

    def mails(self) -> list[Mail]:
        """All that came, in order."""

    def close(self) -> None:
        """Let go of everything."""


class SmtpPost:
    """The smarthost: a real SMTP server in a thread of its own, which fails on demand."""

    def __init__(self) -> None:
        self.sink = Sink(size=64 << 20)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)
        self._thread.start()
        self.open()
        self.settings: Settings = {
            "method": "smtp",
            "host": "127.0.0.1",
            "port": self.sink.port,
            "security": "none-on-loopback",
        }

    @property
    def faults(self) -> Faults:
        """What it does wrong; may be changed at any time."""
        return self.sink.faults

    def open(self) -> None:
        """Listen: the first time on a spare port, then on the same one again."""
        asyncio.run_coroutine_threadsafe(self.sink.__aenter__(), self._loop).result(PATIENCE)

    def shut(self) -> None:
        """Stop listening and drop every connection."""
        asyncio.run_coroutine_threadsafe(self.sink.__aexit__(None, None, None), self._loop).result(PATIENCE)

    def mails(self) -> list[Mail]:
        """All that was taken (or heard out before a fault), in order."""
        return [Mail(m.sender, tuple(m.recipients), m.data) for m in list(self.sink.mails)]

    def close(self) -> None:
        """End the server and its thread."""
        self.shut()

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class MaildirPost:
    """The embedded default: the folder that mailbridge writes into."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings: Settings = {"method": "maildir"}

    def mails(self) -> list[Mail]:
        """All that is in new/, oldest first, with the trace header read off."""
        files = sorted((self._path / "new").glob("*"), key=lambda p: p.stat().st_mtime_ns)
        return [_from_maildir(file.read_bytes()) for file in files]

    def close(self) -> None:
        """Nothing is open."""


def _from_maildir(data: bytes) -> Mail:
    lines = data.split(b"\n")  # as a Maildir has them
    sender = lines[0].removeprefix(b"Return-Path: <").removesuffix(b">").decode()
    recipients: list[str] = []
    for line in lines[1:]:
        if not line.startswith(b"Delivered-To: "):
            break
        recipients.append(line.removeprefix(b"Delivered-To: ").decode())
    return Mail(sender, tuple(recipients), b"\r\n".join(lines[1 + len(recipients) :]))


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """What it printed."""
        return self.raw.decode()

    @property
    def rows(self) -> list[Row]:
        """Its JSON Lines: every line is one object."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(item, dict) for item in found)
        return found


_SETTINGS: Mapping[str, Settings] = {
    "server": {"data_dir": "data", "hostname": "mx.desk.example"},
    "smtp": {"min_free_disk": "0 B"},
    "intake": {"workers": 2},
    "caps": dict.fromkeys(("per_recipient", "per_mailbox", "per_ticket", "per_domain", "total"), 100_000),
    "store": {},
    "tickets": {},
    "delivery": {"timeout": "2s", "retry_first": "1s", "retry_longest": "2s"},
}
_PEOPLE = """
[[mailbox]]
address = "support@desk.example"
name = "Example Support"
aliases = ["help@desk.example"]
[[mailbox]]
address = "sales@desk.example"
name = "Example Sales"
[[agent]]
address = "bart@desk.example"
name = "Bart Vos"
"""


class World:
    """The daemon, its folder, and where its mail goes. A context manager: started on entry, stopped at exit.

    `settings` are keys by table of mailbridge.toml; `extra` is added at its end. Errors in the daemon's log fail
    the test at exit, unless their event is in `expected`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        maildir: bool = False,
        url: str = "",
        password: str = "",
        settings: Mapping[str, Settings] | None = None,
        extra: str = "",
        expected: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.expected = frozenset(expected)
        self.data = folder / "data"
        self.config = folder / "mailbridge.toml"
        self.log = folder / "daemon.log"
        self.smtp: SmtpPost | None = None if maildir else SmtpPost()
        self.post: Post = self.smtp or MaildirPost(self.data / "outgoing")
        self.port = free_port()
        store: dict[str, object] = {"url": url} if url else {}
        if password:
            secret = folder / "password"
            secret.write_text(password)
            secret.chmod(0o600)
            store["password_file"] = "password"
        doors: dict[str, Settings] = {
            "smtp": {"listen": [f"127.0.0.1:{self.port}"]},
            "store": store,
            "delivery": self.post.settings,
        }
        wanted = settings or {}
        tables = [_table(n, given, doors.get(n, {}), wanted.get(n, {})) for n, given in _SETTINGS.items()]
        self.config.write_text("".join(tables) + _PEOPLE + extra)
        self.killed = False
        self._daemon: subprocess.Popen[bytes] | None = None
        self._parts: Parts | None = None

    # ------------------------------------------------------------ the daemon

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.post.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._daemon is not None:
                code = self.stop()
                assert code == 0 or error is not None, f"ended with {code}\n{self.tail()}"
            unexpected = self.errors()
            assert error is not None or unexpected == [], unexpected
        finally:
            if self._parts is not None:
                self._parts.close()
            self.post.close()

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        """Its process."""
        assert self._daemon is not None, "not running"
        return self._daemon

    def start(self) -> None:
        """Start it and return once it is ready."""
        began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._daemon = subprocess.Popen(
                self.argv("run"), stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment()
            )

        def ready() -> bool:
            assert self.daemon.poll() is None, "the daemon has ended"
            return any(line.get("event") == "ready" for line in self.logged(since=began))

        self.until(ready, "the daemon should be ready")

    def stop(self, within: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        self.daemon.send_signal(signal.SIGTERM)
        return self.wait(within)

    def kill(self) -> None:
        """SIGKILL, at this instant."""
        self.killed = True
        self.daemon.kill()
        self.wait(PATIENCE)

    def wait(self, within: float) -> int:
        """Its exit code, once it has ended."""
        daemon, self._daemon = self.daemon, None
        try:
            return daemon.wait(within)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise

    def logged(self, since: int = 0) -> list[Row]:
        """The lines of its log, from a byte on; those that are not JSON come as {'text': line}."""
        lines = self.log.read_bytes()[since:].decode(errors="replace").splitlines()
        return [_log_line(line) for line in lines]

    def errors(self) -> list[Row]:
        """Unexpected errors it logged, and whatever is no log line (a traceback, a warning of Python's)."""
        found = [line for line in self.logged() if line.get("level") in (None, "error", "critical")]
        if self.killed:  # Python's own helper process says that its parent left semaphores behind
            found = [line for line in found if "resource_tracker" not in str(line.get("text", ""))]
        return [line for line in found if line.get("event") not in self.expected]

    def tail(self) -> str:
        """The end of its log, for the message of a failed test."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else "(no log)"

    def until(self, found: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
        """The first true value of `found`, looking often."""
        deadline = time.monotonic() + patience
        while True:
            if value := found():
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}, but it did not come about in {patience:g} s\n{self.tail()}")
            time.sleep(0.02)

    # ------------------------------------------------------------ the command line

    def argv(self, *args: str) -> list[str]:
        """The arguments that run a command as a process."""
        return [sys.executable, "-m", "mailbridge", *args, "--config", str(self.config)]

    def command(self, *args: str, stdin: bytes = b"") -> Ended:
        """Run a command as a process, in a pipe."""
        done = subprocess.run(
            self.argv(*args), input=stdin, capture_output=True, env=environment(), timeout=PATIENCE
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    def cli(self, *args: str, stdin: bytes = b"") -> Ended:
        """Run a command in this process: the same code, without the start of a new Python."""
        return run_here(*args, "--config", str(self.config), stdin=stdin)

    def rows(self, *args: str) -> list[Row]:
        """The JSON Lines of a command that must succeed."""
        ended = self.cli(*args, "--json")
        assert ended.code == 0, f"{args}: {ended.code} {ended.err}"
        return ended.rows

    def row(self, *args: str) -> Row:
        """The only JSON line of a command that must succeed."""
        (found,) = self.rows(*args)
        return found

    @property
    def database(self) -> Database:
        """The daemon's database, to look whether something has come about yet: a command takes 0.1 s."""
        if self._parts is None:
            self._parts = Parts(load(self.config))
        return self._parts.database

    # ------------------------------------------------------------ mail in

    def send(
        self, mail: EmailMessage | bytes, sender: str | None = None, to: Sequence[str] = ()
    ) -> list[int]:
        """Hand a mail in by SMTP; the ids it was accepted as, one a mailbox.

        Without `sender` and `to`, the envelope is what the mail's own fields say.
        """
        if isinstance(mail, EmailMessage):
            sender = bare(str(mail["From"])) if sender is None else sender
            to = to or [bare(str(mail["To"]))]
            mail = mail.as_bytes(policy=policy.SMTP)
        assert sender is not None
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            client.ehlo("client.example")
            code, said = client.mail(sender)
            assert code == 250, said
            for address in to or (DESK,):
                code, said = client.rcpt(address)
                assert code == 250, said
            code, said = client.data(mail)
        assert code == 250, f"{code} {said!r}\n{self.tail()}"
        return [int(number) for number in said.decode().rpartition(" ")[2].split("-")]

    def decided(self, number: int) -> Row:
        """The decision about a mail, as `explain` tells it, once there is one."""

        def found() -> bool:
            return self.database.read(lambda conn: inbound.decision_of(conn, number)) is not None

        self.until(found, f"mail {number} should be decided")
        return self.row("explain", str(number))

    def deliver(self, mail: EmailMessage | bytes, sender: str | None = None, to: Sequence[str] = ()) -> Row:
        """Send a mail to one mailbox and wait for its decision: the record of `explain`."""
        (number,) = self.send(mail, sender, to)
        return self.decided(number)

    # ------------------------------------------------------------ mail out

    def mails(self, address: str, about: str = "") -> list[Mail]:
        """What came for an address, with `about` (a ticket's key, say) in its subject."""
        wanted = bare(address)
        return [m for m in self.post.mails() if wanted in m.recipients and about in _subject(m.data)]

    def await_mail(self, address: str, about: str = "", number: int = 1) -> Mail:
        """The `number`-th of them, once it is there."""

        def found() -> Mail | None:
            come = self.mails(address, about)
            return come[number - 1] if len(come) >= number else None

        return self.until(found, f"mail {number} about {about!r} should come for {address}")

    def sent(self) -> None:
        """Wait until nothing waits in the outbox any more."""

        def done() -> bool:
            return not {"queued", "sending", "retry"} & set(self.database.read(outbox_control.counts))

        self.until(done, "the outbox should be empty")

    # ------------------------------------------------------------ tickets

    def ticket(self, key: str) -> Row:
        """A ticket as `ticket show --json` tells it."""
        return self.row("ticket", "show", key)

    def talk(self, mail: EmailMessage | None = None, *, subject: str = "The press stops") -> Talk:
        """A new conversation: a customer (Anne, if nothing else is said) writes, and the ticket is there."""
        if mail is None:
            mail = letter(ANNE, DESK, unique(subject))
        record = self.deliver(mail)
        key = record["decision"]["ticket"]
        assert key, record
        return Talk(self, key, str(mail["Message-ID"]))


@dataclass(frozen=True, slots=True)
class Talk:
    """One ticket's conversation."""

    world: World
    key: str
    first_id: str

    @property
    def ticket(self) -> Row:
        """As it is now."""
        return self.world.ticket(self.key)

    def to(self, address: str, number: int = 1) -> Mail:
        """The n-th mail about it to an address, once it is there."""
        return self.world.await_mail(address, self.key, number)

    def count(self, address: str) -> int:
        """How many came for an address so far."""
        return len(self.world.mails(address, self.key))

    def awaits(self, status: str) -> Row:
        """The ticket, once it has that status."""

        key = parse_key(self.key)
        assert key is not None

        def found() -> bool:
            row = self.world.database.read(lambda conn: views.find(conn, key))
            return row is not None and row.status == status

        self.world.until(found, f"ticket {self.key} should be {status}")
        return self.ticket


def run_here(*args: str, stdin: bytes = b"") -> Ended:
    """A command line of mailbridge in this process."""
    out, err = io.BytesIO(), io.StringIO()
    text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    given, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
            code = run_args(list(args))
    finally:
        sys.stdin = given
    return Ended(code, out.getvalue(), err.getvalue())


def environment() -> dict[str, str]:
    """Ours, without what would change the settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAILBRIDGE_", "COLUMNS"))}
    return kept | {"NO_COLOR": "1", "TERM": "dumb"}


def free_port() -> int:
    """A TCP port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.lru_cache(maxsize=4096)
def _subject(data: bytes) -> str:
    return str(email.message_from_bytes(data, policy=policy.default)["Subject"] or "")


def _table(name: str, *settings: Settings) -> str:
    """A table of TOML: what comes later wins. Text, numbers, truth and lists of text are written as in JSON."""
    keys = {key: value for each in settings for key, value in each.items()}
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def _log_line(line: str) -> Row:
    try:
        found = json.loads(line)
    except ValueError:
        return {"text": line}
    return found if isinstance(found, dict) else {"text": line}
