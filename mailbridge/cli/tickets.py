"""`ticket`: list, show, reply, note, set, merge, unmerge, split, reopen."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailbridge.cli.context import (
    AgentOption,
    ConfigOption,
    JsonOption,
    LimitOption,
    fail,
    operator,
    parts_of,
    read_text,
)

if TYPE_CHECKING:
    from mailbridge.core.facts import AgentFacts
    from mailbridge.core.ticket import Command
    from mailbridge.parts import Parts
    from mailbridge.service.desk import Done
    from mailbridge.store.engine import Connection

app = typer.Typer(no_args_is_help=True, help="Tickets.")

Ticket = Annotated[str, typer.Argument(help="The key (7K3M9-QX2VD) or the running number.")]
TextOption = Annotated[str | None, typer.Option("--text", "-t", help="The words. Default: standard input.")]
FileOption = Annotated[Path | None, typer.Option("--file", "-F", help="A file with the words; - is stdin.")]
STATUSES = ("open", "pending", "on_hold", "solved")


@app.command("list")
def list_tickets(
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="open, pending, ...")] = None,
    requester: Annotated[str | None, typer.Option("--requester", help="Of this address.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only those an agent must look at.")] = False,
    limit: LimitOption = 100,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tickets, last changed first."""
    from mailbridge.cli.output import ago, print_all_json, print_table
    from mailbridge.core.tokens import display_key
    from mailbridge.store import views

    for each in status or []:
        if each not in STATUSES:
            raise fail(f"status {each!r}: allowed is {', '.join(STATUSES)}")
    with parts_of(config) as parts:
        rows = parts.database.read(
            lambda conn: views.listed(
                conn, statuses=status or (), requester=requester, flagged=flagged, limit=limit
            )
        )
        now = parts.clock.now()
    if json:
        print_all_json(
            {
                "number": r.id,
                "ticket": display_key(r.key),
                "subject": r.subject,
                "status": r.status,
                "solved_reason": r.solved_reason,
                "priority": r.priority,
                "requester": r.requester,
                "mailbox": r.mailbox,
                "flag": r.flag,
                "created_at": r.created_at,
                "updated_at": r.updated_at,
            }
            for r in rows
        )
        return
    print_table(
        ("number", "key", "subject", "requester", "priority", "status", "changed"),
        [
            (
                r.id,
                display_key(r.key),
                r.subject,
                r.requester,
                r.priority,
                (f"{r.status} ({r.solved_reason})" if r.solved_reason else r.status)
                + (" !" if r.flag else ""),
                ago(r.updated_at, now),
            )
            for r in rows
        ],
        empty="no tickets",
    )


def ticket_record(conn: Connection, number: int) -> dict[str, Any]:
    """Everything about one ticket, as JSON."""
    from mailbridge.core.tokens import display_key
    from mailbridge.store import tickets, views

    row = views.find(conn, str(number))
    assert row is not None
    facts = tickets.by_id(conn, number)
    entries = views.entries(conn, number)
    files = views.attachments(conn, [e.id for e in entries])
    others = views.keys_of(conn, [n for n in (row.merged_into, row.follow_up_of, row.claims_ticket) if n])

    def key_of(other: int | None) -> str | None:
        return display_key(others[other]) if other in others else None

    return {
        "number": row.id,
        "ticket": display_key(row.key),
        "mailbox": row.mailbox,
        "subject": row.subject,
        "status": row.status,
        "solved_reason": row.solved_reason,
        "bug_reference": row.bug_reference,
        "bug_priority": row.bug_priority,
        "bug_timeline": row.bug_timeline,
        "hold_reason": row.hold_reason,
        "priority": row.priority,
        "flag": row.flag,
        "requester": str(facts.requester.address),
        "collaborators": [str(c.address) for c in facts.collaborators],
        "merged_into": key_of(row.merged_into),
        "follow_up_of": key_of(row.follow_up_of),
        "claims_to_belong_to": key_of(row.claims_ticket),
        "pending_since": row.pending_since,
        "solved_at": row.solved_at,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "entries": [
            {
                "id": e.id,
                "kind": e.kind,
                "channel": e.channel,
                "at": e.at,
                "author": e.agent_address or e.contact_address or "",
                "author_name": e.agent_name or e.contact_name or "",
                "event": e.event,
                "data": jsonlib.loads(e.data) if e.data else {},
                "subject": e.subject,
                "text": e.reply,
                "cut": e.cut,
                "message_id": e.message_id,
                "inbound_id": e.inbound_id,
                "attachments": [
                    {
                        "filename": f.filename,
                        "content_type": f.content_type,
                        "size": f.size,
                        "sha256": f.sha256,
                    }
                    for f in files.get(e.id, [])
                ],
            }
            for e in entries
        ],
    }


@app.command()
def show(reference: Ticket, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One ticket with its whole history."""
    from mailbridge.cli.output import print_json
    from mailbridge.cli.transcript import print_transcript
    from mailbridge.service.desk import find_ticket

    with parts_of(config) as parts:
        number = find_ticket(parts.database, reference).id
        record = parts.database.read(lambda conn: ticket_record(conn, number))
    if json:
        print_json(record)
    else:
        print_transcript(record)


@app.command()
def reply(
    reference: Ticket,
    text: TextOption = None,
    file: FileOption = None,
    solved: Annotated[str, typer.Option("--solved", help="Solve it at once: agreed, handed_over.")] = "",
    agent: AgentOption = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Answer the requester and collaborators; the ticket becomes pending unless it is solved at once."""
    words = read_text(text, file)
    commands = _commands([f"#solved {solved}"] if solved else [])
    with parts_of(config) as parts:
        done = parts.desk.reply(reference, words, commands, _agent(parts, agent), operator())
    _report(done, as_json=json)


@app.command()
def note(
    reference: Ticket,
    text: TextOption = None,
    file: FileOption = None,
    agent: AgentOption = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write an internal note: customers never see it."""
    words = read_text(text, file)
    with parts_of(config) as parts:
        done = parts.desk.note(reference, words, _agent(parts, agent), operator())
    _report(done, as_json=json)


@app.command("set")
def set_ticket(
    reference: Ticket,
    status: Annotated[str, typer.Option("--status", help="open, pending, on_hold or solved.")] = "",
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Why solved (agreed, bug_filed, handed_over, unresponsive) or on hold."
        ),
    ] = "",
    bug: Annotated[str, typer.Option("--bug", help="bug_filed: its reference.")] = "",
    bug_priority: Annotated[str, typer.Option("--bug-priority", help="bug_filed: the agreed priority.")] = "",
    bug_timeline: Annotated[str, typer.Option("--bug-timeline", help="bug_filed: the agreed timeline.")] = "",
    priority: Annotated[str, typer.Option("--priority", help="S1, S2, S3 or S4.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why the priority changes.")] = "",
    unflag: Annotated[bool, typer.Option("--unflag", help="You have looked: clear the flag.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not tell the requester that it is solved.")
    ] = False,
    agent: AgentOption = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change status or priority."""
    from mailbridge.core import ticket as t

    commands: list[Command] = []
    if status:
        if status not in STATUSES:
            raise fail(f"status {status!r}: allowed is {', '.join(STATUSES)}")
        solution = None
        if status == "solved":
            reasons = [r.value for r in t.SolvedReason if r is not t.SolvedReason.MERGED]
            if reason not in reasons:
                raise fail(f"solved needs --reason: allowed is {', '.join(reasons)}")
            solution = t.Solution(t.SolvedReason(reason), bug, bug_priority, bug_timeline)
        commands.append(
            t.SetStatus(t.Status(status), solution, hold_reason=reason if status == "on_hold" else "")
        )
    if priority:
        if priority.upper() not in t.Priority.__members__:
            raise fail(f"priority {priority!r}: allowed is S1, S2, S3 or S4")
        commands.append(t.SetPriority(t.Priority(priority.upper()), why))
    if unflag:
        commands.append(t.ClearFlag())
    if not commands:
        raise fail("nothing to change: give --status, --priority or --unflag")
    with parts_of(config) as parts:
        done = parts.desk.set(reference, commands, _agent(parts, agent), operator(), tell=not quiet)
    _report(done, as_json=json)


@app.command()
def reopen(
    reference: Ticket, agent: AgentOption = "", config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Open a ticket again."""
    with parts_of(config) as parts:
        done = parts.desk.reopen(reference, _agent(parts, agent), operator())
    _report(done, as_json=json)


@app.command()
def merge(
    reference: Ticket,
    into: Annotated[str, typer.Argument(help="The ticket that lives on.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Merge a ticket into another: later replies to it land there; its requester keeps it, shown as solved."""
    with parts_of(config) as parts:
        done = parts.desk.merge(reference, into, operator())
    _report(done, as_json=json)


@app.command()
def unmerge(reference: Ticket, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Undo a merge: the ticket is open again and stands on its own."""
    with parts_of(config) as parts:
        done = parts.desk.unmerge(reference, operator())
    _report(done, as_json=json)


@app.command()
def split(
    reference: Ticket,
    entry: Annotated[int, typer.Argument(help="The id of the customer's mail, as `ticket show` prints it.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Move one customer mail out into a new ticket."""
    with parts_of(config) as parts:
        done = parts.desk.split(reference, entry, operator())
    _report(done, as_json=json)


def _agent(parts: Parts, address: str) -> AgentFacts | None:
    return parts.desk.agent(address) if address else None


def _commands(lines: list[str]) -> tuple[Command, ...]:
    from mailbridge.core.commands import read_block

    block = read_block("\n".join(lines))
    if block.rejected:
        raise fail(block.rejected[0].why)
    return block.commands


def _report(done: Done, *, as_json: bool) -> None:
    from mailbridge.cli.output import print_json, safe
    from mailbridge.core.tokens import display_key

    solved = done.state.solution.reason.value if done.state.solution else ""
    if as_json:
        print_json(
            {
                "ticket": display_key(done.key),
                "status": done.state.status.value,
                "solved_reason": solved,
                "priority": done.state.priority.value,
                "outbox": list(done.outbox),
            }
        )
        return
    status = f"{done.state.status.value} ({solved})" if solved else done.state.status.value
    queued = f"; {len(done.outbox)} mail(s) queued" if done.outbox else ""
    print(safe(f"ticket {display_key(done.key)}: {status}, {done.state.priority.value}{queued}"))
