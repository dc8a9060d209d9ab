"""The SMTP listener's life: bind, serve, drain.

Standards: RFC 5321 (SMTP), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import stat
from collections.abc import Sequence
from pathlib import Path

from mailbridge.config import Smtp, parse_listen
from mailbridge.edge.smtp_connection import Limits
from mailbridge.edge.smtp_gate import Doorman, EventLog, Gate
from mailbridge.edge.smtp_session import Acceptor, GuardedSMTP

__all__ = ["Acceptor", "SmtpListener"]

_IN_FLIGHT = 4
"""Mails of the greatest size that may be in memory at once, over all sessions."""
_BACKLOG = 256
_HINTS = {
    errno.EACCES: "permission denied (ports below 1024 need a privilege)",
    errno.EADDRINUSE: "already in use",
    errno.EADDRNOTAVAIL: "not an address of this machine",
    errno.EAFNOSUPPORT: "this machine has no such address family",
}


class SmtpListener:
    """Takes mail by SMTP on every address of `settings.listen` and gives it to `acceptor`."""

    def __init__(self, settings: Smtp, acceptor: Acceptor, *, hostname: str, log: EventLog) -> None:
        self._settings = settings
        self._acceptor = acceptor
        self._hostname = hostname
        self._log = log
        self._servers: list[asyncio.Server] = []
        self._unix_paths: list[Path] = []
        self.gate = Gate(
            max_connections=settings.max_connections,
            max_per_address=settings.max_connections_per_address,
            max_bytes=_IN_FLIGHT * settings.max_message,
        )
        """Who is connected and what they hold, for `status` to show."""
        self.addresses: tuple[tuple[str, int], ...] = ()
        """What is really bound: host and port; for a unix socket its path and 0."""

    async def start(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Bind every address and serve. All or nothing.

        Listening sockets that are `inherited` (from systemd) are served in place of `settings.listen`, and
        are ours from now on.

        Raises OSError naming the address when one cannot be bound or the certificate cannot be read, and
        ValueError when an address or the TLS settings make no sense.
        """
        tls = _tls_context(self._settings)
        limits = Limits.of(self._settings)

        def session() -> GuardedSMTP:
            return GuardedSMTP(
                self._acceptor, self.gate, limits, hostname=self._hostname, tls=tls, log=self._log
            )

        def doorman() -> Doorman:
            return Doorman(self.gate, session, self._log)

        loop = asyncio.get_running_loop()
        sockets = list(inherited)
        try:
            if not inherited:
                sockets.extend(self._bind(text) for text in self._settings.listen)
        except BaseException:
            for bound in sockets:
                bound.close()
            self._unlink()
            raise
        for bound in sockets:
            if bound.family == socket.AF_UNIX and not inherited:
                self._servers.append(await loop.create_unix_server(doorman, sock=bound, backlog=_BACKLOG))
            else:  # also for a unix socket of systemd's: its file is not ours to remove
                self._servers.append(await loop.create_server(doorman, sock=bound, backlog=_BACKLOG))
        self.addresses = tuple(_bound_address(bound) for bound in sockets)
        self._log.info(
            "smtp.listening",
            addresses=[f"{host}:{port}" for host, port in self.addresses],
            inherited=bool(inherited),
        )

    async def drain(self, timeout: float) -> None:
        """Stop accepting, say 421 to idle clients, let mails being sent be finished and stored for at most
        `timeout` seconds, then drop what is left. A second call does nothing."""
        self.gate.draining = True
        for server in self._servers:
            server.close()
        self._unlink()
        for guest in tuple(self.gate.guests):
            guest.leave()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gate.empty(), timeout)
        if self.gate.guests or self.gate.stores:
            self._log.warning(
                "smtp.drain_incomplete", sessions=len(self.gate.guests), stores=len(self.gate.stores)
            )
        for guest in tuple(self.gate.guests):
            guest.abort()
        for store in tuple(self.gate.stores):
            store.cancel()  # its client had no 250, so it will send again
        for server in self._servers:
            # Returns at once on Python 3.11 and waits for the last session from 3.12 on.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 1)
        self._servers.clear()

    def _bind(self, text: str) -> socket.socket:
        """A socket that listens on HOST:PORT, or on unix:/PATH."""
        try:
            if text.startswith("unix:/"):
                return self._bind_unix(Path(text.removeprefix("unix:")))
            return _bind_tcp(*parse_listen(text))
        except OSError as error:
            why = _HINTS.get(error.errno or 0, error.strerror or str(error))
            raise OSError(error.errno, f"cannot listen on {text}: {why}") from error

    def _bind_unix(self, path: Path) -> socket.socket:
        _remove_stale(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(path))
            self._unix_paths.append(path)
            path.chmod(0o660)
        except BaseException:
            bound.close()
            raise
        return bound

    def _unlink(self) -> None:
        for path in self._unix_paths:
            path.unlink(missing_ok=True)
        self._unix_paths.clear()


def _bind_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that say IPPROTO_TCP; without it each reply costs 44 ms (P46).
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # So that '0.0.0.0:25' and '[::]:25' can stand beside each other.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket file that a killed daemon left behind; one that still answers is left alone."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _bound_address(bound: socket.socket) -> tuple[str, int]:
    name = bound.getsockname()
    return (name, 0) if isinstance(name, str) else (name[0], name[1])


def _tls_context(settings: Smtp) -> ssl.SSLContext | None:
    """The context for STARTTLS, or None when no certificate is configured."""
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise ValueError("smtp.tls_key is set but smtp.tls_certificate is not")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise OSError(error.errno, f"cannot use {settings.tls_certificate} for STARTTLS: {error}") from error
    return context
