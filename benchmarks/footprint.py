"""What the daemon takes: memory at rest, time to be ready, and memory for one very large mail.

The main process only, unless said otherwise: parse workers are bounded by `intake.parse_memory` and renewed.
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import mailgen
from benchmarks.desk import desk
from benchmarks.harness import Table, folder, memory, progress, send, spread

_LARGE = 25 << 20


def _bare_start() -> float:
    """Seconds that Python itself takes to start and import what we stand on: the floor."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import asyncio, sqlalchemy, aiosmtpd.smtp, pydantic"], check=True)
    return time.monotonic() - began


def run(full: bool) -> None:
    """Measure and print."""
    turns = 5 if full else 3
    floor: list[float] = []
    ready: list[float] = []
    idle: list[float] = []
    whole: list[float] = []
    grown: list[float] = []
    for turn in range(turns):
        progress(f"turn {turn + 1} of {turns}")
        floor.append(_bare_start())
        with folder() as where, desk(where) as made:
            made.start()
            ready.append(made.ready_after)
            for n in range(3):  # small ones first, so that what is loaded on first use is not counted
                send(made.port, 1, [(mailgen.sender(n), mailgen.DESK, mailgen.request(n, 4096))])
            made.worked_off(3)
            made.sent()
            idle.append(memory(made.pid))
            whole.append(sum(memory(pid) for pid in made.family()))
            send(made.port, 1, [(mailgen.sender(9), mailgen.DESK, mailgen.attached(9, _LARGE))])
            made.worked_off(4)
            made.sent()
            grown.append(memory(made.pid, "VmHWM") - idle[-1])
    table = Table("footprint", "what", "measured", "goal", "floor in this run")
    table.row("idle, main process, RSS MiB", spread(idle), "<= 90", "")
    table.row("idle, with its parse workers, RSS MiB", spread(whole), "", "")
    table.row(
        "ready after the start, s",
        spread(ready, 2),
        "<= 1.5",
        f"{spread(floor, 2)} Python with the libraries",
    )
    table.row(
        "a mail of 25 MiB, main process, peak MiB more",
        spread(grown),
        "<= 120",
        f"{_LARGE >> 20} the mail itself",
    )
    table.print()
