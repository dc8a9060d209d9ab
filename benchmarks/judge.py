"""Compares what was read out of a mail with the facts that are known of it, and counts.

A fact that a row does not state is not judged. Words are compared without differences of blanks.

Rows: file, kind, kind_not, recipients [{address, also, status, action}], subject, from, from_name, reply,
reply_nows (blanks removed), reply_alt, reply_has, reply_lacks, attachment_names, text_has, source, basis.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS = ("human", "auto_reply", "bounce", "mailing_list", "challenge", "feedback_report")
INFERRED = frozenset({"one address in the notice", "no automatic-mail field", "source folder"})
"""Bases of facts that neither a test of the source nor an RFC field states; `--strict` leaves them out."""
LABELS = (
    ("crash_free", "crash-free"),
    ("kind", "kind"),
    ("kind_not", "not taken for what it is not"),
    ("recipients", "bounce recipients, exact set"),
    ("status", "bounce status, per recipient"),
    ("action", "bounce action, per recipient"),
    ("reply_exact", "reply text, exact"),
    ("reply_similar", "reply text, similarity"),
    ("reply_kept", "reply text, words kept"),
    ("reply_clean", "reply text, words clean"),
    ("reply_snippets", "reply text, has and lacks"),
    ("subject", "subject"),
    ("from", "from address"),
    ("from_name", "from display name"),
    ("attachment_names", "attachment names"),
    ("text", "body text decoded"),
)
"""The figures in the order of the table."""

Shown = Mapping[str, Any]
"""What `mailbridge inspect --json` prints of a mail."""


@dataclass(slots=True)
class Tally:
    """A share of the mails that state a fact, and where it was missed."""

    n: int = 0
    good: float = 0.0
    missed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, value: float, file: str, note: str = "") -> None:
        """Count one; below 1 is a miss."""
        self.n += 1
        self.good += value
        if value < 1:
            self.missed.append((file, note))

    @property
    def rate(self) -> float:
        """The share, 1.0 when nothing was asked."""
        return self.good / self.n if self.n else 1.0


@dataclass(slots=True)
class Figures:
    """All tallies of a run, by the names of LABELS, and kinds given for kinds expected."""

    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    kinds: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def mean_f1(self) -> float:
        """The mean F1 of the kinds that occur."""
        scores = []
        for kind, given in self.kinds.items():
            hit, said = given[kind], sum(c[kind] for c in self.kinds.values())
            recall, precision = hit / sum(given.values()), hit / said if said else 0.0
            scores.append(2 * recall * precision / (recall + precision) if hit else 0.0)
        return sum(scores) / len(scores) if scores else 1.0


def judge(row: Mapping[str, Any], shown: Shown, figures: Figures) -> None:
    """Count one mail."""
    t, file = figures.tallies, str(row["file"])
    t["crash_free"].add(not shown.get("error"), file, str(shown.get("error")))
    kind = str(shown.get("kind"))
    if row.get("kind") in KINDS:
        t["kind"].add(kind == row["kind"], file, f"{row['kind']} taken for {kind}")
        figures.kinds[row["kind"]][kind] += 1
    if row.get("kind_not"):
        t["kind_not"].add(shown.get("kind") is not None and kind not in row["kind_not"], file, kind)
    if row.get("recipients"):
        _judge_bounce(row, shown, t)
    _judge_reply(row, shown, t)
    for key in ("subject", "from", "from_name"):
        if key in row:
            given, wanted = _squeeze(shown.get(key)), _squeeze(row[key])
            same = given.lower() == wanted.lower() if key == "from" else given == wanted
            t[key].add(same, file, f"{given[:80]!r} for {wanted[:80]!r}")
    if "attachment_names" in row:
        left = Counter(_name(name) for name in row["attachment_names"])
        left.subtract(_name(a["filename"]) for a in shown.get("attachments") or () if a["filename"])
        t["attachment_names"].add(all(v <= 0 for v in left.values()), file, str(row["attachment_names"]))
    if "text_has" in row:
        body = _squeeze(shown.get("text"))
        t["text"].add(all(_squeeze(x) in body for x in row["text_has"]), file, str(row["text_has"]))


def _judge_bounce(row: Mapping[str, Any], shown: Shown, t: Mapping[str, Tally]) -> None:
    file = str(row["file"])
    given = {_address(r["address"]): r for r in (shown.get("bounce") or {}).get("recipients", ())}
    said = list(given)
    found = 0
    extra = set(given)
    for want in row["recipients"]:
        names = [name.lower() for name in (want["address"], *want.get("also", ()))]
        extra -= set(names)
        hit = next((given.pop(name) for name in names if name in given), None)
        found += hit is not None
        for fact in ("status", "action"):
            if want.get(fact):
                value = str((hit or {}).get(fact) or "").lower()
                t[fact].add(value == want[fact], file, f"{value or 'none'} for {want[fact]}")
    exact = bool(said) and found == len(row["recipients"]) and not extra
    t["recipients"].add(exact, file, f"{said} for {[r['address'] for r in row['recipients']]}")


def _judge_reply(row: Mapping[str, Any], shown: Shown, t: Mapping[str, Tally]) -> None:
    file, reply = str(row["file"]), str(shown.get("reply") or "")
    wanted = [row[key] for key in ("reply", "reply_nows") if key in row] + list(row.get("reply_alt", ()))
    if "reply" in row or "reply_nows" in row:
        bare = "reply_nows" in row
        shape = _flat if bare else _lines
        exact = any(shape(reply) == shape(words) for words in wanted)
        best = max(
            (compare_words(_pieces(words, bare), _pieces(reply, bare)) for words in wanted),
            key=lambda compared: compared[0],
        )
        t["reply_exact"].add(exact, file, f"{_lines(reply)[:70]!r} for {_lines(wanted[0])[:70]!r}")
        for key, value in zip(("reply_similar", "reply_kept", "reply_clean"), best, strict=True):
            t[key].add(value, file)
    if "reply_has" in row or "reply_lacks" in row:
        body = _squeeze(reply)
        has = all(_squeeze(x) in body for x in row.get("reply_has", ()))
        lacks = not any(_squeeze(x) in body for x in row.get("reply_lacks", ()))
        t["reply_snippets"].add(bool(body) and has and lacks, file, body[:80])


def _pieces(text: str, bare: bool) -> list[str]:
    """What similarity is counted in: words, or letters where blanks are not known."""
    return list(_flat(text))[:3000] if bare else _lines(text).split()[:4000]


def compare_words(want: Sequence[str], got: Sequence[str]) -> tuple[float, float, float]:
    """Similarity, the share of the wanted words that were kept in order, and of the given that were wanted."""
    if not want or not got:
        return float(want == got), float(not want), float(not got)
    matcher = difflib.SequenceMatcher(None, want, got, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return 2 * same / (len(want) + len(got)), same / len(want), same / len(got)


def same_words(want: str, got: str) -> bool:
    """Whether two replies are the same but for blanks."""
    return _lines(want) == _lines(got)


def _name(name: object) -> str:
    return unicodedata.normalize("NFC", str(name)).strip()


def _squeeze(text: object) -> str:
    return " ".join(unicodedata.normalize("NFC", str(text or "")).split())


def _lines(text: str) -> str:
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "")
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


def _flat(text: str) -> str:
    return "".join(_lines(text).split())


def _address(value: object) -> str:
    text = str(value or "").strip()
    found = re.search(r"<([^<>]+)>\s*$", text)
    return (found[1] if found else text.strip("<>")).strip().lower()
