"""Commands in an agent's mail: a block of `#` lines at the top, all or nothing.

    #solved agreed
    #bug_filed REF PRIORITY TIMELINE...
    #handed_over            #hold REASON...        #open          #pending
    #priority S2 WHY...     #unflag                #note (the rest is an internal note, not sent)

A line counts as a command when `#` is followed by a letter at once, so a Markdown heading ("# Title") or a
bug number ("#123") is the agent's text. The first line that is neither blank nor a command ends the block.
Case does not matter, nor whether blanks are of the kind that cannot break. What looks like a command and is
none is rejected, never sent to a customer as words; and no word behind a command is silently left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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

_LINE = re.compile(r"#([^\W\d_]\S*)(?: (.*))?")
_INVISIBLE = dict.fromkeys([0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF])
HELP = (
    "#solved agreed · #bug_filed REF PRIORITY TIMELINE · #handed_over · #hold REASON · #open · #pending · "
    "#priority S2 WHY · #unflag · #note"
)
_MAX_COMMANDS = 20
_ALONE = frozenset(("open", "pending", "unflag"))
_NO_WORDS = "nothing may follow on this line; words for the customer stand below the commands"


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that cannot be done: its number in the mail (from 1), the line, and what would be right."""

    number: int
    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Block:
    """What an agent's mail asks for. With any `rejected`, nothing of it may be applied."""

    commands: tuple[Command, ...]
    lines: tuple[str, ...]
    """The command lines as written, for the receipt."""
    note: bool
    """The words are an internal note: they are not sent."""
    text: str
    """The words below the block."""
    rejected: tuple[Rejected, ...] = ()


def read_block(text: str) -> Block:
    """The command block at the top of `text`, and the words below it. Never raises."""
    commands: list[Command] = []
    lines: list[str] = []
    rejected: list[Rejected] = []
    note = False
    rest = text.replace("\r\n", "\n").split("\n")
    position = 0
    for number, raw in enumerate(rest, start=1):
        line = " ".join(raw.translate(_INVISIBLE).split())  # mail programs write blanks of many kinds
        if not line:
            position = number
            continue
        found = _LINE.fullmatch(line)
        if not found:
            break
        if len(lines) == _MAX_COMMANDS:
            rejected.append(Rejected(number, line, f"more than {_MAX_COMMANDS} commands"))
            break
        position = number
        lines.append(line)
        verb, argument = found[1].lower().rstrip(":").replace("-", "_"), found[2] or ""
        if verb == "note":
            note = True
            if argument:  # '#note words' on one line: the words belong to the note
                rest[number - 1] = argument
                position = number - 1
                break
        else:
            result = _command(verb, argument)
            if isinstance(result, str):
                rejected.append(Rejected(number, line, result))
            else:
                commands.append(result)
    body = "\n".join(rest[position:]).strip("\n") if lines else text
    return Block(tuple(commands), tuple(lines), note, body.strip(), tuple(rejected))


def _command(verb: str, argument: str) -> Command | str:
    """The command, or what is wrong with it."""
    if argument and verb in _ALONE:
        return _NO_WORDS
    match verb:
        case "open":
            return SetStatus(Status.OPEN)
        case "pending":
            return SetStatus(Status.PENDING)
        case "hold" | "on_hold":
            return (
                SetStatus(Status.ON_HOLD, hold_reason=argument)
                if argument
                else "hold needs a reason: #hold REASON"
            )
        case "unflag":
            return ClearFlag()
        case "priority":
            level, _, why = argument.partition(" ")
            if level.upper() not in Priority.__members__:
                return "allowed is #priority S1, S2, S3 or S4 and the reason"
            if not why.strip():
                return "a change of priority needs a reason: #priority S2 WHY"
            return SetPriority(Priority(level.upper()), why.strip())
        case "solved":
            reason, _, more = argument.partition(" ")
            return _solved(reason.lower().rstrip(":").replace("-", "_"), more)
        case "agreed" | "bug_filed" | "handed_over" | "unresponsive":
            return _solved(verb, argument)
        case _:
            return f"unknown command; known are {HELP}"


def _solved(reason: str, more: str) -> Command | str:
    allowed = "agreed, bug_filed REF PRIORITY TIMELINE, handed_over or unresponsive"
    if reason == SolvedReason.MERGED:
        return "merging is done with `mailbridge ticket merge`"
    if reason not in set(SolvedReason):
        return f"solved needs a reason: {allowed}"
    solution = Solution(SolvedReason(reason))
    if solution.reason is SolvedReason.BUG_FILED:
        reference, priority, timeline = [*more.split(None, 2), "", "", ""][:3]
        solution = Solution(solution.reason, reference, priority, timeline)
        if problem := solution.problem():
            return f"{problem}: #bug_filed REF PRIORITY TIMELINE"
    elif more:
        return _NO_WORDS
    return SetStatus(Status.SOLVED, solution)
