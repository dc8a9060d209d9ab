"""Replies that only thank, told from those that want something: a labelled set of several languages."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.thanks import MAX_LENGTH, is_thanks_only
from mailbridge.core.thanks_words import COURTESY, FORBIDDEN, PRAISE, THANKS, UNSPACED_FORBIDDEN

FOLDER = Path(__file__).parents[2] / "fixtures" / "thanks"
LABELLED = [
    (path.stem, row["text"], row["thanks"], row["why"])
    for path in sorted(FOLDER.glob("*.jsonl"))
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
]
GOOD = [(language, text) for language, text, thanks, _ in LABELLED if thanks]
UNSPACED_LANGUAGES = ("ja", "ko", "zh")


def test_the_labelled_set_is_large_and_of_many_languages() -> None:
    """A rule that hides replies needs proof in the languages of the customers."""
    assert len(LABELLED) >= 300
    assert len({language for language, *_ in LABELLED}) >= 20


@pytest.mark.parametrize(
    ("language", "text", "why"), [(lang, text, why) for lang, text, thanks, why in LABELLED if not thanks]
)
def test_a_reply_that_says_more_than_thanks_is_never_suppressed(language: str, text: str, why: str) -> None:
    """A question, a negation, a failure, a request or news: the customer wants to be heard."""
    assert not is_thanks_only(text)


def test_nearly_all_replies_that_only_thank_are_known() -> None:
    """The rule is worth having only when it catches most of them."""
    assert sum(is_thanks_only(text) for _, text in GOOD) >= 0.95 * len(GOOD)


@pytest.mark.parametrize(("language", "text"), GOOD)
def test_one_question_mark_reopens(language: str, text: str) -> None:
    """Whatever stands before it."""
    for mark in "?？؟":
        assert not is_thanks_only(text + mark)
        assert not is_thanks_only(mark + text)


def test_one_forbidden_word_of_any_language_reopens() -> None:
    """Beside thanks of every other language too: people mix them."""
    thanks = [text for language, text in GOOD if language not in UNSPACED_LANGUAGES][::50]
    for word in sorted(FORBIDDEN):
        for text in thanks:
            assert not is_thanks_only(f"{text} {word}"), (text, word)
            assert not is_thanks_only(f"{word.capitalize()}, {text}"), (text, word)


def test_one_forbidden_word_reopens_where_words_have_no_blanks() -> None:
    """Chinese, Japanese and Korean are searched, not split."""
    thanks = [text for language, text in GOOD if language in UNSPACED_LANGUAGES][::3]
    for word in sorted(UNSPACED_FORBIDDEN):
        for text in thanks:
            assert not is_thanks_only(f"{text}{word}"), (text, word)
            assert not is_thanks_only(f"{word}{text}"), (text, word)


def test_no_word_is_both_courtesy_and_forbidden() -> None:
    """A word of two meanings belongs to AMBIGUOUS."""
    assert not FORBIDDEN & (COURTESY | THANKS | PRAISE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Thanks 4711",
        "Thanks https://example.org",
        "Thanks anne@customer.example",
        "Thanks :-(",
        "Thanks 👎",
        "Hello",
        "Dear team",
        "It",
        "Thanks " * 31,
        "thanks " + "a" * MAX_LENGTH,
        "Thanks\n" * 8,
    ],
)
def test_figures_addresses_sad_signs_and_long_texts_reopen(text: str) -> None:
    """Nothing that could be news is guessed at."""
    assert not is_thanks_only(text)


@given(st.sampled_from(GOOD), st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=12))
@settings(max_examples=200, deadline=None)
def test_an_unknown_word_in_the_middle_reopens(good: tuple[str, str], word: str) -> None:
    """Only names are let through, and names have capitals."""
    if word not in COURTESY | THANKS | PRAISE:
        assert not is_thanks_only(f"{good[1]} {word}")


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_text_is_judged_without_an_error(text: str) -> None:
    """It is a stranger's text."""
    assert is_thanks_only(text) in (True, False)


def test_a_long_text_costs_no_time() -> None:
    """It is cut before anything is matched."""
    start = time.perf_counter()
    for filler in ("thanks ", "!", "谢", "(:", "a'"):
        assert not is_thanks_only(filler * 500_000)
    assert time.perf_counter() - start < 1
