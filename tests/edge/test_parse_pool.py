"""Workers that hang, die, eat memory or are killed: only the guilty mail fails, and the loop goes on.

The parsers below run in real worker processes and do what their mail's text says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailbridge.core.mail import ParsedMail
from mailbridge.core.parse import parse_mail
from mailbridge.core.scan import ParseLimits
from mailbridge.edge.parse_pool import (
    Parse,
    ParseFailure,
    ParseFailureReason,
    ParsePool,
    ParseResult,
    PoolClosed,
    RawMail,
)
from tests.core.bombs import BOMBS

LIMITS = ParseLimits()
MEMORY = 512 << 20


def obedient(raw: bytes, *, null_sender: bool, limits: ParseLimits) -> ParsedMail:
    """Read a mail, after doing what its body says."""
    if b"do: hang" in raw:
        while True:
            pass
    if b"do: exit" in raw:
        os._exit(7)
    if b"do: segfault" in raw:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"do: eat" in raw:
        hoard = []
        while True:
            hoard.append(bytearray(64 << 20))
    if b"do: raise" in raw:
        raise ValueError("what the mail said")
    if b"do: pid" in raw:
        return parse_mail(b"Subject: %d\r\n\r\n" % os.getpid())
    if b"do: wait" in raw:
        time.sleep(1)
    return parse_mail(raw, null_sender=null_sender, limits=limits)


def letter(words: str) -> RawMail:
    return RawMail(f"From: anne@customer.example\r\nSubject: {words}\r\n\r\n{words}\r\n".encode())


@asynccontextmanager
async def pool(
    *, workers: int = 1, timeout: float = 0.5, memory: int = MEMORY, parse: Parse = obedient
) -> AsyncIterator[ParsePool]:
    made = ParsePool(workers=workers, timeout=timeout, memory=memory, limits=LIMITS, parse=parse)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def told(results: list[ParseResult]) -> list[str]:
    return [r.reason.value if isinstance(r, ParseFailure) else r.subject for r in results]


async def test_mails_come_back_in_their_order() -> None:
    """The caller matches results to rows by place."""
    async with pool(workers=2, timeout=20, parse=parse_mail) as made:
        words = [f"letter {n}" for n in range(60)]
        assert told(await made.parse([letter(w) for w in words])) == words
        assert await made.parse([]) == []


async def test_the_null_sender_reaches_the_parser() -> None:
    """An empty envelope sender makes a bounce of what says nothing else."""
    raw = b"From: MAILER-DAEMON@x.example\r\nSubject: Undelivered Mail Returned to Sender\r\n\r\nsorry\r\n"
    async with pool(timeout=20, parse=parse_mail) as made:
        (read,) = await made.parse([RawMail(raw, null_sender=True)])
        assert isinstance(read, ParsedMail)
        assert read.classification == parse_mail(raw, null_sender=True).classification


@pytest.mark.parametrize(
    ("words", "timeout", "reason"),
    [
        ("do: hang", 0.5, "parser-timeout"),
        ("do: exit", 10, "crashes-parser"),
        ("do: segfault", 10, "crashes-parser"),
        ("do: eat", 10, "parser-memory"),
        ("do: raise", 10, "crashes-parser"),
    ],
)
async def test_only_the_guilty_mail_of_a_batch_fails(words: str, timeout: float, reason: str) -> None:
    """One poisoned mail must not take its neighbours into the quarantine, nor stop what comes after."""
    async with pool(timeout=timeout) as made:
        assert told(await made.parse([letter("one"), letter(words), letter("two")])) == ["one", reason, "two"]
        assert told(await made.parse([letter("three")])) == ["three"]


async def test_a_failure_names_type_and_place_but_no_words_of_the_mail() -> None:
    """Details go to logs and lists, where a customer's words do not belong."""
    async with pool() as made:
        (failure,) = await made.parse([letter("do: raise")])
        assert isinstance(failure, ParseFailure)
        assert failure.reason is ParseFailureReason.CRASHES_PARSER
        assert failure.detail.startswith("ValueError in obedient, line ")
        assert "what the mail said" not in failure.detail


async def test_real_bombs_are_refused_and_the_rest_read() -> None:
    """The parser itself, in a worker, on what is made to hold it."""
    names = ["10k parts", "1 MB of header fields", "html depth", "combining marks"]
    async with pool(timeout=20, parse=parse_mail) as made:
        results = await made.parse([*(RawMail(BOMBS[name]()) for name in names), letter("fine")])
        assert told(results)[:2] == ["too-complex", "too-complex"]
        assert isinstance(results[0], ParseFailure)
        assert results[0].detail == "more than 500 parts"
        assert not any(isinstance(result, ParseFailure) for result in results[2:])


async def test_the_largest_mail_fits_the_default_memory() -> None:
    """A 25 MB attachment is an ordinary day."""
    raw = (
        b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=a.bin\r\n\r\n" + b"QUFB" * (29 << 18)
    )
    async with pool(timeout=20, parse=parse_mail) as made:
        (read,) = await made.parse([RawMail(raw)])
        assert isinstance(read, ParsedMail)
        assert read.attachments[0].size == 3 * (29 << 18)


async def test_a_worker_killed_from_outside_costs_no_mail() -> None:
    """The kernel's out-of-memory killer picks whom it likes; the mail it was at is innocent."""
    async with pool(timeout=20) as made:
        (read,) = await made.parse([letter("do: pid")])
        assert isinstance(read, ParsedMail)
        pid = int(read.subject)
        work = asyncio.create_task(made.parse([letter("do: wait")]))
        await asyncio.sleep(0.3)  # the worker is at it, or takes it from the pipe and dies just as well
        os.kill(pid, signal.SIGKILL)
        assert told(await work) == ["do: wait"]


async def test_the_loop_goes_on_while_a_parser_hangs() -> None:
    """SMTP is served by the same loop; it may not feel a mail that is being read."""
    async with pool() as made:
        work = asyncio.create_task(made.parse([letter("do: hang")]))
        longest = 0.0
        while not work.done():
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - before)
        assert told(work.result()) == ["parser-timeout"]
        assert longest < 0.5


async def test_neighbours_of_a_hanging_mail_do_not_wait_for_its_whole_time() -> None:
    """With one worker, a poisoned mail gets its whole time only when nobody else waits."""
    done: dict[str, float] = {}
    async with pool(timeout=2.5) as made:
        start = time.perf_counter()

        async def read(words: str) -> None:
            await made.parse([letter(words)])
            done[words] = time.perf_counter() - start

        batch = asyncio.create_task(made.parse([letter("one"), letter("do: hang")]))
        await asyncio.sleep(0.1)
        await asyncio.gather(read("two"), batch)
        assert told(batch.result()) == ["one", "parser-timeout"]
        assert done["two"] < 2.4


async def test_more_bytes_than_may_be_in_flight_are_read_in_turn() -> None:
    """Reading takes a multiple of a mail's size: a burst of large mails must not add up."""
    large = [RawMail(b"Subject: %d\r\n\r\n" % n + b"x" * (9 << 20)) for n in range(6)]
    async with pool(workers=2, timeout=20, parse=parse_mail) as made:
        assert told(await made.parse(large)) == [str(n) for n in range(6)]


async def test_closing_ends_hanging_workers_within_two_seconds() -> None:
    """SIGTERM gives the daemon ten seconds for everything."""
    made = ParsePool(workers=1, timeout=20, memory=MEMORY, limits=LIMITS, parse=obedient)
    await made.start()
    work = asyncio.create_task(made.parse([letter("do: hang")]))
    await asyncio.sleep(0.2)
    before = time.perf_counter()
    await made.close()
    assert time.perf_counter() - before < 2.5
    with pytest.raises(PoolClosed):
        await work
    with pytest.raises(PoolClosed):
        await made.parse([letter("late")])


ORPHAN = """
import asyncio, sys
from mailbridge.core.scan import ParseLimits
from mailbridge.edge.parse_pool import ParsePool
from tests.edge.test_parse_pool import letter, obedient

async def main():
    pool = ParsePool(workers=1, timeout=float(sys.argv[1]), memory=512 << 20, limits=ParseLimits(), parse=obedient)
    await pool.start()
    (read,) = await pool.parse([letter("do: pid")])
    print(read.subject, flush=True)
    await pool.parse([letter(sys.argv[2])])
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize(("words", "timeout"), [("fine", 20.0), ("do: hang", 0.5)])
def test_workers_die_when_the_daemon_is_killed(tmp_path: Path, words: str, timeout: float) -> None:
    """kill -9 runs no clean-up; a worker that stays would hold memory and, hanging, a processor for ever."""
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(script), str(timeout), words],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)  # whether it has begun to hang or not, it must end
        parent.kill()
    deadline = time.monotonic() + 6
    while _alive(pid):
        assert time.monotonic() < deadline, "the worker outlived the daemon"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
