"""Sockets handed in by a service manager, as real descriptors of this process."""

from __future__ import annotations

import asyncio
import os
import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailbridge.config import Smtp
from mailbridge.edge.listen_fds import InheritedSockets, ListenFdsError
from mailbridge.edge.smtp_in import SmtpListener
from tests.edge.smtp_client import Desk, Log

MAIL = b"From: Anne <anne@customer.example>\r\nSubject: Printer\r\n\r\nIt is on fire.\r\n"


class Handed:
    """Descriptors side by side and inheritable, as systemd leaves them from 3 on; here from `first` on."""

    def __init__(self) -> None:
        self.first = 200
        self.count = 0

    def add(self, number: int) -> None:
        """Hand this descriptor in as the next one; the original is closed."""
        os.dup2(number, self.first + self.count, inheritable=True)
        os.close(number)
        self.count += 1

    def listening(self, address: str = "127.0.0.1") -> tuple[str, int]:
        """Hand in a listening TCP socket; its address."""
        sock = socket.create_server((address, 0))
        name: tuple[str, int] = sock.getsockname()[:2]
        self.add(sock.detach())
        return name

    def environ(self, **changes: str) -> dict[str, str]:
        """The variables that go with them."""
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(self.count), "HOME": "/x"} | changes

    def read(self, environ: dict[str, str]) -> InheritedSockets:
        return InheritedSockets.from_environment(environ, first=self.first)


@pytest.fixture
def handed() -> Iterator[Handed]:
    """No descriptors yet; those that a test leaves open are closed."""
    made = Handed()
    yield made
    for number in range(made.first, made.first + made.count):
        try:
            os.close(number)
        except OSError:
            continue


def test_sockets_are_found_by_their_names(handed: Handed) -> None:
    """The order of lines in a socket unit must not decide which port speaks SMTP."""
    smtp, portal, smtp6 = handed.listening(), handed.listening(), handed.listening()
    inherited = handed.read(handed.environ(LISTEN_FDNAMES="smtp:portal:smtp"))
    assert inherited.names[1] == "portal"
    with ExitStack() as stack:
        taken = [stack.enter_context(sock) for sock in inherited.take("smtp", or_unnamed=True)]
        assert [sock.getsockname() for sock in taken] == [smtp, smtp6]
        assert inherited.names == ("portal",)
        (other,) = inherited.take("portal")
        assert stack.enter_context(other).getsockname() == portal
        assert inherited.take("portal") == ()


@pytest.mark.parametrize("names", [{}, {"LISTEN_FDNAMES": "unknown"}, {"LISTEN_FDNAMES": ""}])
def test_a_socket_without_a_name_goes_to_who_takes_the_unnamed(handed: Handed, names: dict[str, str]) -> None:
    """systemd-socket-activate gives no names unless asked; a name that was given is never overruled."""
    address = handed.listening()
    inherited = handed.read(handed.environ(**names))
    assert inherited.names == ("",)
    assert inherited.take("smtp") == ()
    (sock,) = inherited.take("smtp", or_unnamed=True)
    with sock:
        assert sock.getsockname() == address


def test_the_protocol_is_known(handed: Handed) -> None:
    """asyncio sets TCP_NODELAY only on sockets that say so; without it each SMTP reply costs 40 ms."""
    handed.listening()
    (sock,) = handed.read(handed.environ()).take("smtp", or_unnamed=True)
    with sock:
        assert (sock.family, sock.type, sock.proto) == (
            socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )


def test_descriptors_do_not_reach_children(handed: Handed) -> None:
    """A worker that holds port 25 open keeps the next daemon from it."""
    handed.listening()
    (sock,) = handed.read(handed.environ(LISTEN_FDNAMES="smtp")).take("smtp")
    with sock:
        assert not sock.get_inheritable()


@pytest.mark.parametrize("pid", ["1", "", "x"])
def test_sockets_for_another_process_are_left_alone(handed: Handed, pid: str) -> None:
    """The variables may come down from a parent; descriptor 3 is then a file of somebody's."""
    handed.listening()
    assert handed.read(handed.environ(LISTEN_PID=pid)).names == ()
    assert os.get_inheritable(handed.first)


def test_without_variables_there_is_nothing(handed: Handed) -> None:
    """The usual case: started from a shell, or as a service without a socket."""
    assert handed.read({"HOME": "/x"}).names == ()


@pytest.mark.parametrize("count", ["", "-1", "many", "99999"])
def test_a_number_that_makes_no_sense_is_refused(handed: Handed, count: str) -> None:
    """Serving nothing while systemd thinks we hold port 25 would lose mail quietly."""
    with pytest.raises(ListenFdsError, match="LISTEN_FDS is"):
        handed.read(handed.environ(LISTEN_FDS=count))


def test_a_descriptor_that_is_not_there_is_refused(handed: Handed) -> None:
    """It is named, so that the socket unit can be put right."""
    with pytest.raises(ListenFdsError, match=rf"descriptor {handed.first} \(smtp\) .* no socket"):
        handed.read(handed.environ(LISTEN_FDS="1", LISTEN_FDNAMES="smtp"))


def test_a_file_is_refused(handed: Handed, tmp_path: Path) -> None:
    """systemd.socket(5) can hand in FIFOs and devices too."""
    handed.add(os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR))
    with pytest.raises(ListenFdsError, match="no socket"):
        handed.read(handed.environ())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["accepted", "datagram"])
def test_a_socket_that_does_not_listen_is_refused(handed: Handed, kind: socket.SocketKind) -> None:
    """With Accept=yes each connection would be handed to a daemon of its own; we are one for all."""
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with other:
        handed.add(one.detach())
        with pytest.raises(ListenFdsError, match="Accept=no"):
            handed.read(handed.environ())


def test_what_nobody_takes_is_closed_and_named(handed: Handed) -> None:
    """A port that is open and never answers is worse than one that is closed."""
    _, port = handed.listening()
    handed.listening()
    inherited = handed.read(handed.environ(LISTEN_FDNAMES="portal"))
    assert inherited.close() == ("portal", "")
    assert inherited.names == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def _send(host: str, port: int) -> None:
    with smtplib.SMTP(host, port, timeout=10) as client:
        client.sendmail("anne@customer.example", ["support@desk.example"], MAIL)


async def test_the_listener_serves_what_was_handed_in_and_nothing_else() -> None:
    """systemd owns the addresses then; `smtp.listen` would open a second door that nobody asked for."""
    desk, log = Desk(), Log()
    settings = Smtp().model_copy(update={"listen": ("127.0.0.1:1",)})  # would fail for most users, or show
    listener = SmtpListener(settings, desk, hostname="mx.desk.example", log=log)
    sock = socket.create_server(("127.0.0.1", 0))
    address: tuple[str, int] = sock.getsockname()
    await listener.start([sock])
    try:
        assert listener.addresses == (address,)
        await asyncio.to_thread(_send, *address)
        assert desk.contents == [MAIL]
    finally:
        await listener.drain(1)


async def test_a_unix_socket_of_the_managers_stays_after_the_drain(tmp_path: Path) -> None:
    """Its file is systemd's: removed by us, the next daemon would listen where nobody can knock."""
    path = tmp_path / "smtp"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen()
    with sock.dup() as kept:
        listener = SmtpListener(Smtp(), Desk(), hostname="mx.desk.example", log=Log())
        await listener.start([sock])
        assert listener.addresses == ((str(path), 0),)
        await listener.drain(1)
        assert path.is_socket()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(path))  # waits in the backlog of the socket that systemd still holds
        assert kept.getsockname() == str(path)
