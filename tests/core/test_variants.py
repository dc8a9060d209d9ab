"""Mail as many programs, languages and mail systems write it: one row each in fixtures/variants.

The rows were written from what the programs are known to send, not from the code, so that a rule that fits
only the mails it was made for shows here.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbridge.core.parse import parse_mail
from mailbridge.core.reply import new_words

FOLDER = Path(__file__).parents[2] / "fixtures" / "variants"
OLD = ("Dear Anne,", "have you tried the new seal?", "Bart Desk")


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of one family."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def normal(text: str) -> str:
    """Without the differences of blanks that HTML makes."""
    lines = (" ".join(line.replace("\u00a0", " ").split()) for line in text.split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


REPLIES = rows("reply")


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: f"{row['language']} {row['program']}")
def test_the_new_words_are_found(row: dict[str, Any]) -> None:
    """Whatever program quotes, signs or forwards, in whatever language."""
    assert normal(new_words(row["text"], row["html"])) == normal(row["reply"])


def packings(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, text and HTML of one answer as it is wrapped, signed, quoted or not quoted, below or above."""
    words, above = row["reply"], row["above"]
    marked = "\n".join(f"> {line}\n>" for line in OLD)
    plain = "\n\n".join(OLD)
    own = "".join(f"<div>{html.escape(line) or '<br>'}</div>" for line in words.split("\n"))
    old = "".join(f"<p>{line}</p>" for line in OLD)
    if row["form"] == "attribution":
        for width in (76, 60):
            folded = textwrap.fill(above, width, break_long_words=False, break_on_hyphens=False)
            yield f"wrapped at {width}", f"{words}\n\n{folded}\n{marked}\n", ""
        yield "a blank line before the quote", f"{words}\n\n{above}\n\n{marked}\n", ""
        yield "a signature between", f"{words}\n\n-- \nAnne Customer\n\n{above}\n{marked}\n", ""
        yield "below the quote", f"{above}\n{marked}\n\n{words}\n", ""
        yield "in HTML", "", f"{own}<br><div>{html.escape(above)}</div><blockquote>{old}</blockquote>"
        if "@" in above:
            yield "nothing marked as quoted", f"{words}\n\n{above}\n\n{plain}\n", ""
    else:
        bold = re.sub(r"(?m)^([^:\n]+:)", r"*\1*", above)
        yield "bold", f"{words}\n\n{bold}\n\n{plain}", ""
        quoted = "\n".join(f"> {line}" for line in f"{above}\n\n{plain}".split("\n"))
        yield "quoted with its headers", f"{words}\n\n{quoted}", ""
        block = html.escape(above).replace("\n", "<br>")
        yield "in HTML", "", f"{own}<p>{block}</p>{old}"
    yield "line ends of the wire", row["text"].replace("\n", "\r\n"), ""


@pytest.mark.parametrize(
    "row", [row for row in REPLIES if "above" in row], ids=lambda row: f"{row['language']} {row['program']}"
)
def test_the_new_words_are_found_however_the_answer_is_packed(row: dict[str, Any]) -> None:
    """Programs wrap, mark or do not mark, and people write above or below."""
    for name, text, markup in packings(row):
        assert normal(new_words(text, markup)) == normal(row["reply"]), name


@pytest.mark.parametrize("row", rows("bounce"), ids=lambda row: str(row["software"]))
def test_a_bounce_names_who_did_not_get_it(row: dict[str, Any]) -> None:
    """A status of null in the row is one that the notice leaves open."""
    read = parse_mail(row["raw"].encode())
    assert read.classification.kind == row["kind"]
    got = [(r.address, r.status, r.action) for r in (read.bounce.recipients if read.bounce else ())]
    assert got == [
        (a, given if s is None else s, act)
        for (a, s, act), (_, given, _) in zip(row["recipients"], got, strict=True)
    ]


@pytest.mark.parametrize("row", rows("kind"), ids=lambda row: f"{row['kind']} {row['program']}")
def test_the_kind_of_sender_is_known(row: dict[str, Any]) -> None:
    """Each with nothing but what that system is known to put on its mail."""
    assert parse_mail(row["raw"].encode()).classification.kind == row["kind"]


@pytest.mark.parametrize("row", rows("structure"), ids=lambda row: str(row["shows"]))
def test_odd_structure_and_charsets_are_read(row: dict[str, Any]) -> None:
    """`raw_latin1` holds one character for each byte."""
    read = parse_mail(row["raw_latin1"].encode("latin-1"))
    author = read.from_[0] if read.from_ else None
    got = {
        "subject": read.subject,
        "text": read.text.strip(),
        "from": author.address if author else "",
        "from_name": author.name if author else "",
        "attachments": [a.filename for a in read.attachments],
    }
    assert {key: got[key] for key in row["expected"]} == row["expected"]


@pytest.mark.parametrize("name", ["reply", "bounce", "kind", "structure"])
def test_each_family_has_its_variants(name: str) -> None:
    """An empty file would test nothing."""
    assert len(rows(name)) >= 40
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == {"reply", "bounce", "kind", "structure"}
