"""`make corpus`: the figures are counted as they are meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.corpus import main
from benchmarks.judge import Figures, compare_words, judge

ROW = {
    "file": "a.eml",
    "kind": "bounce",
    "recipients": [{"address": "a@x.example", "also": ["b@x.example"], "status": "5.1.1"}],
    "reply": "one two",
    "subject": "Hello  there",
}
SHOWN = {
    "kind": "bounce",
    "bounce": {"recipients": [{"address": "B@x.example", "status": "5.1.1", "action": "failed"}]},
    "reply": "one\ntwo ",
    "subject": "Hello there",
    "error": None,
}


def rates(shown: dict[str, object]) -> dict[str, float]:
    figures = Figures()
    judge(ROW, shown, figures)
    return {key: tally.rate for key, tally in figures.tallies.items()}


def test_a_perfect_reading_counts_fully() -> None:
    """Another address of the same recipient, and other blanks, are no mistake."""
    found = rates({**SHOWN, "reply": "one two"})
    assert set(found) == {
        "crash_free", "kind", "recipients", "status", "reply_exact", "reply_similar", "reply_kept",
        "reply_clean", "subject",
    }  # fmt: skip
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"error": "crashes-parser"}, "crash_free"),
        ({"kind": "human"}, "kind"),
        ({"bounce": None}, "recipients"),
        (
            {
                "bounce": {
                    "recipients": [{"address": a, "status": "5.1.1"} for a in ("a@x.example", "c@x.example")]
                }
            },
            "recipients",
        ),
        ({"bounce": {"recipients": [{"address": "a@x.example", "status": "4.4.1"}]}}, "status"),
        ({"reply": "one"}, "reply_kept"),
        ({"reply": "one two three"}, "reply_clean"),
        ({"subject": "Hello"}, "subject"),
    ],
)
def test_each_mistake_lowers_its_figure(change: dict[str, object], figure: str) -> None:
    """A measure that cannot fall measures nothing."""
    assert rates({**SHOWN, "reply": "one two", **change})[figure] < 1


def test_words_lost_and_words_added_are_told_apart() -> None:
    """Losing a customer's words is the worse fault."""
    assert compare_words(["a", "b"], ["a"]) == (2 / 3, 0.5, 1.0)
    assert compare_words(["a"], ["a", "b"]) == (2 / 3, 1.0, 0.5)
    assert compare_words([], ["a"]) == (0.0, 1.0, 0.0)
    assert compare_words(["a"], []) == (0.0, 0.0, 1.0)


def test_a_corpus_folder_gives_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From files on disk, through the workers, to the printed figures."""
    (tmp_path / "a.eml").write_bytes(
        b"From: anne@customer.example\nSubject: Hello\n\nIt leaks.\n\n-- \nAnne\n"
    )
    row = {"file": "a.eml", "kind": "human", "from": "anne@customer.example", "reply": "It leaks."}
    (tmp_path / "expected.jsonl").write_text(json.dumps(row) + "\n")
    assert main([str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "reply text, exact                 100.0%  of 1" in printed
    assert "speed of inspect" in printed
    assert "precision" in printed
    assert json.loads((tmp_path / "out.json").read_text())["reply_exact"] == {"rate": 1.0, "n": 1}


def test_a_folder_without_facts_is_refused(tmp_path: Path) -> None:
    """A figure over nothing would look perfect."""
    assert main([str(tmp_path)]) == 2
