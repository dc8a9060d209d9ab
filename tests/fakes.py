"""Fakes for what a test must hold in its hand: the time, and the identifiers."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that stands still until it is advanced. Starts on a Tuesday morning, in summer time."""

    def __init__(self, start: datetime = datetime(2026, 6, 2, 9, 0, tzinfo=UTC)) -> None:
        if start.utcoffset() is None:
            raise ValueError("a clock starts at an aware datetime")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The instant it was set to, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta | None = None, /, **parts: float) -> datetime:
        """Move by a timedelta or by its parts (`hours=8`); negative moves back. Returns the new instant."""
        self._now += (by if by is not None else timedelta()) + timedelta(**parts)
        return self._now


class FakeIds:
    """The same sequence of tokens in each run, all distinct: number n is derived from n alone."""

    def __init__(self, seed: str = "mailbridge") -> None:
        self._seed = seed
        self._made = 0
        self._lock = threading.Lock()

    def token(self, n_bytes: int) -> bytes:
        """The next `n_bytes` bytes of the sequence."""
        with self._lock:
            self._made += 1
            made = self._made
        return hashlib.shake_256(f"{self._seed}:{made}".encode()).digest(n_bytes)
