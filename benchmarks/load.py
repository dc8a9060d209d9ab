"""A lean SMTP client for many connections at once, in a process of its own so that the server pays for nothing.

    python -m benchmarks.load PORT CONNECTIONS MAILS     (MAILS: a pickle of [(from, to, data)])

Every connection is kept and takes the next mail of one common list; one command at a time, as most senders
do. Prints one JSON line: when it began and ended (Unix time), mails accepted, and mails not accepted.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

Mail = tuple[str, str, bytes]


class Client(asyncio.Protocol):
    """One connection: greeting, EHLO, then mail after mail until there are no more."""

    def __init__(self, mails: Iterator[tuple[bytes, ...]], ended: asyncio.Future[None]) -> None:
        self._mails = mails
        self._ended = ended
        self._steps: list[bytes] = [b"EHLO bench.example\r\n"]
        self._heard = b""
        self.accepted = self.refused = 0
        self._in_mail = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the greeting."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1 << 26)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A reply is complete at its last line; it decides what is said next."""
        self._heard += data
        if not self._heard.endswith(b"\r\n"):
            return
        last = self._heard[:-2].rpartition(b"\n")[2]
        if last[3:4] == b"-":
            return
        good = last[:1] in b"23"
        self._heard = b""
        if not good:
            self.refused += 1
            self._steps, self._in_mail = [b"RSET\r\n"], False
        elif not self._steps:
            self.accepted += self._in_mail
            following = next(self._mails, None)
            if following is None:
                self._transport.close()
                return
            self._steps, self._in_mail = list(following), True
        self._transport.write(self._steps.pop(0))

    def connection_lost(self, error: Exception | None) -> None:
        """The end, wanted or not."""
        if not self._ended.done():
            self._ended.set_result(None)


def _itself(client: Client) -> Client:
    return client


async def run(port: int, connections: int, mails: list[Mail]) -> dict[str, float]:
    """Send them all. Times are Unix time."""
    loop = asyncio.get_running_loop()
    prepared = iter(
        [
            (
                f"MAIL FROM:<{sender}>\r\n".encode(),
                f"RCPT TO:<{to}>\r\n".encode(),
                b"DATA\r\n",
                data.replace(b"\r\n.", b"\r\n..") + b".\r\n",
            )
            for sender, to, data in mails
        ]
    )
    ended = [loop.create_future() for _ in range(connections)]
    began = time.time()
    clients = []
    for each in ended:
        client = Client(prepared, each)
        await loop.create_connection(partial(_itself, client), "127.0.0.1", port)
        clients.append(client)
    await asyncio.gather(*ended)
    return {
        "began": began,
        "ended": time.time(),
        "accepted": sum(c.accepted for c in clients),
        "refused": sum(c.refused for c in clients),
    }


if __name__ == "__main__":
    found = asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), pickle.loads(Path(sys.argv[3]).read_bytes())))
    print(json.dumps(found))
