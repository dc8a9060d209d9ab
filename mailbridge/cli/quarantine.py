"""`quarantine`: mails that are kept apart, named and replayable."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mailbridge.cli import exits
from mailbridge.cli.context import ConfigOption, JsonOption, LimitOption, fail, operator, parts_of

app = typer.Typer(no_args_is_help=True, help="Mails that are kept apart, with the reason.")

Id = Annotated[int, typer.Argument(help="The id of the mail.")]
Ids = Annotated[list[int], typer.Argument(help="The ids of the mails.", show_default=False)]


@app.command("list")
def list_quarantine(limit: LimitOption = 100, config: ConfigOption = None, json: JsonOption = False) -> None:
    """What is in quarantine, newest first."""
    from mailbridge.cli.output import print_all_json, print_table, when
    from mailbridge.store import inbound

    with parts_of(config) as parts:
        rows = parts.database.read(lambda conn: inbound.listed(conn, state="quarantined", limit=limit))
    if json:
        print_all_json(
            {
                "id": row.id,
                "reason": row.reason,
                "detail": row.detail,
                "envelope_from": row.envelope_from,
                "mailbox": row.mailbox,
                "received_at": row.received_at,
                "size": row.size,
                "message_id": row.message_id,
                "attempts": row.attempts,
            }
            for row in rows
        )
        return
    print_table(
        ("id", "received", "reason", "envelope from", "detail"),
        [(r.id, when(r.received_at), r.reason, r.envelope_from or "<>", r.detail) for r in rows],
        empty="nothing is in quarantine",
    )


@app.command()
def show(number: Id, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One mail: why it is here, its envelope, and the beginning of its source."""
    from mailbridge.cli.mail import _explain, _records
    from mailbridge.cli.output import print_json, safe
    from mailbridge.store import inbound

    with parts_of(config) as parts:
        records = parts.database.read(lambda conn: _records(conn, str(number)))
        raw = parts.database.read(lambda conn: inbound.raw(conn, number))
    if not records:
        raise fail(f"no mail {number}", exits.UNAVAILABLE)
    head = (raw or b"")[:2000].decode("utf-8", "replace").replace("\r\n", "\n")
    if json:
        print_json({**records[0], "head": head})
        return
    _explain(records[0])
    print("\n" + safe(head))


@app.command()
def raw(number: Id, config: ConfigOption = None) -> None:
    """The bytes of one mail, as they came, on standard output."""
    from mailbridge.store import inbound

    with parts_of(config) as parts:
        data = parts.database.read(lambda conn: inbound.raw(conn, number))
    if data is None:
        raise fail(f"no bytes of a mail {number}", exits.UNAVAILABLE)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@app.command()
def replay(numbers: Ids, config: ConfigOption = None) -> None:
    """Work on mails again as if they had just come (by the running daemon)."""
    from functools import partial

    from mailbridge.store import inbound

    with parts_of(config) as parts:
        for number in numbers:
            again = partial(inbound.replay, number=number, who=operator(), now=parts.clock.now())
            if not parts.database.write(again):
                raise fail(f"mail {number} is not in quarantine", exits.UNAVAILABLE)
            print(f"mail {number} will be worked on again")


@app.command()
def drop(numbers: Ids, config: ConfigOption = None) -> None:
    """Mark mails as not wanted. Their bytes stay until the quarantine's age limit."""
    from functools import partial

    from mailbridge.store import inbound

    with parts_of(config) as parts:
        for number in numbers:
            if not parts.database.write(partial(inbound.drop, number=number)):
                raise fail(f"mail {number} is not in quarantine", exits.UNAVAILABLE)
            print(f"mail {number} is dropped")
