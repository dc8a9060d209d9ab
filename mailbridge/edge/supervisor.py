"""Keeps tasks running: one that fails is started again after a growing pause, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from mailbridge.store.engine import StoreUnavailable

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
LONGEST_WITHOUT_STORE = 5.0  # nothing is wrong with the task: it may go on as soon as the database is back
STEADY = 60.0  # seconds without a failure after which the pause starts small again
SETTLED = 20.0  # seconds that a task must have run again before it no longer counts as failing


class Supervisor:
    """Owns the daemon's tasks."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, tuple[float, BaseException]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` under this name; when it raises it is run again, when it returns it is done."""
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                await work()
                return
            except asyncio.CancelledError:
                raise
            except BaseExceptionGroup as group:
                error: BaseException = group.exceptions[0]
            except Exception as failure:
                error = failure
            if loop.time() - began > STEADY:
                pause = FIRST_PAUSE
            if isinstance(error, StoreUnavailable):  # expected of any database at times: a line, no traceback
                pause = min(LONGEST_WITHOUT_STORE, pause)
                self._log.warning("task.waits_for_store", task=name, why=str(error), restart_in=pause)
            else:
                self._log.error(
                    "task.failed",
                    task=name,
                    error=f"{type(error).__name__}: {error}",
                    restart_in=pause,
                    exc_info=error,
                )
            self._failed[name] = (loop.time() + pause + SETTLED, error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def failing(self) -> dict[str, BaseException | None]:
        """Tasks that failed a moment ago, with their last error, and those that have ended (None)."""
        now = asyncio.get_running_loop().time()
        ended: dict[str, BaseException | None] = {n: None for n, task in self._tasks.items() if task.done()}
        return ended | {name: error for name, (until, error) in self._failed.items() if now < until}

    async def finish(self, *names: str, timeout: float) -> bool:
        """Wait for tasks that were asked to stop; those that do not in time are cancelled. True if all did."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)
        return not late

    async def cancel(self, *names: str) -> None:
        """Stop tasks that have nothing to finish."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
