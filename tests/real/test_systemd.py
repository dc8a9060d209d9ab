"""The units that are shipped, and the daemon as systemd runs it.

No systemd needs to be running: its tools check the units, `systemd-socket-activate` hands sockets in, a
datagram socket takes the messages, and libseccomp sets the filters.
"""

from __future__ import annotations

import re
import shutil
import signal
import smtplib
import socket
import sqlite3
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailbridge.cli import exits
from mailbridge.cli.context import DEFAULT_FILES
from mailbridge.config import Settings
from tests.real.service import FOLDER, PATIENCE, Service, Unit, run

SERVICE, SOCKET = "mailbridge.service", "mailbridge.socket"
SAFE = 15  # tenths: what `systemd-analyze security` may find at most


def complaints(folder: Path, **changes: str) -> list[str]:
    """What `systemd-analyze verify` says about our units, once programs are ones that exist here.

    Its exit code is 0 for a misspelt key, and other units of the machine may make noise: so any line that
    names a file of ours counts. `changes` are words of the service to be replaced.
    """
    folder.mkdir(exist_ok=True)
    text = re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", (FOLDER / SERVICE).read_text(), flags=re.MULTILINE)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / SERVICE).write_text(text)
    shutil.copy(FOLDER / SOCKET, folder / SOCKET)
    said = run(["systemd-analyze", "verify", "--man=no", folder / SERVICE, folder / SOCKET])
    return [line for line in said.splitlines() if SERVICE in line or SOCKET in line]


def mail(subject: str) -> EmailMessage:
    """A mail of Anne's that has something of everything that is read in a worker."""
    message = EmailMessage()
    message["From"] = "Anne <anne@customer.example>"
    message["To"] = "support@desk.example"
    message["Subject"] = subject
    message["Message-ID"] = f"<{subject.casefold()}@customer.example>"
    message["Date"] = "Tue, 24 Nov 2026 08:00:00 +0000"
    message.set_content("It is on fire.")
    message.add_alternative("<p>It is <b>on fire</b>.</p>", subtype="html")
    message.add_attachment(b"x" * 10_000, maintype="image", subtype="png", filename="fire.png")
    return message


def send(port: int, subject: str) -> None:
    """Anne sends a mail."""
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        assert client.send_message(mail(subject)) == {}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """A key it does not know is ignored: the protection it was to give would be missing, silently."""
    assert complaints(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WatchdogSec", "WatchdgSec"),
        ("ProtectSystem=strict", "ProtectSystem=strikt"),
        ("Type=notify", "Type=loud"),
    ],
)
def test_a_mistake_in_a_unit_would_be_found(tmp_path: Path, old: str, new: str) -> None:
    """The test above is worth what it notices; systemd's own exit code is 0 for these."""
    assert complaints(tmp_path, **{old: new})


def test_the_service_is_hardened() -> None:
    """A hole in a library that reads strangers' mail shall lead nowhere."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={SAFE}"]
    done = subprocess.run(
        [*command, FOLDER / SERVICE], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level for mailbridge.service" in done.stdout


def test_the_unit_says_what_the_program_does() -> None:
    """Two files that must agree; whoever changes one of them finds out here."""
    unit = Unit(SERVICE)
    program, *arguments = unit.one("ExecStart").split()
    assert Path(program).name == "mailbridge"
    assert arguments == ["run", "--config", str(DEFAULT_FILES[-1])]
    assert unit.one("Type") == "notify"
    assert set(unit.one("RestartPreventExitStatus").split()) == {str(exits.CONFIG), str(exits.USAGE)}
    assert unit.seconds("TimeoutStopSec") > 2 * Settings().server.drain_timeout.total_seconds()
    passwords = {value.partition(":")[0] for value in unit.all("LoadCredential")}
    assert passwords == {name for name in Settings.model_fields if name.endswith("_password")}
    user = re.search(r"^u (\S+) .* (\S+)$", (FOLDER / "mailbridge.sysusers").read_text(), re.MULTILINE)
    assert user
    assert user.groups() == (unit.one("User"), f"/var/lib/{unit.one('StateDirectory')}")
    assert Unit(SOCKET).one("FileDescriptorName") == "smtp"


def test_the_daemon_says_ready_and_stopping(tmp_path: Path) -> None:
    """What systemd starts after us finds an open door; and the drain gets the time that it needs."""
    with Service(tmp_path, settings="drain_timeout = '40s'") as service:
        message = service.hear()
        port = service.port()
        assert message == {"READY": "1", "STATUS": f"taking mail on 127.0.0.1:{port}"}
        with sqlite3.connect(service.data / "mailbridge.db") as database:
            assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        database.close()
        send(port, "Printer")
        service.sent(2)
        assert service.stop() == 0
        stopping = service.hear()
        assert stopping["STOPPING"] == "1"
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 40_000_000


def test_a_daemon_that_cannot_start_is_never_ready(tmp_path: Path) -> None:
    """78 is what the unit does not restart: the same settings would fail for ever."""
    with Service(tmp_path, settings="hostnam = 'desk.example'") as service:
        assert service.process.wait(PATIENCE) == exits.CONFIG
        assert service.silent_for(0.1, "READY")
        assert "hostnam" in service.log


def test_the_watchdog_is_fed_until_the_process_stands_still(tmp_path: Path) -> None:
    """A daemon that hangs is restarted; one that works never is."""
    with Service(tmp_path, environ={"WATCHDOG_USEC": "1500000"}) as service:
        service.hear_until("READY")
        for _ in range(3):
            service.hear_until("WATCHDOG")
        service.process.send_signal(signal.SIGSTOP)
        service.silent_for(0.1, "WATCHDOG")  # what was under way
        assert service.silent_for(1.6, "WATCHDOG")
        service.process.send_signal(signal.SIGCONT)
        service.hear_until("WATCHDOG")


def test_the_watchdog_is_not_fed_while_the_database_does_not_answer(tmp_path: Path) -> None:
    """Alive but useless counts as dead, and the status says why; it counts as alive again once it works."""
    with Service(tmp_path, environ={"WATCHDOG_USEC": "1500000"}) as service:
        status = service.hear_until("READY")["STATUS"]
        service.hear_until("WATCHDOG")
        locker = sqlite3.connect(service.data / "mailbridge.db", isolation_level=None, timeout=PATIENCE)
        locker.execute("BEGIN IMMEDIATE")
        while not (message := service.hear_until("STATUS"))["STATUS"].startswith("unwell: "):
            continue
        assert "WATCHDOG" not in message
        assert service.silent_for(1.6, "WATCHDOG")
        locker.execute("ROLLBACK")
        locker.close()
        service.hear_until("WATCHDOG")
        assert service.hear_until("STATUS")["STATUS"] == status
        send(service.port(), "Printer")


def test_a_reload_is_answered_and_ends_nothing(tmp_path: Path) -> None:
    """SIGHUP ends a process that does not expect it, and systemd would take that for a wish."""
    with Service(tmp_path) as service:
        service.hear_until("READY")
        service.process.send_signal(signal.SIGHUP)
        message = service.hear()
        assert message["RELOADING"] == "1"
        assert int(message["MONOTONIC_USEC"]) > 0
        assert service.hear()["READY"] == "1"
        send(service.port(), "Printer")
        assert service.stop() == 0


def test_mail_goes_through_a_socket_that_was_handed_in(tmp_path: Path) -> None:
    """Port 25 without a privilege. The connection that woke the daemon is served, not only the next one."""
    port = free_port()
    before = [
        "systemd-socket-activate",
        f"--listen=127.0.0.1:{port}",
        "--fdname=smtp",
        "--setenv=NOTIFY_SOCKET",
        "--setenv=LC_ALL",
    ]
    with Service(tmp_path, before=before) as service:
        for _ in range(int(PATIENCE * 20)):  # until systemd-socket-activate listens
            try:
                send(port, "Printer")
                break
            except ConnectionRefusedError:
                assert service.silent_for(0.05, "READY")
        assert service.hear_until("READY")["STATUS"] == f"taking mail on 127.0.0.1:{port}"
        assert service.port() == port, "smtp.listen is not opened beside it"
        send(port, "Scanner")
        service.sent(4)
        left = [
            (process.name, variable)
            for process in service.family()[1:]
            for variable in (process / "environ").read_text().split("\0")
            if variable.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))
        ]
        assert left == [], "a child could speak for the daemon"
        assert service.stop() == 0


def test_the_daemon_works_under_the_filters_of_the_unit(tmp_path: Path) -> None:
    """Hardening that breaks the product is taken off by the first who installs it. The workers must still
    be able to limit themselves: that it fails would not be noticed until a bomb comes."""
    with Service(tmp_path, before=[sys.executable, "-m", "tests.real.filters"]) as service:
        service.hear_until("READY")
        send(service.port(), "Printer")
        service.sent(2)
        limits = [(process / "limits").read_text() for process in service.family()[1:]]
        memory = str(Settings().intake.parse_memory)
        assert any(re.search(rf"Max address space +{memory} ", each) for each in limits), limits
        assert all("Seccomp:\t2" in (process / "status").read_text() for process in service.family())
        assert service.stop() == 0
        assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        ("import os; os.chroot('/')", "PermissionError"),
        ("import os; os.setpriority(0, 0, 5)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 4096, prot=7)", "PermissionError"),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "not supported"),
        ("import socket; socket.socket(socket.AF_INET6); print('nothing')", "nothing"),
    ],
    ids=["privileged", "resources", "writable code", "netlink", "allowed"],
)
def test_the_filters_bite(deed: str, error: str) -> None:
    """Without this, the test above could pass because nothing was filtered."""
    assert error in run([sys.executable, "-m", "tests.real.filters", sys.executable, "-c", deed])
