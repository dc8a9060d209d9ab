"""mailbridge as a service manager runs it: the real program, a real NOTIFY_SOCKET, and the filters of the unit.

`Unit` reads systemd/mailbridge.service, so that what is tested is what is shipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 30.0
"""Seconds for what must happen; only a broken test takes them."""
FOLDER = Path(__file__).parents[2] / "systemd"
_TEMPORARY = ("HOME", "PATH", "LANG", "TMPDIR")


class Unit:
    """The settings of a unit file, in order; a key may come more than once."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / name
        self.text = self.path.read_text(encoding="ascii")
        self._lines = [
            (key.strip(), value.strip())
            for key, equals, value in (line.partition("=") for line in self.text.splitlines())
            if equals and not key.startswith(("#", ";"))
        ]

    def all(self, key: str) -> list[str]:
        return [value for name, value in self._lines if name == key]

    def one(self, key: str) -> str:
        (value,) = self.all(key)
        return value

    def seconds(self, key: str) -> float:
        """A time span in seconds, as systemd itself reads it."""
        found = re.search(r"s: (\d+)$", run(["systemd-analyze", "timespan", self.one(key)]), re.MULTILINE)
        assert found
        return int(found[1]) / 1e6


def run(command: Sequence[str | Path]) -> str:
    """What a program prints, both streams, whatever its exit code."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=_plain_environment())
    return done.stdout + done.stderr


def _plain_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _TEMPORARY if name in os.environ} | {
        "SYSTEMD_PAGER": "",
        "LC_ALL": "C.UTF-8",
    }


class Service:
    """One daemon in a folder of its own, started as `command`; it delivers into a Maildir."""

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        settings: str = "",
    ) -> None:
        """`before` is put in front of the command, `settings` into [server]."""
        self.folder = folder
        self.config = folder / "mailbridge.toml"
        self.config.write_text(
            f"[server]\ndata_dir = '{folder / 'var'}'\n{settings}\n"
            "[smtp]\nlisten = ['127.0.0.1:0']\nmin_free_disk = '0 B'\n"
            "[intake]\nworkers = 1\n"
            "[[mailbox]]\naddress = 'support@desk.example'\n"
            "[[agent]]\naddress = 'bart@desk.example'\n"
        )
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(PATIENCE)
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "mailbridge", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_plain_environment() | {"NOTIFY_SOCKET": str(folder / "notify")} | dict(environ or {}),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(PATIENCE)
        self.notify.close()

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def data(self) -> Path:
        return self.folder / "var"

    def hear(self) -> dict[str, str]:
        """The next message to the manager, by its keys; fails with the daemon's log when none comes."""
        try:
            message = self.notify.recv(65536).decode()
        except TimeoutError:
            raise AssertionError(f"nothing was said to the manager\n{self.log}") from None
        return dict(line.split("=", 1) for line in message.splitlines())

    def hear_until(self, key: str) -> dict[str, str]:
        """The next message with that key."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if key in (message := self.hear()):
                return message
        raise AssertionError(f"no {key} within {PATIENCE} s\n{self.log}")

    def silent_for(self, seconds: float, key: str) -> bool:
        """Whether no message with that key comes for so long."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.notify.settimeout(left)
                if f"{key}=" in self.notify.recv(65536).decode():
                    return False
        except TimeoutError:
            return True
        finally:
            self.notify.settimeout(PATIENCE)
        return True

    def port(self) -> int:
        """Where it takes mail, from its log."""

        for line in self.log.splitlines():
            if '"smtp.listening"' in line:
                (address,) = json.loads(line)["addresses"]
                return int(address.rpartition(":")[2])
        raise AssertionError(f"it does not listen\n{self.log}")

    def family(self) -> list[Path]:
        """The folders in /proc of the daemon and all its descendants."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        found = [self.process.pid]
        for pid in found:  # grows while it is read
            found += [child for child, parent in parents.items() if parent == pid]
        return [Path(f"/proc/{pid}") for pid in found]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def sent(self, count: int) -> list[bytes]:
        """The mails it delivered, once there are so many."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            files = sorted((self.data / "outgoing" / "new").glob("*"))
            if len(files) >= count:
                return [file.read_bytes() for file in files]
            time.sleep(0.05)
        raise AssertionError(f"fewer than {count} mails were sent\n{self.log}")
