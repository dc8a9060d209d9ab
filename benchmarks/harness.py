"""What every benchmark needs: processes, load, processor time and memory of others, tables.

Linux only, as far as processor time and memory are concerned: both are read from /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Mail

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sent:
    """What the load client tells. Times are Unix time."""

    began: float
    ended: float
    accepted: int
    refused: int

    @property
    def rate(self) -> float:
        """Mails a second."""
        return self.accepted / (self.ended - self.began)


def send(port: int, connections: int, mails: Sequence[Mail]) -> Sent:
    """Send mails from a client in a process of its own, over that many connections."""
    with tempfile.NamedTemporaryFile(suffix=".mails") as file:
        file.write(pickle.dumps(list(mails)))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", str(port), str(connections), file.name],
            capture_output=True,
            check=True,
        )
    told = json.loads(done.stdout)
    return Sent(told["began"], told["ended"], int(told["accepted"]), int(told["refused"]))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder on the disk (not in memory: committing is part of what is measured)."""
    with tempfile.TemporaryDirectory(prefix="mb-bench-", dir=os.environ.get("BENCH_DIR")) as name:
        yield Path(name)


@contextlib.contextmanager
def server(name: str, where: Path) -> Iterator[tuple[int, int]]:
    """One of `benchmarks.servers`: its port and process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers", name, str(where)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
    finally:
        process.communicate()


def family(pid: int) -> list[int]:
    """A process and all that descend from it, the first one first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu(pids: Sequence[int]) -> float:
    """Processor seconds, user and system, that these processes have used (and children they waited for)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / _TICKS


def memory(pid: int, what: str = "VmRSS") -> float:
    """A figure of /proc/PID/status in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def machine() -> str:
    """One line about where this ran."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {model}, Python {sys.version.split()[0]}, load before {load:.1f}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median with least and greatest, as text."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def wait_until(done: object, seconds: float, what: str) -> None:
    """Poll a condition; TimeoutError naming it when it does not come true."""
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


class Table:
    """Rows of text, printed in columns as wide as they need to be."""

    def __init__(self, title: str, *columns: str) -> None:
        self._title = title
        self._rows: list[tuple[str, ...]] = [columns]

    def row(self, *cells: str) -> None:
        """Add one."""
        self._rows.append(cells)

    def print(self) -> None:
        """To standard output."""
        widths = [max(len(row[n]) for row in self._rows) for n in range(len(self._rows[0]))]
        print(f"\n{self._title}")
        for number, row in enumerate(self._rows):
            print(
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            )
            if number == 0:
                print("  " + "  ".join("-" * width for width in widths))
        sys.stdout.flush()


def progress(text: str) -> None:
    """Say what is being done, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"  ... {text}\n")
