"""Who may come in, and how much they may hold: connections, bytes in flight, unfinished stores.

One gate is shared by all listeners of a daemon. The doorman asks it before the costly session object is
made, so that ten thousand refused connections stay cheap.

Standards: RFC 5321 3.8 (421 before the greeting).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

LOCAL = "local"
"""The address of a client on a unix socket; it is the administrator's own, and has no per-address cap."""

FREE_BYTES = 128 * 1024
"""A mail up to this size is never put off for want of memory: huge mails must not shut out small ones."""

_NOTE_EVERY = 10.0
"""Seconds between log lines on refused connections."""


class EventLog(Protocol):
    """The part of a structlog logger that the door uses."""

    def info(self, event: str, **kw: Any) -> Any: ...
    def warning(self, event: str, **kw: Any) -> Any: ...
    def error(self, event: str, **kw: Any) -> Any: ...


class Guest(Protocol):
    """A session as the gate sees it."""

    def leave(self) -> None:
        """Say 421 and go: now if idle, else after the mail being sent."""

    def abort(self) -> None:
        """Drop the connection without a word."""


class Refusal(Enum):
    """Why a connection or a transaction was not let in; the value is for the log."""

    FULL = "too many connections"
    ADDRESS_FULL = "too many connections from one address"
    DRAINING = "shutting down"


def peer_address(transport: asyncio.BaseTransport) -> str:
    """The client's address without its scope, or `LOCAL` for a unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]).partition("%")[0] if isinstance(peer, tuple) and peer else LOCAL


def _household(address: str) -> str:
    """What the per-address cap counts: an IPv4 address, or the /64 that one IPv6 customer owns."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False))


class Gate:
    """Counts what clients hold. `max_bytes` bounds mail data in memory beyond `FREE_BYTES` of each mail."""

    def __init__(self, *, max_connections: int, max_per_address: int, max_bytes: int) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._max_bytes = max_bytes
        self._households: Counter[str] = Counter()
        self._bytes = 0
        self._changed = asyncio.Event()
        self.guests: set[Guest] = set()
        self.stores: set[asyncio.Future[Any]] = set()
        """Stores under way, also those whose client has gone or was told to come again."""
        self.draining = False
        self.turned_away = 0
        """Connections refused since the start."""
        self.next_note = 0.0
        """When refusals may be logged again (loop time)."""

    def refusal(self, address: str) -> Refusal | None:
        """Why a client at `address` may not come in now, or None."""
        if self.draining:
            return Refusal.DRAINING
        if len(self.guests) >= self._max_connections:
            return Refusal.FULL
        if address != LOCAL and self._households[_household(address)] >= self._max_per_address:
            return Refusal.ADDRESS_FULL
        return None

    def enter(self, guest: Guest, address: str) -> None:
        """Count `guest` in."""
        self.guests.add(guest)
        if address != LOCAL:
            self._households[_household(address)] += 1

    def left(self, guest: Guest, address: str) -> None:
        """Count `guest` out; a second call does nothing."""
        if guest not in self.guests:
            return
        self.guests.discard(guest)
        if address != LOCAL:
            house = _household(address)
            self._households[house] -= 1
            if self._households[house] <= 0:
                del self._households[house]
        self._changed.set()

    def has_room(self, size: int) -> bool:
        """Whether a mail of `size` bytes (0: unknown) could be taken now."""
        return size <= FREE_BYTES or self._bytes + size <= self._max_bytes

    @property
    def bytes_in_flight(self) -> int:
        """Bytes charged now."""
        return self._bytes

    def open_tab(self) -> Tab:
        """An empty tab, for one mail."""
        return Tab(self)

    def charge(self, amount: int) -> bool:
        """Count `amount` more bytes (fewer, when negative); False, and not counted, when there is no room."""
        if amount > 0 and self._bytes + amount > self._max_bytes:
            return False
        self._bytes += amount
        return True

    @property
    def choked(self) -> bool:
        """Whether so many stores are unfinished that taking more mail would only pile up memory."""
        return len(self.stores) >= 2 * self._max_connections

    def watch(self, store: asyncio.Future[Any], tab: Tab) -> None:
        """Keep `store`, and the memory it holds, on the books until it is done."""
        self.stores.add(store)
        store.add_done_callback(lambda done: self._stored(done, tab))

    def _stored(self, store: asyncio.Future[Any], tab: Tab) -> None:
        self.stores.discard(store)
        tab.settle()
        self._changed.set()

    async def empty(self) -> None:
        """Return once no session is connected and no store is under way."""
        while self.guests or self.stores:
            self._changed.clear()
            await self._changed.wait()


class Tab:
    """The bytes that one mail has charged to the gate, so that they are given back exactly once."""

    __slots__ = ("_gate", "_held")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._held = 0

    def charge_up_to(self, size: int) -> bool:
        """Raise the charge to `size` bytes; False, and unchanged, when the gate has no room."""
        if size <= self._held:
            return True
        if not self._gate.charge(size - self._held):
            return False
        self._held = size
        return True

    def hand_over(self) -> Tab:
        """A tab that now holds this one's charge; this one is empty."""
        heir = Tab(self._gate)
        heir._held, self._held = self._held, 0
        return heir

    def settle(self) -> None:
        """Give everything back."""
        self._gate.charge(-self._held)
        self._held = 0


class Doorman(asyncio.Protocol):
    """Answers the door: hands the connection to a session, or says 421 and closes."""

    def __init__(self, gate: Gate, session: Callable[[], asyncio.Protocol], log: EventLog) -> None:
        self._gate = gate
        self._session = session
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or refuse it before anything costly is made (RFC 5321 3.8)."""
        assert isinstance(transport, asyncio.Transport)
        address = peer_address(transport)
        refusal = self._gate.refusal(address)
        if refusal is None:
            session = self._session()
            transport.set_protocol(session)
            session.connection_made(transport)
            return
        self._note(address, refusal)
        transport.write(b"421 4.3.2 busy, try again later\r\n")
        transport.close()

    def _note(self, address: str, refusal: Refusal) -> None:
        """Log the refusal, unless one was logged just now: a flood of clients must not flood the log."""
        self._gate.turned_away += 1
        now = asyncio.get_running_loop().time()
        if now >= self._gate.next_note:
            self._gate.next_note = now + _NOTE_EVERY
            total = self._gate.turned_away
            self._log.warning("smtp.turned_away", peer=address, reason=refusal.value, total=total)
