"""`inject`, `explain`, `message list`: incoming mail."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailbridge.cli import exits
from mailbridge.cli.context import ConfigOption, JsonOption, LimitOption, fail, parts_of

if TYPE_CHECKING:
    from mailbridge.store.engine import Connection

app = typer.Typer(no_args_is_help=True, help="Incoming mail.")


def inject(
    file: Annotated[Path, typer.Argument(help="A mail file; - is standard input.")] = Path("-"),
    mailbox: Annotated[
        list[str] | None,
        typer.Option(
            "--mailbox", "-m", help="The address of ours that it is for. Default: the first mailbox."
        ),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from", "-f", help="Envelope sender; '<>' is the null sender. Default: Return-Path, then From."
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Take in one mail, as an MTA's pipe would: exit 0 once it is on disk, 75 to try later, 65 or 67 refused."""
    try:
        _inject(file, mailbox, sender, config, as_json=json)
    except typer.Exit as done:
        if (
            done.exit_code == exits.CONFIG
        ):  # an MTA would send the mail back for this: it is not the mail's fault
            raise typer.Exit(exits.TEMPORARY) from None
        raise
    except BrokenPipeError:
        raise
    except Exception as error:  # nor for a fault of ours
        raise fail(
            f"our own fault, try again later: {type(error).__name__}: {error}", exits.TEMPORARY
        ) from error


def _inject(
    file: Path, mailbox: list[str] | None, sender: str | None, config: Path | None, *, as_json: bool
) -> None:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise fail(f"{file}: {error.strerror}", exits.NO_INPUT) from None
    with parts_of(config) as parts:
        from mailbridge.core.mail import Envelope
        from mailbridge.service.reception import UnknownMailboxError

        limit = parts.settings.smtp.max_message
        if not raw.strip():
            raise fail("the mail is empty", exits.DATA)
        if len(raw) > limit:
            raise fail(f"the mail has {len(raw)} bytes, allowed are {limit} (smtp.max_message)", exits.DATA)
        if sender is None:
            sender = _envelope_sender(raw)
        given = sender.strip().removeprefix("<").removesuffix(">") or None
        if (
            given is not None and given.upper() == "MAILER-DAEMON"
        ):  # how Postfix's pipe writes the null sender
            given = None
        rcpt_to = tuple(mailbox or [parts.settings.mailbox[0].address])
        reception = parts.reception()
        for address in rcpt_to:
            if reception.mailbox_for(address) is None:
                known = ", ".join(b.address for b in parts.settings.mailbox)
                raise fail(f"{address!r} is no mailbox of ours (known: {known})", exits.NO_USER)
        try:
            taken = reception.take(Envelope(given, rcpt_to), raw, "pipe").result()
        except UnknownMailboxError as error:
            raise fail(f"no mailbox of ours: {error}", exits.NO_USER) from None
    for item in taken:
        if as_json:
            from mailbridge.cli.output import print_json

            print_json({"id": item.id, "mailbox": item.mailbox, "duplicate": item.duplicate})
        else:
            had = " (we had it before: nothing new stored)" if item.duplicate else ""
            print(f"accepted as {item.id} for {item.mailbox}{had}")


def _envelope_sender(raw: bytes) -> str:
    """The envelope sender that the mail itself tells of: Return-Path, else its From, else none."""
    from email.parser import BytesHeaderParser
    from email.utils import getaddresses

    from mailbridge.core.address import is_valid

    header = BytesHeaderParser().parsebytes(raw[: 256 << 10])
    for name in ("Return-Path", "From"):
        value = str(header.get(name, ""))
        if name == "Return-Path" and value.strip() == "<>":
            return ""
        found = [address for _, address in getaddresses([value[:2000]]) if is_valid(address)]
        if found:
            return found[0]
    return ""


def explain(
    which: Annotated[str, typer.Argument(help="An inbound id, or a Message-ID.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Why a mail was decided as it was: the rule that won, the header that decided, what was passed over."""
    from mailbridge.cli.output import print_json

    with parts_of(config) as parts:
        records = parts.database.read(lambda conn: _records(conn, which))
        if not records:
            raise fail(f"no mail {which!r}", exits.UNAVAILABLE)
        for record in records:
            if json:
                print_json(record)
            else:
                _explain(record)


def _records(conn: Connection, which: str) -> list[dict[str, Any]]:
    from mailbridge.core.tokens import display_key
    from mailbridge.store import inbound, views

    wanted = which.strip()
    numbers = [int(wanted)] if wanted.isascii() and wanted.isdecimal() else []
    if not numbers:
        bracketed = wanted if wanted.startswith("<") else f"<{wanted}>"
        numbers = inbound.ids_by_message_id(conn, bracketed)
    found = []
    for number in numbers:
        row = inbound.row(conn, number)
        if row is None:
            continue
        decision = inbound.decision_of(conn, number)
        record: dict[str, Any] = {
            "id": row.id,
            "state": row.state,
            "mailbox": row.mailbox,
            "envelope_from": row.envelope_from or "<>",
            "rcpt_to": row.rcpt_to.split(),
            "source": row.source,
            "received_at": row.received_at,
            "size": row.size,
            "duplicates": row.duplicates,
            "attempts": row.attempts,
            "message_id": row.message_id,
            "quarantine": {"reason": row.reason, "detail": row.detail} if row.reason else None,
            "decision": None,
            "history": jsonlib.loads(row.history),
        }
        if decision is not None:
            ticket = views.find(conn, str(decision.ticket_id)) if decision.ticket_id else None
            record["decision"] = {
                "action": decision.action,
                "reason": decision.reason,
                "rule": decision.rule,
                "header": decision.header,
                "value": decision.value,
                "kind": decision.kind,
                "kind_header": decision.kind_header,
                "kind_value": decision.kind_value,
                "trust": decision.trust,
                "ticket": display_key(ticket.key) if ticket else None,
                "rejected": jsonlib.loads(decision.rejected),
                "decided_at": decision.decided_at,
                "milliseconds": decision.milliseconds,
            }
        found.append(record)
    return found


def _explain(record: dict[str, Any]) -> None:
    from mailbridge.cli.output import safe, when

    lines = [
        f"mail {record['id']}  {record['message_id'] or '(no Message-ID)'}",
        f"  came      {when(record['received_at'])} by {record['source']}, {record['size']} bytes, "
        f"from {record['envelope_from']} to {', '.join(record['rcpt_to'])}",
    ]
    if record["duplicates"]:
        lines.append(
            f"  again     {record['duplicates']} more time(s): the same mail, counted and not stored"
        )
    decision = record["decision"]
    if decision is None:
        lines.append(f"  decided   not yet (state {record['state']}, attempts {record['attempts']})")
    else:
        ticket = f", ticket {decision['ticket']}" if decision["ticket"] else ""
        lines.append(f"  decided   {decision['action']}: {decision['reason']}{ticket}")
        kind = f"  kind      {decision['kind']}"
        if decision["kind_header"]:
            kind += f", by {decision['kind_header']}: {decision['kind_value']}"
        lines.append(kind)
        if decision["header"]:
            lines.append(f"  matched   {decision['rule']}, by {decision['header']}: {decision['value']}")
        else:
            lines.append("  matched   nothing: no evidence of a ticket that the sender may write to")
        lines.append(f"  trust     {decision['trust']}")
        for item in decision["rejected"]:
            what = " ".join(part for part in (item["header"], item["value"]) if part)
            lines.append(f"  passed over  {item['rule']}: {what}: {item['why']}")
    if record["quarantine"]:
        lines.append(f"  kept apart   {record['quarantine']['reason']}: {record['quarantine']['detail']}")
    lines += [
        f"  before    {h.get('action')}: {h.get('reason')}, replayed by {h.get('replayed_by')}"
        for h in record["history"]
    ]
    print("\n".join(safe(line) for line in lines))


@app.command("list")
def list_messages(
    inbound: Annotated[bool, typer.Option("--inbound", help="Incoming mail (the default).")] = True,
    limit: LimitOption = 100,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Incoming mail, newest first, with its ticket and what was read out of it."""
    from mailbridge.cli.output import print_all_json, print_table, when

    assert inbound  # outgoing mail is `outbox list`
    with parts_of(config) as parts:
        items = parts.database.read(lambda conn: _messages(conn, limit))
    if json:
        print_all_json(items)
        return
    print_table(
        ("id", "received", "from", "ticket", "state", "subject"),
        [
            (
                i["id"],
                when(i["received_at"]),
                i["from"] or i["envelope_from"],
                i["ticket"] or "",
                i["state"],
                i["subject"],
            )
            for i in items
        ],
        empty="no mail yet",
    )


def _messages(conn: Connection, limit: int) -> list[dict[str, Any]]:
    from mailbridge.core.html_safe import safe_html
    from mailbridge.core.tokens import display_key
    from mailbridge.store import inbound as queries
    from mailbridge.store import views

    rows = queries.listed(conn, limit=limit)
    entries = {e.inbound_id: e for e in views.entries_of_inbound(conn, [r.id for r in rows])}
    files = views.attachments(conn, [e.id for e in entries.values()])
    keys = views.keys_of(conn, [r.ticket_id for r in rows if r.ticket_id is not None])
    found = []
    for row in rows:
        entry = entries.get(row.id)
        data = jsonlib.loads(entry.data) if entry is not None and entry.data else {}
        found.append(
            {
                "id": row.id,
                "message_id": row.message_id,
                "ticket": display_key(keys[row.ticket_id]) if row.ticket_id in keys else None,
                "number": row.ticket_id,
                "envelope_from": row.envelope_from,
                "mailbox": row.mailbox,
                "received_at": row.received_at,
                "state": row.state,
                "reason": row.reason,
                "from": (data.get("from") or [""])[0],
                "subject": entry.subject if entry is not None else "",
                "text": entry.text if entry is not None else "",
                "reply": entry.reply if entry is not None else "",
                "html_safe": safe_html(entry.html) if entry is not None and entry.html else "",
                "attachments": [
                    {
                        "filename": f.filename,
                        "content_type": f.content_type,
                        "size": f.size,
                        "sha256": f.sha256,
                        "inline": f.inline,
                    }
                    for f in (files.get(entry.id, []) if entry is not None else [])
                ],
            }
        )
    return found
