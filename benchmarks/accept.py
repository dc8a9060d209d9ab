"""Accepting by SMTP, durable before 250, over 50 connections, beside aiosmtpd with a handler that stores nothing.

The two take turns, each in a fresh process; the ratio is taken turn by turn.
"""

from __future__ import annotations

from benchmarks import mailgen
from benchmarks.harness import Table, cpu, folder, progress, send, server, spread

CONNECTIONS = 50
_SIZES = ((4, 2000), (40, 1000))  # KB, mails


def run(full: bool) -> None:
    """Measure and print."""
    turns = 7 if full else 3
    table = Table(
        f"accept: SMTP, {CONNECTIONS} connections kept open, mails/s (goal: ours, durable, >= 0.85 of null)",
        "mail",
        "server",
        "mails/s",
        "CPU us/mail",
        "of null",
    )
    for kilobytes, count in _SIZES:
        mails = [(mailgen.sender(n), mailgen.DESK, mailgen.request(n, kilobytes << 10)) for n in range(count)]
        rates: dict[str, list[float]] = {"null": [], "door": []}
        spent: dict[str, list[float]] = {"null": [], "door": []}
        for turn in range(turns):
            for name in ("null", "door") if turn % 2 else ("door", "null"):
                progress(f"{name}, {kilobytes} KB, turn {turn + 1} of {turns}")
                with folder() as where, server(name, where) as (port, pid):
                    send(port, CONNECTIONS, mails[:100] if name == "null" else _other(mails[:100]))
                    before = cpu([pid])
                    sent = send(port, CONNECTIONS, mails)
                    if sent.accepted != count:
                        raise RuntimeError(f"{name} took {sent.accepted} of {count} mails")
                    spent[name].append((cpu([pid]) - before) / count * 1e6)
                    rates[name].append(sent.rate)
        ratios = [ours / null for ours, null in zip(rates["door"], rates["null"], strict=True)]
        table.row(f"{kilobytes} KB", "aiosmtpd, null", spread(rates["null"]), spread(spent["null"]), "1")
        table.row(
            f"{kilobytes} KB", "mailbridge", spread(rates["door"]), spread(spent["door"]), spread(ratios, 2)
        )
    table.print()


def _other(mails: list[tuple[str, str, bytes]]) -> list[tuple[str, str, bytes]]:
    """The same again as other mails, so that warming up does not make duplicates of what is measured."""
    return [(f"warm.{sender}", to, data) for sender, to, data in mails]
