"""What the service manager is told, heard on a real datagram socket."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import CapturingLogger

from mailbridge.edge.manager import take
from mailbridge.edge.notify import Notifier

PATIENCE = 10.0


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    async def hear(self) -> str:
        """The next message; fails when none comes."""
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()

    def heard(self) -> list[str]:
        """All that has come until now."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager at a path."""
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture(params=["path", "abstract"])
def either_manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager at a path, and one at an abstract name."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@mailbridge-test-{os.getpid()}"
    listening = Manager(name)
    yield listening
    listening.close()


class Patient:
    """A daemon whose health can be chosen."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.error: Exception | None = None
        self.hangs = False
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return self.trouble


class Events:
    """A log that remembers the names of its events."""

    def __init__(self) -> None:
        self._logger = CapturingLogger()
        self.log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
            self._logger, processors=[], wrapper_class=structlog.stdlib.BoundLogger
        )

    @property
    def names(self) -> list[str]:
        return [call.kwargs["event"] for call in self._logger.calls]


class Watched:
    """A watchdog with a short time-out, running."""

    def __init__(self, manager: Manager, timeout: float) -> None:
        self.patient = Patient()
        self.events = Events()
        self.notifier = Notifier(manager.address, watchdog=timeout, log=self.events.log)
        self.task = asyncio.create_task(self.notifier.watchdog(self.patient))


@pytest.fixture
async def watched(manager: Manager) -> AsyncIterator[Watched]:
    """A watchdog of 0.4 s."""
    running = Watched(manager, 0.4)
    yield running
    running.task.cancel()
    await asyncio.wait([running.task])


def test_ready_comes_with_a_status_in_one_message(either_manager: Manager) -> None:
    """Both kinds of address are in use: a path on a host, an abstract name in containers."""
    Notifier.from_environment({"NOTIFY_SOCKET": either_manager.address}).ready("taking mail on [::]:25")
    assert either_manager.heard() == ["READY=1\nSTATUS=taking mail on [::]:25"]


def test_nothing_is_sent_and_nothing_fails_without_a_manager() -> None:
    """The same daemon runs from a shell."""
    notifier = Notifier.from_environment({})
    assert not notifier.enabled
    notifier.ready()
    notifier.status("fine")
    notifier.reloading()
    notifier.extend(5)
    notifier.stopping(5)


async def test_the_watchdog_ends_at_once_where_none_is_wanted(manager: Manager) -> None:
    """`WatchdogSec=` is the operator's choice; and one without a manager has nobody to tell."""
    patient = Patient()
    async with asyncio.timeout(PATIENCE):
        await Notifier(manager.address).watchdog(patient)
        await Notifier(None, watchdog=0.1).watchdog(patient)
    assert patient.asked == 0


def test_what_the_manager_says_is_taken_out_of_the_environment() -> None:
    """A child that inherits it could declare us ready, or dead, or take a file for port 25."""
    said = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1", "LISTEN_PID": "5", "LISTEN_FDS": "1"}
    environ = {**said, "HOME": "/x", "LISTENER": "mine"}
    assert take(environ) == said
    assert environ == {"HOME": "/x", "LISTENER": "mine"}


@pytest.mark.parametrize("address", ["relative", "", "@", "/", "vsock:2:1234"])
def test_an_address_that_is_no_unix_socket_counts_as_none(address: str) -> None:
    """sd_notify(3) has more kinds by now; what we cannot speak must not stop the daemon."""
    assert not Notifier.from_environment({"NOTIFY_SOCKET": address}).enabled


def test_a_manager_that_has_gone_is_logged_once_and_raises_nothing(tmp_path: Path) -> None:
    """Mail goes on, whoever listens; one line says why `systemctl status` is silent."""
    events = Events()
    notifier = Notifier(str(tmp_path / "nobody"), log=events.log)
    notifier.ready()
    notifier.status("still here")
    assert events.names == ["notify.failed"]


def test_a_status_cannot_become_a_second_message(manager: Manager) -> None:
    """Status lines may quote what a mail server said; a line break in it must not read as STOPPING=1."""
    Notifier(manager.address).status("said 4.7.0\nSTOPPING=1\r\n\x00then \udcff" + "x" * 1000)
    (message,) = manager.heard()
    assert message.startswith("STATUS=said 4.7.0 STOPPING=1 then ?x")
    assert "\n" not in message
    assert len(message) < 600


def test_reloading_carries_the_time_of_the_monotonic_clock(manager: Manager) -> None:
    """`Type=notify-reload` takes a message for the answer to its request only when it is younger (sd_notify(3))."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(manager.address).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = manager.heard()
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert found
    assert before <= int(found[1]) <= after


def test_stopping_asks_for_the_time_that_the_drain_needs(manager: Manager) -> None:
    """A drain_timeout above TimeoutStopSec= would otherwise end in a kill, with mail in hand."""
    Notifier(manager.address).stopping(12.5)
    assert manager.heard() == ["STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=12500000"]


def test_more_time_can_be_asked_for(manager: Manager) -> None:
    """A migration of a large database may outlast TimeoutStartSec=."""
    Notifier(manager.address).extend(3)
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=3000000"]


@pytest.mark.parametrize(
    "usec", ["", "0", "-1", "soon", "1e6", "٣٣"], ids=["none", "zero", "minus", "word", "float", "arabic"]
)
async def test_a_watchdog_time_that_makes_no_sense_is_none(manager: Manager, usec: str) -> None:
    """Half of nonsense is a busy loop or a crash."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": usec})
    async with asyncio.timeout(PATIENCE):
        await notifier.watchdog(Patient())
    assert manager.heard() == []


async def test_the_watchdog_of_another_process_is_not_ours(manager: Manager) -> None:
    """Inherited through a wrapper script that keeps the variables (sd_watchdog_enabled(3))."""
    notifier = Notifier.from_environment(
        {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    )
    async with asyncio.timeout(PATIENCE):
        await notifier.watchdog(Patient())
    assert manager.heard() == []


async def test_the_healthy_say_so_well_within_the_time_out(manager: Manager) -> None:
    """At half of the time-out, as sd_watchdog_enabled(3) recommends: one late turn must not be fatal."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"})
    task = asyncio.create_task(notifier.watchdog(Patient()))
    times = []
    for _ in range(4):
        assert await manager.hear() == "WATCHDOG=1"
        times.append(time.monotonic())
    task.cancel()
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    # The middle one, since the machine of a test may stand still for a moment.
    assert 0.15 < sorted(gaps)[1] < 0.39


async def test_the_unwell_say_nothing_but_why_and_come_back_quickly(
    manager: Manager, watched: Watched
) -> None:
    """Nothing for a whole time-out lets systemd restart us; the status says why to whoever looks; and one bad
    look must leave time for a good one before the time-out."""
    assert await manager.hear() == "WATCHDOG=1"
    watched.notifier.status("taking mail")
    watched.patient.trouble = "task intake:\nKeyError"
    assert await manager.hear() == "STATUS=taking mail"
    assert await manager.hear() == "STATUS=unwell: task intake: KeyError"
    begun, asked = time.monotonic(), watched.patient.asked
    await asyncio.sleep(0.4)
    assert manager.heard() == []
    assert watched.patient.asked - asked >= 3, "only one look more would come too late"
    watched.patient.trouble = None
    assert await manager.hear() == "WATCHDOG=1"
    assert time.monotonic() - begun < PATIENCE
    assert await manager.hear() == "STATUS=taking mail"
    assert watched.events.names == ["watchdog.unwell", "watchdog.well_again"]


async def test_a_look_at_health_that_hangs_or_breaks_is_a_bad_sign(
    manager: Manager, watched: Watched
) -> None:
    """Whatever keeps it from answering keeps mail from moving as well."""
    assert await manager.hear() == "WATCHDOG=1"
    watched.patient.hangs = True
    assert await manager.hear() == "STATUS=unwell: the look at our health did not end"
    watched.patient.hangs = False
    assert await manager.hear() == "WATCHDOG=1"
    watched.patient.error = RuntimeError("no threads left")
    assert await manager.hear() == "STATUS="
    assert await manager.hear() == (
        "STATUS=unwell: the look at our health failed: RuntimeError: no threads left"
    )
    assert manager.heard() == []


async def test_a_loop_that_stands_still_says_nothing(manager: Manager, watched: Watched) -> None:
    """This is what the watchdog is for: a process that is there but does nothing."""
    assert await manager.hear() == "WATCHDOG=1"
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251  # the very fault
    assert manager.heard() == []
    assert await manager.hear() == "WATCHDOG=1"
