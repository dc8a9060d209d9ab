"""The command block at the top of an agent's mail."""

from __future__ import annotations

import pytest

from mailbridge.core.commands import read_block
from mailbridge.core.ticket import (
    ClearFlag,
    Command,
    Priority,
    SetPriority,
    SetStatus,
    Solution,
    SolvedReason,
    Status,
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("#solved agreed", SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED))),
        ("#SOLVED handed_over", SetStatus(Status.SOLVED, Solution(SolvedReason.HANDED_OVER))),
        (
            "#bug_filed BUG-7 high in the June release",
            SetStatus(
                Status.SOLVED, Solution(SolvedReason.BUG_FILED, "BUG-7", "high", "in the June release")
            ),
        ),
        ("#hold waiting for engineering", SetStatus(Status.ON_HOLD, hold_reason="waiting for engineering")),
        ("#open", SetStatus(Status.OPEN)),
        ("#pending", SetStatus(Status.PENDING)),
        ("#priority s2 half of them", SetPriority(Priority.S2, "half of them")),
        ("#unflag", ClearFlag()),
    ],
)
def test_each_command_is_read(line: str, command: Command) -> None:
    """And the words below stay."""
    block = read_block(f"\n{line}\n\nHello.\n")
    assert (block.commands, block.text, block.rejected) == ((command,), "Hello.", ())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("#solved", "needs a reason"),
        ("#solved whatever", "needs a reason"),
        ("#solved merged", "mailbridge ticket merge"),
        ("#bug_filed BUG-7 high", "agreed timeline"),
        ("#hold", "needs a reason"),
        ("#priority S5 x", "S1, S2, S3 or S4"),
        ("#priority S1", "needs a reason"),
        ("#frobnicate", "unknown command"),
    ],
)
def test_what_is_wrong_is_named_by_line(line: str, why: str) -> None:
    """The receipt says the line, its number and what would be right."""
    block = read_block(f"#open\n{line}\ntext")
    (wrong,) = block.rejected
    assert (wrong.number, wrong.line) == (2, line)
    assert why in wrong.why


@pytest.mark.parametrize("text", ["# Title\ntext", "#123 is the bug", "Hello\n#solved agreed", "", "#\nx"])
def test_an_agents_own_text_is_no_command(text: str) -> None:
    """A Markdown heading, a bug's number, a command below the words."""
    block = read_block(text)
    assert (block.commands, block.lines, block.text) == ((), (), text.strip())


def test_a_note_takes_the_rest_even_on_its_own_line() -> None:
    """Both ways of writing it."""
    assert (read_block("#note\nhe is angry").note, read_block("#note\nhe is angry").text) == (
        True,
        "he is angry",
    )
    assert read_block("#note he is angry\nvery").text == "he is angry\nvery"


def test_too_many_lines_are_refused() -> None:
    """A paste accident."""
    assert read_block("#open\n" * 21).rejected
