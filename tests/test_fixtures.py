"""Golden mails: each `x.eml` in fixtures/emails has an `x.expected.json` that says what is read out of it.

The sidecar also names the source and licence of the mail. `MAILBRIDGE_UPDATE_GOLDEN=1` rewrites what was
read; the difference is reviewed as code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mailbridge.core.parse import parse_mail

FOLDER = Path(__file__).parents[1] / "fixtures" / "emails"
MAILS = sorted(FOLDER.rglob("*.eml"))


def read(raw: bytes) -> dict[str, Any]:
    """What a ticket would be made of."""
    mail = parse_mail(raw)
    bounce = mail.bounce
    return {
        "kind": mail.classification.kind.value,
        "kind_header": mail.classification.header,
        "from": [a.address for a in mail.from_],
        "subject": mail.subject,
        "reply": mail.reply,
        "bounce": [[r.address, r.status, r.action] for r in bounce.recipients] if bounce else None,
        "attachments": [[a.filename, a.content_type, a.size] for a in mail.attachments],
        "references": list(mail.references),
        "in_reply_to": list(mail.in_reply_to),
    }


@pytest.mark.parametrize("path", MAILS, ids=lambda p: str(p.relative_to(FOLDER)))
def test_a_golden_mail_is_read_as_expected(path: Path) -> None:
    """The name of the file says what it shows."""
    sidecar = path.with_suffix(".expected.json")
    expected = json.loads(sidecar.read_text(encoding="utf-8"))
    got = read(path.read_bytes())
    if os.environ.get("MAILBRIDGE_UPDATE_GOLDEN"):
        expected["read"] = got
        sidecar.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert got == expected["read"]
    assert expected["source"]
    assert expected["licence"]


def test_no_fixture_is_without_a_reader() -> None:
    """A sidecar without its mail, or a mail without its sidecar, tests nothing."""
    sidecars = {
        p.with_name(p.name.removesuffix(".expected.json") + ".eml") for p in FOLDER.rglob("*.expected.json")
    }
    assert sidecars == set(MAILS)
    assert len(MAILS) >= 30
