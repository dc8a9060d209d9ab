"""Reading mail in worker processes that can be killed, so that no mail can stop the daemon.

A batch is one task. When it dies, overruns or runs out of memory, its mails are tried alone, so that only the
guilty one fails. Raw bytes in flight are bounded, since reading takes a multiple of a mail's size.

Standards: none. Workers come from multiprocessing's forkserver, never from a fork of the daemon, which has
threads.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from typing import Final

from pebble import ProcessExpired, ProcessPool

from mailbridge.core.parse import parse_mail
from mailbridge.core.scan import ParseLimits
from mailbridge.edge.parse_server import PRELOAD
from mailbridge.edge.parse_worker import (
    Parse,
    ParseFailure,
    ParseFailureReason,
    ParseResult,
    RawMail,
    prepare,
    read_batch,
    ready,
)

__all__ = ["Parse", "ParseFailure", "ParseFailureReason", "ParsePool", "ParseResult", "PoolClosed", "RawMail"]

_BYTES_IN_FLIGHT: Final = 32 << 20
_TASKS_PER_WORKER: Final = 2000
"""Then a worker is renewed: what a library may leak ends with it."""
_MAILS_PER_TASK: Final = 100
_FIRST_SHARE: Final = 8
"""Fewer mails than this are not worth spreading over two workers."""
_GRACE: Final = 5.0
"""Seconds beyond a deadline until the pool itself is taken for stuck (killing takes up to 3)."""
_CLOSE_WITHIN: Final = 2.0


class PoolClosed(RuntimeError):
    """The pool was closed, so the mails asked for were not read; they are not to blame."""


class ParsePool:
    """Workers that read mail within limits of time (seconds), memory (bytes of address space), complexity.

    `parse` is called in the workers and must be importable there.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout: float,
        memory: int,
        limits: ParseLimits,
        parse: Parse = parse_mail,
    ) -> None:
        self._workers = workers
        self._timeout = timeout
        self._memory = memory
        self._limits = limits
        self._parse = parse
        self._pool: ProcessPool | None = None
        self._closed = False
        self._running: set[asyncio.Future[list[ParseResult | None]]] = set()
        self._budget = _Budget(_BYTES_IN_FLIGHT)
        self._free = asyncio.Semaphore(workers)  # so that no task waits behind a hanging one

    async def start(self) -> None:
        """Start the workers and wait until they answer; the loop is not blocked meanwhile."""
        pool = await asyncio.to_thread(self._make)
        self._pool = pool
        async with asyncio.timeout(30):
            await asyncio.gather(*(asyncio.wrap_future(pool.schedule(ready)) for _ in range(self._workers)))

    async def close(self) -> None:
        """End the workers, at once and within 2 s. Calls of `parse` that wait raise PoolClosed."""
        self._closed = True
        for future in tuple(self._running):
            future.cancel()
        pool, self._pool = self._pool, None
        if pool is not None:
            await self._stop(pool)

    async def parse(self, mails: Sequence[RawMail]) -> list[ParseResult]:
        """What each mail says, or why it could not be read; in the order given.

        Raises PoolClosed when the pool is closed before all are read.
        """
        results: list[ParseResult | None] = [None] * len(mails)

        async def read(share: list[int]) -> None:
            found = await self._batch([mails[n] for n in share])
            for n, result in zip(share, found, strict=True):
                results[n] = result

        await asyncio.gather(*(read(share) for share in self._shares(mails)))
        return [result for result in results if result is not None]

    def _shares(self, mails: Sequence[RawMail]) -> list[list[int]]:
        """The mails' numbers in shares: one per worker when there are many, none above its part of the bytes."""
        per_task = min(_MAILS_PER_TASK, max(_FIRST_SHARE, -(-len(mails) // self._workers)))
        shares: list[list[int]] = []
        room = -1
        for n, mail in enumerate(mails):
            if not shares or len(shares[-1]) >= per_task or len(mail.raw) > room:
                shares.append([])
                room = _BYTES_IN_FLIGHT // self._workers
            shares[-1].append(n)
            room -= len(mail.raw)
        return shares

    async def _batch(self, mails: Sequence[RawMail]) -> list[ParseResult]:
        """Read together; then alone those that a batch's end left open; then the slow ones with the full time."""
        if len(mails) == 1:
            return [await self._alone(mails[0], self._timeout)]
        try:
            found = await self._task(mails, min(self._timeout, _usual(mails)))
        except (TimeoutError, ProcessExpired, MemoryError, _PoolLost):
            found = [None] * len(mails)
        for allowed in (_usual, lambda _: self._timeout):
            left = [n for n, result in enumerate(found) if result is None]
            # The innocent shall not wait for the guilty: a short time first, the whole of it for who needs it.
            again = await asyncio.gather(
                *(self._alone(mails[n], min(self._timeout, allowed([mails[n]]))) for n in left)
            )
            for n, result in zip(left, again, strict=True):
                slow = isinstance(result, ParseFailure) and result.reason is ParseFailureReason.PARSER_TIMEOUT
                more = self._timeout > allowed([mails[n]])
                found[n] = None if slow and more else result
        return [result for result in found if result is not None]

    async def _alone(self, mail: RawMail, allowed: float) -> ParseResult:
        failure = ParseFailure(ParseFailureReason.CRASHES_PARSER, "worker lost")
        for _ in range(2):  # a worker may be killed by someone else; twice is the mail
            try:
                result = (await self._task([mail], allowed))[0]
            except TimeoutError:
                return ParseFailure(ParseFailureReason.PARSER_TIMEOUT, f"more than {allowed:g} s")
            except MemoryError:
                return ParseFailure(ParseFailureReason.PARSER_MEMORY, "MemoryError while answering")
            except ProcessExpired as problem:
                failure = ParseFailure(
                    ParseFailureReason.CRASHES_PARSER, f"worker ended with code {problem.exitcode}"
                )
            except _PoolLost as problem:
                failure = ParseFailure(ParseFailureReason.CRASHES_PARSER, str(problem))
            else:
                assert result is not None  # a mail alone is never left open
                return result
        return failure

    async def _task(self, mails: Sequence[RawMail], allowed: float) -> list[ParseResult | None]:
        """One task in a worker. When it is the pool that fails, it is renewed and _PoolLost raised."""
        async with self._free, self._budget.taken(sum(len(mail.raw) for mail in mails)):
            if self._closed:
                raise PoolClosed("the parse pool is closed")
            pool = self._pool
            if pool is None:
                pool = self._pool = await asyncio.to_thread(self._make)
            arguments = (self._parse, list(mails), self._limits, allowed + _GRACE / 2)
            try:
                future = asyncio.wrap_future(pool.schedule(read_batch, args=arguments, timeout=allowed))
            except RuntimeError as problem:
                await self._renew(pool)
                raise _PoolLost("the pool had ended") from problem
            self._running.add(future)
            try:
                return await asyncio.wait_for(future, allowed + _GRACE)
            except BrokenProcessPool as problem:
                await self._renew(pool)
                raise _PoolLost("the pool broke") from problem
            except TimeoutError as problem:
                if future.cancelled():  # our deadline, not the worker's: nobody answers any more
                    await self._renew(pool)
                    raise _PoolLost("the pool did not answer") from problem
                raise
            except asyncio.CancelledError as problem:
                task = asyncio.current_task()
                if self._closed and task is not None and not task.cancelling():
                    raise PoolClosed("the parse pool is closed") from problem
                raise
            finally:
                self._running.discard(future)

    async def _renew(self, broken: ProcessPool) -> None:
        if self._pool is broken:
            self._pool = None
            await self._stop(broken)

    def _make(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOAD))
        pool = ProcessPool(
            max_workers=self._workers,
            max_tasks=_TASKS_PER_WORKER,
            initializer=prepare,
            initargs=(self._memory,),
            context=context,
        )
        pool.schedule(ready)  # pebble starts its processes at the first task: here, off the loop
        return pool

    async def _stop(self, pool: ProcessPool) -> None:
        pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it unannotated
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await asyncio.to_thread(pool.join)
        except TimeoutError:
            pass  # the thread goes on joining; the workers die by their own timers at the latest


def _usual(mails: Sequence[RawMail]) -> float:
    """Seconds that mails should not need, by far: 1 ms each and 100 MB/s are the rule."""
    return 1.0 + 0.05 * len(mails) + sum(len(mail.raw) for mail in mails) / (2 << 20)


class _PoolLost(Exception):
    """The pool, not the mail, failed; the task may be tried again on a new one."""


class _Budget:
    """Bytes that may be in work at once. One that is larger than all is let in alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        size = min(size, self._size)
        async with self._changed:
            await self._changed.wait_for(lambda: self._used + size <= self._size)
            self._used += size
        try:
            yield
        finally:
            self._used -= size
            async with self._changed:
                self._changed.notify_all()
