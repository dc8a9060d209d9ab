"""`mailbridge inspect`: what we read in a mail, as JSON Lines or for the eye.

Standards: the keys are the contract of the command line; exit codes are sysexits (66 EX_NOINPUT).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, TextIO

from mailbridge.cli.output import json_line
from mailbridge.core.mail import ParsedMail, Role
from mailbridge.core.parse import TooComplex, parse_mail

EX_OK: Final = 0
EX_NOINPUT: Final = 66


def inspect(files: list[Path], *, as_json: bool, out: TextIO, explain: bool = False) -> int:
    """Print what each file says; 0, or 66 when a file could not be read (the others are still shown).

    `explain` adds why: the sign that decided the kind, the form of the body that was read, what was cut from
    it and by which signs, what each attachment is taken for.
    """
    code = EX_OK
    for path in files:
        try:
            raw = path.read_bytes()
        except OSError as problem:
            code = EX_NOINPUT
            shown = _failure(path, f"cannot be read: {problem.strerror or problem}")
        else:
            shown = _read(path, raw, explain)
        out.write((json_line(shown) if as_json else _readable(shown)) + "\n")
    return code


def _read(path: Path, raw: bytes, explain: bool) -> dict[str, Any]:
    try:
        mail = parse_mail(raw)
        shown = as_dict(path, mail)
        return shown | {"explain": explained(mail)} if explain else shown
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
            {
                "filename": a.filename,
                "content_type": a.content_type,
                "size": a.size,
                "inline": a.inline,
                "role": a.role.value,
            }
            for a in mail.attachments
        ],
        "references": list(mail.references),
        "in_reply_to": list(mail.in_reply_to),
        "defects": list(mail.defects),
        "error": None,
    }


def explained(mail: ParsedMail) -> dict[str, Any]:
    """Why a mail is read as it is: for kind and cut the sign that decided, for the rest what it was."""
    judged = mail.classification
    return {
        "kind": {"sign": judged.header, "value": judged.value, "why": judged.why},
        "body": mail.body_from,
        "cut": {"why": mail.cut_why, "text": mail.cut},
        "seals": list(mail.seals),
        "hidden": [
            {"filename": a.filename, "role": a.role.value, "why": _ROLES[a.role]}
            for a in mail.attachments
            if a.role.hidden or a.role is Role.ENCRYPTED
        ],
        "bounce": {
            "original_message_id": mail.bounce.original_message_id,
            "diagnostics": [r.diagnostic for r in mail.bounce.recipients],
        }
        if mail.bounce
        else None,
    }


_ROLES: Final = {
    Role.FILE: "a file",
    Role.INLINE: "a picture among the new words",
    Role.LOGO: "a picture that only the cut part shows",
    Role.PIXEL: "a picture of one pixel",
    Role.SIGNATURE: "made by the mail program: a signature, a key or its version",
    Role.CONTAINER: "a wrapping whose content is given beside it",
    Role.ENCRYPTED: "a wrapping that cannot be opened here",
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
        + ("" if a["role"] == Role.FILE.value else f" ({a['role']})")
        for a in shown["attachments"]
    ]
    why = shown.get("explain")
    if why:
        kind = why["kind"]
        sign = f"{kind['sign']}: {kind['value']} - " if kind["sign"] else ""
        lines += [f"why kind:    {sign}{kind['why']}", f"why body:    {why['body'] or 'there is none'}"]
        lines += [f"why cut:     {why['cut']['why'] or 'nothing was cut'}"]
        lines += [f"sealed:      {', '.join(why['seals'])}"] if why["seals"] else []
        lines += [f"hidden:      {h['filename'] or '(no name)'}: {h['why']}" for h in why["hidden"]]
    lines += ["-- new words", shown["reply"]]
    if why and why["cut"]["text"]:
        lines += [f"-- cut ({why['cut']['why']})", why["cut"]["text"]]
    elif shown["text"].strip() != shown["reply"].strip():
        lines += ["-- whole text", shown["text"]]
    return _visible("\n".join(lines)) + "\n"


if __name__ == "__main__":
    sys.exit(inspect([Path(name) for name in sys.argv[1:]], as_json=True, out=sys.stdout))
