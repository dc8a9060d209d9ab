"""Where the demo's mail arrives: a small SMTP server, or a Maildir; and reading it as a person would."""

from __future__ import annotations

import email
import socket
import threading
import time
from email import policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

_PATIENCE = 15.0


class Post(Protocol):
    """Takes what mailbridge sends."""

    where: str

    def await_mail(self, address: str, count: int) -> EmailMessage:
        """The `count`-th mail to an address, once it is there. TimeoutError when it does not come."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SmtpPost:
    """A real SMTP server on a spare port of this machine, in a thread of its own."""

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        self.port = free_port()
        self.where = f"SMTP 127.0.0.1:{self.port}"
        self._arrived: list[tuple[tuple[str, ...], bytes]] = []
        self._news = threading.Condition()
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, server_hostname="post.example"
        )

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail."""
        with self._news:
            self._arrived.append((tuple(envelope.rcpt_tos), bytes(envelope.content)))
            self._news.notify_all()
        return "250 2.0.0 kept"

    def await_mail(self, address: str, count: int) -> EmailMessage:
        """See `Post`."""
        with self._news:
            found = self._news.wait_for(lambda: len(self._to(address)) >= count, _PATIENCE)
            if not found:
                raise TimeoutError(f"mail {count} to {address} did not come")
            return _parse(self._to(address)[count - 1])

    def _to(self, address: str) -> list[bytes]:
        return [data for recipients, data in self._arrived if address in recipients]

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


class MaildirPost:
    """The embedded default: a folder that any mail program opens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = f"Maildir {path}"

    def await_mail(self, address: str, count: int) -> EmailMessage:
        """See `Post`."""
        deadline = time.monotonic() + _PATIENCE
        wanted = f"Delivered-To: {address}".encode()
        while time.monotonic() < deadline:
            files = sorted((self._path / "new").glob("*"), key=lambda p: p.stat().st_mtime_ns)
            found = [data for data in (p.read_bytes() for p in files) if wanted in data]
            if len(found) >= count:
                return _parse(found[count - 1])
            time.sleep(0.05)
        raise TimeoutError(f"mail {count} to {address} did not come")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _parse(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=policy.default)  # our own mail: no hostile input
    assert isinstance(message, EmailMessage)
    return message


def plain_text(message: EmailMessage) -> str:
    """The text a mail program shows."""
    body = message.get_body(("plain",))
    return str(body.get_content()) if body is not None else ""


def new_words(message: EmailMessage) -> str:
    """The text without what it quotes."""
    lines = plain_text(message).splitlines()
    return "\n".join(line for line in lines if not line.startswith((">", "##-")))


def free_port() -> int:
    """A TCP port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
