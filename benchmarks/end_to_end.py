"""Mail in to mail queued: accepted by SMTP, parsed, decided, committed, the answer in the outbox.

Beside it, in turn, a bare prototype of the same job (`benchmarks.servers`). The clock runs from the first
connection to the commit of the last mail's decision, or until the last answer has left.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass

from benchmarks import mailgen
from benchmarks.desk import Desk, desk, postgres
from benchmarks.harness import Sent, Table, cpu, folder, progress, send, server, spread
from benchmarks.load import Mail

CONNECTIONS = 20
SIZE = 4 << 10


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to run the desk."""

    name: str
    store: str = "sqlite"
    deliver: bool = False
    notify: bool = False


SETUPS = (
    Setup("SQLite, delivery held"),
    Setup("SQLite, held, agent notified too", notify=True),
    Setup("SQLite, out to Maildir", deliver=True),
    Setup("PostgreSQL, delivery held", store="postgresql"),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: mails/s, and processor ms a mail of the main process and of its parse workers."""

    rate: float
    main: float
    workers: float


def _mails(count: int, first: int = 0) -> list[Mail]:
    return [(mailgen.sender(n), mailgen.DESK, mailgen.request(n, SIZE)) for n in range(first, first + count)]


def _measure(made: Desk, mails: list[Mail], before: int, *, deliver: bool) -> Figures:
    pids = made.family()
    used = [cpu([pid]) for pid in pids]
    sent = send(made.port, CONNECTIONS, mails)
    if sent.accepted != len(mails):
        raise RuntimeError(f"the desk took {sent.accepted} of {len(mails)} mails")
    ended = made.worked_off(before + len(mails))
    if deliver:
        ended = max(ended, made.sent())
    spent = [(cpu([pid]) - was) * 1000 / len(mails) for pid, was in zip(pids, used, strict=True)]
    return Figures(len(mails) / (ended - sent.began), spent[0], sum(spent[1:]))


def once(setup: Setup, count: int, url: str = "") -> tuple[Figures, Figures]:
    """New requests, then as many replies, on a fresh desk."""
    with folder() as where, desk(where, url=url, notify=setup.notify) as made:
        if not setup.deliver:
            made.hold()
        made.start()
        warm = 100
        send(made.port, CONNECTIONS, _mails(warm))
        made.worked_off(warm)
        new = _measure(made, _mails(count, warm), warm, deliver=setup.deliver)
        replies = _measure(made, made.replies(count, SIZE), warm + count, deliver=setup.deliver)
        tally = made.tally()
        opened, appended = (
            sum(number for what, number in tally.items() if what.startswith(f"{action}/"))
            for action in ("open", "append")
        )
        if (opened, appended) != (warm + count, count):
            raise RuntimeError(f"decided otherwise than expected: {tally}")
        return new, replies


def floor(count: int) -> float:
    """The bare prototype's mails/s."""
    with folder() as where, server("bare", where) as (port, _):
        send(port, CONNECTIONS, [(f"w.{a}", b, c) for a, b, c in _mails(100)])
        sent: Sent = send(port, CONNECTIONS, _mails(count, 100))
        return sent.rate


def run(full: bool) -> None:
    """Measure and print."""
    turns, count = (5, 2000) if full else (2, 600)
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    floors: list[float] = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres())
        for turn in range(turns):
            progress(f"bare prototype, turn {turn + 1} of {turns}")
            floors.append(floor(count))
            for setup in SETUPS:
                progress(f"{setup.name}, turn {turn + 1} of {turns}")
                url = server.url(server.create()) if setup.store == "postgresql" else ""
                new, replies = once(setup, count, url)
                found[setup.name, "new"].append(new)
                found[setup.name, "reply"].append(replies)
    table = Table(
        f"end to end: mails of {SIZE >> 10} KB, {CONNECTIONS} connections (goal: held on SQLite >= 500/s, 2 cores)",
        "setup",
        "mail",
        "mails/s",
        "of bare",
        "main CPU ms",
        "workers CPU ms",
    )
    table.row("bare prototype", "new", spread(floors), "1", "", "")
    for (name, kind), figures in found.items():
        ratios = [each.rate / bare for each, bare in zip(figures, floors, strict=True)]
        table.row(
            name,
            kind,
            spread([f.rate for f in figures]),
            spread(ratios, 2),
            spread([f.main for f in figures], 2),
            spread([f.workers for f in figures], 2),
        )
    table.print()
