"""Servers to compare with, each in a process of its own: `python -m benchmarks.servers NAME FOLDER`.

null   aiosmtpd, whose handler stores nothing: the floor of SMTP itself
bare   the least that could be called a desk: aiosmtpd, compat32 parse, look-ups, one group commit of ticket
       and message, then 250. No limits, no duplicates, no signed addresses, no answer, no record
door   mailbridge's own listener and durable accept, with nobody who works on what comes in

Prints its port, then serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import email
import email.utils
import queue
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from benchmarks import mailgen

_BARE_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE contact (id INTEGER PRIMARY KEY, address TEXT UNIQUE);
CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject TEXT, contact_id INTEGER, status TEXT, at REAL);
CREATE TABLE message (id INTEGER PRIMARY KEY, ticket_id INTEGER, message_id TEXT, text TEXT, raw BLOB);
CREATE INDEX message_by_id ON message (message_id);
CREATE INDEX message_by_ticket ON message (ticket_id);
"""


class Null:
    """Stores nothing."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (its name)
        """250 at once."""
        return "250 ok"


class Bare:
    """Parses on the loop and commits in one thread what waits together. Plain sqlite3, no layers."""

    def __init__(self, folder: Path) -> None:
        self._queue: queue.SimpleQueue[tuple[bytes, Any, asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._path = folder / "bare.db"
        threading.Thread(target=self._write, daemon=True).start()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (its name)
        """250 after the commit."""
        raw = envelope.content
        assert isinstance(raw, bytes)
        message = email.message_from_bytes(raw)
        text = ""
        for part in message.walk():
            if part.get_content_type() == "text/plain":
                data = part.get_payload(decode=True)
                text = data.decode("utf-8", "replace") if isinstance(data, bytes) else ""
                break
        who = email.utils.parseaddr(str(message.get("From", "")))[1].casefold()
        facts = (
            who,
            str(message.get("Subject", "")),
            str(message.get("Message-ID", "")),
            str(message.get("In-Reply-To", "")),
            text,
        )
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((raw, facts, done))
        await done
        return "250 ok"

    def _write(self) -> None:
        conn = sqlite3.connect(self._path, isolation_level=None)
        conn.executescript(_BARE_SCHEMA)
        while True:
            batch = [self._queue.get()]
            while len(batch) < 200 and not self._queue.empty():
                batch.append(self._queue.get())
            conn.execute("BEGIN IMMEDIATE")
            for raw, (who, subject, message_id, parent, text), _ in batch:
                conn.execute("INSERT INTO contact (address) VALUES (?) ON CONFLICT DO NOTHING", (who,))
                contact = conn.execute("SELECT id FROM contact WHERE address = ?", (who,)).fetchone()[0]
                query = "SELECT ticket_id FROM message WHERE message_id = ?"
                found = conn.execute(query, (parent,)).fetchone() if parent else None
                if found:
                    ticket = found[0]
                    conn.execute("UPDATE ticket SET status = 'open' WHERE id = ?", (ticket,))
                else:
                    made = conn.execute(
                        "INSERT INTO ticket (subject, contact_id, status, at) VALUES (?, ?, 'open', 0)",
                        (subject, contact),
                    )
                    ticket = made.lastrowid
                conn.execute(
                    "INSERT INTO message (ticket_id, message_id, text, raw) VALUES (?, ?, ?, ?)",
                    (ticket, message_id, text, raw),
                )
            conn.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, [done for _, _, done in batch])


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for done in futures:
        done.set_result(None)


async def _library(handler: object) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="bench.example", data_size_limit=1 << 26, loop=loop), "127.0.0.1", 0
    )
    return int(server.sockets[0].getsockname()[1])


async def _door(folder: Path) -> int:
    from mailbridge.config_load import load
    from mailbridge.edge.smtp_in import SmtpListener
    from mailbridge.logs import get_logger
    from mailbridge.parts import Parts

    path = folder / "mailbridge.toml"
    path.write_text(
        '[server]\ndata_dir = "data"\n[smtp]\nlisten = ["127.0.0.1:0"]\nmax_connections_per_address = 200\n'
        f'[[mailbox]]\naddress = "{mailgen.DESK}"\n',
        encoding="utf-8",
    )
    settings = load(path)
    parts = Parts(settings).ready()
    listener = SmtpListener(
        settings.smtp, parts.reception(), hostname="bench.example", log=get_logger("bench")
    )
    await listener.start()
    return listener.addresses[0][1]


async def serve(name: str, folder: Path) -> None:
    """Serve until standard input ends."""
    match name:
        case "null":
            port = await _library(Null())
        case "bare":
            port = await _library(Bare(folder))
        case "door":
            from mailbridge.logs import configure

            # As the daemon does by default: each mail is worth a line of log.
            configure("json", "info", (folder / "log").open("a", encoding="utf-8"))
            port = await _door(folder)
        case _:
            raise SystemExit(f"no server {name!r}")
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
