"""The real daemon, started and looked at from outside, for the benchmarks."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks import mailgen
from benchmarks.harness import family, wait_until
from benchmarks.load import Mail
from mailbridge.config_load import load
from mailbridge.parts import Parts
from mailbridge.store import outbox_control
from mailbridge.store.engine import Connection
from mailbridge.store.tables import inbound, outbox, outbox_data, outbox_recipient
from tests.postgres import PASSWORD, PostgresServer

_MANY = 1_000_000_000
_CONFIG = """\
[server]
data_dir = "data"
log_format = "json"
[store]
{store}
[smtp]
listen = ["127.0.0.1:0"]
max_connections_per_address = 200
max_unprocessed = 1000000
min_free_disk = "0 B"
[tickets]
notify_agents = {notify}
[caps]
per_recipient = {many}
per_mailbox = {many}
per_ticket = {many}
per_domain = {many}
total = {many}
[delivery]
method = "maildir"
maildir = "out"
[[mailbox]]
address = "{desk}"
name = "Example Support"
[[agent]]
address = "bart@desk.example"
name = "Bart Vos"
"""


@dataclass(slots=True)
class Desk:
    """A daemon in its folder, and our own view of its database."""

    folder: Path
    parts: Parts
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    ready_after: float = 0.0
    """Seconds from the start of the process until it served."""

    @property
    def pid(self) -> int:
        """The daemon's main process."""
        assert self.process is not None
        return self.process.pid

    def family(self) -> list[int]:
        """Its processes, the main one first."""
        return family(self.pid)

    def start(self) -> None:
        """Start it and return once it serves."""
        log = self.folder / "log"
        log.write_bytes(b"")
        began = time.monotonic()
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mailbridge", "run", "--config", str(self.folder / "mailbridge.toml")],
                stderr=stream,
            )

        def serves() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended: {log.read_text()[-2000:]}")
            return any(line.get("event") == "ready" for line in self._log())

        while not serves():
            if time.monotonic() - began > 30:
                raise TimeoutError("the daemon does not get ready")
            time.sleep(0.01)
        self.ready_after = time.monotonic() - began
        where = next(line["addresses"] for line in self._log() if line.get("event") == "smtp.listening")
        self.port = int(str(where[0]).rpartition(":")[2])

    def _log(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        found = []
        for line in lines:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def stop(self) -> None:
        """Drain and end it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def worked_off(self, count: int, seconds: float = 180) -> float:
        """Wait until `count` mails in all have ended. Unix time at which the last one did."""

        def done(conn: Connection) -> bool:
            waiting = conn.execute(select(inbound.c.id).where(inbound.c.state == "received").limit(1)).first()
            return (
                waiting is None
                and conn.execute(select(func.count()).select_from(inbound)).scalar_one() >= count
            )

        wait_until(lambda: self.parts.database.read(done), seconds, "not all mail was worked off")
        last = self.parts.database.read(
            lambda conn: conn.execute(select(func.max(inbound.c.processed_at))).scalar_one()
        )
        assert isinstance(last, datetime)
        return last.timestamp()

    def sent(self, seconds: float = 180) -> float:
        """Wait until nothing waits in the outbox. Unix time at which the last mail left."""

        def done(conn: Connection) -> bool:
            waiting = select(outbox.c.id).where(outbox.c.state.in_(("queued", "sending", "retry"))).limit(1)
            return conn.execute(waiting).first() is None

        wait_until(lambda: self.parts.database.read(done), seconds, "not all mail was sent")
        last = self.parts.database.read(
            lambda conn: conn.execute(select(func.max(outbox_recipient.c.updated_at))).scalar_one()
        )
        assert isinstance(last, datetime)
        return last.timestamp()

    def hold(self) -> None:
        """Let nothing leave."""
        now = datetime.now(UTC)
        self.parts.database.write(lambda conn: outbox_control.hold(conn, "benchmark", now))

    def replies(self, count: int, size: int, series: str = "a") -> list[Mail]:
        """Replies to the newest `count` acknowledgements, from those who got them."""

        def acknowledged(conn: Connection) -> Sequence[tuple[str, bytes, str]]:
            query = (
                select(outbox.c.message_id, outbox_data.c.data, outbox_recipient.c.address)
                .select_from(outbox.join(outbox_data).join(outbox_recipient))
                .where(outbox.c.kind == "acknowledgement")
                .order_by(outbox.c.id.desc())
                .limit(count)
            )
            return [(row[0], row[1], row[2]) for row in conn.execute(query)]

        mails = []
        for number, (message_id, data, _) in enumerate(self.parts.database.read(acknowledged)):
            fields = BytesHeaderParser().parsebytes(data)
            back = parseaddr(str(fields["Reply-To"]))[1]
            # Which request it was stands in the ids: the person who wrote it is the one who replies.
            asked = int(str(fields["In-Reply-To"]).split(".")[1])
            mails.append(
                (
                    mailgen.sender(asked),
                    back,
                    mailgen.reply(asked, size, back, message_id, f"{series}{number}"),
                )
            )
        return mails

    def tally(self) -> dict[str, int]:
        """How many mails were decided how."""
        from mailbridge.store.tables import decision

        query = select(decision.c.action, decision.c.reason, func.count()).group_by(
            decision.c.action, decision.c.reason
        )
        rows = self.parts.database.read(lambda conn: conn.execute(query).all())
        return {f"{action}/{reason}": int(count) for action, reason, count in rows}


@contextlib.contextmanager
def desk(where: Path, *, url: str = "", notify: bool = False) -> Iterator[Desk]:
    """A desk in that folder, its schema made, not started yet; stopped at the end."""
    store = ""
    if url:
        store = f'url = "{url}"\npassword_file = "password"'
        (where / "password").write_text(PASSWORD)
        (where / "password").chmod(0o600)
    config = _CONFIG.format(
        store=store, many=_MANY, desk=mailgen.DESK, notify='["new", "reply", "answer"]' if notify else "[]"
    )
    path = where / "mailbridge.toml"
    path.write_text(config, encoding="utf-8")
    made = Desk(where, Parts(load(path)).ready(), url)
    try:
        yield made
    finally:
        made.stop()
        made.parts.close()


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that flushes what it commits, its data on the disk."""
    server = PostgresServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()
