"""`outbox`: mail on its way out."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbridge.cli import exits
from mailbridge.cli.context import ConfigOption, JsonOption, LimitOption, fail, operator, parts_of

app = typer.Typer(no_args_is_help=True, help="Mail on its way out.")

MaybeId = Annotated[
    int | None, typer.Argument(help="Only this mail. Default: all of them.", show_default=False)
]


@app.command("list")
def list_outbox(
    everything: Annotated[bool, typer.Option("--all", help="Sent mail too.")] = False,
    limit: LimitOption = 200,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """One line per recipient, newest first: state, attempts, the last reply of the other side."""
    from mailbridge.cli.output import print_all_json, print_table, when
    from mailbridge.core.tokens import display_key
    from mailbridge.store import outbox_control
    from mailbridge.store.outbox import hold_reason

    with parts_of(config) as parts:
        rows = parts.database.read(
            lambda conn: outbox_control.listed(conn, everything=everything, limit=limit)
        )
        held = parts.database.read(hold_reason)
    if json:
        print_all_json(
            {
                "id": row.id,
                "kind": row.kind,
                "recipient": row.recipient,
                "state": row.state,
                "attempts": row.attempts,
                "last_reply": row.last_reply,
                "ticket": display_key(row.ticket) if row.ticket else None,
                "message_id": row.message_id,
                "subject": row.subject,
                "mailbox": row.mailbox,
                "created_at": row.created_at,
                "next_attempt_at": row.next_attempt_at
                if row.state in ("queued", "retry", "unknown")
                else None,
            }
            for row in rows
        )
        return
    if held:
        print(f"sending is on hold: {held} (`mailbridge outbox release` lifts it)\n")
    print_table(
        ("id", "queued", "kind", "recipient", "state", "tries", "last reply"),
        [(r.id, when(r.created_at), r.kind, r.recipient, r.state, r.attempts, r.last_reply) for r in rows],
        empty="nothing waits to be sent" if not everything else "no mail has been written yet",
    )


@app.command()
def retry(number: MaybeId = None, config: ConfigOption = None) -> None:
    """Try failed, unknown and waiting mails again at once."""
    from mailbridge.store import outbox_control

    with parts_of(config) as parts:
        now = parts.clock.now()
        count = parts.database.write(lambda conn: outbox_control.retry(conn, number, now))
    if number is not None and not count:
        raise fail(f"no mail {number} waits, has failed or is unknown", exits.UNAVAILABLE)
    print(f"{count} mail(s) will be tried again")


@app.command()
def hold(
    why: Annotated[
        str, typer.Option("--why", help="The reason, for those who wonder later.")
    ] = "by an operator",
    config: ConfigOption = None,
) -> None:
    """Stop all sending until `release`. Mail goes on being taken in and queued."""
    from mailbridge.store import outbox_control

    with parts_of(config) as parts:
        now = parts.clock.now()
        parts.database.write(lambda conn: outbox_control.hold(conn, f"{why} ({operator()})", now))
    print("sending is on hold; `mailbridge outbox release` lifts it")


@app.command()
def release(number: MaybeId = None, config: ConfigOption = None) -> None:
    """Lift the hold and let held mails go; with an id only that mail."""
    from mailbridge.store import outbox_control

    with parts_of(config) as parts:
        now = parts.clock.now()
        count = parts.database.write(lambda conn: outbox_control.release(conn, number, now))
    if number is not None and not count:
        raise fail(f"no mail {number} is held", exits.UNAVAILABLE)
    print(f"{count} held mail(s) released" + ("" if number is not None else "; sending goes on"))
