"""The command block at the top of an agent's mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    "line",
    [
        "#solved\u00a0agreed",
        "\u00a0#solved agreed\u00a0",
        "\ufeff#solved agreed",
        "\u200b#solved \t agreed",
        "#Solved AGREED",
        "#solved: agreed",
        "#solved agreed\r",
        "  #solved   agreed  ",
    ],
)
def test_a_command_is_one_however_the_mail_program_writes_blanks(line: str) -> None:
    """HTML mail is full of blanks that do not break; sent to the customer as words, they would read '#solved'."""
    block = read_block(f"{line}\nAll done.")
    assert block.commands == (SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED)),)
    assert (block.text, block.rejected) == ("All done.", ())


@pytest.mark.parametrize(
    "line", ["#bug-filed BUG-7 high June", "#bug_filed: BUG-7 high June", "#BUG_FILED BUG-7 high June"]
)
def test_a_dash_or_a_colon_in_a_verb_is_forgiven(line: str) -> None:
    """There is only one thing that it can mean."""
    solution = Solution(SolvedReason.BUG_FILED, "BUG-7", "high", "June")
    assert read_block(line).commands == (SetStatus(Status.SOLVED, solution),)


@pytest.mark.parametrize(
    "line", ["#solved, agreed", "#gelöst", "#thanks!", "#C++", "#solved-agreed", "#open.", "#x"]
)
def test_what_looks_like_a_command_and_is_none_is_rejected_not_sent(line: str) -> None:
    """The customer must not read it, and the agent must not believe that it was done."""
    block = read_block(f"{line}\nHello.")
    assert [wrong.line for wrong in block.rejected] == [line]
    assert block.commands == ()


@pytest.mark.parametrize(
    "line",
    [
        "#open please look",
        "#pending now",
        "#unflag ok",
        "#solved agreed Thanks!",
        "#agreed see you",
        "#handed_over to Zoe",
    ],
)
def test_words_behind_a_command_that_takes_none_are_not_lost(line: str) -> None:
    """They were meant for somebody; silently left out, nobody would read them."""
    (wrong,) = read_block(line).rejected
    assert "below the commands" in wrong.why


def test_all_commands_of_a_block_are_read_in_order_across_blank_lines() -> None:
    """The machine applies them in the order in which they were written."""
    block = read_block("\n\n#priority S1 all down\n\n#hold waiting\n#note\n\nShe called.\n#open\n")
    assert block.commands == (
        SetPriority(Priority.S1, "all down"),
        SetStatus(Status.ON_HOLD, hold_reason="waiting"),
    )
    assert block.lines == ("#priority S1 all down", "#hold waiting", "#note")
    assert (block.note, block.text, block.rejected) == (True, "She called.\n#open", ())


def test_line_numbers_are_those_of_the_mail() -> None:
    """The receipt's numbers are looked up in what the agent wrote, blank lines included."""
    block = read_block("\r\n#open\r\n\r\n#solvd\r\n\r\nHello.\r\nYou.\r\n")
    assert [(wrong.number, wrong.line) for wrong in block.rejected] == [(4, "#solvd")]
    assert block.text == "Hello.\nYou."


def test_twenty_commands_are_read_and_a_paste_of_thousands_makes_one_complaint() -> None:
    """A receipt with ten thousand rejected lines would help nobody."""
    assert len(read_block("#open\n" * 20).commands) == 20
    block = read_block("#open\n" * 10_000)
    assert len(block.commands) == 20
    assert [wrong.why for wrong in block.rejected] == ["more than 20 commands"]


@given(
    st.lists(st.text(st.sampled_from("#solvedagrnpityS1 \t\r\n\u00a0x"), max_size=30), max_size=5).map(
        "\n".join
    )
)
def test_no_text_makes_it_raise_or_loses_words_silently(text: str) -> None:
    """Every word is in the text, in a command line, or in a rejected one."""
    block = read_block(text)
    shown = " ".join([block.text, *block.lines, *(wrong.line for wrong in block.rejected)])
    assert set(text.split()) <= set(shown.split())
