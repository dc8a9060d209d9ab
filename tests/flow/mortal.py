"""A `World` whose daemon may be killed at any instant, whose settings may be changed, and whose disk may be small."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.flow.world import PATIENCE, Row, World, environment

_AFTERMATH = re.compile(r"resource_tracker|^\s*warnings\.warn\(|^\s*$")
"""What Python's own helper process says when the daemon was killed: it cleans up after it."""


class Mortal(World):
    """`settings` are lines of TOML by section, put in place of, or beside, those that `World` has.

    `expected`: events that may be logged as errors, as in `World`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        maildir: bool = False,
        url: str = "",
        password: str = "",
        expected: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, maildir=maildir, url=url, password=password, expected=expected)
        self.torn = False
        """Set where the log's own disk is full: then a line may end in the middle."""
        text = self.config.read_text()
        for section, lines in (settings or {}).items():
            for key, value in lines.items():
                text = _set(text, section, key, value)
        self.config.write_text(text)

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        return self._daemon is not None

    @property
    def pid(self) -> int:
        """The daemon's main process."""
        return self.daemon.pid

    def spawn(self) -> float:
        """Start the daemon and do not wait; the moment, in seconds of the monotonic clock."""
        began = time.monotonic()
        with self.log.open("ab") as out:
            self._daemon = subprocess.Popen(
                self.argv("run"), stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment()
            )
        return began

    def banner(self, patience: float = PATIENCE) -> float:
        """The moment at which the daemon greets a client."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            assert self.daemon.poll() is None, f"it has ended with {self.daemon.returncode}\n{self.tail()}"
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 5) as client,
            ):
                client.settimeout(5)
                if client.recv(4) == b"220 ":
                    return time.monotonic()
            time.sleep(0.01)
        raise AssertionError(f"no greeting in {patience:g} s\n{self.tail()}")

    def errors(self) -> list[Row]:
        """As in `World`, without what is left behind by a kill, or by a full disk."""
        found = [line for line in super().errors() if not _AFTERMATH.search(line.get("text", "no"))]
        return [line for line in found if not (self.torn and line.get("text", "").startswith("{"))]

    def workers(self) -> list[int]:
        """The processes that read mail: children of the server that forks them."""
        return [pid for child in children(self.pid) for pid in children(child)]

    def family(self) -> list[int]:
        """Every process that the daemon has started, directly or not."""
        return [*children(self.pid), *self.workers()]


def say(text: str) -> None:
    """A line for whoever looks: pytest shows it when the test fails, or with -s."""
    sys.stdout.write(text + "\n")


def children(parent: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the state and the parent follow it.
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(folder.name))
    return found


def alive(pids: Iterable[int]) -> list[int]:
    """Those of the processes that still run (a zombie does not)."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def resident(pid: int) -> int:
    """The memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A file system of `size` bytes on `folder`, gone afterwards. False where this process may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "mailbridge-test", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            # Lazily: whatever a failed test left open in it must not keep the others from going on.
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path, leave: int) -> None:
    """Write a file until only `leave` bytes of its disk are free, or less: others write there meanwhile."""
    # Unbuffered, or closing it would fail with what could not be written.
    with ballast.open("wb", buffering=0) as out:
        with contextlib.suppress(OSError):
            os.posix_fallocate(out.fileno(), 0, max(1, free(ballast.parent) - leave))
        out.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):
            while free(ballast.parent) > leave:
                out.write(bytes(4096))


def free(folder: Path) -> int:
    """The bytes of the disk that may be used."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _set(text: str, section: str, key: str, value: str) -> str:
    head, mark, rest = text.partition(f"[{section}]\n")
    assert mark, f"no section [{section}]"
    own, bracket, others = rest.partition("\n[")
    own = re.sub(rf"(?m)^{key} = .*\n?", "", own + "\n").rstrip("\n")
    return f"{head}{mark}{key} = {value}\n{own}{bracket}{others}"
