"""What a mail costs when there are many tickets already: new requests and replies to old ones, half and half.

Two desks run side by side and get the same mails in turn, so that the machine's moods meet both alike.
"""

from __future__ import annotations

import contextlib
import random

from benchmarks import mailgen
from benchmarks.desk import Desk, desk
from benchmarks.fill import fill, reply_to
from benchmarks.harness import Table, cpu, folder, median, progress, send, spread
from benchmarks.load import Mail

CONNECTIONS = 20
SIZE = 4 << 10
_SMALL = 1_000


def _mails(made: Desk, tickets: int, block: int, count: int) -> list[Mail]:
    ring = made.parts.keys.load()
    chance = random.Random(block)
    mails: list[Mail] = []
    for n in range(count // 2):
        number = 50_000_000 + block * count + n
        mails.append((mailgen.sender(number), mailgen.DESK, mailgen.request(number, SIZE, "g")))
    # Each to another ticket: two to one in a batch have to wait for each other, and would more often of few.
    mails += [
        reply_to(number, SIZE, ring, f"g{block}-")
        for number in chance.sample(range(1, min(tickets, 10**9) + 1), count - len(mails))
    ]
    chance.shuffle(mails)
    return mails


def run(full: bool) -> None:
    """Measure and print."""
    sizes = (_SMALL, 100_000, *((1_000_000,) if full else ()))
    blocks, count = (9, 600) if full else (5, 400)
    walls: dict[int, list[float]] = {size: [] for size in sizes}
    spent: dict[int, list[float]] = {size: [] for size in sizes}
    with contextlib.ExitStack() as stack:
        desks: dict[int, Desk] = {}
        for size in sizes:
            progress(f"filling a desk with {size} tickets")
            where = stack.enter_context(folder())
            made = stack.enter_context(desk(where))
            fill(where / "data" / "mailbridge.db", size)
            made.hold()
            made.start()
            desks[size] = made
        done = 0
        for block in range(blocks + 1):
            for size in sizes if block % 2 else reversed(sizes):
                progress(f"{size} tickets, block {block} of {blocks}")
                made = desks[size]
                mails = _mails(made, size, block, count)
                pids = made.family()
                before = cpu(pids)
                sent = send(made.port, CONNECTIONS, mails)
                ended = made.worked_off(size + done + count)
                if block:  # the first one only warms up
                    walls[size].append((ended - sent.began) * 1000 / count)
                    spent[size].append((cpu(pids) - before) * 1000 / count)
            done += count
        for size, made in desks.items():
            tally = made.tally()
            replies = sum(number for what, number in tally.items() if what.startswith("append/"))
            if replies != done // 2:
                raise RuntimeError(
                    f"with {size} tickets {replies} of {done // 2} replies found theirs: {tally}"
                )
    table = Table(
        "growth: cost of a mail, half new requests, half replies to old tickets (goal: <= 1.1 of 1000 tickets)",
        "tickets",
        "CPU ms/mail",
        "of 1000",
        "wall ms/mail",
        "of 1000",
    )
    for size in sizes:
        cpu_ratios = [large / small for large, small in zip(spent[size], spent[_SMALL], strict=True)]
        wall_ratios = [large / small for large, small in zip(walls[size], walls[_SMALL], strict=True)]
        table.row(
            str(size),
            spread(spent[size], 2),
            f"{median(cpu_ratios):.2f}",
            spread(walls[size], 2),
            f"{median(wall_ratios):.2f}",
        )
    table.print()
