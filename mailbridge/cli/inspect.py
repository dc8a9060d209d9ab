"""`mailbridge inspect`: what we read in a mail, as JSON Lines or for the eye.

Standards: the keys are the contract of the command line; exit codes are sysexits (66 EX_NOINPUT).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, TextIO

from mailbridge.core.mail import ParsedMail
from mailbridge.core.parse import TooComplex, parse_mail

EX_OK: Final = 0
EX_NOINPUT: Final = 66


def inspect(files: list[Path], *, as_json: bool, out: TextIO) -> int:
    """Print what each file says; 0, or 66 when a file could not be read (the others are still shown)."""
    code = EX_OK
    for path in files:
        try:
            raw = path.read_bytes()
        except OSError as problem:
            code = EX_NOINPUT
            shown = _failure(path, f"cannot be read: {problem.strerror or problem}")
        else:
            shown = _read(path, raw)
        out.write((json.dumps(shown, ensure_ascii=False) if as_json else _readable(shown)) + "\n")
    return code


def _read(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return as_dict(path, parse_mail(raw))
    except TooComplex as problem:
        return _failure(path, f"too-complex: {problem}")
    except (
        Exception
    ) as problem:  # the command looks at many files: one that breaks us is told and passed over
        return _failure(path, f"crashes-parser: {type(problem).__name__}")


def as_dict(path: Path, mail: ParsedMail) -> dict[str, Any]:
    """The JSON object of one mail."""
    author = mail.from_[0] if mail.from_ else None
    bounce = mail.bounce
    return {
        "file": str(path),
        "message_id": mail.message_id,
        "from": author.address if author else "",
        "from_name": author.name if author else "",
        "to": [address.address for address in mail.to],
        "cc": [address.address for address in mail.cc],
        "subject": mail.subject,
        "date": mail.date.isoformat() if mail.date else None,
        "kind": mail.classification.kind.value,
        "bounce": {
            "recipients": [
                {"address": r.address, "status": r.status, "action": r.action} for r in bounce.recipients
            ]
        }
        if bounce
        else None,
        "text": mail.text,
        "reply": mail.reply,
        "html_present": bool(mail.html),
        "attachments": [
            {"filename": a.filename, "content_type": a.content_type, "size": a.size, "inline": a.inline}
            for a in mail.attachments
        ],
        "references": list(mail.references),
        "in_reply_to": list(mail.in_reply_to),
        "defects": list(mail.defects),
        "error": None,
    }


def _failure(path: Path, reason: str) -> dict[str, Any]:
    return {
        "file": str(path), "message_id": "", "from": "", "from_name": "", "to": [], "cc": [], "subject": "",
        "date": None, "kind": None, "bounce": None, "text": "", "reply": "", "html_present": False,
        "attachments": [], "references": [], "in_reply_to": [], "defects": [], "error": reason,
    }  # fmt: skip


def _visible(text: str) -> str:
    """`text` with every character that could steer a terminal written out, line ends kept."""
    return "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def _readable(shown: dict[str, Any]) -> str:
    lines = [f"== {shown['file']}"]
    if shown["error"]:
        lines.append(f"error: {shown['error']}")
        return _visible("\n".join(lines)) + "\n"
    name, address = shown["from_name"], shown["from"]
    lines += [
        f"from:        {name} <{address}>" if name else f"from:        {address}",
        f"to:          {', '.join(shown['to'])}",
        f"cc:          {', '.join(shown['cc'])}",
        f"subject:     {shown['subject']}",
        f"date:        {shown['date'] or 'unknown'}",
        f"message id:  {shown['message_id'] or 'none'}",
        f"kind:        {shown['kind']}",
        f"defects:     {', '.join(shown['defects']) or 'none'}",
    ]
    lines += [
        f"undelivered: {r['address']} {r['status'] or ''} {r['action'] or ''}".rstrip()
        for r in (shown["bounce"] or {}).get("recipients", ())
    ]
    lines += [
        f"attachment:  {a['filename'] or '(no name)'} {a['content_type']} {a['size']} bytes"
        for a in shown["attachments"]
    ]
    lines += ["-- new words", shown["reply"]]
    if shown["text"].strip() != shown["reply"].strip():
        lines += ["-- whole text", shown["text"]]
    return _visible("\n".join(lines)) + "\n"


if __name__ == "__main__":
    sys.exit(inspect([Path(name) for name in sys.argv[1:]], as_json=True, out=sys.stdout))
