"""Takes over listening sockets that systemd opened for us, such as port 25 without any privilege.

Standards: sd_listen_fds(3), systemd.socket(5) (`FileDescriptorName=`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Self

_FIRST = 3
"""SD_LISTEN_FDS_START: what follows stdin, stdout and stderr."""
_UNNAMED = ("", "unknown", "stored")


class ListenFdsError(Exception):
    """What was handed in is not what the variables say, or not a listening stream socket."""


class InheritedSockets:
    """The sockets handed in, until each is taken by the listener that serves it or closed."""

    def __init__(self, sockets: Sequence[tuple[str, socket.socket]] = ()) -> None:
        """`sockets` are names and listening sockets, in the order of the socket unit."""
        self._waiting = list(sockets)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, first: int = _FIRST) -> Self:
        """What $LISTEN_FDS hands to this process; nothing if $LISTEN_PID names another one.

        Marks the descriptors close-on-exec: they are not for children, and neither are the variables, see
        `mailbridge.edge.manager`. `first` is the first descriptor's number. Raises ListenFdsError.
        """
        pid, count, names = (environ.get(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
        if not pid or pid != str(os.getpid()):
            return cls()
        if not (count.isascii() and count.isdecimal() and int(count) <= 1024):
            raise ListenFdsError(f"LISTEN_FDS is {count!r}: allowed is a number of sockets")
        labels = names.split(":") if names else []
        found: list[tuple[str, socket.socket]] = []
        for place in range(int(count)):
            label = labels[place] if place < len(labels) else ""
            found.append((label, _adopt(first + place, label)))
        return cls(found)

    @property
    def names(self) -> tuple[str, ...]:
        """Of those that still wait; '' for one without a name."""
        return tuple("" if name in _UNNAMED else name for name, _ in self._waiting)

    def take(self, name: str, *, or_unnamed: bool = False) -> tuple[socket.socket, ...]:
        """Every waiting socket of that name (with `or_unnamed` also those without one); the caller owns them."""

        def meant(label: str) -> bool:
            return label == name or (or_unnamed and label in _UNNAMED)

        taken = tuple(sock for label, sock in self._waiting if meant(label))
        self._waiting = [(label, sock) for label, sock in self._waiting if not meant(label)]
        return taken

    def close(self) -> tuple[str, ...]:
        """Close what nobody took; its names, so that somebody can be told."""
        names = self.names
        for _, sock in self._waiting:
            sock.close()
        self._waiting.clear()
        return names


def _adopt(number: int, label: str) -> socket.socket:
    what = f"descriptor {number}" + (f" ({label})" if label else "")
    try:
        os.set_inheritable(number, False)
        # Family, type and protocol are asked of the kernel: asyncio sets TCP_NODELAY only when it knows the
        # protocol, and without that each reply costs 40 ms.
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise ListenFdsError(f"{what} handed in by LISTEN_FDS is no socket: {error.strerror}") from error
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens:
        sock.detach()
        raise ListenFdsError(
            f"{what} handed in by LISTEN_FDS does not listen: Accept=no and ListenStream= are needed"
        )
    return sock
