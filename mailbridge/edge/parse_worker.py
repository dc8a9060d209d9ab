"""What runs inside a parse worker process: its limits, and the reading of one batch.

Nothing of the daemon is imported here: workers are forked from a small server process that knows only this.

Standards: none; POSIX setrlimit and interval timers.
"""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailbridge.core.mail import ParsedMail
from mailbridge.core.parse import TooComplex
from mailbridge.core.scan import ParseLimits


class ParseFailureReason(StrEnum):
    """Why a mail could not be read; the values are reasons of the quarantine."""

    TOO_COMPLEX = "too-complex"
    CRASHES_PARSER = "crashes-parser"
    PARSER_TIMEOUT = "parser-timeout"
    PARSER_MEMORY = "parser-memory"


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail to be read: its bytes, and whether its envelope sender is `<>`."""

    raw: bytes
    null_sender: bool = False


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """A mail that could not be read. `detail` names types and places, never the mail's content."""

    reason: ParseFailureReason
    detail: str


ParseResult = ParsedMail | ParseFailure
Parse = Callable[..., ParsedMail]
"""Called as `parse(raw, null_sender=..., limits=...)`; importable by name in a worker."""


def prepare(memory: int) -> None:
    """Limit this process to `memory` bytes of address space and let it die at once when told to."""
    # Of the two limits Linux needs the first; macOS refuses it, and there the kill by time has to do.
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (memory, memory))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold people's mail
    # Ctrl-C goes to the whole group and is the daemon's to handle. A worker stuck in C code would not run
    # a Python handler, so the default action must end it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    gc.freeze()


def ready() -> bool:
    """Nothing, done in a worker: proof that one has started."""
    return True


def read_batch(
    parse: Parse, mails: Sequence[RawMail], limits: ParseLimits, deadline: float
) -> list[ParseResult | None]:
    """Read mails one after the other. None stands for those that should be tried alone.

    The kernel ends this process after `deadline` seconds, even when the daemon is gone by then.
    """
    signal.setitimer(signal.ITIMER_REAL, deadline)
    try:
        results: list[ParseResult | None] = []
        for mail in mails:
            try:
                results.append(_read(parse, mail, limits))
            except MemoryError:
                if len(mails) == 1:
                    return [ParseFailure(ParseFailureReason.PARSER_MEMORY, "MemoryError")]
                # Others of the batch may hold what this one needs: each shall have the memory for itself.
                results.clear()
                return [None] * len(mails)
        return results
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read(parse: Parse, mail: RawMail, limits: ParseLimits) -> ParseResult:
    try:
        return parse(mail.raw, null_sender=mail.null_sender, limits=limits)
    except TooComplex as problem:
        return ParseFailure(ParseFailureReason.TOO_COMPLEX, str(problem))
    except MemoryError:
        raise
    except Exception as problem:  # whatever a mail breaks is that mail's outcome, told by type and place
        return ParseFailure(ParseFailureReason.CRASHES_PARSER, _place(problem))


def _place(problem: BaseException) -> str:
    frames = traceback.extract_tb(problem.__traceback__)
    where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(problem).__name__}{where}"[:200]
