"""`status`: the state of things in a few lines, and what wants a person's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailbridge.cli.output import print_json, safe

if TYPE_CHECKING:
    from mailbridge.parts import Parts
    from mailbridge.store.engine import Connection


def show(parts: Parts, *, as_json: bool) -> None:
    """Print it."""
    from mailbridge import __version__
    from mailbridge.daemon import running_pid
    from mailbridge.store import inbound, outbox, outbox_control, views

    def read(conn: Connection) -> tuple[dict[str, int], dict[str, int], dict[str, int], str, int]:
        return (
            inbound.counts(conn),
            views.counts(conn),
            outbox_control.counts(conn),
            outbox.hold_reason(conn),
            views.flagged(conn),
        )

    mails, tickets, sending, held, flagged = parts.database.read(read)
    pid = running_pid(parts.settings.server.data_dir)
    reasons = {k.partition(":")[2]: v for k, v in mails.items() if k.startswith("quarantined:")}
    facts = {
        "version": __version__,
        "running": pid is not None,
        "pid": pid,
        "database": parts.database.dialect,
        "inbound": {k: v for k, v in mails.items() if ":" not in k},
        "quarantine": reasons,
        "tickets": tickets,
        "flagged": flagged,
        "outbox": sending,
        "outbox_hold": held or None,
    }
    if as_json:
        print_json(facts)
        return
    running = f"running (process {pid})" if pid is not None else "not running"
    lines = [
        f"mailbridge {__version__}: {running}, {parts.database.dialect}",
        f"  tickets     {_counted(tickets, ('open', 'pending', 'on_hold', 'solved'))}",
        f"  mail in     {_counted(mails, ('received', 'done', 'quarantined', 'dropped'))}",
        f"  mail out    {_counted(sending, ('queued', 'sending', 'retry', 'sent', 'failed', 'unknown', 'held'))}",
    ]
    wanted = []
    if held:
        wanted.append(f"sending is on hold: {held}")
    if reasons:
        wanted.append(f"quarantine: {', '.join(f'{v} {k}' for k, v in sorted(reasons.items()))}")
    if sending.get("failed"):
        wanted.append(f"{sending['failed']} recipient(s) were not reached: mailbridge outbox list")
    if flagged:
        wanted.append(f"{flagged} flagged ticket(s): mailbridge ticket list --flagged")
    if pid is None and mails.get("received"):
        wanted.append(f"{mails['received']} mail(s) wait for the daemon")
    lines += [f"  look at     {item}" for item in wanted] or ["  nothing wants your attention"]
    print("\n".join(safe(line) for line in lines))


def _counted(counts: dict[str, int], names: tuple[str, ...]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name)) or "none"
