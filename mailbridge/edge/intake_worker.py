"""Works off accepted mail: claim a batch, parse it in the pool, have it decided and committed.

The next batch is claimed and parsed while the one before it is committed. A mail that was claimed more often
than `max_attempts` has killed its workers: it is quarantined unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from mailbridge.config import Intake as IntakeSettings
from mailbridge.core.decision import QuarantineReason
from mailbridge.core.mail import ParsedMail
from mailbridge.core.ports import Clock
from mailbridge.edge.parse_pool import ParseFailure, ParsePool, RawMail
from mailbridge.service.commit import Receipt
from mailbridge.service.intake import Intake, Unreadable
from mailbridge.store import inbound
from mailbridge.store.engine import Connection, Database
from mailbridge.store.inbound import StoredMail

BATCH = 50  # mails a claim: enough for one commit to carry many, few enough to be decided in about 0.1 s
BATCH_BYTES = 32 << 20
POLL = 1.0  # seconds; mail from another process (`mailbridge inject`) gives no wake-up

Batch = list[tuple[StoredMail, ParsedMail | Unreadable]]


class IntakeWorker:
    """One loop. `wake` is set when mail was accepted; `on_done` hears how many mails ended."""

    def __init__(
        self,
        service: Intake,
        database: Database,
        pool: ParsePool,
        settings: IntakeSettings,
        *,
        clock: Clock,
        wake: asyncio.Event,
        on_done: Callable[[int], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._service = service
        self._database = database
        self._pool = pool
        self._lease: timedelta = settings.lease
        self._max_attempts = settings.max_attempts
        self._clock = clock
        self._wake = wake
        self._on_done = on_done
        self._log = log
        self._claimed: set[int] = set()
        self._failed = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; `run` returns once what is claimed has ended."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`. Raises when the database or the pool fails: the supervisor starts it again."""
        if self._failed:  # the database or the pool failed before: what is claimed is still ours
            await self._database.awrite(self._take_back)
            self._claimed.clear()
        self._failed = True
        read: asyncio.Queue[Batch | None] = asyncio.Queue(maxsize=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(read), name="intake-read")
            tasks.create_task(self._decide(read), name="intake-decide")
        self._failed = False

    def _take_back(self, conn: Connection) -> None:
        inbound.unclaim(conn, sorted(self._claimed))
        if self._database.dialect == "sqlite":
            # A claim whose COMMIT was answered with an error may stand all the same. Here nobody else has any.
            inbound.release_leases(conn)

    async def _read(self, out: asyncio.Queue[Batch | None]) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            claimed = await self._database.awrite(self._claim)
            self._claimed.update(mail.id for mail in claimed)
            if claimed:
                await out.put(await self._parse(claimed))
                if claimed[0].attempt > 1:
                    # A suspect has the daemon for itself: were others in work, they would share its blame.
                    await out.join()
            else:
                try:
                    await asyncio.wait_for(self._wake.wait(), POLL)
                except TimeoutError:
                    continue
        await out.put(None)

    def _claim(self, conn: Connection) -> list[StoredMail]:
        return inbound.claim(
            conn, now=self._clock.now(), lease=self._lease, limit=BATCH, max_bytes=BATCH_BYTES
        )

    async def _parse(self, claimed: list[StoredMail]) -> Batch:
        # The first attempt was one of many mails in work: that it did not end says nothing about this one.
        worn = {m.id for m in claimed if m.attempt > self._max_attempts + 1}
        fresh = [m for m in claimed if m.id not in worn]
        results = await self._pool.parse([RawMail(m.raw, m.envelope.mail_from is None) for m in fresh])
        parsed = {m.id: result for m, result in zip(fresh, results, strict=True)}
        batch: Batch = []
        for mail in claimed:
            result = parsed.get(mail.id)
            if isinstance(result, ParsedMail):
                batch.append((mail, result))
            elif isinstance(result, ParseFailure):
                batch.append((mail, Unreadable(QuarantineReason(result.reason.value), result.detail)))
            else:
                detail = f"given up after {mail.attempt - 1} attempts that did not end"
                batch.append((mail, Unreadable(QuarantineReason.CRASHES_PARSER, detail)))
        return batch

    async def _decide(self, batches: asyncio.Queue[Batch | None]) -> None:
        while (batch := await batches.get()) is not None:
            await asyncio.to_thread(self._process, batch, asyncio.get_running_loop())
            batch.clear()  # or the last mails, large ones perhaps, would stay in memory until others come
            batches.task_done()

    def _process(self, batch: Batch, loop: asyncio.AbstractEventLoop) -> None:
        ended = 0
        try:
            for receipt in self._service.process(batch):
                self._report(receipt)
                self._claimed.discard(receipt.inbound_id)
                ended += 1
        finally:  # once a batch: to be told of every single mail would wake the outbox as often
            loop.call_soon_threadsafe(self._on_done, ended)

    def _report(self, receipt: Receipt) -> None:
        level = self._log.warning if receipt.reason == QuarantineReason.INTERNAL else self._log.info
        level(
            "mail",
            id=receipt.inbound_id,
            decision=receipt.action,
            reason=receipt.reason,
            ticket=receipt.ticket_key,
            rule=receipt.rule,
            kind=receipt.kind,
            ms=receipt.milliseconds,
            **({"detail": receipt.detail} if receipt.detail else {}),
        )
