"""A small mail load: N kept-open SMTP connections that try again as mail servers do, and a ledger of every mail.

    load = Load(world.port, sink=world.smtp.sink, seed=1)
    with load:
        load.letters(100)          # from customers nobody knows yet; answers to them follow by themselves
        load.settle(30)            # until every mail has its 250
    load.ledger                    # what was offered, how often it was tried, and what was said

Whoever got an acknowledgement or an answer replies to it, the agent answers notifications: a part of each, by
the seed. A mail is given away once only, by its 250; a connection lost before that means the same bytes again.

Standards: RFC 5321 4.5.4.1 (trying again), 4.5.2 (dots).
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from types import TracebackType
from typing import Self

from tests.edge.smtp_sink import Received, Sink
from tests.flow.letters import DESK

AGENT = "bart@desk.example"
_LATER = (0.02, 0.15)
"""Seconds until a mail is tried again, from and to. Real servers wait minutes."""
_ANSWER_WITHIN = 30.0


@dataclass(slots=True)
class Offered:
    """One mail of the load: what it is, and what was said about it."""

    message_id: str
    sender: str
    recipient: str
    data: bytes = field(repr=False)
    thread: str
    """The Message-ID of the letter that began the conversation; its own for a letter."""
    kind: str
    """'letter', 'reply' (a customer's) or 'answer' (the agent's)."""
    attempts: int = 0
    accepted: int = 0
    """How many times it was answered 250: once, since it is not offered again after that."""
    put_off: list[str] = field(default_factory=list)
    refused: str = ""
    lost: int = 0
    """Attempts that ended without an answer."""
    lost_after_dot: int = 0
    """Those of them that had sent the whole mail: the 250 may have been on its way."""
    worst_wait: float = 0.0
    """Seconds from a dot to its answer, the longest."""
    worst_turn: float = 0.0
    """Seconds from MAIL (or connecting, where that was needed) to the last answer, the longest."""


class Load:
    """Mail from many customers, and from an agent. A context manager: its thread ends with it."""

    def __init__(
        self,
        port: int,
        *,
        sink: Sink | None = None,
        connections: int = 6,
        seed: int = 1,
        replies: float = 0.4,
        answers: float = 0.25,
        pause: float = 0.0,
    ) -> None:
        """`replies`, `answers`: the part of the mails in `sink` that customers and the agent react to.

        `pause` (seconds) is waited between two mails of one connection.
        """
        self.ledger: dict[str, Offered] = {}
        self._port = port
        self._sink = sink
        self._connections = connections
        self._random = random.Random(seed)
        self._replies, self._answers, self._pause = replies, answers, pause
        self._seed = seed
        self._letters = 0
        self._seen: set[str] = set()
        self._read = 0
        self._threads: dict[str, str] = {}
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[Offered] = asyncio.Queue()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="load", daemon=True)

    # ------------------------------------------------------------ for the test

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the load did not end"
        self._loop.close()

    def letters(self, count: int, size: int = 0) -> list[Offered]:
        """Offer letters from new customers, each with `size` more bytes of text; at once, not waited for."""
        made = []
        for _ in range(count):
            self._letters += 1
            made.append(self._letter(f"{self._seed}-{self._letters}", size))
        for mail in made:
            self._loop.call_soon_threadsafe(self._offer, mail)
        return made

    def offer(self, name: str, data: bytes, sender: str) -> None:
        """Offer any bytes that end in a line end, in the ledger under a name of their own."""
        mail = Offered(name, sender, DESK, data, name, "letter")
        self._loop.call_soon_threadsafe(self._offer, mail)

    def settle(self, patience: float) -> None:
        """Return once every mail that was offered has its 250 or a final refusal."""
        deadline = time.monotonic() + patience
        while self.waiting:
            assert time.monotonic() < deadline, f"{self.waiting} mails still without 250: {self._stuck()}"
            time.sleep(0.02)

    @property
    def waiting(self) -> int:
        """How many mails have no final answer yet."""
        return sum(1 for mail in list(self.ledger.values()) if not mail.accepted and not mail.refused)

    @property
    def accepted(self) -> list[Offered]:
        """The mails that got their 250."""
        return [mail for mail in list(self.ledger.values()) if mail.accepted]

    @property
    def put_off(self) -> int:
        """How often a mail was put off so far."""
        return sum(len(mail.put_off) for mail in list(self.ledger.values()))

    def _stuck(self) -> list[tuple[str, list[str]]]:
        found = [m for m in list(self.ledger.values()) if not m.accepted and not m.refused]
        return [(m.message_id, m.put_off[-2:]) for m in found[:3]]

    # ------------------------------------------------------------ the mails

    def _letter(self, name: str, size: int) -> Offered:
        message_id, sender = f"<letter-{name}@customer.example>", f"customer-{name}@customer.example"
        text = f"Hello,\r\n\r\nour press {name} stops.\r\n.\r\n..dots\r\n" + "words words words\r\n" * (
            size // 19
        )
        data = _mail(sender, DESK, f"Press {name} stops", message_id, text)
        return Offered(message_id, sender, DESK, data, message_id, "letter")

    def _react(self, arrived: Received) -> None:
        """What the reader of a mail of ours does: some reply. A second copy of it changes nothing."""
        head = BytesHeaderParser().parsebytes(arrived.data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        ours, reply_to = str(head["Message-ID"]), str(head["Reply-To"])
        if ours in self._seen:
            return
        self._seen.add(ours)
        known = re.findall(r"<[^>]+>", f"{head['References'] or ''} {head['In-Reply-To'] or ''}")
        thread = next((self._threads[i] for i in known if i in self._threads), None)
        if thread is None:
            return
        self._threads[ours] = thread
        agent = AGENT in arrived.recipients
        if self._random.random() >= (self._answers if agent else self._replies):
            return
        number = len(self._seen)
        message_id = f"<reply-{self._seed}-{number}@{'desk' if agent else 'customer'}.example>"
        sender = AGENT if agent else arrived.recipients[0]
        address = re.findall(r"[^\s<>]+@[^\s<>]+", reply_to)[-1]
        data = _mail(
            sender,
            address,
            f"Re: {number}",
            message_id,
            f"These are the words of reply {number}.\r\n",
            f"In-Reply-To: {ours}\r\nReferences: {' '.join([*known[-5:], ours])}\r\n",
        )
        self._offer(
            Offered(message_id, sender, address, data, thread, "answer" if agent else "reply"),
        )

    def _offer(self, mail: Offered) -> None:
        assert mail.message_id not in self.ledger
        self.ledger[mail.message_id] = mail
        self._threads[mail.message_id] = mail.thread
        self._queue.put_nowait(mail)

    # ------------------------------------------------------------ the connections

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._connection()) for _ in range(self._connections)]
        if self._sink is not None:
            tasks.append(asyncio.create_task(self._watch(self._sink)))
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in ended:
            if isinstance(problem, Exception):
                raise problem

    async def _watch(self, sink: Sink) -> None:
        while True:
            arrived = sink.mails[self._read :]
            self._read += len(arrived)
            for mail in arrived:
                self._react(mail)
            await asyncio.sleep(0.03)

    async def _connection(self) -> None:
        """One server's connection to us: a mail at a time, kept open between them."""
        client: _Client | None = None
        try:
            while True:
                mail = await self._queue.get()
                while not mail.accepted and not mail.refused:
                    mail.attempts += 1
                    began = time.monotonic()
                    try:
                        if client is None:
                            client = await _Client.connect(self._port)
                        answer = await client.deliver(mail)
                    except (OSError, EOFError, TimeoutError):
                        mail.lost += 1
                        answer = ""
                    mail.worst_turn = max(mail.worst_turn, time.monotonic() - began)
                    if client is not None and (not answer or answer.startswith("421")):
                        client.close()
                        client = None
                    self._note(mail, answer)
                    if not mail.accepted:
                        await asyncio.sleep(self._random.uniform(*_LATER))
                if self._pause:
                    await asyncio.sleep(self._pause)
        finally:
            if client is not None:
                client.close()

    def _note(self, mail: Offered, answer: str) -> None:
        if answer.startswith("2"):
            mail.accepted += 1
        elif answer.startswith("4"):
            mail.put_off.append(answer)
        elif answer:
            mail.refused = answer


class _Client:
    """One SMTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> _Client:
        """Connected, greeted, and greeting said. Raises OSError or EOFError."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        try:
            greeting = await client._reply()
            if not greeting.startswith("220"):
                raise EOFError(greeting)
            await client._say("EHLO relay.customer.example")
        except BaseException:
            client.close()
            raise
        return client

    async def deliver(self, mail: Offered) -> str:
        """The last word about a mail. Raises OSError or EOFError when there is none."""
        for command in (f"MAIL FROM:<{mail.sender}>", f"RCPT TO:<{mail.recipient}>", "DATA"):
            answer = await self._say(command)
            if answer[:1] not in "23":
                if not answer.startswith("421"):
                    await self._say("RSET")
                return answer
        self._writer.write(re.sub(rb"(?m)^\.", b"..", mail.data) + b".\r\n")
        await self._writer.drain()
        began = time.monotonic()
        try:
            return await self._reply()
        except (OSError, EOFError, TimeoutError):
            mail.lost_after_dot += 1
            raise
        finally:
            mail.worst_wait = max(mail.worst_wait, time.monotonic() - began)

    def close(self) -> None:
        """Gone, without a goodbye."""
        self._writer.transport.abort()

    async def _say(self, command: str) -> str:
        self._writer.write(command.encode() + b"\r\n")
        await self._writer.drain()
        return await self._reply()

    async def _reply(self) -> str:
        async with asyncio.timeout(_ANSWER_WITHIN):
            while True:
                line = await self._reader.readline()
                if not line.endswith(b"\n"):
                    raise EOFError("the server has closed")
                if line[3:4] != b"-":
                    return line.decode().rstrip()


def _mail(sender: str, to: str, subject: str, message_id: str, text: str, more: str = "") -> bytes:
    return (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n{more}"
        f"Date: Tue, 24 Nov 2026 09:12:00 +0000\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    ).encode()


def until(found: Callable[[], object], what: str, patience: float) -> None:
    """Wait for a true value, looking often; fails saying `what`."""
    deadline = time.monotonic() + patience
    while not found():
        assert time.monotonic() < deadline, f"{what}, but it did not in {patience:g} s"
        time.sleep(0.02)
