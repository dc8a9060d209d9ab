"""Tells systemd how the daemon is: ready, reloading, stopping, alive.

Standards: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) (`Type=notify`, `WatchdogSec=`).
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import structlog

from mailbridge.logs import get_logger

_PATIENCE: float = 1.0
"""Seconds to wait for room in the socket: the receiver is a queue in the kernel, which is full only when
systemd itself stands still."""
_LONGEST_STATUS = 500
_LOOK_AGAIN = 10
"""While unwell, health is looked at this many times within the time-out: a recovery shall not come late."""
_NOT_ONE_LINE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


class Notifier:
    """Sends states to the service manager. Without one every method does nothing; none of them raises."""

    def __init__(
        self,
        address: str | None,
        *,
        watchdog: float | None = None,
        log: structlog.stdlib.BoundLogger | None = None,
    ) -> None:
        """`address` is a socket's path, or '@' and an abstract name; `watchdog` the time-out in seconds."""
        self._address = address
        self._watchdog = watchdog
        self._log = log or get_logger("mailbridge")
        self._status = ""
        self._deaf = False

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, log: structlog.stdlib.BoundLogger | None = None
    ) -> Self:
        """What $NOTIFY_SOCKET and $WATCHDOG_USEC say (`mailbridge.edge.manager.take` keeps them from children).

        A watchdog for another process ($WATCHDOG_PID), and values that make no sense, count as none.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        pid = environ.get("WATCHDOG_PID", "")
        wanted = usec.isascii() and usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(
            address if address.startswith(("/", "@")) and len(address) > 1 else None,
            watchdog=int(usec) / 1e6 if wanted else None,
            log=log,
        )

    @property
    def enabled(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The start, or a reload, is over: serving."""
        self._status = _one_line(status)
        self._send("READY=1", f"STATUS={self._status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._status = _one_line(text)
        self._send(f"STATUS={self._status}")

    def reloading(self) -> None:
        """New settings are being read. `ready` must follow, whether they were taken or refused."""
        # The time proves that the message is younger than the request (systemd 253 and `Type=notify-reload`).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, extend: float = 0.0) -> None:
        """The drain has begun and may last `extend` seconds from now, whatever `TimeoutStopSec=` says."""
        self._status = "stopping"
        self._send("STOPPING=1", "STATUS=stopping", *_extension(extend))

    def extend(self, seconds: float) -> None:
        """The start, reload or stop under way may last `seconds` more from now."""
        self._send(*_extension(seconds))

    async def watchdog(self, healthy: Callable[[], Awaitable[str | None]]) -> None:
        """Say that we live, at half of the time-out, for as long as `healthy` answers None; for ever.

        While it answers a reason, raises or does not answer, nothing is said, so that systemd restarts us
        when this lasts; the reason is logged and in the status. Returns at once when no watchdog is wanted.
        """
        if self._watchdog is None or self._address is None:
            return
        loop = asyncio.get_running_loop()
        said = ""
        while True:
            began = loop.time()
            try:
                # What hangs shall be named before systemd ends us.
                async with asyncio.timeout(self._watchdog / 2):
                    why = await healthy() or ""
            except TimeoutError:
                why = "the look at our health did not end"
            except Exception as error:
                why = f"the look at our health failed: {type(error).__name__}: {error}"
            if not why:
                self._send("WATCHDOG=1")
            if bool(why) != bool(said):
                if why:
                    self._log.error("watchdog.unwell", why=why, restart_within=self._watchdog)
                    self._send(f"STATUS=unwell: {_one_line(why)}")
                else:
                    self._log.warning("watchdog.well_again")
                    self._send(f"STATUS={self._status}")
            said = why
            pause = self._watchdog / (_LOOK_AGAIN if why else 2)
            await asyncio.sleep(max(0.0, pause - (loop.time() - began)))

    def _send(self, *lines: str) -> None:
        if self._address is None or not lines:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        data = "\n".join(lines).encode("utf-8", "replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_PATIENCE)
                sender.connect(path)
                sender.send(data)
        except OSError as error:
            if not self._deaf:
                self._log.warning("notify.failed", address=self._address, error=str(error))
            self._deaf = True
        else:
            self._deaf = False


def _one_line(text: str) -> str:
    """`text` so that it cannot become a second assignment."""
    return _NOT_ONE_LINE.sub(" ", text).strip()[:_LONGEST_STATUS]


def _extension(seconds: float) -> tuple[str, ...]:
    return (f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}",) if seconds > 0 else ()
