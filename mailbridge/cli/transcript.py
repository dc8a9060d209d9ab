"""A ticket for people's eyes: what it is, and its history as a conversation."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import Any

from mailbridge.cli.output import safe, when

_OWNER = {
    "open": "we own the next step",
    "pending": "we await the requester",
    "on_hold": "an internal team owns the next step",
    "solved": "done",
}
_WHO = {
    "mail": "",
    "reply": "agent",
    "note": "internal note",
    "automatic": "automatic mail",
    "bounce": "bounce",
}


def print_transcript(record: dict[str, Any]) -> None:
    """Print one ticket as `ticket_record` gives it."""
    for line in transcript(record):
        print(safe(line))


def transcript(record: dict[str, Any]) -> list[str]:
    """The lines of a ticket's transcript."""
    status = record["status"]
    if record["solved_reason"]:
        status += f" ({record['solved_reason']})"
    lines = [
        f"#{record['number']}  {record['ticket']}  {record['subject'] or '(no subject)'}",
        f"  status     {status}: {_OWNER[record['status']]}",
        f"  priority   {record['priority']}",
        f"  requester  {record['requester']}",
    ]
    if record["collaborators"]:
        lines.append(f"  with       {', '.join(record['collaborators'])}")
    if record["flag"]:
        lines.append(f"  FLAG       {record['flag']}")
    for name, words in (
        ("merged_into", "merged into"),
        ("follow_up_of", "follow-up of"),
        ("claims_to_belong_to", "claims to belong to"),
    ):
        if record[name]:
            lines.append(f"  {words}  {record[name]}")
    for entry in record["entries"]:
        lines += ["", *_entry(entry)]
    return lines


def _entry(entry: dict[str, Any]) -> list[str]:
    at: datetime = entry["at"]
    head = f"{when(at)}  "
    if entry["kind"] == "event":
        return [head + _event(entry)]
    who = entry["author_name"] or entry["author"] or entry["data"].get("by", "")
    label = _WHO.get(entry["kind"], entry["kind"])
    head += " · ".join(
        part for part in (label, who, f"by {entry['channel']}", f"entry {entry['id']}") if part
    )
    lines = [head]
    for paragraph in (entry["text"] or "(no words)").splitlines():
        lines += textwrap.wrap(paragraph, 96, initial_indent="  | ", subsequent_indent="  | ") or ["  |"]
    for item in entry["attachments"]:
        lines.append(f"  + {item['filename'] or 'unnamed'} ({item['content_type']}, {item['size']} bytes)")
    return lines


def _event(entry: dict[str, Any]) -> str:
    data = entry["data"]
    by = entry["author_name"] or entry["author"] or data.get("by", "")
    before, after, why = data.get("from", ""), data.get("to", ""), data.get("why", "")
    change = f"{before} -> {after}" if before else str(after)
    return f"* {entry['event']} {change}" + (f" ({why})" if why else "") + (f", by {by}" if by else "")
