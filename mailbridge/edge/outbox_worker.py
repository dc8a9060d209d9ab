"""Sends what waits in the outbox: claims no more than there are free hands, so a hanging mail holds no other.

When the smarthost is not there, all wait together, with a growing pause; it counts against none of the mails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

import structlog

from mailbridge.core.outgoing import Outgoing, SmarthostDown, SubmissionResult
from mailbridge.core.ports import Clock
from mailbridge.service.sending import Sending, SendingReceipt
from mailbridge.store.engine import StoreUnavailable
from mailbridge.store.outbox import Claimed

T = TypeVar("T")

AHEAD = 8  # mails claimed a hand: one claim serves several, and a kill repeats no more than are under way
POLL = 1.0  # seconds; mail from another process (`mailbridge ticket reply`) gives no wake-up
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 300.0


class Submitter(Protocol):
    """Hands one mail over. Never raises for what the other side does."""

    async def submit(self, outgoing: Outgoing) -> SubmissionResult | SmarthostDown:
        """The result for each recipient, or that no mail can leave now."""

    async def close(self) -> None:
        """Let go of connections."""


class OutboxWorker:
    """One loop and up to `hands` mails under way at a time. `wake` is set when mail was queued."""

    def __init__(
        self,
        service: Sending,
        submitter: Submitter,
        *,
        hands: int,
        clock: Clock,
        wake: asyncio.Event,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._service = service
        self._submitter = submitter
        self._hands = hands
        self._clock = clock
        self._wake = wake
        self._log = log
        self._busy: set[asyncio.Task[None]] = set()
        self._claimed: deque[Claimed] = deque()
        self._in_hand: set[int] = set()
        self._failed = False
        self._stopping = asyncio.Event()
        self._pause = 0.0
        self._resume_at = 0.0
        self.down = ""
        """Why nothing can leave at present; '' when all is well. For `status` and the log."""

    def stop(self) -> None:
        """Claim nothing more; `run` returns once the mails under way have ended."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Send until `stop`. Raises when the database fails: the supervisor starts it again."""
        try:
            if self._failed:
                await asyncio.to_thread(self._service.recover, frozenset(self._in_hand))
                self._failed = False
            while not self._stopping.is_set():
                self._wake.clear()
                await self._turn()
        except StoreUnavailable:
            self._failed = True
            raise
        finally:
            unsent = list(self._claimed)
            self._claimed.clear()
            if unsent:
                await asyncio.to_thread(self._service.put_back, unsent, "the daemon stopped", timedelta(0))
            if self._stopping.is_set():
                if self._busy:
                    await asyncio.wait(self._busy)
                await self._submitter.close()

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._claimed and len(self._busy) < self._hands and loop.time() >= self._resume_at:
            # After a fault one mail is tried first: the others are not put through it again.
            wanted = 1 if self._pause else self._hands * AHEAD
            self._claimed.extend(await asyncio.to_thread(self._service.claim, wanted))
        started = False
        while len(self._busy) < min(self._hands, len(self._busy) + len(self._claimed)):
            task = loop.create_task(self._hand(self._claimed.popleft()), name="outbox-send")
            self._busy.add(task)
            task.add_done_callback(self._done)
            started = True
        if not started:
            await self._rest(loop)

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until woken, a hand is free, the next mail is due or it is time to look again."""
        timeout = POLL
        if loop.time() < self._resume_at:
            timeout = self._resume_at - loop.time()
        elif len(self._busy) < self._hands:
            due = await asyncio.to_thread(self._service.next_due)
            if due is not None:
                timeout = min(POLL, max(0.05, (due - self._clock.now()).total_seconds()))
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Our own fault: the lease lapses and the same bytes go out again.
            self._log.error("outbox.record_failed", error=str(error))

    async def _hand(self, item: Claimed) -> None:
        """Send mails one after another until none is claimed: each hand takes the next one by itself."""
        while True:
            await self._send(item)
            if not self._claimed:
                return
            item = self._claimed.popleft()

    async def _send(self, item: Claimed) -> None:
        self._in_hand.add(item.id)
        try:
            await self._try(item)
        finally:
            self._in_hand.discard(item.id)

    async def _try(self, item: Claimed) -> None:
        result = await self._submitter.submit(
            Outgoing(item.envelope_from, item.recipients, item.message_id, item.data)
        )
        if isinstance(result, SmarthostDown):
            waiting = [item, *self._claimed]
            self._claimed.clear()
            await self._smarthost_down(result, waiting)
            return
        if self._pause:
            self._log.info("outbox.smarthost_back")
        self._pause, self._resume_at, self.down = 0.0, 0.0, ""
        receipt = await self._record(item, result)
        for address, state in receipt.states.items():
            level = self._log.info if state == "sent" else self._log.warning
            level(
                "sent" if state == "sent" else "not sent",
                id=receipt.outbox_id,
                kind=receipt.kind,
                to=address,
                state=state,
                reply=receipt.replies[address],
            )

    async def _record(self, item: Claimed, result: SubmissionResult) -> SendingReceipt:
        """Write the result down, however long the database is away: the mail is out, and must not go again."""
        return await self._written(item, partial(self._service.record, item, result.recipients))

    async def _written(self, item: Claimed, write: Callable[[], T]) -> T:
        """What `write` returns, once the database takes it."""
        pause = 0.5
        while True:
            try:
                return await asyncio.to_thread(write)
            except StoreUnavailable as error:
                self._log.warning("outbox.record_waits", id=item.id, why=str(error))
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _smarthost_down(self, fault: SmarthostDown, items: list[Claimed]) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._resume_at:  # the first of several mails under way that meet the same fault
            longest = LONGEST_PAUSE
            self._pause = (
                min(longest, self._pause * 2 or FIRST_PAUSE) if not fault.permanent_fault else longest
            )
            self._resume_at = loop.time() + self._pause
            self.down = fault.why
            self._log.error(
                "outbox.smarthost_down", why=fault.why, pause=self._pause, needs_you=fault.permanent_fault
            )
        again = timedelta(seconds=self._pause)
        await self._written(items[0], partial(self._service.put_back, items, fault.why, again))
