"""`mailbridge inspect`: the contract's keys, and with `--explain` why a mail is read as it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from mailbridge.cli.inspect import inspect

OWN = Path(__file__).parents[2] / "fixtures" / "emails" / "own"
KEYS = {
    "file", "message_id", "from", "from_name", "to", "cc", "subject", "date", "kind", "bounce", "text", "reply",
    "html_present", "attachments", "references", "in_reply_to", "defects", "error",
}  # fmt: skip


def shown(*names: str, explain: bool = False) -> list[dict[str, Any]]:
    out = io.StringIO()
    assert inspect([OWN / f"{name}.eml" for name in names], as_json=True, out=out, explain=explain) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_file_is_one_line_with_the_keys_of_the_contract() -> None:
    """Others rely on the names."""
    found = shown("mutt_top_posted", "postfix_bounces_our_answer")
    assert [set(item) for item in found] == [KEYS, KEYS]
    assert found[1]["bounce"] == {
        "recipients": [{"address": "anne@customer.example", "status": "5.2.2", "action": "failed"}]
    }


def test_explain_says_why_for_the_kind_and_for_the_cut() -> None:
    """Who doubts a reading sees the sign that decided, and what was taken away."""
    reply, away, bounce = (
        item["explain"]
        for item in shown(
            "gmail_html_only_signature",
            "out_of_office_to_our_answer",
            "postfix_bounces_our_answer",
            explain=True,
        )
    )
    assert reply["kind"] == {"sign": "", "value": "", "why": "nothing speaks against a person"}
    assert reply["body"] == "html: there is no plain part"
    assert reply["cut"]["why"] == "quoted text"
    assert "please try the new seal" in reply["cut"]["text"]
    assert reply["hidden"] == [
        {"filename": "logo.png", "role": "logo", "why": "a picture that only the cut part shows"}
    ]
    assert (away["kind"]["sign"], away["kind"]["value"]) == ("Auto-Submitted", "auto-generated")
    assert bounce["bounce"]["diagnostics"] == ["x-unix; mailbox full"]
    assert bounce["bounce"]["original_message_id"].startswith("<mb.t")


def test_explain_reads_well_on_a_terminal() -> None:
    """The same without JSON, for a person at a shell."""
    out = io.StringIO()
    assert inspect([OWN / "opaque_smime.eml"], as_json=False, out=out, explain=True) == 0
    text = out.getvalue()
    assert "why kind:    nothing speaks against a person" in text
    assert "why cut:     signature" in text
    assert "sealed:      smime-signed" in text
    assert "hidden:      smime.p7m: a wrapping whose content is given beside it" in text
    assert "-- cut (signature)\n--\nAnne" in text


def test_a_file_that_is_not_there_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    """66 is EX_NOINPUT."""
    out = io.StringIO()
    assert inspect([tmp_path / "none.eml", OWN / "thanks_only.eml"], as_json=True, out=out) == 66
    missing, there = (json.loads(line) for line in out.getvalue().splitlines())
    assert set(missing) == KEYS
    assert missing["error"]
    assert there["error"] is None
