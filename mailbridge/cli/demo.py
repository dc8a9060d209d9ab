"""`demo`: the whole story, with the real daemon, on a temporary folder.

A customer and an agent write through real SMTP; what mailbridge sends is taken by a real SMTP server (or a
Maildir) and read as a mail program would. Ends with 0 only if every step held.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mailbridge.cli.demo_post import MaildirPost, Post, SmtpPost, free_port, new_words, plain_text
from mailbridge.cli.output import safe

ANNE = "Anne Berger <anne@customer.example>"
BART = "Bart Vos <bart@desk.example>"
DESK = "support@desk.example"
_PATIENCE = 15.0  # seconds for any one step

_CONFIG = """\
[server]
data_dir = "data"
[smtp]
listen = ["127.0.0.1:{smtp}"]
min_free_disk = "0 B"
[delivery]
{delivery}
[[mailbox]]
address = "support@desk.example"
name = "Example Support"
[[agent]]
address = "bart@desk.example"
name = "Bart Vos"
"""


class StepFailedError(Exception):
    """A step of the story did not hold."""


@dataclass
class Stage:
    """The running daemon, the post office that takes its mail, and a view on its database."""

    folder: Path
    smtp_port: int
    post: Post
    log: Path

    def ticket(self) -> dict[str, Any] | None:
        """The one ticket as `ticket show --json` tells it, or None."""
        from mailbridge.cli.tickets import ticket_record
        from mailbridge.config_load import load
        from mailbridge.parts import Parts

        parts = Parts(load(self.folder / "mailbridge.toml"))
        try:
            numbers = parts.database.read(_numbers)
            if not numbers:
                return None
            return parts.database.read(lambda conn: ticket_record(conn, numbers[0]))
        finally:
            parts.close()

    def send(self, sender: str, message: EmailMessage) -> None:
        """Hand a mail to the daemon's SMTP door."""
        address = sender.rpartition("<")[2].rstrip(">")
        recipient = str(message["To"]).rpartition("<")[2].rstrip(">")
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as client:
            client.sendmail(address, [recipient], message.as_bytes())

    def await_status(self, status: str) -> dict[str, Any]:
        """The ticket once it has that status."""
        deadline = time.monotonic() + _PATIENCE
        seen = "no ticket"
        while time.monotonic() < deadline:
            found = self.ticket()
            if found is not None:
                seen = found["status"]
                if seen == status:
                    return found
            time.sleep(0.05)
        raise StepFailedError(f"the ticket should be {status}, but is: {seen}")


def _numbers(conn: Any) -> list[int]:
    from mailbridge.store import views

    return views.all_numbers(conn)


class Narrator:
    """Says what happens, step by step."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)  # lines are cut nowhere, in a pipe either
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """A heading."""
        spent = time.monotonic() - self._began
        self._console.print(f"\n[bold cyan]{spent:5.1f} s[/]  [bold]{safe(text)}[/]")

    def say(self, text: str) -> None:
        """A plain line."""
        from rich.text import Text

        self._console.print(Text("         " + safe(text)))

    def mail(self, who: str, message: EmailMessage) -> None:
        """A mail as its reader sees it, without quotes."""
        from rich.text import Text

        head = f"         ✉ {who}: {safe(str(message['Subject']))}"
        self._console.print(Text(head, style="green"))
        for line in new_words(message).splitlines()[:8]:
            if line.strip():
                self._console.print(Text(f"           {safe(line)}", style="dim"))

    def held(self, text: str) -> None:
        """Something that was proved."""
        self._console.print(f"         [green]✓[/] {safe(text)}")

    def failed(self, text: str) -> None:
        """Something that did not hold."""
        self._console.print(f"\n[bold red]✗ {safe(text)}[/]")


def play(*, keep: bool, maildir: bool) -> int:
    """Play the story. The exit code."""
    narrator = Narrator()
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-demo-"))
    code = 1
    try:
        with _stage(folder, maildir=maildir) as stage:
            narrator.step("mailbridge is running")
            narrator.say(f"mail in   SMTP 127.0.0.1:{stage.smtp_port} for {DESK}")
            narrator.say(f"mail out  {stage.post.where}")
            narrator.say(f"data      {folder / 'data'} (SQLite)")
            _story(stage, narrator)
        _epilogue(stage, narrator)
        code = 0
    except (
        StepFailedError,
        OSError,
    ) as failure:  # OSError: no connection, or a mail that did not come in time
        narrator.failed(str(failure))
        log = folder / "daemon.log"
        if log.exists():
            sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
    finally:
        if keep:
            print(f"\nkept: {folder}  (try: mailbridge ticket show 1 --config {folder / 'mailbridge.toml'})")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return code


def _story(stage: Stage, narrator: Narrator) -> None:
    post = stage.post

    narrator.step("Anne, a customer, writes a mail")
    first = _mail(
        ANNE, DESK, "The press stops", "Hello,\n\nour press stops every hour with error 7.\n\nAnne\n"
    )
    stage.send(ANNE, first)
    narrator.mail("Anne writes", first)
    ack = post.await_mail("anne@customer.example", 1)
    narrator.mail("Anne gets", ack)
    notice = post.await_mail("bart@desk.example", 1)
    narrator.mail("Bart, the agent, gets", notice)
    ticket = stage.await_status("open")
    _check(str(ack["Auto-Submitted"]) == "auto-replied", "the acknowledgement says that it is automatic")
    _check("error 7" in plain_text(notice), "the notice shows what Anne wrote")
    narrator.held(f"ticket {ticket['ticket']} is open, priority {ticket['priority']}")

    narrator.step("Bart answers from his mail program")
    answer = _reply(BART, notice, "Which firmware version does it show at start?\n")
    stage.send(BART, answer)
    arrived = post.await_mail("anne@customer.example", 2)
    narrator.mail("Anne gets", arrived)
    _check("firmware version" in plain_text(arrived), "Bart's words reach Anne")
    _check("bart@desk.example" not in arrived.as_string(), "Bart's own address stays private")
    stage.await_status("pending")
    narrator.held("the ticket is pending: the next step is Anne's")

    narrator.step("Anne replies")
    stage.send(ANNE, _reply(ANNE, arrived, "It says 2.4.1.\n"))
    notice = post.await_mail("bart@desk.example", 2)
    narrator.mail("Bart gets", notice)
    stage.await_status("open")
    narrator.held("her reply found its ticket, which is open again")

    narrator.step("Bart solves it, with a command at the top of his mail")
    stage.send(BART, _reply(BART, notice, "#solved agreed\n\nVersion 2.4.2 mends this. Please install it.\n"))
    arrived = post.await_mail("anne@customer.example", 3)
    narrator.mail("Anne gets", arrived)
    _check("#solved" not in plain_text(arrived), "the command does not reach Anne")
    receipt = post.await_mail("bart@desk.example", 3)
    narrator.mail("Bart gets a receipt", receipt)
    ticket = stage.await_status("solved")
    _check(ticket["solved_reason"] == "agreed", "the ticket says why it is solved")
    narrator.held("the ticket is solved (agreed)")

    narrator.step("A day later it fails again, and Anne replies to the old mail")
    stage.send(ANNE, _reply(ANNE, arrived, "Sorry, it stopped again this morning.\n"))
    notice = post.await_mail("bart@desk.example", 4)
    narrator.mail("Bart gets", notice)
    ticket = stage.await_status("open")
    changes = [
        (e["data"].get("from"), e["data"].get("to")) for e in ticket["entries"] if e["event"] == "status"
    ]
    _check(("solved", "open") in changes, "the history says that it was reopened")
    narrator.held("the ticket is REOPENED")


def _epilogue(stage: Stage, narrator: Narrator) -> None:
    from mailbridge.cli.transcript import transcript

    ticket = stage.ticket()
    assert ticket is not None
    narrator.step("The ticket, as `mailbridge ticket show 1` prints it")
    for line in transcript(ticket):
        narrator.say(line)
    narrator.step("Every step held. The daemon has stopped cleanly.")


def _check(held: bool, what: str) -> None:
    if not held:
        raise StepFailedError(f"not true: {what}")


def _mail(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    from email.utils import format_datetime, localtime, make_msgid

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">"))
    message.set_content(text)
    return message


def _reply(sender: str, to: EmailMessage, words: str) -> EmailMessage:
    """A reply as a mail program makes it: to Reply-To, with threading fields, the original quoted below."""
    subject = str(to["Subject"])
    quoted = "".join(f"> {line}\n" for line in plain_text(to).splitlines())
    attribution = f"On Tue, 24 Nov 2026 at 09:12, {to['From']} wrote:\n"
    reply = _mail(
        sender,
        str(to["Reply-To"]),
        subject if subject.lower().startswith("re:") else f"Re: {subject}",
        f"{words}\n{attribution}{quoted}",
    )
    reply["In-Reply-To"] = str(to["Message-ID"])
    reply["References"] = f"{to['References'] or ''} {to['Message-ID']}".strip()
    return reply


@contextlib.contextmanager
def _stage(folder: Path, *, maildir: bool) -> Iterator[Stage]:
    """The real daemon in a process of its own, on spare ports."""
    smtp = free_port()
    post: Post
    if maildir:
        post = MaildirPost(folder / "data" / "outgoing")
        delivery = 'method = "maildir"'
    else:
        post = SmtpPost()
        delivery = f'method = "smtp"\nhost = "127.0.0.1"\nport = {post.port}\nsecurity = "none-on-loopback"'
    (folder / "mailbridge.toml").write_text(_CONFIG.format(smtp=smtp, delivery=delivery), encoding="utf-8")
    log = folder / "daemon.log"
    with post, log.open("wb") as out:
        command = [sys.executable, "-m", "mailbridge", "run", "--config", str(folder / "mailbridge.toml")]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAILBRIDGE_")}
        daemon = subprocess.Popen(command, stdout=out, stderr=out, env=environment)  # noqa: S603 - our own program
        try:
            _await_ready(daemon, log)
            yield Stage(folder, smtp, post, log)
            daemon.send_signal(signal.SIGTERM)
            if daemon.wait(timeout=15) != 0:
                raise StepFailedError(f"the daemon ended with {daemon.returncode} after SIGTERM")
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()


def _await_ready(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if b'"ready"' in log.read_bytes():
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit("the daemon did not start:\n" + log.read_text(encoding="utf-8", errors="replace"))
