"""The daemon: settings -> objects -> one supervisor of tasks; signals; drain.

Start: lock the data folder, bring the schema up to date, free what a dead predecessor had claimed, bind.
Stop (SIGTERM, SIGINT): no new connections, open transfers and claimed mail are finished for at most
`server.drain_timeout`, then exit 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from mailbridge import __version__
from mailbridge.config import Settings
from mailbridge.core.mail import Address
from mailbridge.core.scan import ParseLimits
from mailbridge.edge.health import Health
from mailbridge.edge.intake_worker import IntakeWorker
from mailbridge.edge.listen_fds import InheritedSockets
from mailbridge.edge.maildir import MaildirSubmitter
from mailbridge.edge.notify import Notifier
from mailbridge.edge.outbox_worker import OutboxWorker, Submitter
from mailbridge.edge.parse_pool import ParsePool
from mailbridge.edge.pressure import Pressure
from mailbridge.edge.smtp_in import SmtpListener
from mailbridge.edge.submission import SmtpSubmitter
from mailbridge.edge.supervisor import Supervisor
from mailbridge.heap import give_large_blocks_back
from mailbridge.logs import get_logger
from mailbridge.parts import Parts
from mailbridge.store import inbound, migrate, outbox, people
from mailbridge.store.engine import Connection

_TIDY_EVERY = 3600.0  # seconds
_AFTER_DRAIN = 20.0  # seconds beyond the drain for closing the pool and the database


class AlreadyRunningError(Exception):
    """Another daemon works on this data folder."""


class Daemon:
    """One running mailbridge. `run` returns after `stop` (or a signal) once everything is drained."""

    def __init__(
        self,
        parts: Parts,
        *,
        log: structlog.stdlib.BoundLogger | None = None,
        pool: ParsePool | None = None,
        notifier: Notifier | None = None,
        inherited: InheritedSockets | None = None,
    ) -> None:
        self.parts = parts
        self.settings: Settings = parts.settings
        self._log = log or get_logger("mailbridge")
        self._stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.addresses: tuple[tuple[str, int], ...] = ()
        self._pool = pool
        self._supervisor = Supervisor(self._log)
        self._notifier = notifier or Notifier(None)
        self._inherited = inherited or InheritedSockets()

    def stop(self) -> None:
        """Ask `run` to drain and return. Call it from the loop's thread."""
        self._stop.set()

    def reload(self) -> None:
        """Answer a request to read the settings again: they are read at the start only."""
        self._notifier.reloading()
        self._log.warning("reload.refused", why="settings are read at the start only: restart to apply them")
        self._notifier.ready(self._doors())

    async def run(self) -> None:
        """Serve until stopped. Raises what keeps the daemon from starting."""
        settings = self.settings
        with _only_one(settings.server.data_dir):
            await asyncio.to_thread(self._prepare)
            intake_wake, outbox_wake = asyncio.Event(), asyncio.Event()
            pressure = Pressure(
                self.parts.database,
                settings.server.data_dir,
                max_unprocessed=settings.smtp.max_unprocessed,
                min_free_disk=settings.smtp.min_free_disk,
                log=self._log,
            )
            pool = self._pool or self._parse_pool()

            def accepted(count: int) -> None:
                pressure.accepted(count)
                intake_wake.set()

            def processed(count: int) -> None:
                pressure.processed(count)
                outbox_wake.set()

            intake = IntakeWorker(
                self.parts.intake,
                self.parts.database,
                pool,
                settings.intake,
                clock=self.parts.clock,
                wake=intake_wake,
                on_done=processed,
                log=self._log,
            )
            sender = OutboxWorker(
                self.parts.sending,
                self._submitter(),
                hands=settings.delivery.connections,
                clock=self.parts.clock,
                wake=outbox_wake,
                log=self._log,
            )
            listener = SmtpListener(
                settings.smtp,
                self.parts.reception(busy=pressure.busy, on_accepted=accepted),
                hostname=settings.server.hostname,
                log=self._log,
            )
            if settings.smtp.enabled:
                await listener.start(self._inherited.take("smtp", or_unnamed=True))
                self.addresses = listener.addresses
            if unclaimed := self._inherited.close():
                self._log.warning("sockets.unclaimed", names=unclaimed)
            await pool.start()
            self._supervisor.start("pressure", pressure.watch)
            self._supervisor.start("intake", intake.run)
            self._supervisor.start("outbox", sender.run)
            self._supervisor.start("tidy", self._tidy)
            health = Health(self.parts.database, self._supervisor)
            watchdog = asyncio.create_task(self._notifier.watchdog(health.trouble), name="watchdog")
            with self._signals():
                self._log.info(
                    "ready", version=__version__, pid=os.getpid(), data_dir=str(settings.server.data_dir)
                )
                self.ready.set()
                self._notifier.ready(self._doors())
                await self._stop.wait()
            self._log.info("stopping", timeout=settings.server.drain_timeout.total_seconds())
            self._notifier.stopping(settings.server.drain_timeout.total_seconds() + _AFTER_DRAIN)
            watchdog.cancel()
            await self._drain(listener, intake, sender, pool)

    def _doors(self) -> str:
        """One line on where mail comes in."""
        doors = ", ".join(f"{host}:{port}" if port else host for host, port in self.addresses)
        return f"taking mail on {doors}" if doors else "running; no SMTP listener"

    def _prepare(self) -> None:
        """Blocking work before the doors open."""
        parts = self.parts
        applied = migrate.upgrade(parts.database)
        if applied:
            self._log.info("store.migrated", revisions=applied)
        parts.keys.load()
        _ = parts.mailer  # a broken template stops the start, not the first mail
        now = parts.clock.now()
        agents = [(Address(a.name, a.address), a.mailboxes) for a in self.settings.agent]

        def begin(conn: Connection) -> tuple[int, int]:
            people.sync_agents(conn, agents, now)
            if parts.database.dialect != "sqlite":
                return 0, 0  # other nodes may be at work: their leases lapse by themselves
            return inbound.release_leases(conn), outbox.release_leases(conn, now)

        mails, sends = parts.database.write(begin)
        if mails or sends:
            self._log.warning("recovered", inbound=mails, outbox=sends)

    def _parse_pool(self) -> ParsePool:
        intake = self.settings.intake
        workers = intake.workers or min(4, os.cpu_count() or 1)
        limits = ParseLimits(
            max_message=self.settings.smtp.max_message + (1 << 20),  # the trace field that we put on top
            max_attachment=intake.max_attachment,
            max_attachments=intake.max_attachments,
        )
        return ParsePool(
            workers=workers,
            timeout=intake.parse_timeout.total_seconds(),
            memory=intake.parse_memory,
            limits=limits,
        )

    def _submitter(self) -> Submitter:
        delivery = self.settings.delivery
        if delivery.method == "maildir":
            return MaildirSubmitter(delivery.maildir, self._log)
        password = self.settings.delivery_password
        return SmtpSubmitter(
            delivery,
            password.get_secret_value() if password else None,
            self._log,
            hostname=self.settings.server.hostname,
        )

    async def _tidy(self) -> None:
        """Once an hour: forget quarantined mail past its age, and say so."""
        keep: timedelta = self.settings.intake.quarantine_keep
        while True:
            expire = partial(inbound.expire_quarantine, before=self.parts.clock.now() - keep)
            gone = await self.parts.database.awrite(expire)
            if gone:
                self._log.warning("quarantine.expired", ids=gone, older_than_days=keep.days)
                continue
            await asyncio.sleep(_TIDY_EVERY)

    async def _drain(
        self, listener: SmtpListener, intake: IntakeWorker, sender: OutboxWorker, pool: ParsePool
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.server.drain_timeout.total_seconds()

        def left() -> float:
            return max(0.1, deadline - loop.time())

        await listener.drain(left() * 0.6)
        intake.stop()
        sender.stop()
        finished = await self._supervisor.finish("intake", "outbox", timeout=left())
        await self._supervisor.cancel("pressure", "tidy")
        await pool.close()
        await asyncio.to_thread(self.parts.close)
        self._log.info("stopped", clean=finished)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled: list[signal.Signals] = []
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.reload}
        for number, handler in handlers.items():
            try:
                loop.add_signal_handler(number, handler)
                handled.append(number)
            except (RuntimeError, ValueError):  # not the main thread (tests): `stop` does it
                break
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder's lock. Raises AlreadyRunningError naming the process that has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "mailbridge.lock"
    with path.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise AlreadyRunningError(
                f"{folder}: another mailbridge (process {lock.read(20).strip() or 'unknown'}) works here"
            ) from error
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def serve(
    settings: Settings,
    *,
    manager: Mapping[str, str] | None = None,
    on_ready: Callable[[Daemon], None] | None = None,
) -> None:
    """Run a daemon until a signal stops it. Blocks; raises what keeps it from starting.

    `manager` holds what the service manager said (`mailbridge.edge.manager.take`).
    """
    give_large_blocks_back()
    notifier = Notifier.from_environment(manager or {})
    inherited = InheritedSockets.from_environment(manager or {})

    async def main() -> None:
        daemon = Daemon(Parts(settings), notifier=notifier, inherited=inherited)
        if on_ready is not None:
            waiter = asyncio.create_task(_when_ready(daemon, on_ready))
            try:
                await daemon.run()
            finally:
                waiter.cancel()
        else:
            await daemon.run()

    asyncio.run(main())


async def _when_ready(daemon: Daemon, on_ready: Callable[[Daemon], None]) -> None:
    await daemon.ready.wait()
    on_ready(daemon)
    sys.stdout.flush()


def running_pid(folder: Path) -> int | None:
    """The process id of the daemon that works on this data folder, or None when there is none."""
    path = folder / "mailbridge.lock"
    try:
        with path.open("r", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = lock.read(20).strip()
                return int(text) if text.isdecimal() else None
    except FileNotFoundError:
        return None
    return None
