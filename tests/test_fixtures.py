"""Golden mails: each `x.eml` in fixtures/emails has an `x.expected.json` that says what is read out of it.

The name of a mail says what it shows; the sidecar says it in words, with source and licence. `stated` holds
facts that the source of the mail states: they are checked on their own, so that rewriting what was `read`
(`pytest --update-golden`; the difference is reviewed as code) cannot hide a mistake.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mailbridge.core.match import match_keys
from mailbridge.core.parse import parse_mail
from mailbridge.core.tokens import Key, KeyRing

FOLDER = Path(__file__).parents[1] / "fixtures" / "emails"
MAILS = sorted(FOLDER.rglob("*.eml"))
RING = KeyRing(Key("f", b"the key of the golden mails"))
"""Signed what is ours in the mails under fixtures/emails/own."""
LICENCES = {
    "Apache-2.0",
    "Artistic-1.0-Perl OR GPL-1.0-or-later",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "GPL-3.0-or-later",
    "MIT",
}


def read(raw: bytes) -> dict[str, Any]:
    """What a ticket would be made of."""
    mail = parse_mail(raw)
    bounce = mail.bounce
    keys = match_keys(mail, (), frozenset({"support@desk.example"}), RING)
    return {
        "kind": mail.classification.kind.value,
        "kind_header": mail.classification.header,
        "from": [[a.name, a.address] for a in mail.from_],
        "subject": mail.subject,
        "reply": mail.reply,
        "cut_why": mail.cut_why,
        "body_from": mail.body_from,
        "seals": list(mail.seals),
        "bounce": {
            "recipients": [[r.address, r.status, r.action] for r in bounce.recipients],
            "original_message_id": bounce.original_message_id,
        }
        if bounce
        else None,
        "attachments": [[a.filename, a.content_type, a.size, a.role.value] for a in mail.attachments],
        "references": list(mail.references),
        "in_reply_to": list(mail.in_reply_to),
        "signed": [[e.rule.value, e.header] for e in keys.evidence if e.token is not None],
        "defects": list(mail.defects),
    }


def sidecar_of(path: Path) -> Path:
    """The file that says what is expected."""
    return path.with_suffix(".expected.json")


def squeezed(text: str) -> str:
    """Without differences of blanks."""
    return " ".join(text.replace("\u00a0", " ").split())


@pytest.mark.parametrize("path", MAILS, ids=lambda p: str(p.relative_to(FOLDER)))
def test_a_golden_mail_is_read_as_expected(path: Path, update_golden: bool) -> None:
    """Everything that a ticket is made of, compared as a whole."""
    expected = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    got = read(path.read_bytes())
    if update_golden:
        expected["read"] = got
        text = json.dumps(expected, indent=1, ensure_ascii=False) + "\n"
        sidecar_of(path).write_text(text, encoding="utf-8")
    assert got == expected["read"]


@pytest.mark.parametrize("path", MAILS, ids=lambda p: str(p.relative_to(FOLDER)))
def test_what_the_source_of_a_mail_states_is_read(path: Path) -> None:
    """The sources' own tests and the RFC fields, which no rewriting touches."""
    stated = json.loads(sidecar_of(path).read_text(encoding="utf-8"))["stated"]
    got = read(path.read_bytes())
    if "kind" in stated:
        assert got["kind"] == stated["kind"]
    assert got["kind"] not in stated.get("kind_not", ())
    if "from" in stated:
        assert got["from"][0][1].lower() == stated["from"].lower()
    if "subject" in stated:
        assert squeezed(got["subject"]) == squeezed(stated["subject"])
    if "reply" in stated:
        assert squeezed(got["reply"]) == squeezed(stated["reply"])
    for words in stated.get("reply_has", ()):
        assert squeezed(words) in squeezed(got["reply"])
    for words in stated.get("reply_lacks", ()):
        assert squeezed(words) not in squeezed(got["reply"])
    assert set(stated.get("attachment_names", ())) <= {a[0] for a in got["attachments"]}
    if stated.get("recipients"):
        found = {address.lower(): (status, action) for address, status, action in got["bounce"]["recipients"]}
        for recipient in stated["recipients"]:
            names = [recipient["address"], *recipient.get("also", ())]
            status, action = next(found[name.lower()] for name in names if name.lower() in found)
            assert status == recipient.get("status", status)
            assert action == recipient.get("action", action)


def test_no_fixture_is_without_a_reader() -> None:
    """A sidecar without its mail, or a mail without its sidecar, tests nothing."""
    sidecars = {
        p.with_name(p.name.removesuffix(".expected.json") + ".eml") for p in FOLDER.rglob("*.expected.json")
    }
    assert sidecars == set(MAILS)
    others = [p for p in FOLDER.rglob("*") if p.is_file() and p.suffix not in (".eml", ".json")]
    assert not others
    assert len([p for p in MAILS if p.parent.name != "own"]) >= 60
    assert len([p for p in MAILS if p.parent.name == "own"]) >= 20


@pytest.mark.parametrize("path", MAILS, ids=lambda p: str(p.relative_to(FOLDER)))
def test_a_golden_mail_says_what_it_shows_and_whose_it_is(path: Path) -> None:
    """Only mails under licences that may be passed on with ours."""
    assert re.fullmatch(r"[a-z0-9_]+", path.stem), "named by what it shows"
    sidecar = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    assert sidecar["shows"]
    assert sidecar["source"]
    assert sidecar["licence"] in LICENCES
